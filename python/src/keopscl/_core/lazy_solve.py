# SPDX-License-Identifier: MIT
"""LazyTensor.solve: linear systems whose matrix is a LazyTensor."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Dict, List, Optional, Tuple

from .. import _arrays
from .._errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from .evaluation import DEFAULTS, Options, merged, options_of
from .leaves import NAMES, ROLE_I, ROLE_J, ArrayLeaf, SymbolicLeaf
from .program import program_of
from .solve import Wishes, described, solved, wishes_of
from .stage import stage_of
from .structure import BOTH, COMPLEX, J, REAL, variable
from .tensor import TensorBase, broadcast

UNKNOWN = -1  # the index of the variable that K is multiplied by
WHAT = "solve"


class LazySolve:
    """Linear systems whose solution is wanted later: a function of the arrays of the symbolic variables, in the order
    of their indices. Keyword arguments are those of LazyTensor.solve."""

    __slots__ = ("_sum", "_var", "_given", "_is_flat", "_symbols", "_options", "_wishes")

    def __init__(self, sum: Any, var: SymbolicLeaf, given: Any, is_flat: bool, options: Options,
                 wishes: Wishes) -> None:
        self._sum = sum  # of K times the unknown, over j
        self._var = var  # the unknown, a symbolic variable of the sum
        self._given = given  # b: an ArrayLeaf, or a SymbolicLeaf
        self._is_flat = is_flat  # b has one axis
        self._options = options
        self._wishes = wishes
        others = [leaf for leaf in sum._leaves if isinstance(leaf, SymbolicLeaf) and leaf.key != var.key]
        if isinstance(given, SymbolicLeaf):
            others.append(given)
        self._symbols: Tuple[Any, ...] = tuple(sorted(others, key=attrgetter("index")))

    @property
    def is_ready(self) -> bool:
        """Whether all arrays are there."""
        return not self._symbols and (self._sum._code is not None or isinstance(self._given, ArrayLeaf))

    @property
    def symbolic_variables(self) -> Tuple[Tuple[int, int, int], ...]:
        """The variables (index, dim, role) that get their arrays in a call."""
        return tuple((leaf.index, leaf.dim, leaf.role) for leaf in self._symbols)

    @property
    def callfun(self) -> "LazySolve":
        """What a call runs, by the name that KeOps has for it: the function itself."""
        return self

    def __repr__(self) -> str:
        return f"solve, a function of the arrays of {len(self._symbols)} symbolic variables, of\n{self._sum!r}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The solution, for the arrays of the symbolic variables: (batch axes..., N, D) for i and for j, and
        (batch axes..., D) for a parameter."""
        lazy, library = self._sum, self._sum._library
        own, rest = wishes_of(kwargs)
        wishes = self._wishes._replace(**{name: getattr(own, name) for name in kwargs if name in Wishes._fields})
        options, _ = prepared(lazy, merged(self._options, rest, WHAT) if rest else self._options, self._given)
        if len(args) != len(self._symbols):
            raise ArgumentError(f"{WHAT}: {len(self._symbols)} arrays are needed, for the symbolic variables, not "
                                f"{len(args)}")
        leaves = {self._var.key: self._given}
        code = lazy._code
        for symbol, x in zip(self._symbols, args):
            leaf = described(library, x, symbol.role, f"{WHAT}: argument {symbol.index}")
            shape = leaf.description[1][1]
            axes = 1 if symbol.role == 2 else 2
            if len(shape) < axes or shape[-1] != symbol.dim:
                raise ShapeError(f"{WHAT}: argument {symbol.index}: expected the shape (..., "
                                 f"{'' if axes == 1 else 'rows, '}{symbol.dim}), not {shape}")
            leaves[self._var.key if symbol is self._given else symbol.key] = leaf
        given = leaves[self._var.key]
        leaves[self._var.key] = ArrayLeaf(given.source, ROLE_J, given.description, given.code, given.keep)
        code = code if code is not None else given.code
        for leaf in leaves.values():
            if leaf.code != code:
                raise DtypeError(f"{WHAT}: an array of shape {leaf.description[1][1]} has the number type "
                                 f"{NAMES[leaf.code]}, the other arrays {NAMES[code]}")
        return self._solved(library, [leaves.get(leaf.key, leaf) for leaf in lazy._leaves], code, options, wishes)

    def _solved(self, library: _arrays.ArrayLibrary, leaves: List[Any], code: int, options: Options,
                wishes: Wishes) -> Any:
        lazy = self._sum
        program = program_of(lazy._node, options.fast, None)
        place = next(k for k, leaf in enumerate(lazy._leaves) if leaf.key == self._var.key)
        uses = [k for k, leaf in enumerate(program.order) if leaf == place]
        if len(uses) != 1 or stage_of(program).arguments[uses[0]][0] != ROLE_J:
            raise ArgumentError(f"{WHAT}: var stands in the formula with rows of i and of j, by transposes: K has no "
                                "such form")
        shape = shape_of_solution(leaves, program, place)
        return solved(library, WHAT, program, uses[0], [leaves[k] for k in program.order], code, shape,
                      lazy._node.kind == COMPLEX, options, wishes, self._is_flat)


