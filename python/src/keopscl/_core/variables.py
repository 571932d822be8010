# SPDX-License-Identifier: MIT
"""Variables in a stated role, numbers of rows, and where, as functions of a module."""
from __future__ import annotations

from typing import Any, Generic, Optional, Type, TypeVar

from .structure import I, J
from .tensor import TensorBase

T = TypeVar("T", bound=TensorBase)


class Makers(Generic[T]):
    """The functions Var, Vi, Vj, Pm, index_i, index_j and where of a class of LazyTensors."""

    def __init__(self, lazy: Type[T]) -> None:
        self._lazy = lazy

    def Var(self, x_or_ind: Any, dim: Optional[int] = None, cat: Optional[int] = None) -> T:
        """A LazyTensor of an array in the role `cat` (0: i, 1: j, 2: parameter), or the symbolic variable number
        x_or_ind of dimension `dim`, which gets its array in a call."""
        return self._lazy(x_or_ind, axis=cat) if dim is None else self._lazy((x_or_ind, dim, cat))

    def Vi(self, x_or_ind: Any, dim: Optional[int] = None) -> T:
        """An array of shape (M, D), or a symbolic variable, as rows of i."""
        return self.Var(x_or_ind, dim, 0)

    def Vj(self, x_or_ind: Any, dim: Optional[int] = None) -> T:
        """An array of shape (N, D), or a symbolic variable, as rows of j."""
        return self.Var(x_or_ind, dim, 1)

    def Pm(self, x_or_ind: Any, dim: Optional[int] = None) -> T:
        """An array of shape (D,), numbers, or a symbolic variable, as a parameter."""
        return self.Var(x_or_ind, dim, 2)

    def index_i(self) -> T:
        """The number of the row i, from 0, as a formula: index_j() <= index_i() is a mask below the diagonal, exact for
        any size. Something else in the formula must have the axis."""
        return self._lazy._index(I)

    def index_j(self) -> T:
        """The number of the column j, from 0, as a formula: see index_i."""
        return self._lazy._index(J)

    def where(self, condition: Any, x: Any, y: Any) -> T:
        """x where the condition, a comparison of LazyTensors, is true, else y; what is not chosen may be infinite or
        NaN."""
        lazy: Any = condition if isinstance(condition, TensorBase) else self._lazy(condition)
        made: T = lazy.where(x, y)
        return made
