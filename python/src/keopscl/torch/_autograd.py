# SPDX-License-Identifier: MIT
"""Gradients and tangents of what LazyTensors compute, to any order.

The derivative of an operator is again an operator (keopscl._core.stage). So one torch.autograd.Function serves all
orders: its backward evaluates the operator of the gradient by the same Function, its jvp the operator of the tangent.
"""
from __future__ import annotations

from itertools import count
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch.autograd import forward_ad

from .._core.evaluation import apply
from .._core.leaves import I64, ArrayLeaf
from .._core.stage import Stage, stage_of
from .._errors import UnsupportedError
from .._native import lib
from ._library import PYTORCH_2, Deferred, TorchLibrary, has_tangent, shape_of

Shape = Tuple[int, ...]

# What a Prepared learns a call from: it, the tensors that it is called with, and what TorchLibrary.teach takes.
Lesson = Tuple[Any, Sequence[Any], Sequence[Tuple[Shape, int, int]], int]


class Task:
    """What is computed: a stage, the number type, the device, the axes of arguments and results.

    `leaves` are the arguments. A task that is kept for the backward pass has None in the place of tensors, which
    autograd saves.
    """

    __slots__ = ("library", "stage", "code", "device", "shapes", "leaves", "layouts", "prepared", "prepared_back")

    def __init__(self, library: TorchLibrary, stage: Stage, code: int, device: Optional[str], shapes: Sequence[Shape],
                 leaves: Sequence[Any]) -> None:
        self.library = library
        self.stage = stage
        self.code = code
        self.device = device
        self.shapes = shapes  # of the results
        self.leaves = leaves
        self.layouts: List[Optional[Tuple[int, Shape]]] = []  # by argument: role and axes, None of numbers
        self.prepared: Any = None  # a Prepared, of a task that is done again
        # Those of its gradients, by which arguments are wanted and which results have cotangents.
        self.prepared_back: Dict[Any, Any] = {}

    def run(self, lesson: Optional[Lesson] = None) -> Tuple[Any, ...]:
        """The results. `lesson`: for a Prepared that learns the call."""
        library = self.library
        place = library.place(self.leaves)
        results: List[Any] = []
        descriptions: List[Any] = []
        for index, shape in zip(self.stage.indices, self.shapes):
            code = I64 if index else self.code
            result = library.empty(shape, code, place)
            results.append(result)
            descriptions.append((library.address(result), (code, shape)))
        for leaf in self.leaves:
            descriptions.append(leaf.view(self.code) if place is None else place.view(leaf, self.code))
        arrays = apply(self.stage, descriptions, self.device, place)
        if lesson is not None:
            prepared, tensors, shown, width = lesson
            given = [leaf for leaf in self.leaves if type(leaf) is ArrayLeaf]
            if all([library.is_used(leaf, tensor) for leaf, tensor in zip(given, tensors)]):
                numbers = count()
                sources = [next(numbers) if type(leaf) is ArrayLeaf else description
                           for leaf, description in zip(self.leaves, descriptions[len(results):])]
                library.teach(prepared, tensors, place, arrays, sources, shown, width)
        return tuple(results)

    def again(self, tensors: Sequence[Any]) -> Tuple[Any, ...]:
        """The results of a task that was kept, of these tensors."""
        results: Any = self.prepared(*tensors)
        if results is not NotImplemented:
            return tuple(results)
        given = iter(tensors)
        leaves = [leaf if layout is None else self.library.leaf(next(given), *layout)
                  for leaf, layout in zip(self.leaves, self.layouts)]
        shown = [(shape, I64 if index else self.code, k)
                 for k, (shape, index) in enumerate(zip(self.shapes, self.stage.indices))]
        task = Task(self.library, self.stage, self.code, self.device, self.shapes, leaves)
        return task.run((self.prepared, tensors, shown, len(shown)))

    def without_tensors(self) -> "Task":
        """The task that is kept for the backward pass."""
        kept = Task(self.library, self.stage, self.code, self.device, self.shapes,
                    [None if type(leaf) is ArrayLeaf else leaf for leaf in self.leaves])
        kept.layouts = [(leaf.role, shape_of(leaf)) if type(leaf) is ArrayLeaf else None for leaf in self.leaves]
        return kept


