# SPDX-License-Identifier: MIT
"""LazyTensors on OpenCL devices: matrices that are given by a formula, and too large to store, reduced and
differentiated.

keopscl.numpy has LazyTensor, Genred and their like for NumPy arrays, keopscl.torch for PyTorch tensors, keopscl.jax for
JAX arrays. Importing opens no OpenCL driver: the first computation does.
"""

from ._core.contexts import device_name, set_device
from ._core.drivers import InterpreterWarning
from ._core.solve import SolveResult
from ._errors import (
    ArgumentError,
    CancelledError,
    DerivativeError,
    DeviceError,
    DtypeError,
    Error,
    FileError,
    FormulaError,
    InternalError,
    OutOfMemoryError,
    ShapeError,
    SolveError,
    SolveWarning,
    UnsupportedError,
)
from ._native import ffi as _ffi
from ._native import lib as _lib
from .pykeops._install import install_as_pykeops

__version__: str = _ffi.string(_lib.kcl_version()).decode()

__all__ = [
    "ArgumentError",
    "CancelledError",
    "DerivativeError",
    "DeviceError",
    "DtypeError",
    "Error",
    "FileError",
    "FormulaError",
    "InternalError",
    "InterpreterWarning",
    "OutOfMemoryError",
    "ShapeError",
    "SolveError",
    "SolveResult",
    "SolveWarning",
    "UnsupportedError",
    "device_name",
    "install_as_pykeops",
    "set_device",
]
