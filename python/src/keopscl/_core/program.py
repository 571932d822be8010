# SPDX-License-Identifier: MIT
"""Programs: structures compiled to operators of the library, and applied to arrays."""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from .._errors import error_of
from .._native import ffi, lib
from . import contexts
from .structure import I, INDEX, J, PAIR, Structure

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
    product = lib.kcl_tensordot(lib.kcl_reshape_inner(operands[0], len(shape_f), _ints(shape_f)),
                                lib.kcl_reshape_inner(operands[1], len(shape_g), _ints(shape_g)),
                                len(axes_f), _ints(axes_f), _ints(axes_g))
    if places:
        product = lib.kcl_permute_inner(product, _ints([places.index(k) for k in range(len(places))]))
    return _flat(product)


def _flat(expr: Any) -> Any:
    """The components as a vector."""
    return lib.kcl_reshape_inner(expr, 1, _ints([max(lib.kcl_expr_dim(expr), 1)]))


def _kron(scope: Any, operands: List[Any], params: Tuple[Any, ...]) -> Any:
    shape_f, shape_g = params
    return _flat(lib.kcl_kron(lib.kcl_reshape_inner(operands[0], len(shape_f), _ints(shape_f)),
                              lib.kcl_reshape_inner(operands[1], len(shape_g), _ints(shape_g))))


def _formula(scope: Any, operands: List[Any], params: Tuple[Any, ...]) -> Any:
    """A formula in text, whose names a, b, c, ... stand for the operands."""
    names = [ffi.new("char[]", bytes([97 + k])) for k in range(len(operands))]
    return lib.kcl_formula(scope, params[0].encode(), len(operands), ffi.new("char *[]", names),
                           ffi.new("kcl_expr *[]", operands))


BUILDERS: Dict[str, Builder] = {
    "constant": lambda scope, operands, params: lib.kcl_constant(scope, params[0]),
    "index_i": lambda scope, operands, params: lib.kcl_index_i(scope),
    "index_j": lambda scope, operands, params: lib.kcl_index_j(scope),
    "zero": lambda scope, operands, params: lib.kcl_zero(scope, params[0]),
    "concatenate": _concatenate,
    "tensordot": _tensordot,
    "kron": _kron,
    "formula": _formula,
}


def _pair(node: Structure, operands: List[Any]) -> List[Any]:
    """A reduction with two results, values and indices."""
    index = ffi.new("kcl_expr **")
    values = getattr(lib, "kcl_" + node.op)(*operands, *node.params, index)
    return [values, index[0] if index[0] != ffi.NULL else values]


class Lowering:
    """Structures to expressions of a scope."""

    def __init__(self, scope: Any, leaves: int, patterns: Optional[Tuple[Tuple[int, ...], ...]]) -> None:
        self.scope = scope
        self.patterns = patterns  # for each leaf, the sizes of its batch axes: 1, or 2 for any other
        self.variables: List[Any] = [None] * leaves
        self.done: Dict[Tuple[Structure, Tuple[int, ...]], List[Any]] = {}

    def variable(self, place: int, role: int, dim: int) -> Any:
        made = self.variables[place]
        if made is None:
            if self.patterns is None:
                made = lib.kcl_var(self.scope, place, dim, role)
            else:
                rows = () if role == lib.KCL_ROLE_PARAMETER else (2,)
                shape = self.patterns[place] + rows + (dim,)
                # The memory is not looked at: the expressions are made into an operator, and not evaluated.
                array = ffi.new("kcl_array *", lib.kcl_array_of(ffi.cast("void *", 64), lib.KCL_F32, len(shape), shape))
                make = {lib.KCL_ROLE_I: lib.kcl_vi, lib.KCL_ROLE_J: lib.kcl_vj, lib.KCL_ROLE_PARAMETER: lib.kcl_pm}[role]
                made = make(self.scope, array)
            self.variables[place] = made
        return made

    def build(self, node: Structure, places: Tuple[int, ...], operands: List[Any]) -> List[Any]:
        if node.op == "var":
            return [self.variable(places[0], node.params[0], node.params[1])]
        if node.kind == PAIR:
            return _pair(node, operands)
        builder = BUILDERS.get(node.op)
        if builder is not None:
            return [builder(self.scope, operands, node.params)]
        return [getattr(lib, "kcl_" + node.op)(*operands, *node.params)]

    def lower(self, root: Structure, places: Tuple[int, ...]) -> List[Any]:
        """The expressions of a structure's results. Goes through operands before what is made of them, without
        recursion."""
        done = self.done
        stack: List[Tuple[Structure, Tuple[int, ...]]] = [(root, places)]
        while stack:
            node, spots = item = stack[-1]
            if item in done:
                stack.pop()
                continue
            waiting = []
            operands = []
            for child, of_child in zip(node.children, node.places):
                if of_child is None:
                    at = spots if child.leaves == len(spots) else spots[:child.leaves]
                else:
                    at = tuple([spots[k] for k in of_child])
                made = done.get((child, at))
                if made is None:
                    waiting.append((child, at))
                else:
                    operands.append(made[0])
            if waiting:
                stack.extend(waiting)
            else:
                done[item] = self.build(node, spots, operands)
                stack.pop()
        return done[root, places]


