# SPDX-License-Identifier: MIT
"""Values that are written out, as an evaluation like any other, which has derivatives.

The value K_ij is the formula at row i of some arrays and row j of others. So the rows that are asked for are taken by
the array library, and the formula is evaluated for pairs of them: rows of i become a batch axis in front of the rows of
j, or for a list of pairs both become rows of i.
"""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from .._native import ffi, lib
from .leaves import ROLE_I, ROLE_J, ROLE_PARAMETER, ArrayLeaf
from .pickling import flatten, unflatten
from .structure import AXES_OF_ROLE, COMPLEX, I, J, Structure

# Operations whose values are not those of single rows.
OF_MANY_ROWS = ("reduce_", "gather", "transpose", "index_")

PAIRS = {ROLE_I: ROLE_I, ROLE_J: ROLE_I, ROLE_PARAMETER: ROLE_PARAMETER}
BLOCK = {ROLE_I: ROLE_PARAMETER, ROLE_J: ROLE_J, ROLE_PARAMETER: ROLE_PARAMETER}


def numbers(indices: Any) -> Optional[Any]:
    """The numbers that a kcl_indices stands for, an array of int64; None for all."""
    if indices.kind == lib.KCL_INDICES_RANGE:
        return np.arange(indices.start, indices.stop, indices.step, dtype=np.int64)
    if indices.kind == lib.KCL_INDICES_ALL:
        return None
    count = indices.list.shape[0]
    return np.array(ffi.unpack(ffi.cast("int64_t *", indices.list.data), count), np.int64)


def in_roles(node: Structure, roles: Dict[int, int]) -> Optional[Structure]:
    """The structure with variables in other roles; None if an operation of it looks at several rows."""
    rows: List[Tuple[Any, ...]] = []
    for op, params, children, places, leaves, axes, *rest in flatten(node):
        if op.startswith(OF_MANY_ROWS):
            return None
        if op == "var":
            params = (roles[params[0]], *params[1:])
            axes = AXES_OF_ROLE[params[0]]
        else:
            axes = 0
            for child in children:
                axes |= rows[child][5]
        rows.append((op, params, children, places, leaves, axes, *rest))
    return unflatten(rows)


def write(K: Any, function: str, arguments: Tuple[Any, ...], shape: Tuple[int, ...]) -> Optional[Any]:
    """The result of a function of keopscl/values.h, of shape (batch axes..., `shape`..., D); None if it has no
    gradients."""
    pairs = function in ("kcl_entries", "kcl_diagonal")
    node = in_roles(K._node, PAIRS if pairs else BLOCK)
    if node is None:
        return None
    library = K._library
    rows, columns = [numbers(each) for each in arguments] if arguments else (None, None)
    leaves = [chosen(library, leaf, rows, columns, pairs) if isinstance(leaf, ArrayLeaf) else leaf
              for leaf in K._leaves]
    m, n = (1 if size is None else size for size in (K.ni, K.nj))
    m, n = m if rows is None else len(rows), n if columns is None else len(columns)
    batch = K._batch
    if pairs:
        made = K._new(node, tuple(leaves), batch, m if node.axes & I else None, None, K._code)
        wanted = batch + (m,)
    else:
        outer = batch + (m if K._node.axes & I else 1,)
        made = K._new(node, tuple(leaves), outer, None, n if node.axes & J else None, K._code)
        wanted = batch + (m, n)
    made.backend = K.backend
    dim = node.dim // 2 if node.kind == COMPLEX else node.dim
    values = library.repeated(made(), wanted + (dim,))
    return library.reshape(values, batch + shape + ((dim,) if dim != 1 else ()))


def chosen(library: Any, leaf: ArrayLeaf, rows: Optional[Any], columns: Optional[Any], pairs: bool) -> ArrayLeaf:
    """The leaf of the rows that are asked for, with the axes that it has as a batch axis or in the other role."""
    array, shape = library.array_of(leaf), leaf.description[1][1]
    parts = 2 if library.is_complex(array) else 1
    shape = shape[:-1] + (shape[-1] // parts,)
    array = library.reshape(array, shape)
    which = rows if leaf.role == ROLE_I else columns
    if leaf.role != ROLE_PARAMETER and which is not None:
        array = library.rows_of(array, which)
        shape = shape[:-2] + (len(which),) + shape[-1:]
    if not pairs and leaf.role != ROLE_I:
        # In front of the rows of j, or of the components, comes the axis that was the axis of i.
        before = 2 if leaf.role == ROLE_J else 1
        shape = shape[:-before] + (1,) + shape[-before:]
        array = library.reshape(array, shape)
    made: ArrayLeaf = library.leaf(array, (PAIRS if pairs else BLOCK)[leaf.role], shape[:-1] + (shape[-1] * parts,))
    return made
