# SPDX-License-Identifier: MIT
"""Genred and its short forms for NumPy arrays."""
from __future__ import annotations

from .._core.generic import short_forms
from .._core.genred import GenredBase
from .._core.kernel_solve import KernelSolveBase
from ._library import library


class Genred(GenredBase):
    """A formula in KeOps' language, reduced over i (axis=0, the default) or j (axis=1), for NumPy arrays.

    >>> f = Genred("Exp(-g*SqDist(x,y))*b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(1)", "g = Pm(1)"], axis=1)
    >>> a = f(x, y, b, g)      # (M, 3), (N, 3), (N, 1), (1,) -> (M, 1)

    `reduction_op` is Sum, LogSumExp, SumSoftMaxWeight, Min, ArgMin, Min_ArgMin, KMin, ArgKMin, KMin_ArgKMin, the same
    with Max, or Max_SumShiftExp; `opt_arg` is K; `formula2` the weight. Indices are int64. Raises ValueError for a
    formula that cannot be read, for shapes that do not fit and for K and axis out of range, TypeError for arrays of
    other types.
    """

    _library = library


class KernelSolve(KernelSolveBase):
    """The inverse of alpha Id + K, for a sum K b of a formula in KeOps' language that is linear in b, and symmetric.

    >>> f = KernelSolve("Exp(-g*SqDist(x,y))*b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(1)", "g = Pm(1)"], "b", axis=1)
    >>> a = f(x, x, b, g, alpha=0.1)      # (N, 3), (N, 3), (N, 1), (1,) -> (N, 1)

    `varinvalias` names the argument that b stands for. The sum is over j with axis=1, over i with axis=0, the default,
    and b has rows of the axis that is reduced. Calls take the keyword arguments of LazyTensor.solve, and warn and raise
    as that does.
    """

    _genred = Genred


generic_sum, generic_logsumexp, generic_argmin, generic_argkmin = short_forms(Genred)

__all__ = ["Genred", "KernelSolve", "generic_argkmin", "generic_argmin", "generic_logsumexp", "generic_sum"]
