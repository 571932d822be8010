# SPDX-License-Identifier: MIT
"""Evaluations: a structure, the leaves that it is applied to, and how."""
from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from .. import _arrays
from .._errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from .._native import ffi, lib
from . import contexts, interrupts
from .leaves import F32, F64, I64, NAMES, ArrayLeaf, NumbersLeaf
from .prepared import MOST_ARRAYS, MOST_MISSES, MOST_TENSORS, calls
from .program import Program
from .structure import I, J, Structure


class Options(NamedTuple):
    """What the keyword arguments of reductions ask for."""

    fast: bool = False  # elementary functions: fast, or precise
    device: Optional[str] = None  # None: the default device
    out: Any = None  # arrays for the results
    double: bool = False  # float32 arrays are computed with in float64
    verbose: bool = False  # a call shows how far it is


DEFAULTS = Options()


def call(library: _arrays.ArrayLibrary, evaluation: Evaluation, leaves: Sequence[Any]) -> Any:
    """The results of an evaluation, by way of the array library."""
    if evaluation.options.verbose:
        with interrupts.showing():
            return library.call(evaluation, leaves)
    return library.call(evaluation, leaves)


# Keyword arguments that choose a scheme of KeOps' kernels and change no result: they are checked by nobody.
HINTS = frozenset(("enable_chunks", "rec_multVar_highdim", "optional_flags"))


def options_of(kwargs: Any, what: str) -> Options:
    """The options that keyword arguments of KeOps ask for. Removes nothing from kwargs."""
    if not kwargs:
        return DEFAULTS
    rest = dict(kwargs)
    for hint in HINTS:
        rest.pop(hint, None)
    ranges = rest.pop("ranges", None)
    if ranges is not None:
        raise UnsupportedError(f"{what}: block-sparse ranges are not there yet, keopscl {version()} has none")
    device = None
    if "backend" in rest or "device_id" in rest:
        device = contexts.of_backend(rest.pop("backend", None), rest.pop("device_id", -1))
    double = bool(rest.pop("use_double_acc", False))
    accumulator = rest.pop("dtype_acc", "auto")
    if accumulator not in ("auto", "float32", "float64"):
        if accumulator == "float16":
            raise UnsupportedError(f"{what}: float16 is not there yet, keopscl {version()} has float32 and float64")
        raise ArgumentError(f"{what}: dtype_acc={accumulator!r} is none of 'auto', 'float32', 'float64'")
    if accumulator != "auto" and double:
        raise ArgumentError(f"{what}: use_double_acc and dtype_acc cannot both be given")
    scheme = rest.pop("sum_scheme", "auto")
    if scheme not in ("auto", "direct_sum", "block_sum", "kahan_scheme"):
        raise ArgumentError(
            f"{what}: sum_scheme={scheme!r} is none of 'auto', 'direct_sum', 'block_sum', 'kahan_scheme'"
        )
    double = double or accumulator == "float64" or scheme == "kahan_scheme"
    fast = rest.pop("use_fast_math", False) is True
    out = rest.pop("out", None)
    verbose = bool(rest.pop("verbose", False))
    if rest:
        raise TypeError(f"{what}: unexpected keyword argument {next(iter(rest))!r}")
    return Options(fast, device, out, double, verbose)


def merged(options: Options, kwargs: Any, what: str) -> Options:
    """Options with those that are given changed."""
    new = options_of(kwargs, what)
    return Options(new.fast or options.fast, new.device or options.device, options.out if new.out is None else new.out,
                   new.double or options.double, new.verbose or options.verbose)


def version() -> str:
    """The version of the library."""
    return str(ffi.string(lib.kcl_version()).decode())


def rows(node: Structure, ni: Optional[int], nj: Optional[int]) -> int:
    """The number of rows of a result."""
    size = ni if node.axes == I else nj if node.axes == J else None
    return 1 if size is None else size


# Leaves as the arguments of a program whose results are new arrays: the leaves, which hold the memory; where their
# arrays are; the kcl_array[] of results and arguments, without addresses; the addresses of the arguments, and their
# descriptions, which hold more memory. A plain tuple, because making it counts.
Bound = Tuple[Sequence[Any], Optional[_arrays.Place], Any, List[Any], List[Any]]


