# SPDX-License-Identifier: MIT
"""Gradients and tangents of the solutions of linear systems, to any order.

Of A a = b with A = alpha Id + diag(noise) + K, symmetric, and a cotangent g of a: the gradient in b is w, which solves
A w = g, and all other gradients are those of -<w, A a>, a and w held. So the backward pass solves another system, by
the same Function, and evaluates the operator of the gradient of K a; both have gradients again.
"""
from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import torch
from torch.autograd import forward_ad

from .._core.leaves import F32, ROLE_I, ROLE_J, ROLE_PARAMETER, ArrayLeaf
from .._core.solve import TOLERANCE, TOLERANCE_OF_FLOAT32
from .._core.stage import stage_of
from ._autograd import Task, compute, like
from ._library import DTYPES, has_tangent, shape_of

Shape = Tuple[int, ...]


def solve(system: Any) -> Tuple[Any, Any]:
    """The solution, in real numbers, and the record of the run. Nothing is kept where no gradient is required."""
    alpha = system.alpha if isinstance(system.alpha, torch.Tensor) else None
    noise = None if system.noise is None else system.noise.keep.tensor
    tensors = [leaf.keep.tensor for leaf in system.leaves if type(leaf) is ArrayLeaf]
    all_of_them = [tensor for tensor in (alpha, noise, *tensors) if tensor is not None]
    requires = torch.is_grad_enabled() and any([tensor.requires_grad for tensor in all_of_them])
    if not requires and not has_tangent(all_of_them):
        return system.run(), system.record
    # A copy, on which the Function leaves the record.
    system = system.changed()
    solution = Solve.apply(system, alpha, noise, *tensors)
    return solution, system.record


class Saved:
    """A system for a later pass: its leaves without their tensors, which autograd saves."""

    __slots__ = ("system", "layouts", "noise")

    def __init__(self, system: Any) -> None:
        arrays: List[Any] = [None if type(leaf) is ArrayLeaf else leaf for leaf in system.leaves]
        # Later systems are solved to the same tolerance, relative to their own right-hand sides, in the number type of
        # the arguments, which gradients have.
        tolerance, accepted = relative_tolerance(system), system.accepted
        if system.code == F32:
            tolerance, accepted = max(tolerance, TOLERANCE), max(accepted, TOLERANCE_OF_FLOAT32)
        self.system = system.changed(leaves=arrays, noise=None, start=None, record=None, wide=False, checks=False,
                                     alpha=system.library.number(system.alpha), eps=0.0,
                                     tolerance=tolerance, accepted=accepted)
        self.layouts = [(leaf.role, shape_of(leaf)) if type(leaf) is ArrayLeaf else None for leaf in system.leaves]
        self.noise = None if system.noise is None else shape_of(system.noise)

    def with_tensors(self, alpha: Any, noise: Any, tensors: Sequence[Any]) -> Any:
        """The system again."""
        library = self.system.library
        given = iter(tensors)
        leaves = [leaf if layout is None else library.leaf(next(given), *layout)
                  for leaf, layout in zip(self.system.leaves, self.layouts)]
        return self.system.changed(leaves=leaves, alpha=self.system.alpha if alpha is None else alpha,
                                   noise=None if noise is None else library.leaf(noise, ROLE_PARAMETER, self.noise))


def relative_tolerance(system: Any) -> float:
    """The tolerance of a system that has been solved, relative to the largest |b|."""
    norm = float(system.record.norm.max(initial=0.0))
    absolute = float(system.eps) * float(system.shape[-2]) ** 0.5
    found = max(float(system.tolerance), absolute / norm if absolute < norm else 0.0)
    return found or TOLERANCE


