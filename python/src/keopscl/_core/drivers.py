# SPDX-License-Identifier: MIT
"""OpenCL drivers that pip has installed: used where the system has no device.

The library opens such a driver by itself, without an OpenCL loader, by the path in KEOPSCL_DRIVER. A driver that pip
has installed may have been built for other processors than this one and then ends the process, so it computes something
in a process of its own before it is used here; the cache folder remembers that it could.
"""

from __future__ import annotations

import ctypes
import fnmatch
import functools
import os
import subprocess
import sys
import warnings
from typing import List, NamedTuple, Optional, Tuple

from .._native import ffi, lib

VARIABLE = "KEOPSCL_DRIVER"
COMMAND = 'pip install "keopscl[cpu]"'


class Driver(NamedTuple):
    """How a distribution of PyPI keeps a driver, as patterns of file names."""

    distribution: str
    library: str
    needs: Tuple[str, ...]  # libraries that the driver looks for in other folders, by pattern


KNOWN = (
    Driver("intel-opencl-rt", "libintelocl.so", ()),
    Driver("pocl-binary-distribution", "libpocl-*.so", ("libhwloc-*.so*",)),
)


class InterpreterWarning(UserWarning):
    """There is no OpenCL driver: the interpreter computes, which is slow."""


class Device(NamedTuple):
    """A device that the library finds."""

    id: str  # what KEOPSCL_DEVICE takes
    type: str  # "gpu", "cpu", "host" (the interpreter), "other"


def devices() -> List[Device]:
    """The devices that the library finds, the interpreter last."""
    infos = ffi.new("kcl_device_info[64]")
    count = min(max(lib.kcl_device_list(infos, 64), 0), 64)
    return [Device(ffi.string(infos[k].id).decode(), ffi.string(infos[k].type).decode()) for k in range(count)]


def _some() -> bool:
    """Whether there is a device but the interpreter."""
    return any(device.type != "host" for device in devices())


def _files(driver: Driver) -> Optional[Tuple[str, List[str]]]:
    """The path of an installed driver and those of the libraries that it needs."""
    from importlib import metadata

    try:
        files = metadata.files(driver.distribution) or []
    except metadata.PackageNotFoundError:
        return None

    def find(pattern: str) -> Optional[str]:
        return next(
            (os.path.realpath(str(file.locate())) for file in files if fnmatch.fnmatch(file.name, pattern)), None
        )

    library = find(driver.library)
    if library is None or not os.path.exists(library):
        return None
    return library, [path for path in map(find, driver.needs) if path]


def _note(library: str) -> Optional[str]:
    """The file that remembers that a driver works here; None where nothing is kept on disk."""
    info = ffi.new("kcl_cache_info *")
    if lib.kcl_cache_stats(info) < 0 or info.dir[0] == b"\0":
        return None
    stamp = int(os.stat(library).st_mtime)
    return os.path.join(ffi.string(info.dir).decode(), f"driver-{os.path.basename(library)}-{stamp}-works")


# A formula with vectors, divisions and elementary functions, in both number types.
PROBE = """
import numpy as np
import keopscl
from keopscl.numpy import LazyTensor
keopscl.set_device("cpu")
for dtype in ("float32", "float64"):
    x = np.linspace(0, 1, 40, dtype=dtype)[:, None, None]
    result = ((LazyTensor(x) - LazyTensor(x.swapaxes(0, 1))) ** 2 / 3.0).exp().sum(axis=1)
    assert np.allclose(result, np.exp((x - x.swapaxes(0, 1)) ** 2 / 3).sum(1), rtol=1e-4)
"""


def _works(library: str) -> bool:
    """Whether a driver computes on this machine."""
    note = _note(library)
    if note and os.path.exists(note):
        return True
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    try:
        code = subprocess.run(
            [sys.executable, "-c", PROBE],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
            env={**os.environ, "PYTHONPATH": path},
        ).returncode
    except (OSError, subprocess.SubprocessError):
        return False
    if code == 0 and note:
        try:
            os.makedirs(os.path.dirname(note), mode=0o700, exist_ok=True)
            open(note, "w").close()
        except OSError:
            pass
    return code == 0


def _load(needs: List[str]) -> bool:
    """Loads what a driver needs from other folders, so that it is found by its name."""
    try:
        for path in needs:
            ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


_looked = False


def prepare(device: Optional[str]) -> None:
    """Before the first context: where the system has no device, sets KEOPSCL_DRIVER to a driver of pip's."""
    global _looked
    wanted = (device or os.environ.get("KEOPSCL_DEVICE", "")).lower()
    if _looked or wanted in ("host", "interpreter"):
        return
    _looked = True
    if os.environ.get(VARIABLE) or _some():
        return
    for driver in KNOWN:
        found = _files(driver)
        if found is None or not _load(found[1]):
            continue
        os.environ[VARIABLE] = found[0]
        os.environ["KEOPSCL_DRIVER_NEEDS"] = os.pathsep.join(found[1])
        if _works(found[0]) and _some():
            return
        del os.environ[VARIABLE]
    os.environ.pop("KEOPSCL_DRIVER_NEEDS", None)


ALGEBRA = Driver("scipy-openblas32", "libscipy_openblas*", ())


@functools.lru_cache(maxsize=None)
def prepare_algebra() -> None:
    """Sets KEOPSCL_BLAS, which nobody has set, to the OpenBLAS that pip has installed for dense matrices."""
    if "KEOPSCL_BLAS" not in os.environ:
        found = _files(ALGEBRA)
        if found is not None:
            os.environ["KEOPSCL_BLAS"] = found[0]


_told = False


def tell_interpreter() -> None:
    """Says once that the interpreter computes because there is no driver."""
    global _told
    if not _told:
        _told = True
        warnings.warn(
            f"there is no OpenCL driver: the built-in interpreter computes, which is slow. Type: {COMMAND}",
            InterpreterWarning,
            stacklevel=2,
        )


def load_needs() -> None:
    """In a process that was given a driver of pip's by its parent: loads what the driver needs."""
    needs = os.environ.get("KEOPSCL_DRIVER_NEEDS")
    if needs and os.environ.get(VARIABLE):
        _load(needs.split(os.pathsep))
