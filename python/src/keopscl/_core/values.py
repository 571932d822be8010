# SPDX-License-Identifier: MIT
"""Values of LazyTensors, written out: K[i], K[:, j], K[2:5, ::3], K.diag(), K.dense(); and components x[k].

The library computes the values of chosen rows and columns, or of pairs of both. Keys of batch axes and of components
are applied to these values, by the array library's own indexing.
"""

from __future__ import annotations

import operator
from contextlib import nullcontext
from typing import Any, List, NamedTuple, Sequence, Tuple, TypeVar

import numpy as np

from .. import _arrays
from .._errors import ArgumentError, ShapeError, UnsupportedError
from .._native import ffi, lib
from . import contexts, interrupts
from .evaluation import Options
from .leaves import F32, F64, I64, ArrayLeaf
from .program import Lowering, scope_of
from .structure import BOTH, COMPLEX, INDEX, PAIR
from .vectors import Vectors, product

S = TypeVar("S", bound="Values")
WHOLE = slice(None)


class Chosen(NamedTuple):
    """Numbers of rows or of columns, and the axes that they have in the result."""

    indices: Any  # kcl_indices
    many: int
    shape: Tuple[int, ...]  # () for a single number
    numbers: Any  # a range, or an array of int64 for a list of numbers
    keep: Any = None  # the memory that `indices` refers to

    @property
    def listed(self) -> bool:
        """Whether a list chooses, which makes pairs with another list."""
        return not isinstance(self.numbers, range)


def whole(keys: Sequence[Any]) -> bool:
    """Whether keys choose all of their axes."""
    return all(isinstance(key, slice) and key == WHOLE for key in keys)


def normal(key: Any, what: str) -> Any:
    """A key as a slice, Ellipsis, a whole number, or an array of whole numbers or truth values."""
    if key is Ellipsis:
        return key
    if key is None:
        raise IndexError(f"{what}: None adds no axis to values: add it to the result")
    if isinstance(key, slice):
        for bound in (key.start, key.stop, key.step):
            if bound is not None and not hasattr(bound, "__index__"):
                raise IndexError(f"{what}: bounds of a slice are whole numbers, not {bound!r}")
        if key.step is not None and operator.index(key.step) == 0:
            raise ArgumentError(f"{what}: the step of a slice is not 0")
        return key
    if isinstance(key, (bool, np.bool_)):
        raise IndexError(f"{what}: {key} chooses nothing: a mask is an array with a truth value for each number")
    kinds = "whole numbers, slices, lists of numbers and masks"
    if hasattr(key, "__index__") and getattr(key, "ndim", 0) == 0:
        try:
            return operator.index(key)
        except TypeError:
            raise IndexError(f"{what}: an axis is chosen by {kinds}, not by {key!r}") from None
    try:
        array = np.asarray(key.cpu() if hasattr(key, "cpu") else key)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.size == 0 and isinstance(key, (list, tuple)):
        array = array.astype(np.int64)
    if array.ndim == 0 or array.dtype.kind not in "iub":
        told = f"an array of {array.dtype}" if isinstance(key, np.ndarray) else type(key).__name__
        raise IndexError(f"{what}: an axis is chosen by {kinds}, not by {told}")
    return array


def choose(key: Any, length: int, axis: str, what: str) -> Chosen:
    """What a key, made normal, chooses of an axis."""
    if isinstance(key, slice):
        numbers = range(*key.indices(length))
        return Chosen(lib.kcl_range(numbers.start, numbers.stop, numbers.step), len(numbers), (len(numbers),), numbers)
    if isinstance(key, int):
        if not -length <= key < length:
            raise IndexError(f"{what}: there is no number {key} on axis {axis}, which has {length}")
        key %= length
        return Chosen(lib.kcl_range(key, key + 1, 1), 1, (), range(key, key + 1))
    if key.dtype == np.bool_:
        if key.shape != (length,):
            raise IndexError(f"{what}: a mask for axis {axis} has the shape ({length},), not {key.shape}")
        return listed(np.flatnonzero(key))
    wrong = (key >= length) | (key < -length)
    if wrong.any():
        raise IndexError(f"{what}: there is no number {key[wrong][0]} on axis {axis}, which has {length}")
    key = key.astype(np.int64)
    return listed(np.where(key < 0, key + length, key))


