# SPDX-License-Identifier: MIT
"""LazyTensors of PyTorch tensors, with gradients of any order: the interface of pykeops.torch, and more."""
from __future__ import annotations

from typing import Any, Optional

import torch

from .._core import kernel_solve, lazy_solve, solve
from .._core.lazy_tensor import LazyTensorBase
from .._core.structure import INDEX
from .._core.variables import Makers
from .._core.vectors import Complex
from .._core.written import write
from . import cluster
from ._cuda import CopyWarning
from ._functions import dispatch
from ._generic import Genred, KernelSolve, generic_argkmin, generic_argmin, generic_logsumexp, generic_sum
from ._library import library
from ._tracing import leave_to_python


class LazyTensor(LazyTensorBase):
    """A formula in PyTorch tensors, of shape (batch axes..., M, N, D), of which no element is computed before it is
    reduced.

    LazyTensor(x) of a tensor of shape (batch axes..., M, 1, D) has rows of i, of shape (batch axes..., 1, N, D) rows of
    j, of shape (D,) or (batch axes..., 1, 1, D) it is a parameter; LazyTensor(x, axis=0) and LazyTensor(x, axis=1) tell
    the role of a tensor of shape (M, D). A float or a list of floats is a parameter, a whole number part of the
    formula, and (index, dim, role) a variable that gets its tensor in a call. Tensors are float32, float64, complex64
    or complex128, on the CPU or on a CUDA device, of any strides, and are not copied. Complex numbers make a
    ComplexLazyTensor.

    Results are functions of all tensors that require a gradient: backward() and torch.autograd.grad work to any order,
    and so do forward mode and, from PyTorch 2.0 on, torch.func: vmap makes a batch axis, and one call of all problems.
    Indices are int64 and have no gradient; smallest and largest values have the gradients of the terms that were
    chosen. torch.compile builds LazyTensors in Python, between graphs; a function of tensors that builds and reduces
    them is one node of a graph where torch.compiler.allow_in_graph marks it. Under torch.autocast tensors of half
    precision are computed with in float32.

    Raises ValueError for shapes that do not fit, TypeError for other types and number types, NotImplementedError for
    tensors of devices of other kinds.
    """

    __slots__ = ()

    __array_ufunc__ = None  # so that an array of NumPy's leaves array * K to LazyTensors, which refuse it by name

    _library = library

    def __new__(cls, x: Any = None, axis: Optional[int] = None, is_complex: bool = False) -> Any:
        if is_complex or complex_numbers(x):
            return object.__new__(ComplexLazyTensor)
        return object.__new__(cls)

    def _write(self, function: str, arguments: Any, shape: Any, what: str) -> Any:
        """Values, written out, as functions of the tensors that require gradients."""
        has_gradients = self._node.kind != INDEX and self._code is not None and not self.symbolic_variables
        if not has_gradients or not library.records(self._leaves):
            with torch.no_grad():
                return super()._write(function, arguments, shape, what)
        result = write(self, function, arguments, shape)
        return super()._write(function, arguments, shape, what) if result is None else result

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """PyTorch's functions of LazyTensors: torch.exp(K), tensor * K, torch.where(K > 0, K, 0)."""
        return dispatch(LazyTensor, func, args, kwargs)


class ComplexLazyTensor(Complex, LazyTensor):
    """A LazyTensor of complex numbers."""

    __slots__ = ()

    def __new__(cls, x: Any = None, axis: Optional[int] = None, is_complex: bool = False) -> Any:
        return object.__new__(cls)


def complex_numbers(x: Any) -> bool:
    """Whether a LazyTensor of x is complex."""
    if isinstance(x, torch.Tensor):
        return bool(x.is_complex())
    if isinstance(x, list):
        return any(isinstance(each, complex) for each in x)
    return isinstance(x, complex)


library.real = LazyTensor
library.complex = ComplexLazyTensor

_makers = Makers(LazyTensor)
Var, Vi, Vj, Pm = _makers.Var, _makers.Vi, _makers.Vj, _makers.Pm
index_i, index_j, where = _makers.index_i, _makers.index_j, _makers.where

leave_to_python(LazyTensor, ComplexLazyTensor, Makers, KernelSolve, type(library), solve.System, solve.SolveResult,
                lazy_solve.LazySolve, solve, lazy_solve, kernel_solve)

__all__ = ["ComplexLazyTensor", "CopyWarning", "Genred", "KernelSolve", "LazyTensor", "Pm", "Var", "Vi", "Vj",
           "cluster", "generic_argkmin", "generic_argmin", "generic_logsumexp", "generic_sum", "index_i", "index_j",
           "where"]
