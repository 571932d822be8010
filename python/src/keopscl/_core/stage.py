# SPDX-License-Identifier: MIT
"""Operators with their gradients.

The gradient of an operator is again an operator (kcl_operator_grad_many): it has one more argument for each result, the
cotangent, and one result for each argument that a gradient is wanted for, all from one sweep. A gradient is linear in
its cotangents, so its own gradient in these is the derivative of the operator when the arguments move.
"""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from .._native import ffi, lib
from .program import Program, own


class Stage(Program):
    """An operator with what its gradients need to know: the operator of a program, or one of a gradient."""

    __slots__ = ("roles", "base", "wanted", "gradients", "source")

    def __init__(self, operator: Any, order: Sequence[int], indices: Tuple[bool, ...], base: Optional["Stage"],
                 wanted: Tuple[int, ...], source: Any = None) -> None:
        super().__init__(operator, order, 0, indices, (), False)
        self.base = base  # what this is a gradient of
        self.wanted = wanted  # and in which of its arguments
        slot = ffi.new("kcl_slot_info *")
        roles: List[int] = []
        for k in range(len(indices)):
            lib.kcl_operator_output(operator, k, slot)
            roles.append(slot.role)
        self.roles = tuple(roles)  # of the rows of the results
        self.gradients: Dict[Tuple[int, ...], "Stage"] = {}
        self.source = source  # of a first stage that reduces batch axes, what program_of takes to make it

    def gradient(self, wanted: Tuple[int, ...]) -> "Stage":
        """The vector-Jacobian products in these arguments."""
        found = self.gradients.get(wanted)
        if found is None:
            names = [ffi.new("char[]", str(k).encode()) for k in wanted]
            made = ffi.new("kcl_operator **")
            status = lib.kcl_operator_grad_many(made, self.operator, len(names), ffi.new("char *[]", names))
            operator = own(made, status)
            stage = Stage(operator, (), (False,) * len(wanted), self, wanted)
            found = self.gradients.setdefault(wanted, stage)
        return found

    def tangent(self, moved: Tuple[int, ...]) -> "Stage":
        """The derivative of the results when these arguments move. After the arguments come one array for each result,
        of the result's axes, on which nothing depends, and the tangents."""
        first: int = lib.kcl_operator_input_count(self.operator)
        return self.gradient(moved).gradient(tuple(range(first, first + self.indices.count(False))))

    def only(self, results: Sequence[int]) -> "Stage":
        """What computes these results alone. Arguments stay the same."""
        if self.base is None or len(results) == len(self.wanted):
            return self
        return self.base.gradient(tuple(self.wanted[k] for k in results))


def stage_of(program: Program) -> Stage:
    """The operator of a program as a stage, kept with the program."""
    found: Optional[Stage] = program.derived.get("stage")
    if found is None:
        stage = Stage(program.operator, program.order, program.indices, None, (), program.derived.get("source"))
        found = program.derived.setdefault("stage", stage)
    return found