class Program:
    """An operator of the library and what its results are."""

    __slots__ = ("operator", "outputs", "dims", "indices", "axes", "results", "tail", "cell")

    def __init__(self, operator: Any, node: Structure) -> None:
        self.operator = operator
        self.axes = node.axes  # of the results: rows of i, of j, or one
        self.results = 2 if node.kind == PAIR else 1
        self.tail = node.tail
        self.indices = (False, True) if node.kind == PAIR else (node.kind == INDEX,)
        self.dims = (node.dim,) * self.results


def own(operator: Any, status: int) -> Any:
    """The operator that a call has made, owned by the object that is returned; raises why it could not be made."""
    if status < 0:
        error = error_of(status, lib.kcl_operator_error(operator[0]))
        lib.kcl_operator_destroy(operator)
        raise error
    return ffi.gc(operator[0], _destroy)


def _destroy(handle: Any) -> None:
    lib.kcl_operator_destroy(ffi.new("kcl_operator **", handle))


def operator_params(fast: bool) -> Any:
    """kcl_operator_params, with what they refer to."""
    if not fast:
        return ffi.NULL, None
    word = ffi.new("char[]", b"fast")
    params = ffi.new("kcl_operator_params *")
    params.math = word
    return params, word


def compile(node: Structure, fast: bool, patterns: Optional[Tuple[Tuple[int, ...], ...]]) -> Program:
    """The program of a structure."""
    context = contexts.current()
    scope = lib.kcl_scope_create(context)
    if scope == ffi.NULL:
        contexts.check(lib.kcl_context_status(context), context)
    try:
        lowering = Lowering(scope, node.leaves, patterns)
        exprs = lowering.lower(node, tuple(range(node.leaves)))
        variables = [each for each in lowering.variables if each is not None]
        made = ffi.new("kcl_operator **")
        params, _word = operator_params(fast)
        status = lib.kcl_operator_from(made, len(exprs), ffi.new("kcl_expr *[]", exprs), len(variables),
                                       ffi.new("kcl_expr *[]", variables), params)
        operator = own(made, status)
    finally:
        lib.kcl_scope_destroy(ffi.new("kcl_scope **", scope))
    return Program(operator, node)


def program_of(node: Structure, fast: bool, patterns: Optional[Tuple[Tuple[int, ...], ...]]) -> Program:
    """The program of a structure, compiled at the first call. `patterns` matter where batch axes are reduced."""
    key = (fast, patterns if node.over_batches else None)
    found: Optional[Program] = node.programs.get(key)
    if found is None:
        found = node.programs.setdefault(key, compile(node, *key))
    return found


def rows_of(axes: int) -> str:
    return {I: "i", J: "j"}.get(axes, "")
