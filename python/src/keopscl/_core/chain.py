# SPDX-License-Identifier: MIT
"""The leaves of expressions: tuples of few, chains of many.

An operation has the leaves of its operands. Where a formula of many operators is built one operator after the other,
each brings few leaves to many, so the many are not copied: they are a chain, which the new chain begins with. Nothing
is changed, and no chain refers to what came later, so an expression holds its own arrays and no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .leaves import SymbolicLeaf

FEW = 32  # leaves that are a tuple

Places = Optional[Tuple[int, ...]]  # of the leaves of an operand among all; None for 0, 1, 2, ...


class Chain(Sequence[Any]):
    """Leaves, of which no two have the same key: those of another chain, and some more."""

    __slots__ = ("before", "added", "size", "depth", "jump", "tables", "symbolic", "listed")

    before: Optional["Chain"]
    added: Tuple[Any, ...]
    size: int  # the number of all leaves
    depth: int  # of chains before
    jump: "Chain"  # a chain before, some distance away: ways to any of them have a logarithmic number of steps
    tables: Tuple[Dict[Any, int], ...]  # key -> place; each has about twice as many entries as the next, or more
    symbolic: bool  # whether symbolic variables are among the leaves
    listed: Optional[Tuple[Any, ...]]  # all leaves, once they were asked for

    def __init__(self, before: Optional["Chain"], added: Tuple[Any, ...]) -> None:
        self.before = before
        self.added = added
        self.listed = None
        self.symbolic = has_symbols(added)
        if before is None:
            self.depth = first = 0
            self.jump = self
            self.tables = ()
        else:
            self.depth = before.depth + 1
            first = before.size
            far = before.jump
            # The next jump is as long as the two before it together, where these are equally long.
            self.jump = far.jump if before.depth - far.depth == far.depth - far.jump.depth else before
            self.symbolic = self.symbolic or before.symbolic
            self.tables = before.tables
        self.size = first + len(added)
        table = {leaf.key: first + k for k, leaf in enumerate(added)}
        tables = list(self.tables)
        while tables and len(tables[-1]) <= len(table):
            table = {**tables.pop(), **table}
        self.tables = (*tables, table)

    def place(self, key: Any) -> Optional[int]:
        """The place of the leaf with a key."""
        for table in self.tables:
            found = table.get(key)
            if found is not None:
                return found
        return None

    def begins_with(self, other: "Chain") -> bool:
        """Whether this chain was made from the other one. False may also be said of equal leaves."""
        at: Chain = self
        while at.size > other.size and at.before is not None:
            at = at.jump if at.jump.size >= other.size and at.jump is not at else at.before
        return at is other

    def with_those_of(self, other: Sequence[Any]) -> Tuple["Chain", Places]:
        """This chain and the other's leaves that it lacks, and the places of the other's."""
        if type(other) is Chain and self.begins_with(other):
            return self, None
        places: List[int] = []
        added: List[Any] = []
        for leaf in other:
            place = self.place(leaf.key)
            if place is None:
                place = self.size + len(added)
                added.append(leaf)
            places.append(place)
        return (Chain(self, tuple(added)) if added else self), tuple(places)

    def all(self) -> Tuple[Any, ...]:
        """All leaves."""
        if self.listed is None:
            parts: List[Tuple[Any, ...]] = []
            at: Optional[Chain] = self
            while at is not None:
                parts.append(at.added)
                at = at.before
            self.listed = tuple([leaf for part in reversed(parts) for leaf in part])
        return self.listed

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Any]:
        return iter(self.all())

    def __getitem__(self, place: Any) -> Any:
        return self.all()[place]


def chain_of(leaves: Sequence[Any]) -> Chain:
    """Leaves as a chain."""
    return leaves if type(leaves) is Chain else Chain(None, tuple(leaves))


def has_symbols(leaves: Sequence[Any]) -> bool:
    """Whether symbolic variables are among leaves."""
    if type(leaves) is Chain:
        return leaves.symbolic
    for leaf in leaves:
        if type(leaf) is SymbolicLeaf:
            return True
    return False


def _joined(first: Tuple[Any, ...], second: Tuple[Any, ...]) -> Tuple[Tuple[Any, ...], Places]:
    """The leaves of both, those of the first in front, and the places of the second's."""
    count = len(first)
    places: List[int] = []
    added: List[Any] = []
    if len(second) <= 2 or count * len(second) <= 32:
        for leaf in second:
            key = leaf.key
            for place, other in enumerate(first):
                if other.key == key:
                    places.append(place)
                    break
            else:
                places.append(count + len(added))
                added.append(leaf)
    else:
        known = {leaf.key: place for place, leaf in enumerate(first)}
        for leaf in second:
            found = known.get(leaf.key)
            if found is None:
                found = count + len(added)
                added.append(leaf)
            places.append(found)
    return (first + tuple(added) if added else first), tuple(places)


def join(first: Sequence[Any], second: Sequence[Any]) -> Tuple[Sequence[Any], Places, Places]:
    """The leaves of both, without those that both have twice; and the places of the first's and of the second's. Of
    many leaves those of the larger one come first: what is done is proportional to the smaller one."""
    if second is first or not second:
        return first, None, None
    if not first:
        return second, None, None
    if type(first) is tuple and type(second) is tuple and len(first) + len(second) <= FEW:
        together, of_second = _joined(first, second)
        return together, None, of_second
    if len(first) >= len(second):
        longer, of_second = chain_of(first).with_those_of(second)
        return longer, None, of_second
    longer, of_first = chain_of(second).with_those_of(first)
    return longer, of_first, None
