# SPDX-License-Identifier: MIT
"""What becomes of a LazyTensor: its OpenCL text, and the choices of the plan."""

from __future__ import annotations

from typing import Any, Optional

from .._errors import ArgumentError, error_of
from .._native import ffi, lib
from . import contexts
from .evaluation import batch_patterns
from .leaves import F32
from .printing import text_of
from .program import program_of
from .structure import BOTH
from .tensor import TensorBase


class Inspect(TensorBase):
    """A look at what is run."""

    __slots__ = ()

    def _reduced(self, axis: Optional[int], what: str) -> Any:
        """self, or where it depends on i and j its sum over an axis."""
        if self._node.axes != BOTH:
            return self
        lazy: Any = self
        made = lazy.sum_reduction(len(self._batch) + 1 if axis is None else axis, call=False)
        if made._node.axes == BOTH:
            raise ArgumentError(f"{what}: axis={axis} leaves both i and j")
        return made

    def _written(self, axis: Optional[int], what: str, write: Any) -> str:
        reduced = self._reduced(axis, what)
        code = self._code or F32
        node = reduced._node
        batches = batch_patterns(reduced._leaves, code) if node.over_batches else None
        program = program_of(node, False, batches)
        place = self._library.place(reduced._leaves)
        context = contexts.current() if place is None else place.context
        status = []
        text = text_of(
            lambda function, user: status.append(
                write(program.operator, context, code, self.ni or 1, self.nj or 1, function, user)
            )
        )
        if status[0] < 0:
            raise error_of(status[0], lib.kcl_context_error(context))
        return text

    def kernel(self, axis: Optional[int] = None, profile: Optional[str] = None) -> str:
        """The OpenCL program that computes self, or its sum over an axis where it depends on i and j (by default over
        j). `profile` is "cpu" or "gpu", which need no device, or None for the device in use."""
        name = ffi.new("char[]", profile.encode()) if profile else ffi.NULL

        def write(operator: Any, context: Any, code: int, m: int, n: int, function: Any, user: Any) -> int:
            return int(lib.kcl_operator_emit(operator, context, name, code, m, n, function, user))

        return self._written(axis, "kernel", write)

    def plan(self, axis: Optional[int] = None) -> str:
        """How self, or its sum over an axis, is computed on the device in use: a "key: value" a line."""

        def write(operator: Any, context: Any, code: int, m: int, n: int, function: Any, user: Any) -> int:
            return int(lib.kcl_operator_describe(operator, context, code, m, n, function, user))

        return self._written(axis, "plan", write)
