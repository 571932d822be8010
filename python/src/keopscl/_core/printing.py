# SPDX-License-Identifier: MIT
"""LazyTensors as text."""

from __future__ import annotations

from typing import Any, List

from .._native import ffi, lib
from . import contexts
from .program import Lowering, scope_of


def text_of(write: Any) -> str:
    """What a function of the library writes, when it is given a callback and a handle."""
    pieces: list[bytes] = []
    handle = ffi.new_handle(pieces)
    write(lib.keopscl_write, handle)
    return b"".join(pieces).decode("utf-8", "replace")


@ffi.def_extern()  # type: ignore[untyped-decorator, unused-ignore]
def keopscl_write(user: Any, text: Any, length: int) -> None:
    ffi.from_handle(user).append(ffi.buffer(text, length)[:])


def formula(tensor: Any) -> str:
    """The formula of a LazyTensor, with variables as Var(number, dim, role), or why it cannot be written."""
    context = contexts.current()
    with scope_of(context) as scope:
        expr = Lowering(scope).lower(tensor._node)[0]
        if lib.kcl_expr_status(expr) < 0:
            return str(ffi.string(lib.kcl_expr_error(expr)).decode())
        status: List[int] = []
        text = text_of(lambda function, user: status.append(lib.kcl_expr_print(expr, function, user)))
        return text if status[0] >= 0 else str(ffi.string(lib.kcl_context_error(context)).decode())


def describe(tensor: Any) -> str:
    """What print() shows."""
    lines = [f"{type(tensor).__name__} of {tensor._library.name}", f"    formula: {formula(tensor)}"]
    if tensor.symbolic_variables:
        lines.append("    symbolic variables: " + ", ".join(f"Var{each}" for each in tensor.symbolic_variables))
    lines.append(f"    shape: {tensor.shape}")
    lines.append(f"    dtype: {tensor.dtype}")
    lines.append(f"    device: {contexts.device_name()}")
    return "\n".join(lines)
