# SPDX-License-Identifier: MIT
"""Tasks: what a call of JAX's primitive computes, but for the arrays. A task is made while JAX traces, and run with
NumPy arrays later, many times and in threads of XLA.

Tasks are static arguments of the primitive: equal tasks are equal in JAX's caches, and a jitted function that is called
again makes none.
"""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .._core import contexts, interrupts
from .._core.evaluation import apply
from .._core.leaves import F32, F64, I64, NumbersLeaf
from .._core.stage import Stage
from .._errors import ShapeError
from .._native import ffi

Shape = Tuple[int, ...]

DTYPES: Dict[int, Any] = {F32: np.dtype(np.float32), F64: np.dtype(np.float64), I64: np.dtype(np.int64)}

ARRAY, NUMBERS, ANY = range(3)


class Input(NamedTuple):
    """An argument of an operator."""

    kind: int  # ARRAY: an operand of the primitive; NUMBERS: a parameter; ANY: numbers on which no result depends
    shape: Shape  # of the operand
    own: Shape  # the same numbers with the axes (batch axes..., rows, components), or (batch axes..., components)
    view: Shape  # as the operator sees the array: `own`, repeated along axes of size 1
    inner: int  # how many axes are no batch axes
    is_index: bool = False  # whether the numbers are numbers of rows
    values: Tuple[float, ...] = ()  # of NUMBERS


class Output(NamedTuple):
    """A result of an operator."""

    shape: Shape  # of the result of the primitive
    own: Shape  # the same numbers with the axes of the operator
    view: Shape  # as the operator computes the result, which is then summed along the axes that have size 1 in `own`
    inner: int
    is_index: bool = False


class Tangent(NamedTuple):
    """The derivative of a stage when these arguments move. The operator is made when it runs, because reverse-mode
    differentiation traces the derivative and runs its transpose instead."""

    stage: "Derived"
    moved: Tuple[int, ...]


Derived = Union[Stage, Tangent]


def operator_of(stage: Derived) -> Stage:
    """The stage, with its operator."""
    return operator_of(stage.stage).derivative(("forth", stage.moved)) if isinstance(stage, Tangent) else stage


def knows_batches(stage: Derived) -> bool:
    """Whether the operator takes arguments with the batch axes alone that it was made for."""
    return knows_batches(stage.stage) if isinstance(stage, Tangent) else stage.knows_batches


def for_batches(stage: Derived, shapes: Sequence[Shape]) -> Derived:
    """The stage for arguments with other batch axes."""
    if isinstance(stage, Tangent):
        return Tangent(for_batches(stage.stage, shapes), stage.moved)
    return stage.for_batches(shapes)


def anything(count: int, dtype: Any) -> Any:
    """Memory with numbers for an argument on which no result depends. The formulas of derivatives leave out terms whose
    cotangents sum to 0, so the numbers are of a kind that no sum makes 0 by chance."""
    return ffi.from_buffer((1 + np.arange(1, count + 1) * 0.6180339887498949 % 1).astype(dtype))


