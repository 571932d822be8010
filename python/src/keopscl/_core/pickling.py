# SPDX-License-Identifier: MIT
"""LazyTensors as picklable values: the operations in order, and the leaves."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from .. import _arrays
from .leaves import ArrayLeaf, layout
from .structure import Structure, structure

Rows = List[Tuple[Any, ...]]


def flatten(root: Structure) -> Rows:
    """The structures that make up a structure, each after its operands, which are named by their number."""
    numbers: Dict[Structure, int] = {}
    rows: Rows = []
    stack = [root]
    while stack:
        node = stack[-1]
        waiting = [child for child in node.children if child not in numbers]
        if waiting:
            stack.extend(waiting)
            continue
        stack.pop()
        if node not in numbers:
            numbers[node] = len(rows)
            rows.append(
                (
                    node.op,
                    node.params,
                    tuple(numbers[child] for child in node.children),
                    node.places,
                    node.leaves,
                    node.axes,
                    node.dim,
                    node.kind,
                    node.tail,
                    node.over_batches,
                )
            )
    return rows


def unflatten(rows: Rows) -> Structure:
    """The structure that was flattened."""
    made: List[Structure] = []
    for op, params, children, *rest in rows:
        made.append(structure(op, params, tuple(made[k] for k in children), *rest))
    return made[-1]


def leaf_of(library: Any, source: Any, role: int, axes: int) -> ArrayLeaf:
    """A leaf of an array of which `axes` axes count in its role: the others have the size 1."""
    address, code, keep, shape, strides = library.describe(library.as_array(source), "LazyTensor")
    shape, strides = layout(shape, strides, role, axes)
    return ArrayLeaf(source, role, _arrays.describe(address, code, shape, strides), code, keep)


def state(tensor: Any) -> Any:
    """What a LazyTensor is, in values that pickle. Arrays are kept as variables with their roles."""
    leaves: List[Tuple[Any, ...]] = []
    for leaf in tensor._leaves:
        if isinstance(leaf, ArrayLeaf):
            leaves.append(("array", leaf.source, leaf.role, len(leaf.description[1][1])))
        else:
            leaves.append(("leaf", leaf))
    return (
        flatten(tensor._node),
        leaves,
        tensor._batch,
        tensor.ni,
        tensor.nj,
        tensor._code,
        tensor.ranges,
        tensor.backend,
        tensor._options,
    )


def restore(tensor: Any, saved: Any) -> None:
    """Sets a new LazyTensor to what was saved."""
    rows, leaves, tensor._batch, tensor.ni, tensor.nj, tensor._code, tensor.ranges, tensor.backend, tensor._options = (
        saved
    )
    tensor._ready = None
    tensor._node = unflatten(rows)
    made = []
    for kind, *fields in leaves:
        if kind == "array":
            made.append(leaf_of(tensor._library, *fields))
        else:
            made.append(fields[0])
    tensor._leaves = tuple(made)
