# SPDX-License-Identifier: MIT
"""Calls that are known already, and done in C from the first look at the tensors to the results: native/prepared.c.

A Prepared has the calls of one operator that were made before, by what their tensors are: number types, sizes, strides,
and the device. Called with tensors, it does one of these calls, or returns NotImplemented: where it knows none, where
gradients or tangents are recorded in a way that it was not told of, and where tensors or PyTorch are in an unusual
state. A call takes place where its thread computes. `settle` tells where that is, before a call is learnt.
"""
from __future__ import annotations

from typing import Any, Dict

from .._native import ffi, lib

_names: Dict[str, Any] = {}
if lib.keopscl_prepare(id(_names)) < 0:
    raise ImportError("keopscl._native has no prepared calls")

Prepared: Any = _names["Prepared"]
configure: Any = _names["configure"]
_settle: Any = _names["settle"]
_leave: Any = _names["leave"]


def address_of(pointer: Any) -> int:
    """The address that a pointer of cffi holds."""
    return int(ffi.cast("uintptr_t", pointer))


MOST_TENSORS, MOST_ARRAYS = int(lib.KEOPSCL_MOST_TENSORS), int(lib.KEOPSCL_MOST_ARRAYS)  # of a call that can be learnt
MOST_MISSES = 16  # calls one after another that could not be learnt, before nobody tries any more


def prepared(program: Any, placed: bool) -> Any:
    """A Prepared of a program, that knows no call yet. `placed`: numbers are among the arguments."""
    return Prepared(address_of(program.operator), program.operator, placed, not all(program.indices))


def settle(card: int, stream: int, context: Any, memories: Any, asked: Any) -> None:
    """Calls of this thread on a stream of a card, or, with the card -1, on memory of the host, are done in a context,
    as long as set_device asks for the device `asked`. `leave` is to be called before `context` goes, the object."""
    _settle(card, stream, context, address_of(context), address_of(memories), asked)


def leave(context: Any, leave: Any = _leave, cast: Any = ffi.cast) -> None:
    """Nothing is done any more in a context. The names of this module may be gone by then."""
    leave(int(cast("uintptr_t", context)))


def calls() -> int:
    """How many prepared calls this process has done."""
    return int(lib.keopscl_calls)
