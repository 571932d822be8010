# SPDX-License-Identifier: MIT
"""Results of tensors that have no memory: under torch.func's transforms, and while torch.compile traces.

A Plan is what is computed without the tensors: an operator, the numbers among its arguments, and the device. Tensors
have the axes of their roles, (batch axes..., rows, components), and so have the results, as real numbers. So a plan and
tensors are all that a transform needs to know:

- vmap puts an axis in front of the tensors that have one, a batch axis like any other: one call for all.
- Gradients and tangents are plans of the derived operators.
- What traces a program (torch.compile, torch.export) sees one operator, keopscl::apply, whose arguments are the tensors
  and the plan as a text. So a program that was exported runs in another process that has imported keopscl.torch.
"""
from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch

from .._core.cards import OnlyOpenCLError
from .._core.leaves import ArrayLeaf, NumbersLeaf
from .._core.stage import Stage, described, frozen, stage_of, undescribed
from .._errors import ShapeError, UnsupportedError
from .._native import lib
from . import _cuda
from ._autograd import Task, finished
from ._library import CODES, PYTORCH_2_4, TorchLibrary, is_traced, library, shape_of

Shape = Tuple[int, ...]
MOST_AXES = 6  # batch axes that the library has
MOST_PLANS = 1000  # of texts that are kept: others are read again


class Plan:
    """An operator, the numbers among its arguments (None in the place of tensors), and the device."""

    __slots__ = ("stage", "device", "numbers", "_text")

    def __init__(self, stage: Stage, device: Optional[str], numbers: Sequence[Optional[NumbersLeaf]]) -> None:
        self.stage = stage
        self.device = device
        self.numbers = tuple(numbers)
        self._text: Optional[str] = None

    # ---- As a text ---------------------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The plan as a text, of which another process can make it again."""
        if self._text is None:
            numbers = [None if leaf is None else leaf.values for leaf in self.numbers]
            self._text = json.dumps([described(self.stage), self.device, numbers])
        return self._text

    @staticmethod
    def of(text: str) -> "Plan":
        """The plan of a text."""
        found = _plans.get(text)
        if found is None:
            stage, device, numbers = json.loads(text)
            leaves = [None if values is None else NumbersLeaf(values) for values in numbers]
            if len(_plans) >= MOST_PLANS:
                _plans.clear()
            found = _plans.setdefault(text, Plan(undescribed(frozen(stage)), device, leaves))
        return found

    # ---- Arguments and results ---------------------------------------------------------------------------------------

    def places(self) -> List[int]:
        """The arguments that are tensors."""
        return [k for k, leaf in enumerate(self.numbers) if leaf is None]

    def with_tensors(self, stage: Stage, count: int) -> "Plan":
        """The plan of a derivative, which has `count` more tensors."""
        return Plan(stage, self.device, self.numbers + (None,) * count)

    def shapes(self, shapes: Sequence[Shape]) -> List[Shape]:
        """The shapes of the results for tensors of these shapes."""
        given = iter(shapes)
        return shapes_of(self.stage, [next(given) if leaf is None else (len(leaf.values),) for leaf in self.numbers])

    def run(self, tensors: Sequence[Any]) -> Tuple[Any, ...]:
        """The results of tensors that have memory."""
        given = iter(tensors)
        leaves: Sequence[Any] = [
            number if number is not None else library.leaf(each := next(given), role, tuple(each.shape))
            for number, (role, _) in zip(self.numbers, self.stage.arguments)]
        shapes = self.shapes([tuple(tensor.shape) for tensor in tensors])
        stage, code = self.stage, code_of(tensors)
        card = _cuda.number_of_leaves(leaves)
        if card == _cuda.HOST or library.computes_there(stage, card, self.device):
            try:
                return Task(library, stage, code, self.device, shapes, leaves).run()
            except OnlyOpenCLError as error:
                library.only_by_copies(stage, error)
        leaves, back = library.on_host(leaves)
        return tuple(map(back, Task(library, stage, code, self.device, shapes, leaves).run()))

    # ---- Transforms --------------------------------------------------------------------------------------------------

    def batched(self, size: int, in_dims: Sequence[Optional[int]],
                tensors: Sequence[Any]) -> Tuple["Plan", List[Any], List[Shape]]:
        """The plan and the tensors of `size` problems, whose tensors are stacked along the axes `in_dims`, and the
        shapes of its results with that axis in front. A tensor that all problems share stays as it is, unless the
        result is summed over the batch axes that it lacks."""
        stage = self.stage
        places = self.places()
        inner = [1 if stage.arguments[k][0] == lib.KCL_ROLE_PARAMETER else 2 for k in places]
        single = [tuple(tensor.shape) if dim is None else tuple(tensor.shape[:dim]) + tuple(tensor.shape[dim + 1:])
                  for tensor, dim in zip(tensors, in_dims)]
        depth = max(len(shape) - axes for shape, axes in zip(single, inner))
        if depth >= MOST_AXES:
            raise ShapeError(f"vmap: the tensors have {depth} batch axes already, {MOST_AXES} are possible")
        made = []
        for k, axes, shape, tensor, dim in zip(places, inner, single, tensors, in_dims):
            own = shape[:len(shape) - axes]
            padded = (1,) * (depth - len(own)) + shape
            if dim is not None:
                tensor = tensor.movedim(dim, 0)
                if len(padded) > len(shape):
                    tensor = tensor.reshape((size,) + padded)
            elif k in stage.summed or stage.knows_batches:
                tensor = tensor.expand((size,) + padded)
            made.append(tensor)
        results = [(size,) + shape for shape in self.shapes(single)]
        if stage.knows_batches:
            given = iter(made)
            stage = stage.for_batches([tuple(next(given).shape) if leaf is None else (len(leaf.values),)
                                       for leaf in self.numbers])
        return Plan(stage, self.device, self.numbers), made, results

    def pull_back(self, tensors: Sequence[Any], cotangents: Sequence[Any], needed: Sequence[bool]) -> List[Any]:
        """For each tensor the gradient, None where it is not needed or 0. A cotangent is None where it is 0."""
        stage = self.stage
        given = [k for k, each in enumerate(cotangents) if each is not None and not stage.indices[k]]
        places = self.places()
        wanted = [k for k, need in zip(places, needed) if need]
        if not given or not wanted:
            return [None] * len(tensors)
        # A result of a single row has an axis of rows, and the cotangent of one none.
        rows = [not stage.flat and stage.roles[k] == lib.KCL_ROLE_PARAMETER for k in given]
        arrived = [cotangents[k].squeeze(-2) if row else cotangents[k] for k, row in zip(given, rows)]
        derived = self.with_tensors(stage.only(given).derivative(("back", tuple(wanted))), len(given))
        gradients = iter(compute(derived, [*tensors, *arrived]))
        return [next(gradients) if need else None for need in needed]

    def push_forward(self, tensors: Sequence[Any], tangents: Sequence[Any]) -> List[Any]:
        """For each result its tangent, None where it is 0 or an index. A tangent is None where it is 0."""
        stage = self.stage
        moved = [k for k, each in zip(self.places(), tangents) if each is not None]
        if not moved or all(stage.indices):
            return [None] * len(stage.indices)
        derived = self.with_tensors(stage.derivative(("forth", tuple(moved))), len(moved))
        results = iter(compute(derived, [*tensors, *[each for each in tangents if each is not None]]))
        return [None if index else next(results) for index in stage.indices]


