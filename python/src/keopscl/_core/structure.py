# SPDX-License-Identifier: MIT
"""Structures: what a LazyTensor computes, without the arrays that it computes from.

A LazyTensor is a structure and a tuple of leaves, which are arrays and numbers. A structure is an operation, its
parameters, the structures of its operands, and for each operand the places of the operand's leaves among the leaves of
the whole. So the leaves of an operand are found by composing places, and no structure refers to an array.

Structures are interned: the same operations on the same pattern of leaves are the same object, whatever the arrays. The
object keeps the programs that were compiled for it, so an expression that is built again compiles nothing, and finding
that out takes no walk through the expression.
"""

from __future__ import annotations

from typing import Any, Dict, Tuple

from .._native import lib
from .chain import Places

# Axes that a structure has.
I: int = lib.KCL_OVER_I
J: int = lib.KCL_OVER_J
BOTH: int = lib.KCL_OVER_BOTH

# What the values are: numbers, pairs of numbers that are complex numbers, int64, or two results (values and int64).
REAL, COMPLEX, INDEX, PAIR = range(4)

# The axes of a variable by its role.
AXES_OF_ROLE = {lib.KCL_ROLE_I: I, lib.KCL_ROLE_J: J, lib.KCL_ROLE_PARAMETER: 0}

# The table is emptied when it has this many entries; structures in use stay valid, and are made again by later
# expressions.
CAPACITY = 100_000


class Structure:
    """An operation of structures. Immutable, but for the programs that are kept."""

    __slots__ = (
        "op",
        "params",
        "children",
        "places",
        "leaves",
        "axes",
        "dim",
        "kind",
        "tail",
        "over_batches",
        "programs",
        "__weakref__",
    )

    op: str  # the name of the function that builds it in C, without its prefix
    params: Tuple[Any, ...]  # further arguments of the function
    children: Tuple["Structure", ...]
    places: Tuple[Places, ...]  # of the leaves of each child; None for 0, 1, 2, ...
    leaves: int  # their number
    axes: int  # I, J, both or none
    dim: int  # components, as real numbers
    kind: int
    tail: Tuple[int, ...]  # the shape of the components in a result, () for a plain vector
    over_batches: bool  # whether it reduces batch axes
    programs: Dict[Any, Any]  # see keopscl._core.program


_table: Dict[Tuple[Any, ...], Structure] = {}


def structure(
    op: str,
    params: Tuple[Any, ...],
    children: Tuple[Structure, ...],
    places: Tuple[Places, ...],
    leaves: int,
    axes: int,
    dim: int,
    kind: int = REAL,
    tail: Tuple[int, ...] = (),
    over_batches: bool = False,
) -> Structure:
    """The structure with these fields."""
    key = (op, params, children, places)
    found = _table.get(key)
    if found is not None:
        return found
    made = Structure()
    made.op, made.params, made.children, made.places = key
    made.leaves, made.axes, made.dim, made.kind, made.tail = leaves, axes, dim, kind, tail
    made.over_batches = over_batches or any(child.over_batches for child in children)
    made.programs = {}
    if len(_table) >= CAPACITY:
        _table.clear()
    return _table.setdefault(key, made)


def variable(role: int, dim: int, kind: int = REAL) -> Structure:
    """A leaf."""
    return structure("var", (role, dim, kind), (), (), 1, AXES_OF_ROLE[role], dim, kind)
