# SPDX-License-Identifier: MIT
"""Values that are written out, as functions of tensors that require gradients.

The value K_ij is the formula at row i of some tensors and row j of others. So the rows that are asked for are taken by
PyTorch, and the formula is evaluated for pairs of them: rows of i become a batch axis in front of the rows of j, or for
a list of pairs both become rows of i. The result is an evaluation like any other, with its gradients.
"""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import torch

from .._core.leaves import ROLE_I, ROLE_J, ROLE_PARAMETER, ArrayLeaf
from .._core.pickling import flatten, unflatten
from .._core.structure import AXES_OF_ROLE, COMPLEX, I, J, Structure
from .._native import ffi, lib
from ._library import shape_of

# Operations whose values are not those of single rows.
OF_MANY_ROWS = ("reduce_", "gather", "transpose", "index_")

PAIRS = {ROLE_I: ROLE_I, ROLE_J: ROLE_I, ROLE_PARAMETER: ROLE_PARAMETER}
BLOCK = {ROLE_I: ROLE_PARAMETER, ROLE_J: ROLE_J, ROLE_PARAMETER: ROLE_PARAMETER}


def numbers(indices: Any) -> Optional[Any]:
    """The numbers that a kcl_indices stands for, as a tensor; None for all."""
    if indices.kind == lib.KCL_INDICES_RANGE:
        chosen = range(indices.start, indices.stop, indices.step)
        return torch.tensor(list(chosen), dtype=torch.int64)
    if indices.kind == lib.KCL_INDICES_ALL:
        return None
    count = indices.list.shape[0]
    return torch.tensor(list(ffi.cast("int64_t *", indices.list.data)[0:count]), dtype=torch.int64)


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
    rows, columns = [numbers(each) for each in arguments] if arguments else (None, None)
    leaves = [chosen(K._library, leaf, rows, columns, pairs) if type(leaf) is ArrayLeaf else leaf for leaf in K._leaves]
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
    return made().expand(wanted + (dim,)).reshape(batch + shape + ((dim,) if dim != 1 else ()))


def chosen(library: Any, leaf: ArrayLeaf, rows: Optional[Any], columns: Optional[Any], pairs: bool) -> ArrayLeaf:
    """The leaf of the rows that are asked for, with the axes that it has as a batch axis or in the other role."""
    keep: Any = leaf.keep
    tensor, shape = keep.tensor, shape_of(leaf)
    parts = 2 if tensor.is_complex() else 1
    tensor = tensor.reshape(shape[:-1] + (shape[-1] // parts,))
    which = rows if leaf.role == ROLE_I else columns
    if leaf.role != ROLE_PARAMETER and which is not None:
        tensor = tensor.index_select(-2, which.to(tensor.device))
    if not pairs and leaf.role == ROLE_J:
        tensor = tensor.unsqueeze(-3)
    elif not pairs and leaf.role == ROLE_PARAMETER:
        tensor = tensor.unsqueeze(-2)
    shape = tuple(tensor.shape)
    made: ArrayLeaf = library.leaf(tensor, (PAIRS if pairs else BLOCK)[leaf.role], shape[:-1] + (shape[-1] * parts,))
    return made
