# SPDX-License-Identifier: MIT
"""Contexts on CUDA devices, called cards here: one for each thread, card and stream, made when first used.

The work of a context is given to its stream among what others give to the stream, and nobody waits for it. So contexts
on cards are not watched: a watched call is given to the device in pieces and waits for each (see interrupts.py).
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from typing import Any, Dict, Optional, Tuple

from .._errors import ArgumentError, Error, UnsupportedError, error_of
from .._native import ffi, lib
from . import interrupts
from .prepared import leave

_lock = threading.Lock()

# For each card, the context whose compiled programs all others share. It runs nothing, and is never destroyed.
_roots: Dict[int, Any] = {}

# For each card that cannot be used, why.
_problems: Dict[int, Error] = {}


class OnlyOpenCLError(UnsupportedError):
    """A program runs by OpenCL, and not by CUDA."""


class Allocator:
    """Memory of a card for the intermediate results of calls on one stream."""

    def allocate(self, size: int) -> int:
        """The address of so many bytes; 0 where the card has no more memory."""
        raise NotImplementedError

    def release(self, address: int) -> None:
        """Takes memory back that work of the stream may still use."""
        raise NotImplementedError


@ffi.def_extern(error=ffi.NULL, onerror=interrupts.keep)  # type: ignore[untyped-decorator, unused-ignore]
def keopscl_allocate(user: Any, size: int) -> Any:
    """Called by the library during a call."""
    return ffi.cast("void *", ffi.from_handle(user).allocate(size))


@ffi.def_extern(onerror=interrupts.keep)  # type: ignore[untyped-decorator, unused-ignore]
def keopscl_release(user: Any, pointer: Any) -> None:
    """Called by the library during a call, or when a context is destroyed."""
    ffi.from_handle(user).release(int(ffi.cast("uintptr_t", pointer)))


def _made(card: int, stream: int, share: Any, handle: Any) -> Any:
    """A kcl_context."""
    made = ffi.new("kcl_context **")
    params = ffi.new("kcl_cuda_params *")
    params.device = card
    params.stream = ffi.cast("void *", stream)
    params.share = share
    if handle is not None:
        params.allocate = lib.keopscl_allocate
        params.release = lib.keopscl_release
        params.user = handle
    status = lib.kcl_cuda_context_create(made, ffi.NULL, params)
    if status < 0:
        error = error_of(status, lib.kcl_context_error(made[0]))
        lib.kcl_context_destroy(made)
        if status in (lib.KCL_ERROR_NO_DEVICE, lib.KCL_ERROR_UNSUPPORTED):
            _problems[card] = error
        raise error
    return made[0]


def _root(card: int) -> Any:
    """The context whose programs all contexts of a card share."""
    with _lock:
        if card in _problems:
            raise _problems[card]
        if card not in _roots:
            _roots[card] = _made(card, 0, ffi.NULL, None)
        return _roots[card]


def problem(card: int) -> Optional[Error]:
    """Why a card cannot be used; None if it can. Raises what else went wrong."""
    try:
        _root(card)
    except Error:
        if card not in _problems:
            raise
    return _problems.get(card)


def _destroy(
    handle: Any,
    memories: Any,
    context: Any,
    forget: Any = lib.keopscl_forget,
    destroy: Any = lib.kcl_context_destroy,
    new: Any = ffi.new,
    is_finalizing: Any = sys.is_finalizing,
    leave: Any = leave,
) -> None:
    """Frees a context, but at the end of the process, when the driver may be gone. `handle` lives till then."""
    leave(context)
    if not is_finalizing():
        forget(memories)
        destroy(new("kcl_context **", context))


def create(card: int, stream: int, allocator: Allocator, watched: bool) -> Tuple[Any, Any]:
    """A context of this thread on a stream, whose address is `stream`, owned by the object that is returned, and the
    descriptions of memory that its calls keep (keopscl_memories). `watched`: calls show how far they are."""
    handle = ffi.new_handle(allocator)
    memories = ffi.new("keopscl_memories *")
    context = _made(card, stream, _root(card), handle)
    if watched:
        interrupts.install(context)
    return ffi.gc(context, partial(_destroy, handle, memories)), memories


def wanted(name: str, card: int) -> bool:
    """Whether the name of a device, as KEOPSCL_DEVICE takes it, means the card that holds the arrays of a call.

    Raises ArgumentError where it means another card.
    """
    name = name.lower()
    if name in ("", "gpu", "cuda"):
        return True
    if not name.startswith("cuda:"):
        return False
    number = name[len("cuda:") :]
    if number.isdigit() and int(number) != card:
        raise ArgumentError(
            f"the arrays are on cuda:{card} and the device that computes is to be {name}: arrays are used on the card "
            "that holds them; move them, or ask for another device"
        )
    return True
