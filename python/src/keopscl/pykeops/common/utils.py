# SPDX-License-Identifier: MIT
"""pykeops.common.utils."""

from __future__ import annotations

from typing import Any


def axis2cat(axis: int) -> int:
    """The role of the rows of a result, 0 (i) or 1 (j), by the axis that is reduced."""
    if axis not in (0, 1):
        raise ValueError(f"axis={axis!r} is neither 0 nor 1")
    return 1 - axis


def cat2axis(cat: int) -> int:
    """The axis that is reduced, by the role of the rows of a result."""
    return axis2cat(cat)


def pyKeOps_Message(message: str, use_tag: bool = True, **kwargs: Any) -> None:
    """Prints a message, unless set_verbose(False) was called."""
    from .. import verbose

    if verbose:
        print(("[keopscl] " if use_tag else "") + message, **kwargs)


def pyKeOps_Warning(message: str) -> None:
    """Prints a warning, unless set_verbose(False) was called."""
    pyKeOps_Message("Warning: " + message)
