# SPDX-License-Identifier: MIT
"""Genred and its short forms for PyTorch tensors."""
from __future__ import annotations

from typing import Any

import torch

from .._core.generic import short_forms
from .._core.genred import REDUCTIONS, GenredBase
from .._core.kernel_solve import KernelSolveBase
from .._core.leaves import F32
from .._core.stage import stage_of
from .._errors import ArgumentError, DtypeError
from ._library import CODES, HALVES, PYTORCH_2_4, WIDE, autocasts, library, reason
from ._plans import Plan


class Genred(GenredBase):
    """A formula in KeOps' language, reduced over i (axis=0, the default) or j (axis=1), for PyTorch tensors.

    >>> f = Genred("Exp(-g*SqDist(x,y))*b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(1)", "g = Pm(1)"], axis=1)
    >>> a = f(x, y, b, g)      # (M, 3), (N, 3), (N, 1), (1,) -> (M, 1)
    >>> a.sum().backward()     # in all arguments that require a gradient, by one sweep

    `reduction_op` is Sum, LogSumExp, SumSoftMaxWeight, Min, ArgMin, Min_ArgMin, KMin, ArgKMin, KMin_ArgKMin, the same
    with Max, or Max_SumShiftExp; `opt_arg` is K; `formula2` the weight. Indices are int64. For torch.compile a call is
    one node of the graph (from PyTorch 2.4 on). Raises ValueError for a formula that cannot be read, for shapes that do
    not fit and for K and axis out of range, TypeError for arguments of other types.
    """

    _library = library
    _traces = staticmethod(torch.compiler.is_compiling) if PYTORCH_2_4 else None
    _reads = staticmethod(torch.compiler.is_dynamo_compiling) if PYTORCH_2_4 else None

    def _compile(self) -> None:
        super()._compile()
        if PYTORCH_2_4:
            stage = stage_of(self._program)
            self._text = Plan(stage, None, (None,) * len(stage.arguments)).text

    def _traced(self, args: Any) -> Any:
        """The call as torch.compile reads it: the operator keopscl::apply among views of the tensors."""
        if len(args) != len(self._slots):
            raise ArgumentError(f"Genred: {len(self._slots)} tensors are needed, not {len(args)}")
        tensors = [real_numbers(x, slot[0]) for x, slot in zip(args, self._slots)]
        code, shape, layouts = self._check([(CODES[x.dtype], tuple(x.shape), tuple(x.shape)) for x in tensors])
        tensors = [x.reshape(layout[1]) for x, layout in zip(tensors, layouts)]
        double = self._options.double and code == F32
        if double:
            tensors = [x.to(WIDE.get(x.dtype, x.dtype)) for x in tensors]
        results = []
        for result, index in zip(torch.ops.keopscl.apply(tensors, self._text), REDUCTIONS[self.reduction_op][2]):
            if double and not index:
                result = result.to(torch.float32)
            results.append(result.reshape(shape[:-1] + (self._program.tail or shape[-1:])))
        return results[0] if len(results) == 1 else tuple(results)


class KernelSolve(KernelSolveBase):
    """The inverse of alpha Id + K, for a sum K b of a formula in KeOps' language that is linear in b, and symmetric.

    >>> f = KernelSolve("Exp(-g*SqDist(x,y))*b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(1)", "g = Pm(1)"], "b", axis=1)
    >>> a = f(x, x, b, g, alpha=0.1)      # (N, 3), (N, 3), (N, 1), (1,) -> (N, 1)
    >>> a.sum().backward()                # in all arguments that require a gradient, and in alpha

    `varinvalias` names the argument that b stands for. The sum is over j with axis=1, over i with axis=0, the default,
    and b has rows of the axis that is reduced. Calls take the keyword arguments of LazyTensor.solve, and warn and raise
    as that does.
    """

    _genred = Genred


def real_numbers(x: Any, what: str) -> Any:
    """A tensor in real numbers, as TorchLibrary.describe sees it, by operations that torch.compile reads."""
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{what}: expected one of {library.array_name}, not {type(x).__name__}")
    if x.is_complex():
        x = torch.view_as_real(x.resolve_conj().resolve_neg())
        return x.flatten(-2) if x.dim() > 1 else x
    if x.dtype in HALVES and autocasts(x):
        return x.float()
    if x.dtype not in CODES:
        raise DtypeError(f"{what}: {reason(x)}")
    return x


generic_sum, generic_logsumexp, generic_argmin, generic_argkmin = short_forms(Genred)

__all__ = ["Genred", "KernelSolve", "generic_argkmin", "generic_argmin", "generic_logsumexp", "generic_sum"]
