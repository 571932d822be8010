# SPDX-License-Identifier: MIT
"""LazyTensors of NumPy arrays: the interface of pykeops.numpy, and more."""
from __future__ import annotations

from typing import Any, Optional

from .._core.functions import BINARY, OTHERS, UNARY
from .._core.lazy_tensor import LazyTensorBase
from .._core.variables import Makers
from .._core.vectors import Complex
from . import cluster
from ._generic import Genred, KernelSolve, generic_argkmin, generic_argmin, generic_logsumexp, generic_sum
from ._library import library


class LazyTensor(LazyTensorBase):
    """A formula in NumPy arrays, of shape (batch axes..., M, N, D), of which no element is computed before it is
    reduced.

    LazyTensor(x) of an array of shape (batch axes..., M, 1, D) has rows of i, of shape (batch axes..., 1, N, D) rows of
    j, of shape (D,) or (batch axes..., 1, 1, D) it is a parameter; LazyTensor(x, axis=0) and LazyTensor(x, axis=1) tell
    the role of an array of shape (M, D). A float or a list of floats is a parameter, a whole number part of the
    formula, and (index, dim, role) a variable that gets its array in a call. Arrays are float32, float64, complex64 or
    complex128, of any strides, and are not copied. Complex numbers make a ComplexLazyTensor.

    Raises ValueError for shapes that do not fit, TypeError for other types and number types.
    """

    __slots__ = ()

    _library = library

    def __new__(cls, x: Any = None, axis: Optional[int] = None, is_complex: bool = False) -> Any:
        if is_complex or complex_numbers(x):
            return object.__new__(ComplexLazyTensor)
        return object.__new__(cls)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy's functions of LazyTensors: np.exp(K), array + K, np.maximum(K, L)."""
        if method != "__call__" or kwargs:
            return NotImplemented
        name = ufunc.__name__
        if len(inputs) == 1 and name in UNARY:
            return getattr(self, UNARY[name])()
        if len(inputs) == 2 and name in BINARY:
            return BINARY[name](*(self._operand(each) for each in inputs))
        if name == "matmul":
            raise TypeError("array @ K: write K.T @ array, the array's rows being those of i")
        return NotImplemented

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Other functions of NumPy's: np.where(K > 0, K, 0), np.clip(K, 0, 1), np.sum(K, axis=1), np.concatenate."""
        name = func.__name__
        if name == "concatenate":
            return self.concatenate(tuple(self._operand(each) for each in args[0]), *args[1:], **kwargs)
        if name in UNARY and len(args) == 1 and not kwargs:
            return getattr(self._operand(args[0]), UNARY[name])()
        if name in OTHERS:
            return OTHERS[name](self._operand(args[0]), *args[1:], **kwargs)
        return NotImplemented


class ComplexLazyTensor(Complex, LazyTensor):
    """A LazyTensor of complex numbers."""

    __slots__ = ()

    def __new__(cls, x: Any = None, axis: Optional[int] = None, is_complex: bool = False) -> Any:
        return object.__new__(cls)


def complex_numbers(x: Any) -> bool:
    """Whether a LazyTensor of x is complex."""
    if isinstance(x, list):
        return any(isinstance(each, complex) for each in x)
    dtype = getattr(x, "dtype", None)
    if dtype is not None:
        return getattr(dtype, "kind", "") == "c"
    return isinstance(x, complex)


library.real = LazyTensor
library.complex = ComplexLazyTensor


_makers = Makers(LazyTensor)
Var, Vi, Vj, Pm = _makers.Var, _makers.Vi, _makers.Vj, _makers.Pm
index_i, index_j, where = _makers.index_i, _makers.index_j, _makers.where


def aslinearoperator(K: LazyTensor) -> Any:
    """A LazyTensor of shape (M, N) as a scipy.sparse.linalg.LinearOperator.

    SciPy's own aslinearoperator(K), and functions such as eigsh(K) and cg(K, b), take K as it is. This operator
    multiplies several columns in one sweep besides, and converts vectors to K's number type, as mixed types are an
    error elsewhere.

    Raises ValueError for batch axes and for more than one component, ImportError without SciPy.
    """
    from ._scipy import operator

    return operator(K)


__all__ = ["ComplexLazyTensor", "Genred", "KernelSolve", "LazyTensor", "Pm", "Var", "Vi", "Vj", "aslinearoperator",
           "cluster", "generic_argkmin", "generic_argmin", "generic_logsumexp", "generic_sum", "index_i", "index_j",
           "where"]