class Task:
    """A stage, with the number type, the device, and the axes of arguments and results."""

    __slots__ = ("stage", "code", "double", "device", "verbose", "index_dtype", "inputs", "outputs", "key",
                 "layouts", "__weakref__")

    def __init__(self, stage: Derived, code: int, double: bool, device: Optional[str], verbose: bool, index_dtype: Any,
                 inputs: Sequence[Input], outputs: Sequence[Output]) -> None:
        self.stage = stage
        self.code = code  # number type of the arrays
        self.double = double  # whether the arrays are computed with in float64
        self.device = device
        self.verbose = verbose
        self.index_dtype = index_dtype  # of results that are indices
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.key = (stage, code, double, device, verbose, index_dtype, self.inputs, self.outputs)
        self.layouts: Optional[Tuple[Any, Any]] = None  # see described()

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and self.key == other.key

    def __repr__(self) -> str:
        return f"{len(self.outputs)} of {len(self.inputs)}"  # in the text of a jaxpr

    # ---- What a task is ----------------------------------------------------------------------------------------------

    def dtype(self, output: Output) -> Any:
        """The number type of a result."""
        return self.index_dtype if output.is_index else DTYPES[self.code]

    def operands(self) -> List[int]:
        """The inputs that are operands of the primitive, in their order."""
        return [k for k, each in enumerate(self.inputs) if each.kind == ARRAY]

    def replaced(self, stage: Derived, inputs: Sequence[Input], outputs: Sequence[Output]) -> "Task":
        """Another stage on the same device."""
        return Task(stage, self.code, self.double, self.device, self.verbose, self.index_dtype, inputs, outputs)

    # ---- Derivatives -------------------------------------------------------------------------------------------------

    def cotangents(self) -> List[Output]:
        """The results that have derivatives."""
        return [each for each in self.outputs if not each.is_index]

    def tangent(self, moved: Tuple[int, ...]) -> "Task":
        """The derivative of the results when these inputs move: their tangents are further operands."""
        return self.replaced(Tangent(self.stage, moved), [*self.inputs, *[self.inputs[k] for k in moved]],
                             self.cotangents())

    def transpose(self, wanted: Tuple[int, ...], given: Tuple[int, ...]) -> "Task":
        """The cotangents of these inputs, in which the results are linear, from the cotangents of the results `given`.
        The operands are those of the task but for `wanted`, and the cotangents."""
        stage, inputs, places = self.stage, list(self.inputs), wanted
        if isinstance(stage, Tangent) and min(wanted) >= len(inputs) - len(stage.moved):
            # The transpose of a derivative is the gradient.
            first = len(inputs) - len(stage.moved)
            inputs = inputs[:first]
            places = tuple(stage.moved[k - first] for k in wanted)
            stage = stage.stage
        else:
            for k in wanted:
                inputs[k] = Input(ANY, (), inputs[k].view, inputs[k].view, inputs[k].inner)
        made = operator_of(stage)
        valued = [k for k, index in enumerate(made.indices) if not index]
        made = made.only([valued[k] for k in given]).derivative(("back", places))
        sources = [self.cotangents()[k] for k in given]
        inputs.extend(Input(ARRAY, each.shape, each.own, each.view, each.inner) for each in sources)
        results = [self.inputs[k] for k in wanted]
        return self.replaced(made, inputs, [Output(each.shape, each.own, each.view, each.inner) for each in results])

    # ---- A further batch axis ----------------------------------------------------------------------------------------

    def batched(self, size: int, which: Sequence[bool]) -> "Task":
        """The task with a further axis in front of all results, and of the operands that `which` names. The axis is a
        batch axis of the operator, so the whole is still one call."""
        batches = max([len(each.view) - each.inner for each in self.inputs]
                      + [len(each.view) - each.inner for each in self.outputs])
        derived = isinstance(self.stage, Tangent) or self.stage.base is not None
        if batches >= 6:
            raise ShapeError(f"vmap: {batches + 1} batch axes, of arrays and of vmaps together; 6 are possible")
        has = iter(which)

        def front(shape: Shape, inner: int, count: int) -> Shape:
            return (count, *[1] * (batches + inner - len(shape)), *shape)

        inputs: List[Input] = []
        for each in self.inputs:
            moves = next(has) if each.kind == ARRAY else each.kind == ANY
            if each.kind == NUMBERS or not (moves or derived):
                inputs.append(each)
                continue
            # A gradient has the batch axes of the argument that it is for: an argument without the axis is repeated, so
            # that its gradients are not summed along the axis.
            shape = (size,) + each.shape if moves and each.kind == ARRAY else each.shape
            inputs.append(each._replace(shape=shape, own=front(each.own, each.inner, size if moves else 1),
                                        view=front(each.view, each.inner, size)))
        outputs = [each._replace(shape=(size,) + each.shape, own=front(each.own, each.inner, size),
                                 view=front(each.view, each.inner, size)) for each in self.outputs]
        stage = self.stage
        if knows_batches(stage):
            stage = for_batches(stage, [each.view for each in inputs])
        return self.replaced(stage, inputs, outputs)

    # ---- Running -----------------------------------------------------------------------------------------------------

    def described(self) -> Tuple[Any, Any]:
        """What the library is told of results and arguments, but for their addresses."""
        if self.layouts is None:
            code = F64 if self.double else self.code
            outputs = [(I64 if each.is_index else code, each.view) for each in self.outputs]
            inputs: List[Any] = []
            for each in self.inputs:
                if each.kind == NUMBERS:
                    inputs.append(NumbersLeaf(each.values).view(code))
                    continue
                its_code = I64 if each.is_index else code
                strides: List[int] = []
                step = DTYPES[its_code].itemsize
                for own, count in zip(reversed(each.own), reversed(each.view)):
                    strides.append(step if own == count and (each.kind == ARRAY or not strides) else 0)
                    step *= own
                layout = (its_code, each.view, tuple(reversed(strides)))
                inputs.append((anything(each.view[-1], DTYPES[its_code]) if each.kind == ANY else None, layout))
            self.layouts = outputs, inputs
        return self.layouts

    def run(self, arrays: Sequence[Any]) -> List[Any]:
        """The results, from NumPy arrays."""
        outputs, inputs = self.described()
        results: List[Any] = []
        descriptions: List[Any] = []
        for layout in outputs:
            result = np.empty(layout[1], DTYPES[layout[0]])
            results.append(result)
            descriptions.append((ffi.from_buffer(result), layout))
        held = iter(arrays)
        for address, layout in inputs:
            if address is None:
                array = np.asarray(next(held), DTYPES[layout[0]], order="C")
                address = ffi.from_buffer(array)  # holds the array
            descriptions.append((address, layout))
        if self.verbose:
            with interrupts.showing():
                apply(operator_of(self.stage), descriptions, self.device)
        else:
            apply(operator_of(self.stage), descriptions, self.device)
        return [self.finished(result, each) for result, each in zip(results, self.outputs)]

    def finished(self, result: Any, output: Output) -> Any:
        """A result with the axes and the number type that JAX expects."""
        if output.own != output.view:
            axes = tuple(k for k, (own, count) in enumerate(zip(output.own, output.view)) if own != count)
            result = result.sum(axes)
        return result.reshape(output.shape).astype(self.dtype(output), copy=False)

    def __call__(self, *arrays: Any) -> Tuple[Any, ...]:
        """The results, in a thread of XLA."""
        with contexts.lent():
            return tuple(self.run(arrays))
