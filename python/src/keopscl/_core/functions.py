# SPDX-License-Identifier: MIT
"""Names of functions that array libraries have and LazyTensors answer to: np.exp(K) is K.exp()."""
from __future__ import annotations

from typing import Any, Callable, Dict

# Functions of one operand, as methods.
UNARY = {
    "exp": "exp", "expm1": "expm1", "log": "log", "log1p": "log1p", "sqrt": "sqrt", "rsqrt": "rsqrt", "square": "square",
    "sin": "sin", "cos": "cos", "tan": "tan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "erf": "erf", "erfc": "erfc",
    "sign": "sign", "floor": "floor", "ceil": "ceil", "trunc": "trunc", "rint": "round", "round": "round", "relu": "relu",
    "sigmoid": "sigmoid", "softplus": "softplus", "sinc": "sinc", "logical_not": "logical_not", "invert": "logical_not",
    "bitwise_not": "logical_not", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh",
    "arccosh": "acosh", "arctanh": "atanh", "asin": "asin", "acos": "acos", "atan": "atan", "asinh": "asinh",
    "acosh": "acosh", "atanh": "atanh", "reciprocal": "inv", "conjugate": "conj", "conj": "conj", "angle": "angle",
    "absolute": "abs", "fabs": "abs", "abs": "abs", "negative": "__neg__", "neg": "__neg__", "positive": "__pos__",
}

# Functions of two operands, of which one may be an array or a number.
BINARY: Dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "sub": lambda a, b: a - b, "multiply": lambda a, b: a * b,
    "mul": lambda a, b: a * b, "divide": lambda a, b: a / b, "true_divide": lambda a, b: a / b, "div": lambda a, b: a / b,
    "power": lambda a, b: a**b, "float_power": lambda a, b: a**b, "pow": lambda a, b: a**b, "equal": lambda a, b: a == b,
    "eq": lambda a, b: a == b, "not_equal": lambda a, b: a != b, "ne": lambda a, b: a != b, "less": lambda a, b: a < b,
    "lt": lambda a, b: a < b, "less_equal": lambda a, b: a <= b, "le": lambda a, b: a <= b, "greater": lambda a, b: a > b,
    "gt": lambda a, b: a > b, "greater_equal": lambda a, b: a >= b, "ge": lambda a, b: a >= b,
    "arctan2": lambda a, b: a.atan2(b), "atan2": lambda a, b: a.atan2(b), "hypot": lambda a, b: a.hypot(b),
    "minimum": lambda a, b: a.minimum(b), "maximum": lambda a, b: a.maximum(b), "remainder": lambda a, b: a.mod(b),
    "mod": lambda a, b: a.mod(b), "logical_and": lambda a, b: a & b, "bitwise_and": lambda a, b: a & b,
    "logical_or": lambda a, b: a.logical_or(b), "bitwise_or": lambda a, b: a | b,
}

# Functions of several operands or with an axis: the first operand as a LazyTensor, then the function's own arguments.
OTHERS: Dict[str, Callable[..., Any]] = {
    "where": lambda condition, x, y: condition.where(x, y), "clip": lambda a, low, high: a.clamp(low, high),
    "clamp": lambda a, min, max: a.clamp(min, max), "real": lambda a: a.real, "imag": lambda a: a.imag,
    "sum": lambda a, axis=-1, **kwargs: a.sum(axis, **kwargs), "mean": lambda a, axis, **kwargs: a.mean(axis, **kwargs),
    "min": lambda a, axis=-1, **kwargs: a.min(axis, **kwargs), "amin": lambda a, axis=-1, **kwargs: a.min(axis, **kwargs),
    "max": lambda a, axis=-1, **kwargs: a.max(axis, **kwargs), "amax": lambda a, axis=-1, **kwargs: a.max(axis, **kwargs),
    "argmin": lambda a, axis=-1, **kwargs: a.argmin(axis, **kwargs),
    "argmax": lambda a, axis=-1, **kwargs: a.argmax(axis, **kwargs), "around": lambda a, decimals=0: a.round(decimals),
    "logsumexp": lambda a, dim, **kwargs: a.logsumexp(dim, **kwargs),
}
