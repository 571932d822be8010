# SPDX-License-Identifier: MIT
"""Values of LazyTensors, written out: K[i], K[:, j], K[2:5, ::3], K.diag(), K.dense(); and components x[k]."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple, TypeVar

import numpy as np

from .. import _arrays
from .._errors import ArgumentError, DtypeError, ShapeError
from .._native import ffi, lib
from . import contexts
from .leaves import I64, ArrayLeaf
from .program import Lowering, scope_of
from .structure import BOTH, COMPLEX, INDEX, PAIR
from .vectors import Vectors, product

S = TypeVar("S", bound="Values")
WHOLE = slice(None)


class Chosen(NamedTuple):
    """Numbers of rows or columns, and the axes that they have in the result."""

    indices: Any  # kcl_indices
    shape: Tuple[int, ...]  # () for a single number
    numbers: Optional[Any]  # a list of numbers as an array of int64
    keep: Any


def choose(key: Any, length: int, axis: str) -> Chosen:
    """What a key chooses of an axis."""
    if isinstance(key, slice):
        for bound in (key.start, key.stop, key.step):
            if bound is not None and not hasattr(bound, "__index__"):
                raise IndexError(f"K[...]: bounds of a slice are whole numbers, not {bound!r}")
        start, stop, step = key.indices(length)
        return Chosen(lib.kcl_range(start, stop, step), (len(range(start, stop, step)),), None, None)
    if hasattr(key, "__index__") and not isinstance(key, (bool, np.bool_)) and getattr(key, "ndim", 0) == 0:
        number = int(key)
        if not -length <= number < length:
            raise IndexError(f"K[...]: there is no number {number} on axis {axis}, which has {length}")
        number %= length
        return Chosen(lib.kcl_range(number, number + 1, 1), (), None, None)
    numbers = np.asarray(key)
    if numbers.dtype == np.bool_:
        if numbers.shape != (length,):
            raise IndexError(f"K[...]: a mask for axis {axis} has the shape ({length},), not {numbers.shape}")
        numbers = np.flatnonzero(numbers)
    if numbers.size == 0:
        numbers = numbers.astype(np.int64)
    if numbers.dtype.kind not in "iu":
        raise IndexError(
            f"K[...]: axis {axis} is chosen by whole numbers, slices, lists of numbers and masks, not by "
            f"{type(key).__name__}"
        )
    wrong = (numbers < -length) | (numbers >= length)
    if wrong.any():
        raise IndexError(f"K[...]: there is no number {numbers[wrong][0]} on axis {axis}, which has {length}")
    numbers = np.where(numbers < 0, numbers + length, numbers).astype(np.int64)
    return listed(numbers)


def listed(numbers: Any) -> Chosen:
    """The choice of a list of numbers."""
    flat = np.ascontiguousarray(numbers).reshape(-1)
    array = _arrays.array(_arrays.describe_dense(ffi.from_buffer(flat), I64, flat.shape))
    return Chosen(lib.kcl_list(array), numbers.shape, numbers, (flat, array))


class Values(Vectors):
    """Values, written out. They are arrays of the arrays' number type, on the device computed and nothing else with
    them; memory grows with the values asked for."""

    __slots__ = ()

    def __getitem__(self: S, key: Any) -> Any:
        """K[i], K[:, j], K[i, j], K[2:5, ::3], K[list], K[list, list] (pairs), K[mask]: values of a LazyTensor with
        rows and columns, as NumPy's indexing of the stored array of shape K.shape would give them. Batch axes come
        first.

        x[k], x[a:b], x[:, :, k], of a LazyTensor that has D > 1 components or depends on i or j only: components, as in
        KeOps, a LazyTensor. Raises IndexError for numbers that are not there.
        """
        count = len(self._batch) + 3
        if not isinstance(key, tuple):
            if self._node.axes == BOTH and self._inner(self._node.dim) == 1 and key is not Ellipsis:
                return self._chosen((key,))
            return self._component(key)
        places = [k for k, each in enumerate(key) if each is Ellipsis]
        if places:
            fill = count - (0 if self._inner(self._node.dim) > 1 or len(key) > count - 1 else 1) - (len(key) - 1)
            if key[0] is Ellipsis and len(key) == 2:
                return self._component(key[1])
            key = key[: places[0]] + (WHOLE,) * max(fill, 0) + key[places[0] + 1 :]
        if len(key) == count and all(isinstance(each, slice) and each == WHOLE for each in key[:-1]):
            return self._component(key[-1])
        return self._chosen(key)

    def _component(self: S, key: Any) -> S:
        """Components as a LazyTensor."""
        if isinstance(key, slice):
            return self._slice(key)
        if hasattr(key, "__index__") and not isinstance(key, bool):
            return self.elem(int(key))
        raise ArgumentError(f"x[...]: expected a whole number or a slice, not {type(key).__name__}")

    def _chosen(self, keys: Tuple[Any, ...]) -> Any:
        """Values by keys of the axes of shape, from the first."""
        batches = len(self._batch)
        axes = batches + (2 if self._inner(self._node.dim) == 1 else 3)
        if len(keys) > axes:
            raise IndexError(f"K[...]: {len(keys)} keys for the {axes} axes of a LazyTensor of shape {self.shape}")
        keys = keys + (WHOLE,) * (batches + 2 - len(keys))
        rows, columns = (
            choose(key, size or 1, axis)
            for key, size, axis in ((keys[batches], self.ni, "i"), (keys[batches + 1], self.nj, "j"))
        )
        outer, rest = keys[:batches], keys[batches + 2 :]
        if rows.numbers is not None and columns.numbers is not None:
            try:
                pairs = np.broadcast_arrays(rows.numbers, columns.numbers)
            except ValueError:
                raise IndexError(
                    f"K[...]: lists of the shapes {rows.shape} and {columns.shape} make no pairs"
                ) from None
            rows, columns = listed(pairs[0]), listed(pairs[1])
            result = self._write("kcl_entries", (rows.indices, columns.indices), rows.shape, "K[...]")
        else:
            result = self._write("kcl_block", (rows.indices, columns.indices), rows.shape + columns.shape, "K[...]")
        if all(isinstance(each, slice) and each == WHOLE for each in outer + rest):
            return result
        chosen = len(self._library.shape(result)) - batches - (axes - batches - 2)
        return result[outer + (WHOLE,) * chosen + rest]

    def _write(self, function: str, arguments: Tuple[Any, ...], shape: Tuple[int, ...], what: str) -> Any:
        """The result of a function of keopscl/values.h, of shape (batch axes..., `shape`..., D)."""
        node, library = self._node, self._library
        if node.kind == PAIR:
            raise ArgumentError(f"{what}: a reduction with two results has no values; take min or argmin")
        if self.symbolic_variables:
            raise ArgumentError(f"{what}: the LazyTensor has symbolic variables, which have no values")
        if self._code is None:
            raise DtypeError(f"{what}: a LazyTensor of numbers alone has no number type")
        library.no_gradient(self._leaves, what)
        code = I64 if node.kind == INDEX else self._code
        like = next((leaf.source for leaf in self._leaves if isinstance(leaf, ArrayLeaf)), None)
        result = library.empty(self._batch + shape + (node.dim,), code, like)
        # The library takes rows and columns in one axis each; several axes of a list follow each other without gaps.
        if function == "kcl_entries":
            flat = self._batch + (product(shape), node.dim)
        elif function == "kcl_block":
            flat = self._batch + self._sizes(arguments) + (node.dim,)
        else:
            flat = self._batch + shape + (node.dim,)
        out = _arrays.array(_arrays.describe_dense(library.address(result), code, flat))
        context = contexts.current(contexts.of_backend(self.backend))
        with scope_of(context) as scope:
            lowering = Lowering(scope, lambda place, role, dim: self._leaves[place].array(self._code))
            expr = lowering.lower(node)[0]
            contexts.check(getattr(lib, function)(expr, *arguments, out), context)
        if node.kind == COMPLEX:
            result = library.view_as_complex(result)
        final = self._batch + shape
        if self._inner(node.dim) != 1:
            final = final + (self._inner(node.dim),)
        return library.reshape(result, final)

    def _sizes(self, arguments: Tuple[Any, ...]) -> Tuple[int, int]:
        """How many rows and columns two kcl_indices choose."""
        sizes = []
        for each, length in zip(arguments, (self.ni or 1, self.nj or 1)):
            if each.kind == lib.KCL_INDICES_RANGE:
                sizes.append(len(range(each.start, each.stop, each.step)))
            else:
                sizes.append(length if each.kind == lib.KCL_INDICES_ALL else each.list.shape[0])
        return sizes[0], sizes[1]

    def dense(self) -> Any:
        """All values: an array of shape (batch axes..., M, N), or (batch axes..., M, N, D) for D > 1."""
        return self._write("kcl_dense", (), (self.ni or 1, self.nj or 1), "dense")

    def diag(self) -> Any:
        """The values K_ii: an array of shape (batch axes..., M), or (batch axes..., M, D) for D > 1."""
        if (self.ni or 1) != (self.nj or 1):
            raise ShapeError(f"diag: as many rows as columns are needed, not {self.ni or 1} and {self.nj or 1}")
        return self._write("kcl_diagonal", (), (self.ni or 1,), "diag")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("a LazyTensor is no array, and is not written out by accident: dense() writes out all values")
