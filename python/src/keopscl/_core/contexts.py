# SPDX-License-Identifier: MIT
"""Contexts of the library: one for each thread and device, made when first used."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional

from .._arrays import Place
from .._errors import ArgumentError, DeviceError, error_of
from .._native import ffi, lib
from . import drivers, interrupts
from .prepared import leave, settle

_local = threading.local()
_lock = threading.Lock()

# For each device, the context from which those of the threads are made. It runs nothing.
_roots: Dict[Optional[str], Any] = {}

_default: Optional[str] = None  # None: KEOPSCL_DEVICE, else the best device


def _destroy(handle: Any, destroy: Any = lib.kcl_context_destroy, new: Any = ffi.new, leave: Any = leave) -> None:
    """Frees a context; the names of this module may be gone by then."""
    leave(handle)
    destroy(new("kcl_context **", handle))


def _create(device: Optional[str]) -> Any:
    """A context of this thread, owned by the object that is returned."""
    with _lock:
        made = ffi.new("kcl_context **")
        root = _roots.get(device)
        if root is None:
            drivers.load_needs()
            drivers.prepare(device)
            drivers.prepare_algebra()
            params = ffi.new("kcl_context_params *")
            name = ffi.new("char[]", device.encode()) if device else ffi.NULL
            params.device = name
            status = lib.kcl_context_create(made, params)
            if status < 0:
                error = error_of(status, lib.kcl_context_error(made[0]))
                lib.kcl_context_destroy(made)
                raise error
            # Contexts that live when the process ends are not destroyed: the driver may be gone by then.
            root = _roots[device] = made[0]
            info = _info(root)
            if not device and not os.environ.get("KEOPSCL_DEVICE") and ffi.string(info.type) == b"host":
                drivers.tell_interpreter()
        status = lib.kcl_context_create_shared(made, root)
    if status < 0:
        error = error_of(status, lib.kcl_context_error(made[0]))
        lib.kcl_context_destroy(made)
        raise error
    interrupts.install(made[0])
    if getattr(_local, "kept", False) or threading.current_thread() is threading.main_thread():
        return ffi.gc(made[0], leave)
    return ffi.gc(made[0], _destroy)


def current(device: Optional[str] = None) -> Any:
    """The calling thread's kcl_context on a device, by default on the device that set_device names."""
    if device is None:
        device = _default
    try:
        return _local.contexts[device]
    except AttributeError:
        _local.contexts = {}
    except KeyError:
        pass
    context = _local.contexts[device] = _create(device)
    return context


def settle_here() -> None:
    """Tells prepared calls of the calling thread its context on the default device. Contexts that are lent are given
    to other threads, so they are not told."""
    context = current()
    if not getattr(_local, "kept", False):
        settle(-1, 0, context, ffi.NULL, _default)


# Contexts that threads borrow, for each device.
_lent: List[Dict[Optional[str], Any]] = []


@contextmanager
def lent() -> Iterator[None]:
    """Lends contexts to the calling thread, which another program has started. Python forgets what it keeps for a
    thread as soon as the thread leaves Python, so contexts of the thread's own would be made anew in each call. There
    are as many as threads that computed at the same time. A thread that has contexts of its own keeps to them."""
    if hasattr(_local, "contexts"):
        yield
        return
    try:
        contexts = _lent.pop()
    except IndexError:
        contexts = {}
    _local.contexts, _local.kept = contexts, True
    try:
        yield
    finally:
        del _local.contexts, _local.kept
        _lent.append(contexts)


def for_formulas() -> Any:
    """The calling thread's kcl_context for what computes nothing: no device is opened."""
    return current("host")


def check(status: int, context: Any, place: Optional[Place] = None) -> None:
    """Raises what a call on a context has to tell. `place`: where the arrays of the call are."""
    interrupts.raise_if_interrupted()
    if status < 0:
        if place is not None:
            place.explain(status)
        raise error_of(status, lib.kcl_context_error(context))


def _info(context: Any) -> Any:
    """kcl_device_info of a context."""
    info = ffi.new("kcl_device_info *")
    check(lib.kcl_context_device_info(context, info), context)
    return info


def set_device(name: Optional[str]) -> None:
    """Chooses the device of all later calls: "gpu", "cpu", "host" (the built-in interpreter), "0:1" (device 1 of
    platform 0), "cuda:0" (device 0 of CUDA), or part of a name. None: the device that KEOPSCL_DEVICE names, or the best
    one.

    Raises DeviceError where no device answers to the name.
    """
    global _default
    if name is not None and not isinstance(name, str):
        raise ArgumentError(f"set_device: a name is a string or None, not {type(name).__name__}")
    current(name or None) if name else None
    _default = name or None


def device_name() -> str:
    """The name of the device that calls run on, with its platform."""
    info = _info(current())
    name, platform = ffi.string(info.name).decode(), ffi.string(info.platform).decode()
    return f"{name} ({platform})" if platform else name


def default() -> Optional[str]:
    """The name that set_device was given."""
    return _default


def wanted() -> str:
    """The name of the device that set_device or KEOPSCL_DEVICE asks for, "" where neither does."""
    return _default or os.environ.get("KEOPSCL_DEVICE", "")


GPUS = ("GPU", "GPU_1D", "GPU_1D_device", "GPU_1D_host", "GPU_2D", "GPU_2D_device", "GPU_2D_host")


def of_backend(backend: Optional[str], device_id: int = -1) -> Optional[str]:
    """The device that KeOps' keywords `backend` and `device_id` mean. device_id numbers the GPUs, and is not looked at
    where a CPU computes.
    """
    if backend is None or backend == "auto":
        return ids("gpu")[device_id] if 0 <= device_id < len(ids("gpu")) else None
    if backend == "CPU":
        return "cpu" if ids("cpu") else "host"
    if backend not in GPUS:
        raise ArgumentError(f"backend={backend!r} is none of 'auto', 'CPU', {', '.join(map(repr, GPUS))}")
    found = ids("gpu")
    if not found:
        raise DeviceError(f"backend={backend!r}: there is no GPU here; backend='auto' takes the best device")
    if device_id >= len(found):
        raise ArgumentError(f"device_id={device_id}: there are {len(found)} GPUs, numbered from 0")
    return "gpu" if device_id < 0 else found[device_id]


_devices: Optional[List[drivers.Device]] = None


def ids(kind: str) -> List[str]:
    """The names of the devices of a type, "gpu", "cpu", "host" (the interpreter). A card has one name, by OpenCL."""
    global _devices
    if _devices is None:
        drivers.load_needs()
        drivers.prepare("cpu")
        _devices = drivers.devices()
    return [device.id for device in _devices if device.type == kind and not device.id.startswith("cuda")]


def has(kind: str) -> bool:
    """Whether there is a device of a type."""
    return bool(ids(kind))


def count(kind: str) -> int:
    """How many devices of a type there are."""
    return len(ids(kind))