class Apply(torch.autograd.Function):
    """The results of a task as a function of its tensors. An argument that stands twice is a tensor twice."""

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        task, tensors = args[0], args[1:]
        if task.prepared is None:
            results = task.run()
            ctx.task = task.without_tensors()
        else:
            results = task.again(tensors)
            ctx.task = task
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        if forward_ad._current_level >= 0:
            ctx.save_for_forward(*tensors)
        if True in task.stage.indices:
            ctx.mark_non_differentiable(*[result for result, index in zip(results, task.stage.indices) if index])
        return results

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        task: Task = ctx.task
        tensors = ctx.saved_tensors
        if len(grad_outputs) == 1 and grad_outputs[0] is not None:  # most calls, in few steps
            given, cotangents, key = [0], grad_outputs, ctx.needs_input_grad
        else:
            # Results without a cotangent are left out, so that they cost nothing and no 0 meets an infinity.
            given = [k for k, each in enumerate(grad_outputs) if each is not None and not task.stage.indices[k]]
            cotangents, key = tuple([grad_outputs[k] for k in given]), (ctx.needs_input_grad, *given)
        prepared = task.prepared_back.get(key)
        if prepared is not None:
            results = prepared(*(tensors + cotangents))
            if results is not NotImplemented:
                return results
        library = task.library
        saved = iter(tensors)
        needed = iter(ctx.needs_input_grad[1:])
        leaves = list(task.leaves)
        wanted: List[int] = []
        sources: List[Any] = []
        for k, layout in enumerate(task.layouts):
            if layout is not None:
                tensor = next(saved)
                leaves[k] = library.leaf(tensor, *layout)
                sources.append(None)
                if next(needed):
                    wanted.append(k)
                    sources[-1] = tensor
        if not given or not wanted:
            return (None,) * (len(sources) + 1)
        for k in given:
            shape, role = task.shapes[k], task.stage.roles[k]
            if role == lib.KCL_ROLE_PARAMETER and not task.stage.flat:
                shape = shape[:-2] + shape[-1:]
            leaves.append(library.leaf(grad_outputs[k], role, shape))
        stage = task.stage.only(given).derivative(("back", tuple(wanted)))
        shapes = [shape_of(leaves[k]) for k in wanted]
        lesson = None
        if task.prepared is not None:
            if prepared is None:
                prepared = task.prepared_back[key] = library.prepared(
                    stage, any([type(leaf) is not ArrayLeaf for leaf in leaves]))
            shown = [(tuple(tensor.shape), task.code, k) for k, tensor in enumerate(sources, 1) if tensor is not None]
            lesson = prepared, tensors + cotangents, shown, len(sources) + 1
        gradients = iter(compute(Task(library, stage, task.code, task.device, shapes, leaves), lesson))
        return (None, *[None if tensor is None else like(next(gradients), tensor) for tensor in sources])

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        task: Task = ctx.task
        library, indices = task.library, task.stage.indices
        # Without their tangents, so that the tangent is computed as values are.
        unpack: Any = forward_ad.unpack_dual
        saved = iter([unpack(tensor).primal for tensor in ctx.saved_tensors])
        tangents = iter(grad_inputs[1:])
        leaves = list(task.leaves)
        moved: List[int] = []
        for k, layout in enumerate(task.layouts):
            if layout is not None:
                leaves[k] = library.leaf(next(saved), *layout)
                tangent = next(tangents)
                if tangent is not None:
                    moved.append(k)
                    leaves.append(library.leaf(tangent, *layout))
        if all(indices) or not moved:
            return (None,) * len(indices)
        stage = task.stage.derivative(("forth", tuple(moved)))
        shapes = [shape for shape, index in zip(task.shapes, indices) if not index]
        results = iter(compute(Task(library, stage, task.code, task.device, shapes, leaves)))
        return tuple([None if index else next(results) for index in indices])


def like(gradient: Any, tensor: Any) -> Any:
    """A gradient in real numbers, with the axes of the tensor that it is for."""
    if tensor.is_complex():
        return torch.view_as_complex(gradient.reshape(tuple(tensor.shape) + (2,)))
    return gradient if gradient.shape == tensor.shape else gradient.reshape(tensor.shape)


def compute(task: Task, lesson: Optional[Lesson] = None) -> Tuple[Any, ...]:
    """The results of a task. Nothing is kept where no gradient is required. `lesson`: see Task.run."""
    tensors: List[Any] = []
    requires = False
    for leaf in task.leaves:
        if type(leaf) is ArrayLeaf:
            keep: Any = leaf.keep
            if type(keep) is Deferred:
                from . import _plans

                return _plans.compute_leaves(task.stage, task.device, task.leaves)
            tensors.append(keep.tensor)
            if keep.tensor.requires_grad:
                requires = True
    moves = forward_ad._current_level >= 0 and has_tangent(tensors)
    if moves and any(task.stage.indices) and not PYTORCH_2:
        raise UnsupportedError("tangents of values beside indices need PyTorch 2: reduce twice, by min and argmin")
    if moves or requires and torch.is_grad_enabled():
        results: Tuple[Any, ...] = Apply.apply(task, *tensors)
        return results
    return task.run(lesson)


class Recorded:
    """A call with gradients that is done again: what a Prepared calls where gradients are recorded."""

    __slots__ = ("task", "order", "program", "shape")

    def __init__(self, task: Task, order: Sequence[int], program: Any, shape: Shape) -> None:
        self.task = task
        self.order = order  # of the arguments that are tensors, the number of the tensor
        self.program = program
        self.shape = shape

    def __call__(self, *tensors: Any) -> Any:
        results: Any = Apply.apply(self.task, *[tensors[k] for k in self.order])
        if len(results) == 1 and self.program.plain:
            return results[0]
        return finished(self.task.library, self.program, self.shape, results)


def evaluate(library: TorchLibrary, evaluation: Any, leaves: Sequence[Any]) -> Any:
    """The results of an evaluation as functions of the leaves' tensors."""
    program = evaluation.program
    shape = evaluation.shape
    task = Task(library, stage_of(program), evaluation.code, evaluation.options.device, [shape] * len(program.indices),
                [leaves[k] for k in program.order])
    results = compute(task)
    if evaluation.prepared and forward_ad._current_level < 0:
        numbers = evaluation.numbers_of(leaves)
        if numbers is not None:
            task = task.without_tensors()
            task.prepared = library.prepared(task.stage, any([leaf is not None for leaf in task.leaves]))
            order = [numbers[k] for k in program.order if numbers[k] is not None]
            evaluation.prepared.learn(evaluation.tensors, 0, (), (), 0, Recorded(task, order, program, shape))
    return finished(library, program, shape, results)


def finished(library: TorchLibrary, program: Any, shape: Shape, results: Sequence[Any]) -> Any:
    """Results as users see them."""
    if program.tail:
        results = [library.reshape(result, shape[:-1] + program.tail) for result in results]
    elif program.complex:
        results = [library.view_as_complex(result) for result in results]
    return results[0] if len(results) == 1 else tuple(results)
