# SPDX-License-Identifier: MIT
"""Operators with their gradients.

The gradient of an operator is again an operator (kcl_operator_grad_many): it has one more argument for each result, the
cotangent, and one result for each argument that a gradient is wanted for, all from one sweep.
"""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from .._native import ffi, lib
from .program import Program, own


class Stage(Program):
    """An operator with what its gradients need to know: the operator of a program, or one of a gradient."""

    __slots__ = ("roles", "base", "wanted", "gradients")

    def __init__(self, operator: Any, order: Sequence[int], indices: Tuple[bool, ...], base: Optional["Stage"],
                 wanted: Tuple[int, ...]) -> None:
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

    def only(self, results: Sequence[int]) -> "Stage":
        """What computes these results alone. Arguments stay the same."""
        if self.base is None or len(results) == len(self.wanted):
            return self
        return self.base.gradient(tuple(self.wanted[k] for k in results))


def stage_of(program: Program) -> Stage:
    """The operator of a program as a stage, kept with the program."""
    found: Optional[Stage] = program.derived.get("stage")
    if found is None:
        found = program.derived.setdefault("stage", Stage(program.operator, program.order, program.indices, None, ()))
    return found
