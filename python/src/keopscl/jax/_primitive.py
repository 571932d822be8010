# SPDX-License-Identifier: MIT
"""The primitive of JAX that computes a task, with its rules.

Derivatives and batches of a task are tasks, so the primitive has all orders of both modes of differentiation and any
number of vmaps. Outside of jit it runs where it stands; in a compiled function it is a callback.
"""
from __future__ import annotations

from typing import Any, List

import jax
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ._task import Task, operator_of

apply_p: Any = Primitive("keopscl")
apply_p.multiple_results = True


def compute(task: Task, operands: List[Any]) -> List[Any]:
    """The results of a task."""
    results: List[Any] = apply_p.bind(*operands, task=task)
    return results


def _impl(*operands: Any, task: Task) -> List[Any]:
    """Concrete arrays: no compiler is needed, and errors are raised as they are."""
    results = task.run([np.asarray(each) for each in operands])
    place = next((each.sharding for each in operands if getattr(each, "committed", False)), None)
    return [jax.device_put(result, place) for result in results]


apply_p.def_impl(_impl)


def _abstract(*operands: Any, task: Task) -> List[Any]:
    return [jax.core.ShapedArray(each.shape, task.dtype(each)) for each in task.outputs]


apply_p.def_abstract_eval(_abstract)


_as_pure_callback = mlir.lower_fun(lambda *operands, task: jax.pure_callback(task, _abstract(task=task), *operands),
                                   multiple_results=True)


def _lower(ctx: Any, *operands: Any, task: Task) -> Any:
    operator_of(task.stage)  # raises what makes a derivative impossible
    module = ctx.module_context
    one_cpu = tuple(module.platforms) == ("cpu",) and getattr(module.axis_context, "num_devices", 0) == 1
    if one_cpu and hasattr(mlir, "emit_python_callback"):
        # What pure_callback does, but for arrays of JAX that it makes of the operands: ten times the time of a call.
        results, _, _ = mlir.emit_python_callback(ctx, task, None, list(operands), ctx.avals_in, ctx.avals_out,
                                                  has_side_effect=False)
        return results
    return _as_pure_callback(ctx, *operands, task=task)


mlir.register_lowering(apply_p, _lower)


def _batch(operands: Any, dims: Any, *, task: Task) -> Any:
    moved = [each if dim is None else jax.numpy.moveaxis(each, dim, 0)
             for each, dim in zip(operands, dims)]
    which = [dim is not None for dim in dims]
    size = next(each.shape[0] for each, has in zip(moved, which) if has)
    return compute(task.batched(size, which), moved), [0] * len(task.outputs)


batching.primitive_batchers[apply_p] = _batch


def _jvp(primals: Any, tangents: Any, *, task: Task) -> Any:
    results = compute(task, primals)
    inputs = task.operands()
    moves = [type(each) is not ad.Zero and not task.inputs[inputs[k]].is_index for k, each in enumerate(tangents)]
    made: List[Any] = [ad.Zero(_tangent(result)) for result in results]
    if any(moves):
        moved = tuple(place for place, each in zip(inputs, moves) if each)
        valued = [k for k, output in enumerate(task.outputs) if not output.is_index]
        operands = [*primals, *[each for each, has in zip(tangents, moves) if has]]
        for k, derivative in zip(valued, compute(task.tangent(moved), operands) if valued else ()):
            made[k] = derivative
    return results, made


def _tangent(result: Any) -> Any:
    """The type of a result's tangent."""
    number = jax.numpy.issubdtype(result.dtype, jax.numpy.inexact)
    return jax.core.ShapedArray(result.shape, result.dtype if number else jax.dtypes.float0)


ad.primitive_jvps[apply_p] = _jvp


def _transpose(cotangents: Any, *operands: Any, task: Task) -> Any:
    linear = [isinstance(each, ad.UndefinedPrimal) for each in operands]
    made: List[Any] = [ad.Zero(each.aval) if has else None for each, has in zip(operands, linear)]
    valued = [each for each, output in zip(cotangents, task.outputs) if not output.is_index]
    # Results without a cotangent are left out, so that they cost nothing and no 0 meets an infinity.
    given = tuple(k for k, each in enumerate(valued) if type(each) is not ad.Zero)
    if given:
        wanted = tuple(place for place, has in zip(task.operands(), linear) if has)
        others = [each for each, has in zip(operands, linear) if not has]
        results = iter(compute(task.transpose(wanted, given), others + [valued[k] for k in given]))
        made = [next(results) if has else None for has in linear]
    return made


ad.primitive_transposes[apply_p] = _transpose


def pairs(array: Any) -> Any:
    """An array of complex numbers as real numbers, twice as many on the last axis."""
    shape = array.shape
    both = jax.numpy.stack([lax.real(array), lax.imag(array)], -1)
    return both.reshape(shape[:-1] + (2 * (shape[-1] if shape else 1),))


def complexes(array: Any) -> Any:
    """The complex numbers of such real numbers."""
    both = array.reshape(array.shape[:-1] + (array.shape[-1] // 2, 2))
    return lax.complex(both[..., 0], both[..., 1])