class Solve(torch.autograd.Function):
    """The solution of a system as a function of alpha, the noise and the arguments."""

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        system, alpha, noise, *tensors = args
        solution = system.run()
        ctx.saved = Saved(system)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(solution, alpha, noise, *tensors)
        if forward_ad._current_level >= 0:
            ctx.save_for_forward(solution, alpha, noise, *tensors)
        return solution

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        cotangent, = grad_outputs
        if cotangent is None:
            return (None,) * len(ctx.needs_input_grad)
        solution, alpha, noise, *tensors = ctx.saved_tensors
        _, needs_alpha, needs_noise, *needed = ctx.needs_input_grad
        system = ctx.saved.with_tensors(alpha, noise, tensors)
        dtype = DTYPES[system.code]
        solution = solution.to(dtype)
        w, _ = solve(towards(system, cotangent.to(dtype)))
        gradients = gradients_of_product(system, solution, -w, dict(zip(places_of(system), needed)))
        found: List[Any] = []
        for place, tensor, need in zip(places_of(system), tensors, needed):
            gradient = None
            if need and place == system.unknown:
                gradient = like(summed(w, shape_of(system.leaves[place])), tensor)
            elif need:
                gradient = like(gradients[place], tensor)
            found.append(gradient)
        of_alpha: Any = None
        of_noise: Any = None
        if needs_alpha:
            of_alpha = -(w * solution).sum().reshape(alpha.shape).to(alpha)
        if needs_noise:
            of_noise = -summed((w * solution).sum(-1), tuple(noise.shape))
        return (None, of_alpha, of_noise, *found)

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        # Without their tangents, so that the tangent is computed as values are.
        unpack: Any = forward_ad.unpack_dual
        saved: List[Any] = [None if each is None else unpack(each).primal for each in ctx.saved_tensors]
        solution, alpha, noise, *tensors = saved
        _, of_alpha, of_noise, *tangents = grad_inputs
        system = ctx.saved.with_tensors(alpha, noise, tensors)
        library, dtype = system.library, DTYPES[system.code]
        result = solution.to(dtype)
        right = torch.zeros_like(result)
        moved: Dict[int, Any] = {}
        for place, tangent in zip(places_of(system), tangents):
            if tangent is None:
                continue
            leaf = library.leaf(tangent, *ctx.saved.layouts[place])
            if place == system.unknown:
                right = right + numbers_of(leaf)
            else:
                moved[place] = leaf
        if moved:
            leaves = with_vector(system, result) + list(moved.values())
            stage = stage_of(system.program).derivative(("forth", tuple(moved)))
            task = Task(library, stage, system.code, system.device, [system.shape], leaves)
            right = right - compute(task)[0]
        if of_alpha is not None:
            right = right - of_alpha.to(dtype) * result
        if of_noise is not None:
            right = right - of_noise[..., None] * result
        return solve(towards(system, right))[0].to(solution.dtype)


def places_of(system: Any) -> List[int]:
    """The arguments that are tensors."""
    return [k for k, leaf in enumerate(system.leaves) if type(leaf) is ArrayLeaf]


def numbers_of(leaf: Any) -> Any:
    """The tensor of a leaf, in real numbers."""
    tensor = leaf.keep.tensor
    return torch.view_as_real(tensor).reshape(shape_of(leaf)) if tensor.is_complex() else tensor.reshape(shape_of(leaf))


def with_vector(system: Any, vector: Any) -> List[Any]:
    """The arguments with a vector in the place of the unknown."""
    leaves = list(system.leaves)
    leaves[system.unknown] = system.library.leaf(vector, ROLE_J, tuple(vector.shape))
    return leaves


def towards(system: Any, vector: Any) -> Any:
    """The system with another right-hand side."""
    return system.changed(leaves=with_vector(system, vector))


def gradients_of_product(system: Any, vector: Any, cotangent: Any, needed: Dict[int, bool]) -> Dict[int, Any]:
    """By argument the gradients of <cotangent, K vector>."""
    wanted = [place for place, need in needed.items() if need and place != system.unknown]
    if not wanted:
        return {}
    library = system.library
    leaves = with_vector(system, vector)
    leaves.append(library.leaf(cotangent, ROLE_I, tuple(cotangent.shape)))
    stage = stage_of(system.program).derivative(("back", tuple(wanted)))
    shapes = [shape_of(leaves[place]) for place in wanted]
    return dict(zip(wanted, compute(Task(library, stage, system.code, system.device, shapes, leaves))))


def summed(values: Any, shape: Shape) -> Any:
    """Values, summed over the axes that were broadcast from this shape."""
    values = values.sum(tuple(range(values.dim() - len(shape)))) if values.dim() > len(shape) else values
    axes = [k for k, size in enumerate(shape) if size == 1 and values.shape[k] != 1]
    return values.sum(axes, keepdim=True) if axes else values