class Evaluation:
    """A program whose results are wanted. `run` computes them from leaves that have arrays."""

    __slots__ = ("library", "program", "code", "shape", "options", "bound", "prepared", "tensors", "misses")

    def __init__(self, library: _arrays.ArrayLibrary, program: Program, code: int, shape: Tuple[int, ...],
                 options: Options) -> None:
        self.library = library
        self.program = program
        self.code = code  # number type of the arrays
        self.shape = shape  # of the results: (batch axes..., rows, components)
        self.options = options
        self.bound: Optional[Bound] = None  # of the last call
        self.prepared: Any = None  # a Prepared that learns calls of this evaluation, False: none
        self.tensors: Tuple[Any, ...] = ()  # what `prepared` is called with
        self.misses = 0  # calls one after another that it could not learn

    def run(self, leaves: Sequence[Any]) -> Any:
        """The result, or a tuple of results."""
        options = self.options
        if options.double and self.code == F32:
            return self.run_in_double(leaves)
        place = self.library.place(leaves)
        if options.out is not None:
            return self.run_into(leaves, place)
        bound = self.bound
        if bound is None or bound[0] is not leaves or bound[1] is not place:
            bound = self.bind(leaves, place)
            if place is None or place.stays(leaves):
                self.bound = bound
        _, _, arrays, addresses, views = bound
        results = computed(self.library, self.program, self.code, self.shape, place, options.device, arrays, addresses)
        if self.prepared:
            self.misses = 0 if self.learn(leaves, place, arrays, views) else self.misses + 1
            if self.misses >= MOST_MISSES:
                self.prepared = False
        return results

    def learn(self, leaves: Sequence[Any], place: Optional[_arrays.Place], arrays: Any, views: List[Any]) -> bool:
        """Whether the Prepared has learnt the call that was done."""
        numbers = self.numbers_of(leaves)
        if numbers is None:
            return False
        sources = [view if (number := numbers[k]) is None else number for k, view in zip(self.program.order, views)]
        return self.library.learn(self.prepared, self.program, self.code, self.shape, self.tensors, place, arrays,
                                  sources)

    def numbers_of(self, leaves: Sequence[Any]) -> Optional[List[Optional[int]]]:
        """For each leaf the number of its array among `tensors`, None where it has no array; None if the arrays are
        not all of `tensors`, in memory that is used as it is."""
        numbers: List[Optional[int]] = []
        count = 0
        for leaf in leaves:
            if type(leaf) is not ArrayLeaf:
                numbers.append(None)
                continue
            if count == len(self.tensors) or not self.library.is_used(leaf, self.tensors[count]):
                return None
            numbers.append(count)
            count += 1
        return numbers if count == len(self.tensors) else None

    def again(self, leaves: Sequence[Any]) -> Any:
        """The results of leaves that were evaluated before, by way of the array library."""
        prepared = self.prepared
        if prepared is None:
            prepared = self.prepared = self.prepare(leaves)
        if prepared:
            result = prepared(*self.tensors)
            if result is not NotImplemented:
                return result
        if self.options.verbose:
            return call(self.library, self, leaves)
        return self.library.call(self, leaves)

    def prepare(self, leaves: Sequence[Any]) -> Any:
        """A Prepared for calls with these leaves; False where none is possible. A second call asks for it, since
        whoever calls twice will call more often."""
        if self.options._replace(fast=False) != DEFAULTS:
            return False
        if len(leaves) > MOST_TENSORS or len(self.program.order) + len(self.program.indices) > MOST_ARRAYS:
            return False
        made = self.library.prepared(self.program, any([type(leaf) is NumbersLeaf for leaf in leaves]))
        if made is None:
            return False
        self.tensors = tuple([self.library.array_of(leaf) for leaf in leaves if type(leaf) is ArrayLeaf])
        return made

    def bind(self, leaves: Sequence[Any], place: Optional[_arrays.Place]) -> Bound:
        """The leaves as arguments."""
        views = self.views(leaves, place)
        arrays = arrays_of(self.program, self.code, self.shape, [view[1] for view in views])
        return leaves, place, arrays, [view[0] for view in views], views

    def views(self, leaves: Sequence[Any], place: Optional[_arrays.Place]) -> List[Any]:
        """The descriptions of the arguments."""
        code = self.code
        if place is None:
            return [leaves[k].view(code) for k in self.program.order]
        return [place.view(leaves[k], code) for k in self.program.order]

    def run_into(self, leaves: Sequence[Any], place: Optional[_arrays.Place]) -> Any:
        """The results, in arrays that the user gave."""
        program = self.program
        descriptions = [self.given(k, I64 if index else self.code) for k, index in enumerate(program.indices)]
        apply(program, [*descriptions, *self.views(leaves, place)], self.options.device, place)
        return self.options.out

    def given(self, number: int, code: int) -> _arrays.Description:
        """The description of the array that the user gave for a result."""
        library = self.library
        out = self.options.out
        if isinstance(out, (tuple, list)):
            if number >= len(out):
                raise ArgumentError(f"out: {len(out)} arrays for {number + 1} results or more")
            out = out[number]
        elif len(self.program.indices) > 1:
            raise ArgumentError(f"out: a tuple of {len(self.program.indices)} arrays is needed")
        array = library.as_array(out)
        if array is None:
            raise TypeError(f"out: expected one of {library.array_name}, not {type(out).__name__}")
        address, its_code, keep, shape, strides = library.describe(array, "out")
        if its_code != code:
            raise DtypeError(f"out has the number type {NAMES[its_code]}, the result {NAMES[code]}")
        if library.is_complex(array) != self.program.complex:
            raise DtypeError("out: of complex and real numbers, result and array have one each")
        wanted = self.shape[:-1] + self.program.tail if self.program.tail else self.shape
        if [n for n in shape if n != 1] != [n for n in wanted if n != 1]:
            if self.program.complex:
                wanted = wanted[:-1] + (wanted[-1] // 2,)
            raise ShapeError(f"out has the shape {library.shape(array)}, the result {wanted}")
        if len(self.program.tail) > 1:
            if shape != wanted or strides[-2] != shape[-1] * strides[-1]:
                raise ShapeError(f"out: for a result of shape {wanted} the last two axes are dense, without gaps")
            shape, strides = shape[:-2] + (shape[-2] * shape[-1],), strides[:-2] + strides[-1:]
        if not library.writes_to(array, keep):
            raise ArgumentError(
                f"out: an array of shape {library.shape(array)} that can be written to is needed, whose numbers need "
                "no copy"
            )
        return _arrays.describe(address, code, shape, strides)

    def run_in_double(self, leaves: Sequence[Any]) -> Any:
        """The results in float32, computed in float64: a wider accumulator, and sums that lose nothing to it."""
        library = self.library
        if self.options.out is not None:
            raise UnsupportedError("out: not together with a wider accumulator or Kahan sums yet")
        wide = [library.widened(leaf) if isinstance(leaf, ArrayLeaf) and leaf.code == F32 else leaf for leaf in leaves]
        inner = Evaluation(library, self.program, F64, self.shape, self.options._replace(double=False))
        results = library.call(inner, wide)
        if isinstance(results, tuple):
            return (library.narrowed(results[0]), *results[1:])
        return results if self.program.indices[0] else library.narrowed(results)


_computed = 0  # how many computations have succeeded in this process, but for prepared calls


def evaluated() -> int:
    """How many computations of the library have succeeded in this process."""
    return _computed + calls()


def count() -> None:
    """Counts a computation that another module has made."""
    global _computed
    _computed += 1


def arrays_of(program: Program, code: int, shape: Tuple[int, ...], layouts: Sequence[Any]) -> Any:
    """The kcl_array[] of a call, without addresses: of results that are new arrays, then of arguments with these
    layouts. The program keeps it."""
    key = (code, shape, *layouts)
    arrays = program.layouts.get(key)
    if arrays is None:
        dense = [_arrays.describe_dense(None, I64 if index else code, shape)[1] for index in program.indices]
        arrays = kept(program, key, [*dense, *layouts])
    return arrays


def kept(program: Program, key: Any, layouts: Sequence[Any]) -> Any:
    """A new kcl_array[] with these layouts, which the program keeps under a key."""
    arrays = ffi.new("kcl_array[]", len(layouts))
    for place, layout in enumerate(layouts):
        _arrays.fill(arrays[place], layout)
    if len(program.layouts) >= 64:
        program.layouts.clear()
    program.layouts[key] = arrays
    return arrays


def apply(program: Program, descriptions: Sequence[Any], device: Optional[str],
          place: Optional[_arrays.Place] = None) -> Any:
    """Computes a program's results from arrays: descriptions of the results, then of the arguments; results without
    strides are dense. `place`: where all arrays are, else in memory of the host. Other threads run in the meantime.
    Returns the kcl_array[], without addresses."""
    key = tuple([description[1] for description in descriptions])
    arrays = program.layouts.get(key)
    if arrays is None:
        arrays = kept(program, key, [layout if len(layout) > 2 else _arrays.describe_dense(None, *layout)[1]
                                     for layout in key])
    compute(program, device, place, arrays, [description[0] for description in descriptions])
    return arrays


def compute(program: Program, device: Optional[str], place: Optional[_arrays.Place], arrays: Any,
            addresses: List[Any]) -> None:
    """Computes a program's results from kcl_arrays with the memory at these addresses. Other threads run in the
    meantime."""
    global _computed
    context = contexts.current(device) if place is None else place.context
    outs = len(program.indices)
    status = lib.keopscl_apply(program.operator, context, arrays, addresses, outs, len(addresses) - outs,
                               ffi.NULL if place is None else place.memories)
    if status < 0 or interrupts.state.raised is not None:
        contexts.check(status, context, place)
    _computed += 1


def computed(library: _arrays.ArrayLibrary, program: Program, code: int, shape: Tuple[int, ...],
             place: Optional[_arrays.Place], device: Optional[str], arrays: Any, addresses: List[Any]) -> Any:
    """The result, or a tuple of results, in new arrays; `addresses` are those of the arguments."""
    indices = program.indices
    if len(indices) == 1:  # no list is made and read again
        result = library.empty(shape, I64 if indices[0] else code, place)
        compute(program, device, place, arrays, [library.address(result), *addresses])
        return result if program.plain else seen(library, program, shape, result)
    results = [library.empty(shape, I64 if index else code, place) for index in indices]
    compute(program, device, place, arrays, [library.address(result) for result in results] + addresses)
    return tuple([seen(library, program, shape, result) for result in results])


def seen(library: _arrays.ArrayLibrary, program: Program, shape: Tuple[int, ...], result: Any) -> Any:
    """A result as users see it."""
    if program.tail:
        return library.reshape(result, shape[:-1] + program.tail)
    return library.view_as_complex(result) if program.complex else result


def batch_patterns(leaves: Sequence[Any], code: int) -> Tuple[Tuple[int, ...], ...]:
    """For each leaf which of its batch axes have the size 1 (as 1), and which another size (as 2)."""
    patterns = []
    for leaf in leaves:
        shape = leaf.view(code)[1][1]
        inner = 2 if isinstance(leaf, ArrayLeaf) and leaf.role != lib.KCL_ROLE_PARAMETER else 1
        patterns.append(tuple(1 if size == 1 else 2 for size in shape[:len(shape) - inner]))
    return tuple(patterns)


def output_shape(program: Program, leaves: Sequence[Any], code: int) -> Tuple[int, ...]:
    """The shape of a result, (batch axes..., rows, components), or without rows for a single row."""
    context = contexts.for_formulas()
    arguments = [leaves[k].array(code) for k in program.order]
    made = ffi.new("kcl_array *")
    status = lib.kcl_operator_output_shape(program.operator, context, 0, ffi.new("kcl_array *[]", arguments),
                                           len(arguments), made)
    contexts.check(status, context)
    return tuple(made.shape[0:made.ndim])