_plans: Dict[str, Plan] = {}  # what programs that were traced have called, by text


def shapes_of(stage: Stage, shapes: Sequence[Shape]) -> List[Shape]:
    """The shapes of the results for arguments of these shapes."""
    if stage.summed:
        return [shapes[k] for k in stage.summed]
    batch: Shape = ()
    rows: Dict[int, int] = {}
    for (role, _), shape in zip(stage.arguments, shapes):
        if role != lib.KCL_ROLE_PARAMETER:
            rows[role] = shape[-2]
        batch = together(batch, shape[:-1] if role == lib.KCL_ROLE_PARAMETER else shape[:-2])
    keeps = stage.keeps()
    if keeps:
        first = len(batch) - len(keeps)
        batch = batch[:first] + tuple([size if keep else 1 for size, keep in zip(batch[first:], keeps)])
    return [batch + (rows.get(role, 1), dim) for role, dim in zip(stage.roles, stage.dims)]


def together(first: Shape, second: Shape) -> Shape:
    """The batch axes of two arguments, which are known to fit."""
    if not first or not second:
        return first or second
    count = max(len(first), len(second))
    one, two = (1,) * (count - len(first)) + first, (1,) * (count - len(second)) + second
    return tuple([b if a == 1 else a for a, b in zip(one, two)])


def code_of(tensors: Sequence[Any]) -> int:
    """The number type of the tensors that are no indices."""
    return next(CODES[tensor.dtype] for tensor in tensors if tensor.is_floating_point())


