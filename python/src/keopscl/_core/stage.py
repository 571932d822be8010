# SPDX-License-Identifier: MIT
"""Operators and the operators of their derivatives, in both modes and to any order.

The derivative of an operator is again an operator. The backward one (kcl_operator_grad_many) has one more argument for
each result, the cotangent, and one result for each argument that a gradient is wanted for. The forward one
(kcl_operator_jvp) has one more argument for each argument that moves, the direction, and one tangent for each result.
"""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from .. import _arrays
from .._native import ffi, lib
from . import contexts
from .pickling import flatten, unflatten
from .program import Program, of_text, own, program_of

Shape = Tuple[int, ...]
Way = Tuple[str, Tuple[int, ...]]  # how a derivative is taken, "back" or "forth", and by which arguments

MAKERS = {"back": lib.kcl_operator_grad_many, "forth": lib.kcl_operator_jvp}


class Stage(Program):
    """An operator with what its derivatives need to know: the operator of a program, or one of a derivative."""

    __slots__ = ("roles", "dims", "arguments", "base", "way", "flat", "derivatives", "_batch")

    def __init__(self, operator: Any, order: Sequence[int], base: Optional["Stage"], way: Way, origin: Any) -> None:
        slot = ffi.new("kcl_slot_info *")
        results, arguments = [], []
        for k in range(lib.kcl_operator_output_count(operator)):
            lib.kcl_operator_output(operator, k, slot)
            results.append((slot.role, slot.dim, slot.dtype == lib.KCL_I64))
        for k in range(lib.kcl_operator_input_count(operator)):
            lib.kcl_operator_input(operator, k, slot)
            arguments.append((slot.role, slot.dim))
        super().__init__(operator, order, 0, tuple([index for _, _, index in results]), (), False)
        self.origin = origin  # of the program at the beginning
        self.roles: Tuple[int, ...] = tuple([role for role, _, _ in results])  # of the rows of the results
        self.dims: Tuple[int, ...] = tuple([dim for _, dim, _ in results])
        self.arguments: Tuple[Tuple[int, int], ...] = tuple(arguments)  # roles and dimensions
        self.base = base  # what this is a derivative of
        self.way = way
        # Whether a result of a single row has no axis of rows.
        self.flat: bool = base is not None and (way[0] == "back" or base.flat)
        self.derivatives: Dict[Way, "Stage"] = {}
        self._batch: Optional[Tuple[bool, ...]] = None

    def derivative(self, way: Way) -> "Stage":
        """The operator of a derivative."""
        found = self.derivatives.get(way)
        if found is None:
            kind, places = way
            names = [ffi.new("char[]", str(k).encode()) for k in places]
            made = ffi.new("kcl_operator **")
            status = MAKERS[kind](made, self.operator, len(names), ffi.new("char *[]", names))
            stage = Stage(own(made, status), (), self, way, self.origin)
            found = self.derivatives.setdefault(way, stage)
        return found

    def only(self, results: Sequence[int]) -> "Stage":
        """What computes these results alone. Arguments stay the same."""
        if self.base is None or len(results) == len(self.roles):
            return self
        kind, places = self.way
        if kind == "back":
            return self.base.derivative((kind, tuple([places[k] for k in results])))
        return self.base.only(results).derivative(self.way)

    @property
    def summed(self) -> Tuple[int, ...]:
        """The arguments whose batch axes the results have, summed over all others: of gradients."""
        if self.base is None:
            return ()
        return self.way[1] if self.way[0] == "back" else self.base.summed

    @property
    def ways(self) -> List[Way]:
        """How this was made, from the operator of the program on."""
        return [] if self.base is None else [*self.base.ways, self.way]

    def again(self, root: "Stage") -> "Stage":
        """The same derivatives of another program."""
        for way in self.ways:
            root = root.derivative(way)
        return root

    # ---- Programs that reduce batch axes -----------------------------------------------------------------------------

    @property
    def knows_batches(self) -> bool:
        """Whether the operator takes arguments with the batch axes alone that it was made for."""
        return len(self.origin) == 3 and not isinstance(self.origin[0], str) and self.origin[0].over_batches

    def for_batches(self, shapes: Sequence[Shape]) -> "Stage":
        """The stage for arguments with other batch axes, of a program that reduces batch axes."""
        node, fast, batches = self.origin
        root: Stage = self
        while root.base is not None:
            root = root.base
        patterns = list(batches)
        for place, (role, _), shape in zip(root.order, root.arguments, shapes):
            inner = 1 if role == lib.KCL_ROLE_PARAMETER else 2
            patterns[place] = tuple([1 if size == 1 else 2 for size in shape[:len(shape) - inner]])
        return self.again(stage_of(program_of(node, fast, tuple(patterns))))

    def keeps(self) -> Tuple[bool, ...]:
        """For the batch axes of the results, from the first to the last, whether they are kept; else they have the size
        1. Empty: all are kept."""
        if self.base is not None:
            return self.base.keeps()
        if self._batch is None:
            self._batch = self._kept() if self.knows_batches else ()
        return self._batch

    def _kept(self) -> Tuple[bool, ...]:
        batches = self.origin[2]
        made = ffi.new("kcl_array *")
        arrays = []
        for place, (role, dim) in zip(self.order, self.arguments):
            shape = batches[place] + (() if role == lib.KCL_ROLE_PARAMETER else (2,)) + (dim,)
            arrays.append(_arrays.array(_arrays.describe_dense(ffi.cast("void *", 64), lib.KCL_F32, shape)))
        context = contexts.for_formulas()
        status = lib.kcl_operator_output_shape(self.operator, context, 0, ffi.new("kcl_array *[]", arrays), len(arrays),
                                               made)
        contexts.check(status, context)
        inner = 1 if self.roles[0] == lib.KCL_ROLE_PARAMETER else 2
        return tuple([made.shape[k] != 1 for k in range(made.ndim - inner)])


def stage_of(program: Program) -> Stage:
    """The operator of a program as a stage, kept with the program."""
    found: Optional[Stage] = program.derived.get("stage")
    if found is None:
        made = Stage(program.operator, program.order, None, ("", ()), program.origin)
        found = program.derived.setdefault("stage", made)
    return found


# ---- As values that can be written down ------------------------------------------------------------------------------

def described(stage: Stage) -> Any:
    """A stage as lists, numbers and strings."""
    first, second, third = stage.origin
    if not isinstance(first, str):
        first, second, third = flatten(first), second, third
    return [first, second, third, stage.ways]


def undescribed(value: Any) -> Stage:
    """The stage that was described."""
    first, second, third, ways = value
    if isinstance(first, str):
        root = Stage(of_text(first, second, third), (), None, ("", ()), (first, second, third))
    else:
        root = stage_of(program_of(unflatten(first), second, third))
    for kind, places in ways:
        root = root.derivative((kind, places))
    return root


def frozen(value: Any) -> Any:
    """Lists as tuples, of values that JSON has read."""
    return tuple([frozen(each) for each in value]) if isinstance(value, list) else value
