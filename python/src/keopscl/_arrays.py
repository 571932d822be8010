# SPDX-License-Identifier: MIT
"""What LazyTensors need to know of an array library. keopscl.numpy, keopscl.torch and keopscl.jax have one object each.

An ArrayLibrary tells which objects are arrays, describes their memory to the C library, and makes arrays for results.
`call` may be overridden by a library that records what is computed, for gradients; `array_of`, `leaf`, `rows_of` and
`repeated` are for libraries with gradients.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

from ._native import ffi, lib

Shape = Tuple[int, ...]


class Place:
    """Memory of a device that a context computes in without a copy."""

    __slots__ = ("context", "memories")

    context: Any  # kcl_context
    memories: Any  # keopscl_memories, of the context

    def view(self, leaf: Any, code: int) -> Any:
        """The description of a leaf's array, whose address is of the device. What holds the memory may follow."""
        raise NotImplementedError

    def stays(self, leaves: Sequence[Any]) -> bool:
        """Whether later calls find the arrays of these leaves at the same addresses."""
        raise NotImplementedError

    def settle(self) -> None:
        """Tells prepared calls of this thread where they take place."""
        raise NotImplementedError

    def explain(self, status: int) -> None:
        """Raises the array library's own exception for a status, if it has one."""


class ArrayLibrary:
    """The base of all array libraries."""

    name: str  # "numpy"
    array_name: str  # in messages: "NumPy arrays"
    array_type: type  # whose objects, not those of subclasses, as_array returns as they are
    real: Any  # the class of LazyTensors of real numbers
    complex: Any  # and of complex numbers

    def as_array(self, x: Any) -> Optional[Any]:
        """x as an array of this library that shares its memory, or None if x is no array."""
        raise NotImplementedError

    def shape(self, array: Any) -> Shape:
        """The sizes of the axes."""
        raise NotImplementedError

    def is_complex(self, array: Any) -> bool:
        """Whether the elements are complex numbers."""
        raise NotImplementedError

    def describe(self, array: Any, what: str) -> Tuple[Any, int, Any, Shape, Shape]:
        """The memory of an array, as real numbers: its address, which a kcl_array takes; the number type (KCL_F32,
        ...); what holds the memory; sizes and strides in bytes. The last axis of an array of complex numbers has twice
        as many real numbers. Copies only where nothing else is possible.

        Raises DtypeError for other number types, with `what` as the name of the array.
        """
        raise NotImplementedError

    def place(self, leaves: Sequence[Any]) -> Optional["Place"]:
        """Where the arrays of these leaves are, if it is not the memory of the host."""
        return None

    def brought(self, leaves: Sequence[Any], device: Optional[str]) -> Tuple[Sequence[Any], Any]:
        """The leaves with arrays that the device of a call reaches, and a function that brings the result to where the
        arrays were, None if it is there."""
        return leaves, None

    def empty(self, shape: Shape, code: int, place: Optional["Place"]) -> Any:
        """A new dense array in a place, which `place` gave."""
        raise NotImplementedError

    def address(self, array: Any) -> Any:
        """The address of a new dense array."""
        raise NotImplementedError

    def reshape(self, array: Any, shape: Shape) -> Any:
        """A new dense array with other axes, in the same memory."""
        raise NotImplementedError

    def view_as_complex(self, array: Any) -> Any:
        """A new dense array of pairs as an array of complex numbers."""
        raise NotImplementedError

    def writes_to(self, array: Any, memory: Any) -> bool:
        """Whether results that are written to `memory`, which `describe` gave, are in a writable array."""
        raise NotImplementedError

    def zeros_like(self, leaves: Any) -> Any:
        """An array of zeros of shape (1, 1), of the number type of the leaves."""
        raise NotImplementedError

    def columns(self, v: Any, array: Any) -> Any:
        """The LazyTensor with rows of j of an array of shape (N,) or (batch axes..., N, E)."""
        raise NotImplementedError

    def widened(self, leaf: Any) -> Any:
        """An ArrayLeaf of float32 in float64."""
        raise NotImplementedError

    def narrowed(self, array: Any) -> Any:
        """An array of float64 in float32, complex128 in complex64."""
        raise NotImplementedError

    def array_of(self, leaf: Any) -> Any:
        """The array of an ArrayLeaf, of which results are functions."""
        raise NotImplementedError

    def leaf(self, array: Any, role: int, shape: Shape) -> Any:
        """An ArrayLeaf of an array whose real numbers are seen with the axes `shape`, which the role has."""
        raise NotImplementedError

    def rows_of(self, array: Any, numbers: Any) -> Any:
        """The rows, on the last axis but one, that a NumPy array of int64 names."""
        raise NotImplementedError

    def repeated(self, array: Any, shape: Shape) -> Any:
        """An array whose axes of size 1 are repeated to this shape."""
        raise NotImplementedError

    def current(self, leaves: Sequence[Any]) -> Sequence[Any]:
        """The leaves, of which those are described anew whose arrays have other memory by now."""
        return leaves

    def prepared(self, program: Any, placed: bool) -> Any:
        """A keopscl._core.prepared.Prepared of a program, for calls without keywords; None where calls are not
        prepared. `placed`: numbers are among the arguments."""
        return None

    def is_used(self, leaf: Any, array: Any) -> bool:
        """Whether an ArrayLeaf is of this array, and has its memory, without a copy."""
        return False

    def learn(self, prepared: Any, program: Any, code: int, shape: Shape, tensors: Sequence[Any], place: Any,
              arrays: Any, sources: Sequence[Any]) -> bool:
        """Tells a Prepared of a call that was done; whether it has learnt the call. `tensors` are what it is called
        with. `sources` tells for each argument of the program the number of its tensor, or the description of its
        numbers."""
        raise NotImplementedError

    def direct(self, program: Any, arrays: Sequence[Any], keeps: Sequence[Any]) -> Tuple[bool, Optional["Place"]]:
        """Whether `call` would do nothing but run an evaluation of a program on these arrays, of the user's, and where
        the arrays are, as `place` tells. `keeps`: what holds their memory, by `describe`."""
        return False, None

    def no_gradient(self, leaves: Any, what: str) -> None:
        """Refuses leaves whose gradients would be asked for, before something that has none."""

    def number(self, x: Any) -> float:
        """A number, or an array of one, as a float."""
        return float(x)

    def solve(self, system: Any) -> Tuple[Any, Any]:
        """The solution of linear systems (keopscl._core.solve.System), in real numbers, and the record of the run."""
        return system.run(), system.record

    def call(self, evaluation: Any, leaves: Any) -> Any:
        """The results of an evaluation (keopscl._core.evaluation.Evaluation) of leaves (keopscl._core.leaves)."""
        return evaluation.run(leaves)


ARRAY = ffi.typeof("kcl_array *")

# A place in memory and how an array lies there: (address, (number type, sizes, strides in bytes)).
Layout = Tuple[int, Shape, Shape]
Description = Tuple[Any, Layout]


def describe(address: Any, code: int, shape: Shape, strides: Shape) -> Description:
    """The description of an array."""
    return address, (code, shape, strides)


def describe_dense(address: Any, code: int, shape: Shape) -> Description:
    """The description of an array without gaps."""
    size = 4 if code == lib.KCL_F32 else 8
    strides = []
    for length in reversed(shape):
        strides.append(size)
        size *= length
    return address, (code, shape, tuple(reversed(strides)))


def fill(made: Any, layout: Layout) -> Any:
    """Sets a kcl_array, but for its address."""
    made.dtype, shape, made.stride = layout
    made.ndim = len(shape)
    made.shape = shape
    return made


def array(description: Description) -> Any:
    """The kcl_array of a description."""
    made = fill(ffi.new(ARRAY), description[1])
    made.data = description[0]
    return made