class Transformed(torch.autograd.Function):
    """The results of a plan as a function of its tensors, which torch.func transforms."""

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        plan, *tensors = args
        if any([is_traced(tensor) for tensor in tensors]):
            return tuple(apply(tensors, plan.text))
        return plan.run(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        plan, *tensors = inputs
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        ctx.mark_non_differentiable(*[result for result, index in zip(output, plan.stage.indices) if index])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return (None, *ctx.plan.pull_back(ctx.saved_tensors, grad_outputs, ctx.needs_input_grad[1:]))

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        return tuple(ctx.plan.push_forward(ctx.saved_tensors, grad_inputs[1:]))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        plan, *tensors = args
        plan, tensors, shapes = plan.batched(info.batch_size, in_dims[1:], tensors)
        results = tuple([result.reshape(shape) for result, shape in zip(compute(plan, tensors), shapes)])
        return results, (0,) * len(results)


def compute(plan: Plan, tensors: Sequence[Any]) -> Tuple[Any, ...]:
    """The results of a plan."""
    if any([is_traced(tensor) for tensor in tensors]):
        return tuple(apply(list(tensors), plan.text))
    results: Tuple[Any, ...] = Transformed.apply(plan, *tensors)
    return results


def seen(leaf: ArrayLeaf) -> Any:
    """The tensor of a leaf with the axes of its role, in real numbers."""
    tensor: Any = leaf.keep.tensor
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj().resolve_neg())
    shape = shape_of(leaf)
    return tensor if tuple(tensor.shape) == shape else tensor.reshape(shape)


def compute_leaves(stage: Stage, device: Optional[str], leaves: Sequence[Any]) -> Tuple[Any, ...]:
    """The results of a stage for the leaves that are its arguments."""
    tensors = [seen(leaf) for leaf in leaves if isinstance(leaf, ArrayLeaf)]
    return compute(Plan(stage, device, [None if isinstance(leaf, ArrayLeaf) else leaf for leaf in leaves]), tensors)


def evaluate(library: TorchLibrary, evaluation: Any, leaves: Sequence[Any]) -> Any:
    """The results of an evaluation of which tensors have no memory."""
    program, shape = evaluation.program, evaluation.shape
    results = compute_leaves(stage_of(program), evaluation.options.device, [leaves[k] for k in program.order])
    # The batch axes of a tensor that the formula does not read are axes of the result all the same.
    results = tuple([result if tuple(result.shape) == shape else result.expand(shape) for result in results])
    return finished(library, program, shape, list(results))


# ---- The operator keopscl::apply -------------------------------------------------------------------------------------

def apply(tensors: List[Any], text: str) -> List[Any]:
    """The results of the plan of a text, as one operator of PyTorch."""
    if not PYTORCH_2_4:
        raise UnsupportedError("a tensor stands for others while a program is traced (torch.compile, torch.export): "
                               "this needs PyTorch 2.4")
    results: List[Any] = torch.ops.keopscl.apply(tensors, text)
    return results


def _run(tensors: List[Any], plan: str) -> List[Any]:
    return list(Plan.of(plan).run(tensors))


def _shapes(tensors: List[Any], plan: str) -> List[Any]:
    made = Plan.of(plan)
    real = next(tensor for tensor in tensors if tensor.is_floating_point())
    return [real.new_empty(shape, dtype=torch.int64 if index else None)
            for shape, index in zip(made.shapes([tuple(tensor.shape) for tensor in tensors]), made.stage.indices)]


def _setup_context(ctx: Any, inputs: Any, output: Any) -> None:
    tensors, ctx.plan = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, cotangents: Any) -> Any:
    return Plan.of(ctx.plan).pull_back(ctx.saved_tensors, cotangents, ctx.needs_input_grad[0]), None


def _vmap(info: Any, in_dims: Any, tensors: Any, plan: Any) -> Any:
    made, batched, shapes = Plan.of(plan).batched(info.batch_size, in_dims[0], tensors)
    results = [result.reshape(shape) for result, shape in zip(compute(made, batched), shapes)]
    return results, [0] * len(results)


if PYTORCH_2_4:
    _operator: Any = torch.library.custom_op("keopscl::apply", _run, mutates_args=(),
                                             schema="(Tensor[] tensors, str plan) -> Tensor[]")
    _operator.register_fake(_shapes)
    _operator.register_autograd(_backward, setup_context=_setup_context)
    if hasattr(_operator, "register_vmap"):
        _operator.register_vmap(_vmap)