def shape_of_solution(leaves: List[Any], program: Any, unknown: int) -> Tuple[int, ...]:
    """The shape of the solution, in real numbers. Refuses matrices that are not square."""
    counts: Dict[int, int] = {}
    batch: Tuple[int, ...] = ()
    for k, (role, _) in zip(program.order, stage_of(program).arguments):
        if isinstance(leaves[k], ArrayLeaf):
            shape = leaves[k].description[1][1]
            has_rows = role in (ROLE_I, ROLE_J)
            batch = broadcast(batch, shape[:-2] if has_rows else shape[:-1], WHAT)
            if has_rows and k != unknown:
                counts[role] = shape[-2]
    rows, dim = leaves[unknown].description[1][1][-2:]
    m, n = counts.get(ROLE_I, rows), counts.get(ROLE_J, rows)
    if m != n:
        raise ShapeError(f"{WHAT}: axis i of K has {m} rows and axis j has {n}, there must be as many")
    if rows != n:
        raise ShapeError(f"{WHAT}: b has {rows} rows, and axis j of K has {n}")
    return (*batch, rows, dim)


def prepared(lazy: Any, options: Options, given: Any) -> Tuple[Options, Optional[int]]:
    """What TensorBase._prepared gives, also of a matrix of numbers alone, whose type b tells."""
    if lazy._code is None and isinstance(given, (ArrayLeaf, SymbolicLeaf)):
        lazy = lazy._like(lazy._node)
        lazy._code = given.code if isinstance(given, ArrayLeaf) else 0
    prepared: Tuple[Options, int] = lazy._prepared(options)
    return prepared


def right_hand_side(K: Any, other: Any) -> Tuple[Any, bool, int, bool]:
    """b as a leaf; whether it has one axis; the axis of its rows; whether its numbers are complex."""
    library = K._library
    if isinstance(other, TensorBase):
        if other._library is not library:
            raise TypeError(f"{WHAT}: K is a LazyTensor of {library.name}, b of {other._library.name}")
        if other._node.op != "var" or other._node.params[0] not in (ROLE_I, ROLE_J):
            raise ArgumentError(f"{WHAT}: b is an array, or a LazyTensor of one variable with rows of i or of j, not a "
                                "formula or a parameter")
        return other._leaves[0], False, other._node.params[0], other._node.kind == COMPLEX
    array = library.as_array(other)
    if array is None:
        raise TypeError(f"{WHAT}: b is one of {library.array_name}, or a LazyTensor of one variable, not "
                        f"{type(other).__name__}")
    shape = library.shape(array)
    if not shape:
        raise ShapeError(f"{WHAT}: b has no axes, it must have the shape (N,) or (batch axes..., N, D)")
    rows = K.ni if K.ni is not None else K.nj
    if len(shape) == 1:
        array = array[:, None]
    elif len(shape) > 2 and shape[-2] == 1 and shape[-3] == rows != 1:
        array = array[..., 0, :]  # KeOps' (batch axes..., N, 1, D)
    if array.shape[-1] == 0:
        raise ShapeError(f"{WHAT}: b has the shape {shape}, without columns")
    return described(library, array, ROLE_I, f"{WHAT}: b"), len(shape) == 1, ROLE_I, library.is_complex(array)


def lazy_solve(K: Any, other: Any, var: Any, kwargs: Dict[str, Any]) -> LazySolve:
    """See LazyTensor.solve."""
    wishes, rest = wishes_of(kwargs)
    options = options_of(rest, WHAT) if rest else DEFAULTS
    library = K._library
    if library.name not in ("numpy", "torch"):
        raise UnsupportedError(f"{WHAT}: of NumPy arrays and PyTorch tensors; for {library.array_name} it is not there "
                               "yet, jax.scipy.sparse.linalg.cg takes lambda v: K @ v")
    given, is_flat, axis, is_complex = right_hand_side(K, other)
    dim = given.dim if isinstance(given, SymbolicLeaf) else given.description[1][1][-1]
    if var is None:
        if K._node.axes != BOTH:
            raise ShapeError(f"{WHAT}: a LazyTensor of shape {K._shape} does not depend on i and j, it is no matrix")
        matrix = K if axis == ROLE_I else K.t()
        if matrix._node.kind == COMPLEX and not is_complex:
            raise DtypeError(f"{WHAT}: K is complex and b is real: make b complex")
        leaf = SymbolicLeaf(UNKNOWN, dim, ROLE_J)
        kind = COMPLEX if is_complex else REAL
        unknown = K._class_of(kind)._new(variable(ROLE_J, dim, kind), (leaf,), (), None, None, None)
        if not is_complex and matrix._node.dim not in (1, dim):
            raise ShapeError(f"{WHAT}: axis -1 of K, of shape {K._shape}, has {matrix._node.dim} components, and b has "
                             f"{dim} columns: 1 or as many are needed; of matrices K_ij, use var")
        made = matrix * unknown
    else:
        if not isinstance(var, TensorBase) or var._node.op != "var" or not isinstance(var._leaves[0], SymbolicLeaf):
            raise ArgumentError(f"{WHAT}: var is a symbolic variable, as Vj(0, 3)")
        leaf = var._leaves[0]
        if leaf.key not in [each.key for each in K._leaves]:
            raise ArgumentError(f"{WHAT}: var, the variable ({leaf.index}, {leaf.dim}, {leaf.role}), is not in the "
                                "formula")
        if leaf.role != 1 - axis:
            raise ArgumentError(f"{WHAT}: var has rows of {'ij?'[leaf.role]} and b of {'ij'[axis]}; b has those of the "
                                "other axis")
        made = K if axis == ROLE_I else K.t()
        dim = leaf.dim if isinstance(given, SymbolicLeaf) else dim
        if leaf.dim != dim or made._node.dim != leaf.dim:
            raise ShapeError(f"{WHAT}: var has {leaf.dim} components, the formula {made._node.dim} and b {dim}: they "
                             "must be as many")
    if made._node.over_batches:
        raise UnsupportedError(f"{WHAT}: K reduces batch axes, which is not there yet")
    return LazySolve(made._reduce_rows("reduce_sum", J, None, 0, REAL, WHAT), leaf, given, is_flat, options, wishes)
