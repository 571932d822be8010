# SPDX-License-Identifier: MIT
"""Genred and its short forms for JAX arrays."""
from __future__ import annotations

from typing import Any

from .._core.generic import short_forms
from .._core.genred import GenredBase
from ._library import library, settled


class Genred(GenredBase):
    """A formula in KeOps' language, reduced over i (axis=0, the default) or j (axis=1), for JAX arrays: see
    keopscl.numpy.Genred. Results are functions of all arrays, with derivatives in both modes, under jit and vmap.

    >>> f = Genred("Exp(-g*SqDist(x,y))*b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(1)", "g = Pm(1)"], axis=1)
    >>> a = jax.jit(f)(x, y, b, g)      # (M, 3), (N, 3), (N, 1), (1,) -> (M, 1)
    """

    _library = library

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*settled(args, None), **kwargs)


generic_sum, generic_logsumexp, generic_argmin, generic_argkmin = short_forms(Genred)

__all__ = ["Genred", "generic_argkmin", "generic_argmin", "generic_logsumexp", "generic_sum"]
