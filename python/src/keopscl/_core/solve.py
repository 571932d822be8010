# SPDX-License-Identifier: MIT
"""Linear systems (alpha Id + diag(noise) + K) a = b, whose matrix K is a sum that is linear in one of its arguments.

A System is what kcl_operator_solve needs to know. An array library runs it as it is, or, where it has gradients, as a
function of its arrays.
"""

from __future__ import annotations

import copy
import math
import numbers
import sys
import warnings
from contextlib import nullcontext
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .. import _arrays
from .._errors import ArgumentError, DtypeError, ShapeError, SolveError, SolveWarning, UnsupportedError
from .._native import ffi, lib
from . import contexts, evaluation, interrupts
from .evaluation import Options
from .leaves import F32, F64, I64, NAMES, ROLE_J, ROLE_PARAMETER, ArrayLeaf
from .program import Program

Shape = Tuple[int, ...]


class SolveResult:
    """What became of the systems: arrays of shape (batch axes..., columns), a number for each column of b.

    The columns of b are systems of their own if the formula treats the components of b one by one, as numbers K_ij do.
    Else there is one system for all columns, and the last axis has the size 1.
    """

    __slots__ = ("reason", "iterations", "residual", "norm")

    reason: Any  # names: "converged", "limit", "not_reached", "not_positive_definite", "indefinite", ...
    iterations: Any  # products with the matrix, int64
    residual: Any  # |b - (alpha Id + diag(noise) + K) a| of the solution that was returned, float64
    norm: Any  # |b|, float64

    def __init__(self, reason: Any, iterations: Any, residual: Any, norm: Any) -> None:
        self.reason = reason
        self.iterations = iterations
        self.residual = residual
        self.norm = norm

    @property
    def converged(self) -> Any:
        """Whether the residual is within the tolerance, an array of bool."""
        return self.reason == "converged"

    def __repr__(self) -> str:
        size = self.reason.size
        if not size:
            return "SolveResult(no systems)"
        with np.errstate(all="ignore"):
            relative = np.where(self.norm > 0, self.residual / self.norm, 0.0)
        reasons = ", ".join(f"{name}: {(self.reason == name).sum()}" for name in sorted(set(self.reason.flat)))
        return (f"SolveResult({reasons}; iterations up to {self.iterations.max()}, residuals up to "
                f"{relative.max():.3g} |b|)")


def text_of(string: Any) -> str:
    """A C string."""
    return str(ffi.string(string).decode())


# Reasons that the solution is of use with nevertheless, with a warning. For all others there is an error; what an error
# tells about is the first one in this order.
UNFINISHED = (lib.KCL_SOLVE_LIMIT, lib.KCL_SOLVE_NOT_REACHED)
FATAL = (lib.KCL_SOLVE_NOT_FINITE, lib.KCL_SOLVE_NOT_SYMMETRIC, lib.KCL_SOLVE_INDEFINITE,
         lib.KCL_SOLVE_NOT_POSITIVE_DEFINITE)

# By reason its name, as users see it, and what it means.
REASON_NAMES = {reason: text_of(lib.kcl_solve_reason_name(reason)).replace("KCL_SOLVE_", "").lower()
                for reason in (lib.KCL_SOLVE_CONVERGED, *FATAL, *UNFINISHED)}
MEANINGS = {name: text_of(lib.kcl_solve_reason_text(reason)) for reason, name in REASON_NAMES.items()}


class Wishes(NamedTuple):
    """What the keyword arguments of a solver ask for."""

    alpha: Any = 1e-10
    eps: Optional[float] = None
    tol: Optional[float] = None
    max_iterations: Optional[int] = None
    noise: Any = None
    start: Any = None
    check_symmetry: bool = False
    dtype: Any = None
    info: bool = False


def wishes_of(kwargs: Dict[str, Any]) -> Tuple[Wishes, Dict[str, Any]]:
    """The wishes among keyword arguments, and the keyword arguments that are left."""
    own = {key: value for key, value in kwargs.items() if key in Wishes._fields}
    return Wishes(**own), {key: value for key, value in kwargs.items() if key not in own}


def real_number(value: Any, name: str, what: str) -> float:
    """A keyword argument that is a number, finite and 0 or more."""
    if not isinstance(value, numbers.Real) or not math.isfinite(value) or value < 0:
        raise ArgumentError(f"{what}: {name}={value!r} must be a number, finite and 0 or more")
    return float(value)


