# SPDX-License-Identifier: MIT
"""Exceptions: one class for each status of the library, which is a built-in exception as well."""

from __future__ import annotations

from typing import Any, Dict, Optional, Type

from numpy.linalg import LinAlgError

from ._native import ffi, lib


class Error(Exception):
    """What all exceptions of the library itself are."""


class ArgumentError(Error, ValueError):
    """An argument is not valid."""


class FormulaError(Error, ValueError):
    """The text of a formula cannot be read; the message shows the place."""


class ShapeError(Error, ValueError):
    """Dimensions or lengths do not fit; the message names the axis and both sizes."""


class DtypeError(Error, TypeError, ValueError):
    """Number types do not agree, or are not supported."""


class DerivativeError(Error, ValueError, NotImplementedError):
    """An operation has no derivative."""


class UnsupportedError(Error, NotImplementedError):
    """The device cannot do this."""


class DeviceError(Error, RuntimeError):
    """No device answers to a name, a call of its driver failed, or the process was forked after its first use."""


class OutOfMemoryError(Error, MemoryError):
    """Memory of the host or of the device is exhausted."""


class CancelledError(Error, RuntimeError):
    """A call was cancelled before it was done."""


class SolveError(Error, ArithmeticError, LinAlgError):
    """A linear system has no solution by the method: its matrix is not symmetric or not positive definite, or a NaN or
    an infinity came up. `result`, a SolveResult, tells about each system."""

    def __init__(self, text: str, result: Optional[Any] = None) -> None:
        super().__init__(text)
        self.result = result


class SolveWarning(RuntimeWarning):
    """A linear system was not solved to its tolerance; the solution is the best that was found."""


class FileError(Error, OSError):
    """A file of the kernel cache cannot be read or written."""


class InternalError(Error, RuntimeError):
    """A fault of the library itself."""


CLASSES: Dict[int, Type[Error]] = {
    lib.KCL_ERROR_NO_MEMORY: OutOfMemoryError,
    lib.KCL_ERROR_ARGUMENT: ArgumentError,
    lib.KCL_ERROR_SYNTAX: FormulaError,
    lib.KCL_ERROR_SHAPE: ShapeError,
    lib.KCL_ERROR_LENGTH: ShapeError,
    lib.KCL_ERROR_TYPE: DtypeError,
    lib.KCL_ERROR_NO_DEVICE: DeviceError,
    lib.KCL_ERROR_OPENCL: DeviceError,
    lib.KCL_ERROR_BUILD: DeviceError,
    lib.KCL_ERROR_DEVICE_MEMORY: OutOfMemoryError,
    lib.KCL_ERROR_FORKED: DeviceError,
    lib.KCL_ERROR_UNSUPPORTED: UnsupportedError,
    lib.KCL_ERROR_DERIVATIVE: DerivativeError,
    lib.KCL_ERROR_IO: FileError,
    lib.KCL_ERROR_INTERNAL: InternalError,
    lib.KCL_ERROR_CANCELLED: CancelledError,
    lib.KCL_ERROR_NOT_SOLVED: SolveError,
}


def error_of(status: int, sentence: Any) -> Error:
    """The exception for a status, with the C string that tells why."""
    text = ffi.string(sentence).decode("utf-8", "replace") or ffi.string(lib.kcl_status_text(status)).decode()
    return CLASSES.get(status, InternalError)(text)
