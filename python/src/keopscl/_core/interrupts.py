# SPDX-License-Identifier: MIT
"""Long calls: Ctrl-C ends them, and they show how far they are where that is asked for.

While the library computes, Python runs nothing in the calling thread, so a signal is only noted. The library asks a
function how to go on, several times a second; in that function Python handles signals, and what their handlers raise,
KeyboardInterrupt by default, ends the call and is raised by it.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import Any, Iterator, Optional

from .._native import ffi, lib


class State(threading.local):
    """What a thread's call has to tell."""

    raised: Optional[BaseException] = None  # by a handler of a signal, or a function that the library called
    shows: bool = False  # how far the call is
    begun: float = 0.0  # when the call began to tell
    width: int = 0  # of the line that shows it


state = State()
DELAY = 1.0  # seconds before a call shows how far it is


def keep(kind: Any, value: BaseException, traceback: Any) -> None:
    """Keeps what a function that the library calls has raised, until the call is done."""
    if state.raised is None:
        lib.keopscl_raised += 1
    state.raised = value


@ffi.def_extern(error=1, onerror=keep)  # type: ignore[untyped-decorator, unused-ignore]
def keopscl_progress(user: Any, fraction: float) -> int:
    """Called by the library: 0 to go on."""
    if state.shows:
        now = time.monotonic()
        state.begun = state.begun or now
        if now - state.begun >= DELAY or state.width:
            _show(fraction)
    return 0


def _show(fraction: float) -> None:
    text = f"keopscl: {100 * fraction:3.0f} %"
    sys.stderr.write("\r" + text + " " * max(state.width - len(text), 0))
    if fraction >= 1:
        sys.stderr.write("\r" + " " * len(text) + "\r")
    sys.stderr.flush()
    state.width = 0 if fraction >= 1 else len(text)


@contextmanager
def showing() -> Iterator[None]:
    """Calls of this thread show on standard error how far they are, after a second."""
    before, state.shows, state.begun, state.width = state.shows, True, 0.0, 0
    try:
        yield
    finally:
        if state.width:
            sys.stderr.write("\n")
        state.shows, state.width = before, 0


def is_showing() -> bool:
    """Whether calls of this thread show how far they are."""
    return state.shows


def install(context: Any) -> None:
    """Makes the calls on a context end where a signal's handler raises."""
    lib.kcl_context_set_progress(context, lib.keopscl_progress, ffi.NULL)


def raise_if_interrupted() -> None:
    """After a call: raises what a handler of a signal, or a function that the library called, has raised in it, though
    the call may have been done by then."""
    raised = state.raised
    if raised is not None:
        state.raised = None
        lib.keopscl_raised -= 1
        raise raised