class System:
    """Linear systems that are ready to be solved."""

    __slots__ = ("what", "library", "program", "unknown", "code", "shape", "device", "leaves", "noise", "start",
                 "alpha", "tolerance", "accepted", "eps", "max_iterations", "checks", "wide", "record")

    what: str  # the function of the user, for messages
    library: _arrays.ArrayLibrary
    program: Program  # the sum
    unknown: int  # which of its arguments holds b
    code: int  # number type of the arrays
    shape: Shape  # of the solution, in real numbers: (batch axes..., rows, components)
    device: Optional[str]
    leaves: List[Any]  # the arguments, in the program's order
    noise: Optional[ArrayLeaf]
    start: Optional[ArrayLeaf]
    alpha: Any  # a number, or what the array library has gradients in
    tolerance: float  # relative to |b|
    accepted: float  # a larger one, that is enough where the numbers of the solution let no residual be smaller
    eps: float  # root mean square of the residual of a column
    max_iterations: int  # 0: the library's own
    checks: bool  # whether K is symmetric
    wide: bool  # the solution is float64
    record: Optional[SolveResult]  # of the last run

    def changed(self, **fields: Any) -> "System":
        """The system with other fields."""
        made = copy.copy(self)
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    @property
    def arrays(self) -> List[Any]:
        """All leaves, of arguments first."""
        return [*self.leaves, *[leaf for leaf in (self.noise, self.start) if leaf is not None]]

    def with_arrays(self, arrays: Sequence[Any]) -> "System":
        """The system with other leaves, in the order of `arrays`."""
        count = len(self.leaves)
        rest = iter(arrays[count:])
        return self.changed(leaves=list(arrays[:count]), noise=None if self.noise is None else next(rest),
                            start=None if self.start is None else next(rest))

    @property
    def result_code(self) -> int:
        """The number type of the solution."""
        return F64 if self.wide else self.code

    def run(self) -> Any:
        """The solution, a new array. Sets `record`; warns, or raises SolveError, if it is not within the tolerance."""
        library = self.library
        place = library.place(self.arrays)
        context = contexts.current(self.device) if place is None else place.context
        solution = library.empty(self.shape, self.result_code, place)
        held: List[Any] = []

        def array(description: Any) -> Any:
            made = _arrays.array(description)
            held.append((made, description))
            if place is not None:
                contexts.check(lib.keopscl_on_card(context, made), context)
            return made

        def view(leaf: Any) -> Any:
            code = leaf.code if isinstance(leaf, ArrayLeaf) else self.code
            return array(leaf.view(code) if place is None else place.view(leaf, code))

        try:
            params = ffi.new("kcl_solve_params *")
            params.alpha = library.number(self.alpha)
            params.tolerance = self.tolerance
            params.absolute = self.eps * math.sqrt(self.shape[-2])
            params.max_iterations = self.max_iterations
            params.checks_symmetry = self.checks
            out = array(_arrays.describe_dense(library.address(solution), self.result_code, self.shape))
            arguments = ffi.new("kcl_array *[]", [view(leaf) for leaf in self.leaves])
            if self.noise is not None:
                params.noise = view(self.noise)
            if self.start is not None:
                params.start = view(self.start)
            status, results = self.solve(context, out, arguments, params)
            if status != lib.KCL_ERROR_NOT_SOLVED:
                contexts.check(status, context, place)
        finally:
            if place is not None:
                for made, _ in held:
                    lib.kcl_array_free(made)
        interrupts.raise_if_interrupted()
        evaluation.count()
        self.record = self.recorded(results)
        if not self.record.converged.all():
            self.tell(self.record)
        return solution

    def solve(self, context: Any, out: Any, arguments: Any, params: Any) -> Tuple[int, List[Any]]:
        """Calls the library: the status and the results, a number of systems that the library alone knows: one for each
        column, or one for all columns."""
        batches = math.prod(self.shape[:-2])
        unknown = ffi.new("char[]", str(self.unknown).encode())
        for columns in (self.shape[-1], 1):
            results = ffi.new("kcl_solve_result[]", max(batches * columns, 1))
            status = lib.kcl_operator_solve(self.program.operator, context, unknown, out, arguments, len(self.leaves),
                                            params, results, batches * columns)
            if status != lib.KCL_ERROR_LENGTH:
                break
        count = batches * columns
        return status, [(self.judged(each), each.iterations, each.residual, each.norm) for each in results[0:count]]

    def recorded(self, results: Sequence[Any]) -> SolveResult:
        """The results as arrays."""
        batch = self.shape[:-2]
        shape = (*batch, len(results) // max(math.prod(batch), 1))
        reasons, iterations, residuals, norms = zip(*results) if results else ((), (), (), ())
        return SolveResult(np.array([REASON_NAMES[each] for each in reasons], object).reshape(shape),
                           np.array(iterations, np.int64).reshape(shape),
                           np.array(residuals, np.float64).reshape(shape), np.array(norms, np.float64).reshape(shape))

    def judged(self, result: Any) -> int:
        """The reason, after a look at the residual that is accepted where no smaller one was reached."""
        if result.reason == lib.KCL_SOLVE_NOT_REACHED and result.residual <= self.accepted * result.norm:
            return int(lib.KCL_SOLVE_CONVERGED)
        return int(result.reason)

    def tell(self, record: SolveResult) -> None:
        """Says that systems were not solved: by an error, or by a warning if the solution is of use."""
        found = [(reason, np.argwhere(record.reason == REASON_NAMES[reason])) for reason in (*FATAL, *UNFINISHED)]
        reason, places = next((reason, places) for reason, places in found if len(places))
        place = tuple(int(k) for k in places[0])
        count, failed = record.reason.size, int((~record.converged).sum())
        where = f" of batch element {place[:-1]}" if len(place) > 1 else ""
        column = f"column {place[-1]}{where}" if record.reason.shape[-1] == self.shape[-1] else f"the system{where}"
        text = (f"{self.what}: {column} is not solved: {MEANINGS[REASON_NAMES[reason]]}; after "
                f"{record.iterations[place]} products the residual is {record.residual[place]:.3g}, and |b| is "
                f"{record.norm[place]:.3g}")
        if count > 1:
            text += f" ({failed} of {count} systems are not solved)"
        if reason in FATAL:
            raise SolveError(text, record)
        text += "; the solution is the best that was found"
        if reason == lib.KCL_SOLVE_NOT_REACHED and not self.wide:
            text += ', dtype="float64" may give a better one'
        warnings.warn(text, SolveWarning, stacklevel=caller())


# Residuals, relative to |b|, where nothing is asked for: what is aimed at, and what is enough where float32 numbers of
# the solution let no residual be smaller.
TOLERANCE = 1e-6
TOLERANCE_OF_FLOAT32 = 1e-4


def caller() -> int:
    """The stacklevel, for a function that is called by the caller of this one, of the first frame outside keopscl."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "keopscl":
        frame = frame.f_back
        level += 1
    return level


# ---- From what the user gives ----------------------------------------------------------------------------------------


def described(library: _arrays.ArrayLibrary, x: Any, role: int, what: str) -> ArrayLeaf:
    """A leaf of an array of the user's."""
    array = library.as_array(x)
    if array is None:
        raise TypeError(f"{what}: expected one of {library.array_name}, not {type(x).__name__}")
    address, code, keep, shape, strides = library.describe(array, what)
    if code == I64:
        raise DtypeError(f"{what}: the array of shape {library.shape(array)} is int64: convert it to float32 or "
                         "float64")
    return ArrayLeaf(array, role, _arrays.describe(address, code, shape, strides), code, keep)


def is_wide(dtype: Any, code: int, what: str) -> bool:
    """Whether the solution is float64, for a keyword argument and the number type of the arrays."""
    if dtype is None:
        return code == F64
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", None) or str(dtype)
    name = name.rpartition(".")[2]
    if name not in ("float32", "float64"):
        raise ArgumentError(f"{what}: dtype={dtype!r} is neither float32 nor float64")
    if name == "float32" and code == F64:
        raise ArgumentError(f"{what}: dtype={dtype!r}: the arrays are float64, and so is the solution")
    return name == "float64"


def solved(library: _arrays.ArrayLibrary, what: str, program: Program, unknown: int, leaves: Sequence[Any], code: int,
           shape: Shape, is_complex: bool, options: Options, wishes: Wishes, is_flat: bool = False) -> Any:
    """The solution as the user gets it, or with info=True a pair of solution and SolveResult.

    `leaves` are the arguments of the program, b at `unknown`. `shape`: of the solution, in real numbers. `is_flat`: b
    had one axis, and so has the solution.
    """
    if options.out is not None:
        raise UnsupportedError(f"{what}: out is not there: a solution is a new array")
    system = System()
    system.what, system.library, system.program, system.unknown = what, library, program, unknown
    system.code, system.shape, system.device, system.leaves = code, shape, options.device, list(leaves)
    system.record = None
    system.alpha = alpha_of(library, wishes.alpha, what)
    system.eps = 0.0 if wishes.eps is None else real_number(wishes.eps, "eps", what)
    system.tolerance = 0.0 if wishes.tol is None else real_number(wishes.tol, "tol", what)
    system.accepted = 0.0
    if wishes.tol == 0 and not system.eps or wishes.eps == 0 and not system.tolerance:
        raise ArgumentError(f"{what}: a tolerance of 0 is never reached; tol, relative to |b|, or eps must be above 0")
    count = wishes.max_iterations
    if count is not None and (not isinstance(count, numbers.Integral) or count < 1):
        raise ArgumentError(f"{what}: max_iterations={count!r} must be a whole number, 1 or more")
    system.max_iterations = int(count or 0)
    system.checks = bool(wishes.check_symmetry)
    system.wide = is_wide(wishes.dtype, code, what)
    if wishes.tol is None and wishes.eps is None:
        system.tolerance = TOLERANCE
        system.accepted = TOLERANCE if system.wide else TOLERANCE_OF_FLOAT32
    system.noise = system.start = None
    if wishes.noise is not None:
        system.noise = noise_of(library, wishes.noise, code, shape, what)
    if wishes.start is not None:
        system.start = start_of(library, wishes.start, shape, is_flat, is_complex, what)
    narrows = options.double and code == F32
    if narrows:
        system = system.with_arrays([library.widened(leaf) if isinstance(leaf, ArrayLeaf) and leaf.code == F32 else leaf
                                     for leaf in system.arrays])
        narrows = not system.wide
        system.code, system.wide = F64, True
    with interrupts.showing() if options.verbose else nullcontext():
        solution, record = library.solve(system)
    if narrows:
        solution = library.narrowed(solution)
    if is_complex:
        solution = library.view_as_complex(solution)
    if is_flat:
        solution = library.reshape(solution, library.shape(solution)[:-1])
    return (solution, record) if wishes.info else solution


def alpha_of(library: _arrays.ArrayLibrary, alpha: Any, what: str) -> Any:
    """alpha, after a look at it."""
    array = library.as_array(alpha)
    if array is not None:
        size = math.prod(library.shape(array))
        if size != 1:
            raise ShapeError(f"{what}: alpha has the shape {library.shape(array)}, and must be one number; noise takes "
                             "a number for each row")
    is_number = array is not None or isinstance(alpha, numbers.Real)
    real_number(library.number(alpha) if is_number else alpha, "alpha", what)
    return alpha


def noise_of(library: _arrays.ArrayLibrary, noise: Any, code: int, shape: Shape, what: str) -> ArrayLeaf:
    """The leaf of the noise, (batch axes..., rows)."""
    leaf = described(library, noise, ROLE_PARAMETER, f"{what}: noise")
    its = leaf.description[1][1]
    batch = shape[:-2]
    fits = len(its) >= 1 and its[-1] == shape[-2] and len(its) - 1 <= len(batch) and all(
        size in (1, wanted) for size, wanted in zip(its[-2::-1], batch[::-1]))
    if not fits:
        raise ShapeError(f"{what}: noise has the shape {its}, and must have a number for each of {shape[-2]} rows, "
                         f"with batch axes that fit {batch} in front")
    if leaf.code != code:
        raise DtypeError(f"{what}: noise has the number type {NAMES[leaf.code]}, the other arrays {NAMES[code]}")
    return leaf


def start_of(library: _arrays.ArrayLibrary, start: Any, shape: Shape, is_flat: bool, is_complex: bool,
             what: str) -> ArrayLeaf:
    """The leaf of a guess of the solution."""
    array = library.as_array(start)
    if array is not None and is_flat and len(library.shape(array)) == 1:
        array = array[:, None]
    leaf = described(library, start if array is None else array, ROLE_J, f"{what}: start")
    its = leaf.description[1][1]
    if its != shape or library.is_complex(array) != is_complex:
        wanted = (*shape[:-1], shape[-1] // 2) if is_complex else shape[:-1] if is_flat else shape
        raise ShapeError(f"{what}: start has the shape {library.shape(array)}, and must be as the solution: {wanted}")
    return leaf
