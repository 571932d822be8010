# SPDX-License-Identifier: MIT
"""pykeops.config: what the programs of KeOps ask about the machine."""

from __future__ import annotations

import importlib.util
import os
from typing import Optional

from .._core import contexts
from .._errors import ArgumentError, error_of
from .._native import ffi, lib

numpy_found = importlib.util.find_spec("numpy") is not None
torch_found = importlib.util.find_spec("torch") is not None


def __getattr__(name: str) -> bool:
    """gpu_available: whether there is a GPU. Looked up when it is asked for, which opens the OpenCL loader."""
    if name == "gpu_available":
        return contexts.has("gpu")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_build_folder() -> str:
    """The folder of compiled kernels, "" where none are kept."""
    info = ffi.new("kcl_cache_info *")
    status = lib.kcl_cache_stats(info)
    if status < 0:
        raise error_of(status, lib.kcl_status_text(status))
    return str(ffi.string(info.dir).decode())


def set_build_folder(path: Optional[str] = None) -> None:
    """Chooses the folder of compiled kernels for devices that are opened later."""
    if path is None:
        os.environ.pop("KEOPSCL_CACHE_DIR", None)
    elif not os.path.isabs(path):
        raise ArgumentError(f"set_build_folder: an absolute path is needed, not {path!r}")
    else:
        os.makedirs(path, exist_ok=True)
        os.environ["KEOPSCL_CACHE_DIR"] = path


def clear_cache() -> int:
    """Removes the compiled kernels from the disk, and returns how many there were."""
    removed = ffi.new("uint64_t *")
    status = lib.kcl_cache_clear(removed)
    if status < 0:
        raise error_of(status, lib.kcl_status_text(status))
    return int(removed[0])


def doctor() -> str:
    """What was looked for and found."""
    from .._core.drivers import prepare_algebra
    from .._core.printing import text_of

    prepare_algebra()
    return text_of(lambda function, user: lib.kcl_doctor(function, user))
