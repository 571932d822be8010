# SPDX-License-Identifier: MIT
"""Programs: structures compiled to operators of the library, and applied to arrays."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from .._errors import error_of
from .._native import ffi, lib
from . import contexts
from .chain import Places
from .structure import COMPLEX, INDEX, PAIR, Structure

# What becomes of structures: op -> function of (scope, operands, parameters). All others are the function kcl_OP of the
# operands and the parameters, in this order.
Builder = Callable[[Any, List[Any], Tuple[Any, ...]], Any]


def _ints(values: Sequence[int]) -> Any:
    return ffi.new("int[]", list(values) or [0])


def _concatenate(scope: Any, operands: List[Any], params: Tuple[Any, ...]) -> Any:
    return lib.kcl_concatenate(len(operands), ffi.new("kcl_expr *[]", operands))


def _tensordot(scope: Any, operands: List[Any], params: Tuple[Any, ...]) -> Any:
    """KeOps' TensorDot: shapes of both, axes summed, and where each axis that is left goes, or None."""
    shape_f, shape_g, axes_f, axes_g, places = params
    product = lib.kcl_tensordot(
        lib.kcl_reshape_inner(operands[0], len(shape_f), _ints(shape_f)),
        lib.kcl_reshape_inner(operands[1], len(shape_g), _ints(shape_g)),
        len(axes_f),
        _ints(axes_f),
        _ints(axes_g),
    )
    if places:
        product = lib.kcl_permute_inner(product, _ints([places.index(k) for k in range(len(places))]))
    return _flat(product)


def _flat(expr: Any) -> Any:
    """The components as a vector."""
    return lib.kcl_reshape_inner(expr, 1, _ints([max(lib.kcl_expr_dim(expr), 1)]))


def _kron(scope: Any, operands: List[Any], params: Tuple[Any, ...]) -> Any:
    shape_f, shape_g = params
    return _flat(
        lib.kcl_kron(
            lib.kcl_reshape_inner(operands[0], len(shape_f), _ints(shape_f)),
            lib.kcl_reshape_inner(operands[1], len(shape_g), _ints(shape_g)),
        )
    )


def _difference_matrix(scope: Any, operands: List[Any], params: Tuple[Any, ...]) -> Any:
    return _flat(
        lib.kcl_sub(
            lib.kcl_reshape_inner(operands[0], 2, _ints((params[0], 1))),
            lib.kcl_reshape_inner(operands[1], 2, _ints((1, params[1]))),
        )
    )


def _formula(scope: Any, operands: List[Any], params: Tuple[Any, ...]) -> Any:
    """A formula in text, whose names a, b, c, ... stand for the operands."""
    names = [ffi.new("char[]", bytes([97 + k])) for k in range(len(operands))]
    return lib.kcl_formula(
        scope, params[0].encode(), len(operands), ffi.new("char *[]", names), ffi.new("kcl_expr *[]", operands)
    )


BUILDERS: Dict[str, Builder] = {
    "constant": lambda scope, operands, params: lib.kcl_constant(scope, params[0]),
    "index_i": lambda scope, operands, params: lib.kcl_index_i(scope),
    "index_j": lambda scope, operands, params: lib.kcl_index_j(scope),
    "zero": lambda scope, operands, params: lib.kcl_zero(scope, params[0]),
    "concatenate": _concatenate,
    "tensordot": _tensordot,
    "kron": _kron,
    "difference_matrix": _difference_matrix,
    "formula": _formula,
}


# A structure, the number of a map from the places of its leaves to places among all leaves, and whether it stands below
# a transposition.
Item = Tuple[Structure, int, bool]

SHORT = 64  # entries of a map that is cut to the leaves that a structure has, so that equal maps are found

SWAPPED_ROLE = {
    lib.KCL_ROLE_I: lib.KCL_ROLE_J,
    lib.KCL_ROLE_J: lib.KCL_ROLE_I,
    lib.KCL_ROLE_PARAMETER: lib.KCL_ROLE_PARAMETER,
}
SWAPPED_AXES = {lib.KCL_OVER_I: lib.KCL_OVER_J, lib.KCL_OVER_J: lib.KCL_OVER_I, lib.KCL_OVER_BOTH: lib.KCL_OVER_BOTH}
SWAPPED_OP = {"index_i": "index_j", "index_j": "index_i"}


