# SPDX-License-Identifier: MIT
"""Values that are written out by the library itself, without derivatives."""
from __future__ import annotations

from typing import Any, List, Tuple

import jax
import numpy as np

from .. import _arrays
from .._core import contexts
from .._core.leaves import F32, I64, ArrayLeaf
from .._core.structure import COMPLEX, INDEX
from .._core.values import listed
from .._core.written import numbers
from .._errors import DerivativeError
from ..numpy import LazyTensor as HostTensor
from ..numpy._library import library as host
from ._library import index_dtype
from ._task import DTYPES


def compute(K: Any, function: str, arguments: Tuple[Any, ...], sizes: Tuple[int, ...], what: str) -> Any:
    """The result of a function of keopscl/values.h, of shape (batch axes..., `sizes`..., D): of arrays at once, of
    tracers when the function that is traced runs."""
    options, code = K._valued(what)
    node = K._node
    own = list(K._leaves)
    places = [k for k, leaf in enumerate(own) if isinstance(leaf, ArrayLeaf)]
    operands = [own[k].keep for k in places]
    chosen = [numbers(each) for each in arguments]  # what `arguments` refer to may be gone when the function runs
    dim, dtype = node.dim, DTYPES[code]
    if node.kind == INDEX:
        dtype = index_dtype()
    elif node.kind == COMPLEX:
        dim, dtype = dim // 2, np.dtype(np.complex64 if code == F32 else np.complex128)

    def values(*arrays: Any) -> Any:
        leaves: List[Any] = list(own)
        for k, array in zip(places, arrays):
            leaves[k] = leaf_of(leaves[k], np.asarray(array), code)
        made = HostTensor._new(node, tuple(leaves), K._batch, K.ni, K.nj, code)
        made._options = options
        lists = [listed(each) for each in chosen]
        with contexts.lent():
            return made._compute(function, tuple(each.indices for each in lists), sizes, what).astype(dtype, copy=False)

    if not any(isinstance(each, jax.core.Tracer) for each in operands):
        return jax.numpy.asarray(values(*operands))

    def call(*arrays: Any) -> Any:
        return jax.pure_callback(values, jax.core.ShapedArray(K._batch + sizes + (dim,), dtype), *arrays,
                                 vmap_method="sequential")

    def refuse(primals: Any, tangents: Any) -> Any:
        raise DerivativeError(f"{what}: values that are written out have no derivatives where the formula has "
                              "reductions, take, transposes or numbers of rows; use jax.lax.stop_gradient")

    later: Any = jax.custom_jvp(call)
    later.defjvp(refuse)
    return later(*operands)


def leaf_of(leaf: ArrayLeaf, array: Any, code: int) -> ArrayLeaf:
    """The leaf of a NumPy array in the place of an array of JAX."""
    if leaf.code == I64:
        array = array.astype(np.int64)
    else:
        if array.dtype.kind == "c":
            array = np.ascontiguousarray(array).reshape(array.shape or (1,)).view(array.real.dtype)
        array = array.astype(DTYPES[code], copy=False)
    shape = leaf.description[1][1]
    address, its_code, keep, shape, strides = host.describe(array.reshape(shape), "LazyTensor")
    return ArrayLeaf(array, leaf.role, _arrays.describe(address, its_code, shape, strides), its_code, keep)
