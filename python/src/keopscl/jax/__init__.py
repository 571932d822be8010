# SPDX-License-Identifier: MIT
"""LazyTensors of JAX arrays: the interface of keopscl.numpy, under jit, vmap, grad, jvp and their like.

Reductions run on the host: arrays of a GPU are copied there, and results back.
"""
from __future__ import annotations

from typing import Any, Optional

import jax

from .._core.leaves import ArrayLeaf
from .._core.lazy_tensor import LazyTensorBase
from .._core.structure import INDEX
from .._core.variables import Makers
from .._core.vectors import Complex
from .._core.written import write
from . import _values
from ._generic import Genred, generic_argkmin, generic_argmin, generic_logsumexp, generic_sum
from ._library import PAIRS, is_weak, library, settled


class LazyTensor(LazyTensorBase):
    """A formula in JAX arrays, of shape (batch axes..., M, N, D), of which no element is computed before it is reduced.

    LazyTensor(x) of an array of shape (batch axes..., M, 1, D) has rows of i, of shape (batch axes..., 1, N, D) rows of
    j, of shape (D,) or (batch axes..., 1, 1, D) it is a parameter; LazyTensor(x, axis=0) and LazyTensor(x, axis=1) tell
    the role of an array of shape (M, D). A float or a list of floats is a parameter, a whole number part of the
    formula, and (index, dim, role) a variable that gets its array in a call. Arrays are float32, float64, complex64 or
    complex128, concrete or traced; arrays of NumPy are converted by jnp.asarray. Complex numbers make a
    ComplexLazyTensor.

    Results are functions of all arrays, with derivatives of any order in both modes. Indices are int64 where
    jax_enable_x64 is set, else int32, and have no derivative; smallest and largest values have the derivatives of the
    terms that were chosen.

    Raises ValueError for shapes that do not fit and TypeError for other types and number types, while JAX traces.
    """

    __slots__ = ()

    __array_ufunc__ = None  # so that an array of NumPy's leaves array * K to LazyTensors

    _library = library

    def __new__(cls, x: Any = None, axis: Optional[int] = None, is_complex: bool = False) -> Any:
        if is_complex or complex_numbers(x):
            return object.__new__(ComplexLazyTensor)
        return object.__new__(cls)

    def _of_array(self, source: Any, array: Any, axis: Optional[int]) -> None:
        super()._of_array(source, array, axis)
        if is_weak(array) and self._code is not None:
            self._code = None  # a number of Python's has the type of the arrays that it meets

    def _strong(self) -> Any:
        """The tensor with a number type, where all that tells one are numbers of Python's in the place of arrays."""
        if self._code is None:
            codes = [leaf.code for leaf in self._leaves if isinstance(leaf, ArrayLeaf) and is_weak(leaf.keep)]
            if codes:
                made = self._like(self._node)
                made._code, made._options = max(codes), self._options
                return made
        return self

    def _reduce(self, op: str, axis: Any, dim: Any, kwargs: Any, **rest: Any) -> Any:
        weight = rest.get("weight")
        if weight is None or self._operand(weight)._code is None:
            strong = self._strong()
            if strong is not self:
                return strong._reduce(op, axis, dim, kwargs, **rest)
        return super()._reduce(op, axis, dim, kwargs, **rest)

    def _prepared(self, options: Any) -> Any:
        strong = self._strong()
        return super()._prepared(options) if strong is self else strong._prepared(options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*settled(args, self._code), **kwargs)

    def __rmatmul__(self, v: Any) -> Any:
        raise TypeError("array @ K: write K.T @ array, the array's rows being those of i")

    @property
    def dtype(self) -> Any:
        strong = self._strong()
        return super().dtype if strong is self else strong.dtype

    def _compute(self, function: str, arguments: Any, sizes: Any, what: str) -> Any:
        """Values, written out by the library."""
        return _values.compute(self, function, arguments, sizes, what)

    def _write(self, function: str, arguments: Any, shape: Any, what: str) -> Any:
        """Values, written out: of tracers as a reduction like any other, which has derivatives."""
        if any(isinstance(leaf, ArrayLeaf) and isinstance(leaf.keep, jax.core.Tracer) for leaf in self._leaves):
            self._valued(what)
            result = write(self._strong(), function, arguments, shape) if self._node.kind != INDEX else None
            if result is not None:
                return result
        return super()._write(function, arguments, shape, what)


class ComplexLazyTensor(Complex, LazyTensor):
    """A LazyTensor of complex numbers."""

    __slots__ = ()

    def __new__(cls, x: Any = None, axis: Optional[int] = None, is_complex: bool = False) -> Any:
        return object.__new__(cls)


def complex_numbers(x: Any) -> bool:
    """Whether a LazyTensor of x is complex."""
    if isinstance(x, list):
        return any(isinstance(each, complex) for each in x)
    return getattr(x, "dtype", None) in PAIRS or isinstance(x, complex)


library.real = LazyTensor
library.complex = ComplexLazyTensor

_makers = Makers(LazyTensor)
Var, Vi, Vj, Pm = _makers.Var, _makers.Vi, _makers.Vj, _makers.Pm
index_i, index_j, where = _makers.index_i, _makers.index_j, _makers.where

__all__ = ["ComplexLazyTensor", "Genred", "LazyTensor", "Pm", "Var", "Vi", "Vj", "generic_argkmin", "generic_argmin",
           "generic_logsumexp", "generic_sum", "index_i", "index_j", "where"]
