# SPDX-License-Identifier: MIT
"""PyTorch's functions of LazyTensors: torch.exp(K), torch.where(K > 0, K, 0), torch.logsumexp(K, 1), tensor * K."""
from __future__ import annotations

from typing import Any, Callable, Dict, Optional

from .._core.functions import BINARY, UNARY
from .._core.tensor import TensorBase
from .._errors import ArgumentError

# Keyword arguments of PyTorch's functions in these values change nothing.
DEFAULTS: Dict[str, Any] = {"inplace": False, "out": None, "dtype": None, "keepdim": False, "alpha": 1,
                            "rounding_mode": None, "eps": 1e-12, "sorted": True}


def _times(a: Any, v: Any) -> Any:
    return a @ v


def _clamp(a: Any, min: Any = None, max: Any = None) -> Any:
    if min is not None and max is not None:
        return a.clamp(min, max)
    return a.minimum(max) if min is None else a.maximum(min)


def _extreme(elementwise: str, pair: str) -> Callable[..., Any]:
    """torch.max and torch.min: of two operands the larger of each pair; of one with an axis values and indices."""

    def function(a: Any, dim: Any = None, other: Any = None) -> Any:
        if other is None and not isinstance(dim, int):
            other = dim
        if other is not None:
            return getattr(a, elementwise)(other)
        return getattr(a, pair)(dim=dim)

    return function


def _topk(a: Any, k: int, dim: Optional[int] = None, largest: bool = True) -> Any:
    return a.Kmax_argKmax(k, dim=dim) if largest else a.Kmin_argKmin(k, dim=dim)


def _norm(a: Any, p: Any = 2, dim: Any = -1, ord: Any = None) -> Any:
    if (p if ord is None else ord) not in (2, "fro", None):
        raise ArgumentError(f"norm: of LazyTensors the Euclidean norm only, not p={p if ord is None else ord!r}")
    return a.norm(-1 if dim is None else dim)


def _normalize(a: Any, p: float = 2.0, dim: int = 1) -> Any:
    if p != 2 or dim not in (-1, a.dim() - 1):
        raise ArgumentError(f"normalize: p=2 over the last axis, dim=-1, not p={p}, dim={dim}")
    return a.normalize()


def _transpose(a: Any, dim0: int, dim1: int) -> Any:
    axes = {dim + a.dim() if dim < 0 else dim for dim in (dim0, dim1)}
    if axes != {a.dim() - 3, a.dim() - 2}:
        raise ArgumentError(f"transpose: the axes {a.dim() - 3} (i) and {a.dim() - 2} (j) are exchanged, not {dim0} "
                            f"and {dim1}")
    return a.T


# Functions whose first operand is made a LazyTensor.
FUNCTIONS: Dict[str, Callable[..., Any]] = {
    "where": lambda condition, input, other: condition.where(input, other), "clamp": _clamp, "clip": _clamp,
    "clamp_min": lambda a, min: a.maximum(min), "clamp_max": lambda a, max: a.minimum(max),
    "sum": lambda a, dim=-1: a.sum(dim=dim), "mean": lambda a, dim=None: a.mean(dim=dim),
    "amin": lambda a, dim=None: a.min(dim=dim), "amax": lambda a, dim=None: a.max(dim=dim),
    "argmin": lambda a, dim=None: a.argmin(dim=dim), "argmax": lambda a, dim=None: a.argmax(dim=dim),
    "logsumexp": lambda a, dim: a.logsumexp(dim=dim), "min": _extreme("minimum", "min_argmin"),
    "max": _extreme("maximum", "max_argmax"), "topk": _topk, "norm": _norm, "vector_norm": _norm,
    "normalize": _normalize, "transpose": _transpose, "swapaxes": _transpose, "t": lambda a: a.T,
    "real": lambda a: a.real, "imag": lambda a: a.imag, "round": lambda a, decimals=0: a.round(decimals),
    "rsub": lambda a, b: b - a, "rdiv": lambda a, b: b / a, "rtruediv": lambda a, b: b / a, "rpow": lambda a, b: b**a,
}

PRODUCTS = ("matmul", "mm", "mv", "bmm", "rmatmul")


def dispatch(lazy: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """func(*args, **kwargs) of which an argument is a LazyTensor, of the class `lazy`; NotImplemented for functions
    that LazyTensors do not have."""
    name = getattr(func, "__name__", "").strip("_")
    for prefix in ("special_", "linalg_"):
        name = name[len(prefix):] if name.startswith(prefix) else name
    rest = {key: value for key, value in (kwargs or {}).items() if key not in DEFAULTS or value != DEFAULTS[key]}

    def operand(x: Any) -> Any:
        return x if isinstance(x, TensorBase) else lazy(x)

    if "input" in rest and not args:
        args = (rest.pop("input"),)
    if name in ("cat", "concat", "concatenate"):
        return lazy.concatenate(tuple(operand(each) for each in args[0]), *args[1:], **rest)
    if name in PRODUCTS:
        if len(args) == 2 and isinstance(args[0], TensorBase) and not rest:
            return _times(*args)
        raise TypeError("tensor @ K: write K.T @ tensor, the rows of the tensor being the rows of i")
    if name in UNARY and len(args) == 1 and not rest:
        return getattr(operand(args[0]), UNARY[name])()
    if name in BINARY and len(args) == 2 and not rest and not (name in FUNCTIONS and name != "round"):
        return BINARY[name](operand(args[0]), operand(args[1]))
    if name in FUNCTIONS and args:
        return FUNCTIONS[name](operand(args[0]), *args[1:], **rest)
    return NotImplemented