class Lowering:
    """Structures to expressions of a scope.

    Transposition exchanges the roles of the variables below it, and what reductions go over: an array of rows of i that
    stands below a transposition is an argument of rows of j. An array that stands in both roles is two arguments.
    """

    def __init__(self, scope: Any, array_of: Optional[Callable[[int, int, int], Any]] = None) -> None:
        self.scope = scope
        self.array_of = array_of  # the kcl_array of a leaf, by place, role and dimension; None for symbolic variables
        self.variables: Dict[Tuple[int, int], Any] = {}  # by place and role, in the order of arguments
        self.done: Dict[Item, List[Any]] = {}
        # The map 0 leaves all places as they are, whatever their number. Maps have numbers because finding a tuple in
        # a dictionary takes a time that grows with its length, at each operation of a long formula.
        self.maps: List[Tuple[int, ...]] = [()]
        self.numbers: Dict[Tuple[int, ...], int] = {}

    def number_of(self, places: Tuple[int, ...]) -> int:
        """The number of a map."""
        found = self.numbers.get(places)
        if found is None:
            if places == tuple(range(len(places))):
                found = self.numbers[places] = 0
            else:
                found = self.numbers[places] = len(self.maps)
                self.maps.append(places)
        return found

    def map_below(self, number: int, child: Structure, places: Places) -> int:
        """The map of an operand, whose leaves are at these places among those of its operation, whose map is told."""
        if places is None:
            spots = self.maps[number]
            return self.number_of(spots[: child.leaves]) if child.leaves < len(spots) <= SHORT else number
        if number:
            spots = self.maps[number]
            places = tuple([spots[k] for k in places])
        return self.number_of(places)

    def variable(self, place: int, role: int, dim: int) -> Any:
        made = self.variables.get((place, role))
        if made is None:
            if self.array_of is None:
                made = lib.kcl_var(self.scope, len(self.variables), dim, role)
            else:
                make = {lib.KCL_ROLE_I: lib.kcl_vi, lib.KCL_ROLE_J: lib.kcl_vj, lib.KCL_ROLE_PARAMETER: lib.kcl_pm}[
                    role
                ]
                made = make(self.scope, self.array_of(place, role, dim))
            self.variables[place, role] = made
        return made

    def build(self, item: Item, operands: List[Any]) -> List[Any]:
        node, number, swapped = item
        op, params = node.op, node.params
        if op == "var":
            place = self.maps[number][0] if number else 0
            return [self.variable(place, SWAPPED_ROLE[params[0]] if swapped else params[0], params[1])]
        if op == "transpose":
            return operands
        if swapped:
            op = SWAPPED_OP.get(op, op)
            if op.startswith("reduce_") and not op.endswith("_batch"):
                params = params[:-1] + (SWAPPED_AXES[params[-1]],)
        if node.kind == PAIR:
            index = ffi.new("kcl_expr **")
            values = getattr(lib, "kcl_" + op)(*operands, *params, index)
            return [values, index[0] if index[0] != ffi.NULL else values]
        builder = BUILDERS.get(op)
        if builder is not None:
            return [builder(self.scope, operands, params)]
        return [getattr(lib, "kcl_" + op)(*operands, *params)]

    def lower(self, root: Structure) -> List[Any]:
        """The expressions of a structure's results. Goes through operands before what is made of them, without
        recursion."""
        done = self.done
        first: Item = (root, 0, False)
        stack: List[Item] = [first]
        while stack:
            node, number, swapped = item = stack[-1]
            if item in done:
                stack.pop()
                continue
            below = swapped != (node.op == "transpose")
            waiting = []
            operands = []
            for child, places in zip(node.children, node.places):
                operand = child, self.map_below(number, child, places), below
                made = done.get(operand)
                if made is None:
                    waiting.append(operand)
                else:
                    operands.append(made[0])
            if waiting:
                stack.extend(reversed(waiting))
            else:
                done[item] = self.build(item, operands)
                stack.pop()
        return done[first]


def stand_in(batches: Tuple[Tuple[int, ...], ...]) -> Callable[[int, int, int], Any]:
    """Arrays with batch axes, of which nothing is looked at but the axes: the expressions that they are in are made
    into an operator, and not evaluated."""

    def array_of(place: int, role: int, dim: int) -> Any:
        shape = batches[place] + (() if role == lib.KCL_ROLE_PARAMETER else (2,)) + (dim,)
        return ffi.new("kcl_array *", lib.kcl_array_of(ffi.cast("void *", 64), lib.KCL_F32, len(shape), shape))

    return array_of