def listed(numbers: Any) -> Chosen:
    """The choice of a list of numbers."""
    flat = np.ascontiguousarray(numbers, np.int64).reshape(-1)
    array = _arrays.array(_arrays.describe_dense(ffi.from_buffer(flat), I64, flat.shape))
    return Chosen(lib.kcl_list(array), flat.size, numbers.shape, numbers, (flat, array))


def chosen_by(indices: Any) -> int:
    """How many numbers a kcl_indices of a Chosen has."""
    if indices.kind == lib.KCL_INDICES_LIST:
        return int(indices.list.shape[0])
    return len(range(indices.start, indices.stop, indices.step))


def paired(rows: Chosen, columns: Chosen, what: str) -> Tuple[Chosen, Chosen]:
    """Two choices as lists of the same shape, of which each row goes with the column at the same place."""
    first, second = (
        each.numbers if each.listed else np.asarray(each.numbers, np.int64).reshape(each.shape)
        for each in (rows, columns)
    )
    try:
        first, second = np.broadcast_arrays(first, second)
    except ValueError:
        raise IndexError(
            f"{what}: lists of rows and of columns, of the shapes {rows.shape} and {columns.shape}, make no pairs; "
            "K.block(rows, columns) takes each row with each column"
        ) from None
    return listed(first), listed(second)


