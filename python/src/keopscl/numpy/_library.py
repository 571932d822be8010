# SPDX-License-Identifier: MIT
"""NumPy's arrays for LazyTensors."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np

from .. import _arrays
from .._core.leaves import F32, F64, I64, ArrayLeaf
from .._errors import DtypeError
from .._native import ffi

Shape = Tuple[int, ...]

DTYPES: Dict[int, Any] = {F32: np.dtype(np.float32), F64: np.dtype(np.float64), I64: np.dtype(np.int64)}
CODES = {dtype: code for code, dtype in DTYPES.items()}
SINGLE, DOUBLE = DTYPES[F32], DTYPES[F64]
PAIRS = {np.dtype(np.complex64): F32, np.dtype(np.complex128): F64}
COMPLEX = {F32: np.dtype(np.complex64), F64: np.dtype(np.complex128)}


class NumpyLibrary(_arrays.ArrayLibrary):
    name = "numpy"
    array_name = "NumPy arrays"
    array_type = np.ndarray

    def as_array(self, x: Any) -> Optional[Any]:
        if isinstance(x, np.ndarray):
            return x
        if isinstance(x, np.generic) or not hasattr(x, "__dlpack__"):
            return None
        try:
            return np.from_dlpack(x)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise DtypeError(f"an array of type {type(x).__name__} cannot be read: {error}") from error

    def shape(self, array: Any) -> Shape:
        shape: Shape = array.shape
        return shape

    def is_complex(self, array: Any) -> bool:
        return array.dtype.kind == "c"  # type: ignore[no-any-return]

    def describe(self, array: Any, what: str) -> Tuple[Any, int, Any, Shape, Shape]:
        dtype = array.dtype
        code = F32 if dtype is SINGLE else F64 if dtype is DOUBLE else CODES.get(dtype)
        if code is None:
            pair = PAIRS.get(array.dtype)
            if pair is None:
                raise DtypeError(f"{what}: {reason(array)}")
            if array.ndim == 0:
                array = array.reshape(1)
            if array.strides[-1] != array.itemsize:
                array = np.ascontiguousarray(array)
            array = array.view(DTYPES[pair])
            code = pair
        try:
            address = ffi.from_buffer(array)
        except (ValueError, BufferError):
            address = ffi.cast("void *", array.__array_interface__["data"][0])
        return address, code, array, array.shape, array.strides

    def direct(self, program: Any, arrays: Sequence[Any], keeps: Sequence[Any]) -> Tuple[bool, None]:
        return True, None

    def empty(self, shape: Shape, code: int, place: Any) -> Any:
        return np.empty(shape, DTYPES[code])

    def address(self, array: Any) -> Any:
        return ffi.from_buffer(array)

    def reshape(self, array: Any, shape: Shape) -> Any:
        return array.reshape(shape)

    def view_as_complex(self, array: Any) -> Any:
        return array.view(COMPLEX[CODES[array.dtype]])

    def writes_to(self, array: Any, memory: Any) -> bool:
        return bool(array.flags.writeable) and (memory is array or memory.base is array or memory.base is array.base)

    def zeros_like(self, leaves: Any) -> Any:
        code = next((leaf.code for leaf in leaves if isinstance(leaf, ArrayLeaf) and leaf.code != I64), F32)
        return np.zeros((1, 1), DTYPES[code])

    def columns(self, v: Any, array: Any) -> Any:
        shape = array.shape
        if len(shape) == 1:
            if array.dtype.kind == "c":
                return self.real(array.reshape(1, -1, 1))
            return self.real(array[:, None], axis=1)
        if len(shape) == 2:
            return self.real(v, axis=1)
        return self.real(array.reshape(shape[:-2] + (1,) + shape[-2:]))

    def widened(self, leaf: Any) -> Any:
        _, (_, shape, strides) = leaf.description
        array = np.lib.stride_tricks.as_strided(leaf.keep, shape, strides).astype(np.float64)
        address, code, keep, shape, strides = self.describe(array, "")
        return ArrayLeaf(array, leaf.role, _arrays.describe(address, code, shape, strides), code, keep)

    def narrowed(self, array: Any) -> Any:
        return array.astype(np.complex64 if array.dtype.kind == "c" else np.float32)


def reason(array: Any) -> str:
    """Why an array cannot be used."""
    dtype = array.dtype
    if not dtype.isnative:
        return (
            f"the array of shape {array.shape} is in the other byte order ({dtype.str}); "
            "convert it with x.astype(x.dtype.newbyteorder('='))"
        )
    if dtype == np.float16:
        return f"the array of shape {array.shape} has dtype float16, which is not there yet: convert it to float32"
    return (
        f"the array of shape {array.shape} has dtype {dtype}; float32, float64, complex64 and complex128 are possible, "
        "and int64 for indices"
    )


library = NumpyLibrary()