@contextmanager
def scope_of(context: Any) -> Iterator[Any]:
    """A kcl_scope for expressions that are not needed later."""
    scope = lib.kcl_scope_create(context)
    if scope == ffi.NULL:
        contexts.check(lib.kcl_context_status(context), context)
    try:
        yield scope
    finally:
        lib.kcl_scope_destroy(ffi.new("kcl_scope **", scope))


class Program:
    """An operator of the library, and how its results become what users see.

    A result has the shape (batch axes..., rows, dim). Where `tail` is not empty, the last axis is returned as axes of
    these sizes, and where `complex`, as half as many complex numbers.
    """

    __slots__ = ("operator", "order", "dim", "indices", "tail", "complex", "plain", "derived", "layouts", "origin")

    def __init__(
        self,
        operator: Any,
        order: Sequence[int],
        dim: int,
        indices: Tuple[bool, ...],
        tail: Tuple[int, ...],
        complex: bool,
    ) -> None:
        self.operator = operator  # kcl_operator
        self.order = tuple(order)  # for each argument of the operator, the number of its leaf
        self.dim = dim
        self.indices = indices  # for each result, whether it is int64
        self.tail = tail
        self.complex = complex
        self.plain = not tail and not complex  # users see a result as it is
        self.layouts: Dict[Any, Any] = {}  # kcl_array[] of calls, by their types, sizes and strides
        self.derived: Dict[Any, Any] = {}  # for array libraries: what they have made of the program, its gradients
        self.origin: Any = None  # from what the program can be made again: (structure, fast, batches), or of_text's


def own(operator: Any, status: int) -> Any:
    """The operator that a call has made, owned by the object that is returned; raises why it could not be made."""
    if status < 0:
        error = error_of(status, lib.kcl_operator_error(operator[0]))
        lib.kcl_operator_destroy(operator)
        raise error
    return ffi.gc(operator[0], _destroy)


def _destroy(handle: Any, destroy: Any = lib.kcl_operator_destroy, new: Any = ffi.new) -> None:
    """Frees an operator; the names of this module may be gone by then."""
    destroy(new("kcl_operator **", handle))


def operator_params(fast: bool) -> Any:
    """kcl_operator_params, with what they refer to."""
    if not fast:
        return ffi.NULL, None
    word = ffi.new("char[]", b"fast")
    params = ffi.new("kcl_operator_params *")
    params.math = word
    return params, word


def compile(node: Structure, fast: bool, batches: Optional[Tuple[Tuple[int, ...], ...]]) -> Program:
    """The program of a structure."""
    with scope_of(contexts.for_formulas()) as scope:
        lowering = Lowering(scope, None if batches is None else stand_in(batches))
        exprs = lowering.lower(node)
        variables = list(lowering.variables.values())
        made = ffi.new("kcl_operator **")
        params, _word = operator_params(fast)
        status = lib.kcl_operator_from(
            made, len(exprs), ffi.new("kcl_expr *[]", exprs), len(variables), ffi.new("kcl_expr *[]", variables), params
        )
        operator = own(made, status)
    indices = (False, True) if node.kind == PAIR else (node.kind == INDEX,)
    order = [place for place, _ in lowering.variables]
    program = Program(operator, order, node.dim, indices, node.tail, node.kind == COMPLEX)
    program.origin = (node, fast, batches)
    return program


def of_text(formula: str, declarations: Sequence[str], fast: bool) -> Any:
    """The operator of a formula in text."""
    texts = [ffi.new("char[]", declaration.encode()) for declaration in declarations]
    made = ffi.new("kcl_operator **")
    params, _word = operator_params(fast)
    status = lib.kcl_operator_create(made, formula.encode(), len(texts), ffi.new("char *[]", texts), params)
    return own(made, status)


def program_of(node: Structure, fast: bool, batches: Optional[Tuple[Tuple[int, ...], ...]]) -> Program:
    """The program of a structure, compiled at the first call. `batches`, see batch_patterns, matter where batch axes
    are reduced.
    """
    key = (fast, batches if node.over_batches else None)
    found: Optional[Program] = node.programs.get(key)
    if found is None:
        found = node.programs.setdefault(key, compile(node, *key))
    return found
