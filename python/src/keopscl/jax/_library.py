# SPDX-License-Identifier: MIT
"""JAX's arrays for LazyTensors, concrete and traced."""
from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .. import _arrays
from .._core.evaluation import Evaluation
from .._core.leaves import F32, F64, I64, ROLE_PARAMETER, ArrayLeaf
from .._core.stage import stage_of
from .._errors import DtypeError, UnsupportedError
from .._native import ffi
from ._primitive import complexes, compute, pairs
from ._task import ARRAY, DTYPES, NUMBERS, Input, Output, Task

Shape = Tuple[int, ...]

CODES = {np.dtype(np.float32): F32, np.dtype(np.float64): F64, np.dtype(np.int32): I64, np.dtype(np.int64): I64}
PAIRS = {np.dtype(np.complex64): F32, np.dtype(np.complex128): F64}

# The memory of arrays is known when a call runs. Until then only their axes are looked at.
NOWHERE = ffi.cast("void *", 64)


class JaxLibrary(_arrays.ArrayLibrary):
    name = "jax"
    array_name = "JAX arrays"
    array_type = jax.Array

    def as_array(self, x: Any) -> Optional[Any]:
        if isinstance(x, jax.Array):
            if x.ndim == 0 and is_weak(x) and jnp.issubdtype(x.dtype, jnp.integer):
                return x * 1.0  # a whole number of Python's that jit has made a tracer of
            return x
        if isinstance(x, np.ndarray):
            return jnp.asarray(x)
        if isinstance(x, np.generic) or not hasattr(x, "__dlpack__"):
            return None
        return jnp.asarray(jax.dlpack.from_dlpack(x))

    def shape(self, array: Any) -> Shape:
        return tuple(array.shape)

    def is_complex(self, array: Any) -> bool:
        return array.dtype in PAIRS

    def describe(self, array: Any, what: str) -> Tuple[Any, int, Any, Shape, Shape]:
        shape: Shape = tuple(array.shape)
        code = CODES.get(array.dtype)
        if code is None:
            code = PAIRS.get(array.dtype)
            if code is None:
                raise DtypeError(f"{what}: the array of shape {shape} has dtype {array.dtype}; float32, float64, "
                                 "complex64 and complex128 are possible, and int32 and int64 for indices")
            shape = shape[:-1] + (2 * (shape[-1] if shape else 1),)
        address, (code, shape, strides) = _arrays.describe_dense(NOWHERE, code, shape)
        return address, code, array, shape, strides

    def reshape(self, array: Any, shape: Shape) -> Any:
        return array.reshape(shape)

    def zeros_like(self, leaves: Any) -> Any:
        code = next((leaf.code for leaf in leaves if isinstance(leaf, ArrayLeaf) and leaf.code != I64), F32)
        return jnp.zeros((1, 1), DTYPES[code])

    def columns(self, v: Any, array: Any) -> Any:
        shape = tuple(array.shape)
        if len(shape) == 1:
            return self.real(array[None, :, None])
        if len(shape) == 2:
            return self.real(array, axis=1)
        return self.real(array[..., None, :, :])

    def array_of(self, leaf: Any) -> Any:
        return leaf.keep

    def leaf(self, array: Any, role: int, shape: Shape) -> ArrayLeaf:
        _, code, keep, _, _ = self.describe(array, "LazyTensor")
        return ArrayLeaf(array, role, _arrays.describe_dense(NOWHERE, code, shape), code, keep)

    def rows_of(self, array: Any, numbers: Any) -> Any:
        return jnp.take(array, numbers, axis=-2)

    def repeated(self, array: Any, shape: Shape) -> Any:
        return jnp.broadcast_to(array, shape)

    def call(self, evaluation: Evaluation, leaves: Sequence[Any]) -> Any:
        """The results: of arrays at once, of tracers when the function that is traced runs."""
        options, program, shape, code = evaluation.options, evaluation.program, evaluation.shape, evaluation.code
        if options.out is not None:
            raise UnsupportedError("out: arrays of JAX are not written to; take the result")
        stage = stage_of(program)
        inputs: List[Input] = []
        operands: List[Any] = []
        for k in program.order:
            leaf = leaves[k]
            if isinstance(leaf, ArrayLeaf):
                operand = operand_of(leaf, code)
                view = leaf.description[1][1]
                inputs.append(Input(ARRAY, tuple(operand.shape), view, view, 1 if leaf.role == ROLE_PARAMETER else 2,
                                    leaf.code == I64))
                operands.append(operand)
            else:
                view = (len(leaf.values),)
                inputs.append(Input(NUMBERS, (), view, view, 1, False, leaf.values))
        outputs: List[Output] = []
        for index, role in zip(program.indices, stage.roles):
            view = shape[:-2] + shape[-1:] if role == ROLE_PARAMETER else shape
            outputs.append(Output(shape[:-1] + program.tail if program.tail else shape, view, view,
                                  1 if role == ROLE_PARAMETER else 2, index))
        task = Task(stage, code, options.double and code == F32, options.device, options.verbose, index_dtype(), inputs,
                    outputs)
        results = compute(task, operands)
        if program.complex:
            results = [complexes(result) for result in results]
        return results[0] if len(results) == 1 else tuple(results)


def index_dtype() -> Any:
    """The number type of indices: int64 where JAX has 64 bits, else int32."""
    return jax.dtypes.canonicalize_dtype(np.int64)


def operand_of(leaf: ArrayLeaf, code: int) -> Any:
    """The array of a leaf as real numbers, in the number type of the call, which numbers of Python's lack yet."""
    array: Any = leaf.keep
    if leaf.code == I64:
        return array
    if array.dtype in PAIRS:
        array = pairs(array)
    return array if leaf.code == code else lax.convert_element_type(array, DTYPES[code])


def is_weak(x: Any) -> bool:
    """Whether x is a number of Python's in the place of an array: JAX calls the type of such an array weak."""
    return isinstance(x, jax.Array) and bool(getattr(x, "weak_type", False))


def settled(args: Sequence[Any], code: Optional[int]) -> Sequence[Any]:
    """Arrays of a call, of which numbers of Python's have the number type `code`, or if there is none the type of the
    first other array."""
    if not any(is_weak(x) for x in args):
        return args
    for x in args:
        if code is None and hasattr(x, "dtype") and not is_weak(x):
            found = PAIRS.get(x.dtype, CODES.get(x.dtype))
            code = None if found == I64 else found
    if code is None:
        return args
    return [x.astype(DTYPES[code]) if is_weak(x) and x.dtype not in PAIRS else x
            for x in args]


library = JaxLibrary()