class Values(Vectors):
    """Values, written out: arrays of the arrays' number type (int64 for argmin and its like), computed on the device.
    Of rows and columns nothing but what is asked for is computed, with all batches and components, and memory grows
    with these values alone.

    `rows`, `columns`, `block`, `entries`, `dense` and `diag` give values of every LazyTensor. An axis is chosen by a
    whole number, which leaves the axis out of the result, a slice, a list or an array of whole numbers in any order, or
    a mask. Negative numbers count from the end. An axis that nothing depends on has the size 1.

    Raises IndexError for numbers that are not there and for keys of another kind, ValueError for symbolic variables and
    for reductions with two results, TypeError where no array tells the number type.
    """

    __slots__ = ()

    def __getitem__(self: S, key: Any) -> Any:
        """K[i], K[:, j], K[i, j], K[2:5, ::3], K[list], K[list, list] (pairs), K[mask], K[..., j]: values, an array, as
        NumPy's indexing of the stored array of shape K.shape gives them. Batch axes come first.

        x[k] and x[a:b] of a LazyTensor that has D > 1 components or depends on i or j only, and x[:, :, k] and
        x[:, :, a:b] of every LazyTensor: components, as in KeOps, a LazyTensor.
        `rows`, `block` and `entries` give values of every LazyTensor.
        """
        if not isinstance(key, tuple):
            if key is not Ellipsis and (self._node.axes != BOTH or self._inner(self._node.dim) > 1):
                return self._component(key)
            key = (key,)
        keys = self._spread(key)
        if len(keys) == len(self._shape) and whole(keys[:-1]):
            return self._component(keys[-1])
        return self._chosen(keys)

    def _component(self: S, key: Any) -> S:
        """Components as a LazyTensor."""
        if isinstance(key, slice):
            return self._slice(key)
        if hasattr(key, "__index__") and getattr(key, "ndim", 0) == 0 and not isinstance(key, bool):
            return self.elem(int(key))
        raise ArgumentError(
            f"x[...]: components are chosen by a whole number or a slice, not by {type(key).__name__}; "
            "x.rows(...) and x.block(..., ...) choose rows and columns"
        )

    def _spread(self, keys: Tuple[Any, ...]) -> Tuple[Any, ...]:
        """Keys of one axis each: for Ellipsis slices, for a mask of several axes lists of numbers."""
        keys = tuple(normal(key, "K[...]") for key in keys)
        if sum(key is Ellipsis for key in keys) > 1:
            raise IndexError("K[...]: there is one Ellipsis at most")
        used = sum(
            key.ndim if isinstance(key, np.ndarray) and key.dtype == np.bool_ else key is not Ellipsis for key in keys
        )
        made: List[Any] = []
        for key in keys:
            if key is Ellipsis:
                made.extend([WHOLE] * (len(self.shape) - used))
            elif isinstance(key, np.ndarray) and key.dtype == np.bool_ and key.ndim > 1:
                sizes = self.shape[len(made) : len(made) + key.ndim]
                if key.shape != sizes:
                    raise IndexError(f"K[...]: a mask for axes of the sizes {sizes} has the shape {key.shape}")
                made.extend(np.nonzero(key))
            else:
                made.append(key)
        return tuple(made)

    def _chosen(self, keys: Tuple[Any, ...]) -> Any:
        """Values by keys of the axes of shape, from the first."""
        what = "K[...]"
        batches, axes = len(self._batch), len(self.shape)
        if len(keys) > axes:
            raise IndexError(f"{what}: {len(keys)} keys for the {axes} axes of a LazyTensor of shape {self.shape}")
        keys = keys + (WHOLE,) * (axes - len(keys))
        before, after = keys[:batches], keys[batches + 2 :]
        rows, columns = self._choices(keys[batches], keys[batches + 1], what)
        pairs = rows.listed and columns.listed
        if pairs:
            rows, columns = paired(rows, columns, what)
        shape = rows.shape if pairs else rows.shape + columns.shape
        if whole(before + after):
            return self._take(rows, columns, pairs, shape, what)
        # The axes of i and j of the values are numbered anew, in the order of the choice. The array library's rules for
        # lists on several axes then hold for all keys together.
        values = self._take(rows, columns, pairs, (rows.many, 1) if pairs else (rows.many, columns.many), what)
        inner = [
            np.arange(each.many).reshape(each.shape) if each.listed else WHOLE if each.shape else 0
            for each in (rows, columns)
        ]
        if pairs:
            inner[1] = 0
        return values[before + tuple(inner) + after]

    def _sizes(self) -> Tuple[int, int]:
        """The numbers of rows and of columns."""
        return 1 if self.ni is None else self.ni, 1 if self.nj is None else self.nj

    def _choices(self, rows: Any, columns: Any, what: str) -> Tuple[Chosen, Chosen]:
        """What keys choose of the rows and of the columns."""
        m, n = self._sizes()
        for key in (rows, columns):
            if key is Ellipsis:
                raise IndexError(f"{what}: Ellipsis is no key of one axis: a slice, :, chooses all")
        return choose(normal(rows, what), m, "i", what), choose(normal(columns, what), n, "j", what)

    def _take(self, rows: Chosen, columns: Chosen, pairs: bool, shape: Tuple[int, ...], what: str) -> Any:
        """Values of pairs, or of each row with each column, of shape (batch axes..., `shape`..., D)."""
        if self._node.kind == INDEX:
            # The library gives all of the indices or none; they depend on i or on j alone.
            numbers = [np.asarray(each.numbers, np.int64).reshape(-1) for each in (rows, columns)]
            if not pairs:
                numbers[0] = numbers[0][:, None]
            values = self._compute("kcl_dense", (), self._sizes(), what)
            return self._shaped(values[(WHOLE,) * len(self._batch) + tuple(numbers)], shape)
        function = "kcl_entries" if pairs else "kcl_block"
        return self._write(function, (rows.indices, columns.indices), shape, what)

    def _write(self, function: str, arguments: Tuple[Any, ...], shape: Tuple[int, ...], what: str) -> Any:
        """The result of a function of keopscl/values.h, of shape (batch axes..., `shape`..., D). Array libraries with
        gradients override it."""
        sizes = shape
        if arguments:
            # The library takes rows and columns in one axis each, or pairs in one.
            sizes = tuple(chosen_by(each) for each in arguments)
            sizes = sizes[:1] if function == "kcl_entries" else sizes
        return self._shaped(self._compute(function, arguments, sizes, what), shape)

    def _valued(self, what: str) -> Tuple[Options, int]:
        """What _prepared gives for values. Refuses what has none."""
        if self._node.kind == PAIR:
            raise ArgumentError(f"{what}: a reduction with two results has no values; take min or argmin")
        if self.symbolic_variables:
            raise ArgumentError(f"{what}: the LazyTensor has symbolic variables, which have no values")
        prepared = self._prepared(self._options)
        if prepared[0].out is not None:
            raise UnsupportedError(f"{what}: out is for calls of the reduction; values are in an array of their own")
        return prepared

    def _compute(self, function: str, arguments: Tuple[Any, ...], sizes: Tuple[int, ...], what: str) -> Any:
        """The result of a function of keopscl/values.h, of shape (batch axes..., `sizes`..., D)."""
        node, library = self._node, self._library
        options, real = self._valued(what)
        leaves = library.current(self._leaves)
        if node.kind != INDEX:
            library.no_gradient(leaves, what)
        leaves, back = library.brought(leaves, options.device)
        wide = options.double and real == F32
        if wide:
            leaves = tuple(
                library.widened(leaf) if isinstance(leaf, ArrayLeaf) and leaf.code == F32 else leaf for leaf in leaves
            )
            real = F64
        code = I64 if node.kind == INDEX else real
        shape = self._batch + sizes + (node.dim,)
        with interrupts.showing() if options.verbose else nullcontext():
            place = library.place(leaves)
            result = library.empty(shape, code, place)
            if product(shape):
                out = _arrays.describe_dense(library.address(result), code, shape)
                self._run(function, arguments, out, leaves, real, options, place)
        if node.kind == COMPLEX:
            result = library.view_as_complex(result)
        if wide and code != I64:
            result = library.narrowed(result)
        return result if back is None else back(result)

    def _run(
        self,
        function: str,
        arguments: Tuple[Any, ...],
        out: Any,
        leaves: Sequence[Any],
        code: int,
        options: Options,
        place: Any,
    ) -> None:
        """Calls a function of keopscl/values.h with the result at `out`, a description."""
        context = contexts.current(options.device) if place is None else place.context
        held = []  # what arrays refer to

        def array(description: Any) -> Any:
            made = _arrays.array(description)
            held.append((made, description))
            if place is not None:
                contexts.check(lib.keopscl_on_card(context, made), context)
            return made

        try:
            with scope_of(context) as scope:
                if options.fast:
                    contexts.check(lib.kcl_scope_set_math(scope, b"fast"), context)

                def array_of(number: int, role: int, dim: int) -> Any:
                    return array(leaves[number].view(code) if place is None else place.view(leaves[number], code))

                expr = Lowering(scope, array_of).lower(self._node)[0]
                status = getattr(lib, function)(expr, *arguments, array(out))
                contexts.check(status, context, place)
        finally:
            if place is not None:
                for each, _ in held:
                    lib.kcl_array_free(each)

    def _shaped(self, values: Any, shape: Tuple[int, ...]) -> Any:
        """Values with `shape` between the batch axes and the components, of which a single one has no axis."""
        dim = self._inner(self._node.dim)
        shape = self._batch + shape + ((dim,) if dim != 1 else ())
        made = self._library.reshape(values, shape)
        return made if shape else made[()]

    def rows(self, i: Any) -> Any:
        """The rows that `i` chooses, with all columns: (batch axes..., rows, N), or (batch axes..., rows, N, D) for
        D > 1."""
        return self._outer(i, WHOLE, "rows")

    def columns(self, j: Any) -> Any:
        """The columns that `j` chooses, with all rows: (batch axes..., M, columns), or (batch axes..., M, columns, D)
        for D > 1."""
        return self._outer(WHOLE, j, "columns")

    def block(self, i: Any, j: Any) -> Any:
        """Each of the rows that `i` chooses with each of the columns that `j` chooses: (batch axes..., rows, columns),
        or (batch axes..., rows, columns, D) for D > 1. A list of several axes has as many in the result."""
        return self._outer(i, j, "block")

    def _outer(self, i: Any, j: Any, what: str) -> Any:
        rows, columns = self._choices(i, j, what)
        return self._take(rows, columns, False, rows.shape + columns.shape, what)

    def entries(self, i: Any, j: Any) -> Any:
        """The k-th of the rows that `i` chooses with the k-th of the columns that `j` chooses: (batch axes..., pairs),
        or (batch axes..., pairs, D) for D > 1. Both are broadcast to one shape, which may have several axes."""
        rows, columns = paired(*self._choices(i, j, "entries"), "entries")
        return self._take(rows, columns, True, rows.shape, "entries")

    def dense(self) -> Any:
        """All values: an array of shape (batch axes..., M, N), or (batch axes..., M, N, D) for D > 1."""
        return self._write("kcl_dense", (), self._sizes(), "dense")

    def diag(self) -> Any:
        """The values K_ii: an array of shape (batch axes..., M), or (batch axes..., M, D) for D > 1. Raises ValueError
        where M and N differ."""
        m, n = self._sizes()
        if m != n:
            raise ShapeError(f"diag: axis i has {m} rows and axis j {n} columns, there must be as many")
        return self._write("kcl_diagonal", (), (m,), "diag")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("a LazyTensor is no array, and is not written out by accident: K.dense() writes out all values")
