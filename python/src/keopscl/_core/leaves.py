# SPDX-License-Identifier: MIT
"""Leaves: the arrays, numbers and symbolic variables that structures are applied to."""

from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple

from .. import _arrays
from .._errors import DtypeError
from .._native import ffi, lib

F32: int = lib.KCL_F32
F64: int = lib.KCL_F64
I64: int = lib.KCL_I64
NAMES = {F32: "float32", F64: "float64", I64: "int64"}
ROLE_I: int = lib.KCL_ROLE_I
ROLE_J: int = lib.KCL_ROLE_J
ROLE_PARAMETER: int = lib.KCL_ROLE_PARAMETER
C_TYPES = {F32: "float[]", F64: "double[]"}


class Leaf:
    """What the kinds of leaves have in common."""

    __slots__ = ("key",)

    key: Any  # equal keys mean the same leaf

    def view(self, code: int) -> _arrays.Description:
        """The description of the array for a call whose number type is `code`."""
        raise NotImplementedError

    def array(self, code: int) -> Any:
        """The kcl_array for a call whose number type is `code`."""
        return _arrays.array(self.view(code))


class ArrayLeaf(Leaf):
    """An array in a role."""

    __slots__ = ("source", "description", "code", "keep", "role")

    def __init__(self, source: Any, role: int, description: _arrays.Description, code: int, keep: Any) -> None:
        self.key = (id(source), role, len(description[1][1]))
        self.source = source  # the user's array
        self.role = role
        self.description = description  # with axes (batch axes..., rows, components), or (batch axes..., components)
        self.code = code  # its number type
        self.keep = keep  # what holds the memory

    def view(self, code: int) -> _arrays.Description:
        return self.description


class NumbersLeaf(Leaf):
    """Numbers without a type: a parameter in the type of the arrays that it meets."""

    __slots__ = ("values", "views")

    def __init__(self, values: Sequence[float]) -> None:
        self.key = id(self)
        self.values = tuple(values)
        self.views: Dict[int, _arrays.Description] = {}  # by number type; the address holds the memory

    def view(self, code: int) -> _arrays.Description:
        found = self.views.get(code)
        if found is None:
            memory = ffi.new(C_TYPES[code], self.values)
            found = self.views[code] = _arrays.describe_dense(memory, code, (len(self.values),))
        return found

    def __reduce__(self) -> Any:
        return NumbersLeaf, (self.values,)


def layout(
    shape: Tuple[int, ...], strides: Tuple[int, ...], role: int, axes: int
) -> Tuple[Tuple[int, ...], Tuple[int, ...]]:
    """Sizes and strides of the axes that count in a role, `axes` of them: (batch axes..., rows, components), or (batch
    axes..., components). Of (batch axes..., M, N, D) the axes that the role lacks are left out, which have the size 1.
    """
    if len(shape) == axes:
        return shape, strides
    if not shape:
        return (1,), (8,)
    first = -2 if role == ROLE_I else -3
    end = -2 if role == ROLE_J else -1
    return shape[:first] + shape[end:], strides[:first] + strides[end:]


class SymbolicLeaf(Leaf):
    """A variable that gets its array when the LazyTensor is called."""

    __slots__ = ("index", "dim", "role")

    def __init__(self, index: int, dim: int, role: int) -> None:
        self.key = ("symbolic", index, dim, role)
        self.index, self.dim, self.role = index, dim, role

    def view(self, code: int) -> _arrays.Description:
        raise DtypeError(
            f"the symbolic variable Var({self.index}, {self.dim}, {self.role}) has no array: "
            "pass one when the LazyTensor is called"
        )

    def __reduce__(self) -> Any:
        return SymbolicLeaf, (self.index, self.dim, self.role)
