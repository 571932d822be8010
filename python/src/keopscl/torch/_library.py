# SPDX-License-Identifier: MIT
"""PyTorch's tensors for LazyTensors."""
from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch.autograd import forward_ad
from torch.utils.dlpack import from_dlpack

from .. import _arrays
from .._core import contexts
from .._core.cards import OnlyOpenCLError
from .._core.contexts import settle_here
from .._core.evaluation import Evaluation
from .._core.leaves import F32, F64, I64, ArrayLeaf
from .._core.prepared import address_of as address_of_pointer
from .._core.prepared import configure, prepared
from .._errors import ArgumentError, DerivativeError, DtypeError, ShapeError, UnsupportedError
from .._native import ffi
from . import _cuda
from ._cuda import HOST

Shape = Tuple[int, ...]

Tensor, Parameter = torch.Tensor, torch.nn.Parameter

DTYPES = {F32: torch.float32, F64: torch.float64, I64: torch.int64}
CODES = {dtype: code for code, dtype in DTYPES.items()}
SIZES = {F32: 4, F64: 8, I64: 8}
PAIRS = {torch.complex64: F32, torch.complex128: F64}
WIDE = {torch.float32: torch.float64, torch.complex64: torch.complex128}
HALVES = (torch.float16, torch.bfloat16)
NARROW = {wide: narrow for narrow, wide in WIDE.items()}

VERSION = tuple([int(part) for part in torch.__version__.split(".")[:2]])
PYTORCH_2 = VERSION >= (2, 0)
PYTORCH_2_4 = VERSION >= (2, 4)

UNDER_TRANSFORMS = ("linear systems are not solved under torch.func's transforms and in programs that are traced, "
                    "which put other tensors in the place of the arguments; torch.autograd has gradients of any order")


class Held:
    """What holds the memory of a leaf: the tensor that gradients are for, and where its memory was when it was
    described.

    A tensor may be given other memory later, by `x.data = y` or `x.resize_()`. `alias` holds the memory that was
    described in the first case, and `pointer` tells that there is other memory in both. Of a tensor that had to be
    copied (complex numbers with gaps, a lazy conjugate) `alias` is the copy, and `pointer` is -1: each call copies the
    tensor anew.
    """

    __slots__ = ("tensor", "pointer", "alias", "number")

    def __init__(self, tensor: Any, alias: Any, number: int) -> None:
        self.tensor = tensor
        pointer: int = tensor.data_ptr()
        self.pointer = pointer if pointer == alias.data_ptr() else -1
        self.alias = alias
        self.number = number  # of the device that has the memory: see _cuda.number_of


class Deferred:
    """What a leaf keeps of a tensor that has no memory: it stands for tensors that a transform of torch.func, or what
    traces a program, will put in its place."""

    __slots__ = ("tensor",)

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor


class TorchLibrary(_arrays.ArrayLibrary):
    name = "torch"
    array_name = "PyTorch tensors"
    array_type = torch.Tensor

    def as_array(self, x: Any) -> Optional[Any]:
        if isinstance(x, torch.Tensor):
            return x
        if not hasattr(x, "__dlpack__") or type(x).__module__.partition(".")[0] == "numpy":
            return None
        return from_dlpack(x)

    def shape(self, array: Any) -> Shape:
        return tuple(array.shape)

    def is_complex(self, array: Any) -> bool:
        return bool(array.is_complex())

    def describe(self, array: Any, what: str) -> Tuple[Any, int, Any, Shape, Shape]:
        number = HOST
        if not _cuda.is_on_host(array):
            number = _cuda.number_of(array)
            if number == HOST:
                raise UnsupportedError(f"{what}: {place(array)}")
        if array.layout is not torch.strided:
            raise UnsupportedError(f"{what}: {place(array)}")
        dtype = array.dtype
        real = array.detach()
        code = CODES.get(dtype)
        if code is None:
            code = PAIRS.get(dtype)
            if code is None:
                if dtype in HALVES and autocasts(array):
                    return self.describe(array.float(), what)
                raise DtypeError(f"{what}: {reason(array)}")
            real = torch.view_as_real(real.resolve_conj().resolve_neg())
            real = real.reshape(tuple(array.shape[:-1]) + (2 * (array.shape[-1] if array.ndim else 1),))
        elif real.is_neg():
            real = real.resolve_neg()
        pointer = address_of(real, what)
        size = SIZES[code]
        strides = tuple([size * n for n in real.stride()])
        if pointer is None:
            # The number of components is part of the formula, also where what traces a program leaves sizes open.
            shape = tuple(real.shape)
            return ffi.NULL, code, Deferred(array), shape[:-1] + tuple([int(size) for size in shape[-1:]]), strides
        return ffi.cast("void *", pointer), code, Held(array, real, number), tuple(real.shape), strides

    def place(self, leaves: Sequence[Any]) -> Optional[_cuda.Stream]:
        for leaf in leaves:
            if type(leaf) is ArrayLeaf:
                number = leaf.keep.number
                return None if number == HOST else _cuda.current_stream(number)
        return None

    def prepared(self, program: Any, placed: bool) -> Any:
        return None if program.complex else prepared(program, placed)

    def is_used(self, leaf: Any, array: Any) -> bool:
        keep = leaf.keep
        return type(keep) is Held and keep.tensor is array and keep.pointer != -1

    def learn(self, prepared: Any, program: Any, code: int, shape: Shape, tensors: Sequence[Any], place: Any,
              arrays: Any, sources: Sequence[Any]) -> bool:
        shape = shape[:-1] + program.tail if program.tail else shape
        results = [(shape, I64 if index else code, k) for k, index in enumerate(program.indices)]
        return self.teach(prepared, tensors, place, arrays, sources, results, len(results) if len(results) > 1 else 0)

    def teach(self, prepared: Any, tensors: Sequence[Any], place: Any, arrays: Any, sources: Sequence[Any],
              results: Sequence[Tuple[Shape, int, int]], width: int) -> bool:
        """See learn. `results`: for each its shape, its number type, and its place in a tuple of `width` results; 0: a
        single result is no tuple."""
        if any([0 in shape for shape, _, _ in results]):
            return False
        settle_here() if place is None else place.settle()
        given = [source if type(source) is int else (address_of_pointer(source[0]), source) for source in sources]
        # The quicker function of the two takes strides, from PyTorch 2 on.
        shown = [(shape, dense_strides(shape) if PYTORCH_2 else None, type, position)
                 for shape, type, position in results]
        return bool(prepared.learn(tuple(tensors), address_of_pointer(arrays), tuple(given), tuple(shown), width, None))

    def direct(self, program: Any, arrays: Sequence[Any], keeps: Sequence[Any]) -> Tuple[bool, Optional[_cuda.Stream]]:
        if forward_ad._current_level >= 0 or "by OpenCL" in program.derived:
            return False, None
        records = torch.is_grad_enabled()
        number: Any = None
        for keep in keeps:
            if type(keep) is Deferred or records and keep.tensor.requires_grad:
                return False, None
            if keep.number != number:
                if number is not None:
                    return False, None
                number = keep.number
        if number == HOST:
            return True, None
        return (False, None) if _cuda.copies(number, None) else (True, _cuda.current_stream(number))

    def brought(self, leaves: Sequence[Any], device: Optional[str]) -> Tuple[Sequence[Any], Any]:
        number = _cuda.number_of_leaves(leaves)
        if number == HOST or not _cuda.copies(number, device):
            return leaves, None
        return self.on_host(leaves)

    def on_host(self, leaves: Sequence[Any]) -> Tuple[Sequence[Any], Any]:
        """What `brought` returns where tensors are copied to memory of the host. Gradients go through the copies."""
        copied: List[Any] = []
        device = None
        for leaf in leaves:
            if type(leaf) is ArrayLeaf:
                tensor = leaf.keep.tensor
                device = device or tensor.device
                leaf = self.leaf(_cuda.to_host(tensor), leaf.role, shape_of(leaf))
            copied.append(leaf)
        return copied, lambda result: result.to(device)

    def empty(self, shape: Shape, code: int, place: Any) -> Any:
        return torch.empty(shape, dtype=DTYPES[code], device="cpu" if place is None else place.device)

    def address(self, array: Any) -> Any:
        return ffi.cast("void *", array.data_ptr())

    def reshape(self, array: Any, shape: Shape) -> Any:
        return array.reshape(shape)

    def view_as_complex(self, array: Any) -> Any:
        shape = tuple(array.shape)
        return torch.view_as_complex(array.reshape(shape[:-1] + (shape[-1] // 2, 2)))

    def writes_to(self, array: Any, memory: Any) -> bool:
        return type(memory) is Held and memory.alias.data_ptr() == array.data_ptr() and not array.is_conj()

    def zeros_like(self, leaves: Any) -> Any:
        code = next((leaf.code for leaf in leaves if isinstance(leaf, ArrayLeaf) and leaf.code != I64), F32)
        device = next((leaf.keep.tensor.device for leaf in leaves if isinstance(leaf, ArrayLeaf)), "cpu")
        return torch.zeros((1, 1), dtype=DTYPES[code], device=device)

    def columns(self, v: Any, array: Any) -> Any:
        shape = tuple(array.shape)
        if len(shape) == 1:
            return self.real(array[:, None], axis=1)
        if len(shape) == 2:
            return self.real(v, axis=1)
        return self.real(array.unsqueeze(-3))

    def widened(self, leaf: Any) -> Any:
        tensor = leaf.keep.tensor
        return self.leaf(tensor.to(WIDE[tensor.dtype]), leaf.role, shape_of(leaf))

    def narrowed(self, array: Any) -> Any:
        return array.to(NARROW[array.dtype])

    def leaf(self, array: Any, role: int, shape: Shape) -> ArrayLeaf:
        seen = array.detach()
        if seen.is_complex():
            seen = torch.view_as_real(seen.resolve_conj().resolve_neg())
        if tuple(seen.shape) != shape:
            seen = seen.reshape(shape)
        address, code, held, shape, strides = self.describe(seen, "LazyTensor")
        keep = Deferred(array) if type(held) is Deferred else Held(array, held.alias, held.number)
        return ArrayLeaf(array, role, _arrays.describe(address, code, shape, strides), code, keep)

    def array_of(self, leaf: Any) -> Any:
        return leaf.keep.tensor

    def rows_of(self, array: Any, numbers: Any) -> Any:
        return array.index_select(-2, torch.tensor(numbers.tolist(), device=array.device, dtype=torch.int64))

    def repeated(self, array: Any, shape: Shape) -> Any:
        return array.expand(shape)

    def records(self, leaves: Sequence[Any]) -> bool:
        """Whether a result of these leaves is more than its values: it has gradients or a tangent, or stands for
        results of a transform."""
        holders = [leaf.keep for leaf in leaves if type(leaf) is ArrayLeaf]
        return (any([type(each) is Deferred for each in holders])
                or torch.is_grad_enabled() and any([each.tensor.requires_grad for each in holders])
                or has_tangent([each.tensor for each in holders]))

    def no_gradient(self, leaves: Any, what: str) -> None:
        if self.records(leaves):
            raise DerivativeError(f"{what}: a tensor requires a gradient or has a tangent, which values that are "
                                  "written out do not have where the formula has reductions, take, transposes or "
                                  "numbers of rows; call under torch.no_grad(), or detach the tensor")

    def call(self, evaluation: Any, leaves: Any) -> Any:
        """The results, with a graph of how they were computed where a tensor requires a gradient."""
        stale = requires = False
        for leaf in leaves:
            if type(leaf) is ArrayLeaf:
                keep = leaf.keep
                if type(keep) is Deferred:
                    return self.deferred(evaluation, leaves)
                tensor = keep.tensor
                if tensor.data_ptr() != keep.pointer:
                    stale = True
                if tensor.requires_grad:
                    requires = True
        if stale:
            leaves = self.current(leaves)
        records = requires and torch.is_grad_enabled() or forward_ad._current_level >= 0 and self.records(leaves)
        records = records and not all(evaluation.program.indices)
        number = _cuda.number_of_leaves(leaves)
        if number == HOST:
            return self.compute(evaluation, leaves, records)
        if self.computes_there(evaluation.program, number, evaluation.options.device):
            try:
                return self.compute(evaluation, leaves, records)
            except OnlyOpenCLError as error:
                self.only_by_copies(evaluation.program, error)
        return self.compute_on_host(evaluation, leaves, records)

    def computes_there(self, program: Any, number: int, device: Optional[str]) -> bool:
        """Whether the card that holds the tensors of a call computes with them."""
        return "by OpenCL" not in program.derived and not _cuda.copies(number, device)

    def only_by_copies(self, program: Any, error: OnlyOpenCLError) -> None:
        """Notes that cards cannot run a program, and says why."""
        _cuda.tell("program", f"tensors of a GPU are copied to be computed with: {error}")
        program.derived["by OpenCL"] = True

    def compute(self, evaluation: Any, leaves: Sequence[Any], records: bool) -> Any:
        """The results of leaves that are as they are described, and on one device that computes with them there.
        `records`: they have gradients or tangents."""
        options = evaluation.options
        if options.out is not None:
            return self.into(evaluation, leaves, records)
        if not records or (options.double and evaluation.code == F32):
            return evaluation.run(leaves)
        from . import _autograd

        return _autograd.evaluate(self, evaluation, leaves)

    def number(self, x: Any) -> float:
        if not isinstance(x, torch.Tensor):
            return float(x)
        if address_of(x.detach(), "alpha") is None:
            raise UnsupportedError(f"alpha: {UNDER_TRANSFORMS}")
        return float(x.detach())

    def solve(self, system: Any) -> Tuple[Any, Any]:
        """The solution of linear systems, with a graph of how it was computed where a tensor requires a gradient."""
        from . import _solve

        leaves = system.arrays
        for leaf in leaves:
            if type(leaf) is ArrayLeaf and type(leaf.keep) is Deferred:
                raise UnsupportedError(f"{system.what}: {UNDER_TRANSFORMS}")
        system = system.with_arrays(self.current(leaves))
        number = _cuda.number_of_leaves(system.arrays)
        if number == HOST:
            return _solve.solve(system)
        if self.computes_there(system.program, number, system.device):
            try:
                return _solve.solve(system)
            except OnlyOpenCLError as error:
                self.only_by_copies(system.program, error)
        copies, back = self.on_host(system.arrays)
        solution, record = _solve.solve(system.with_arrays(copies))
        return back(solution), record

    def deferred(self, evaluation: Any, leaves: Sequence[Any]) -> Any:
        """The results where a tensor has no memory yet."""
        options = evaluation.options
        if options.out is not None:
            raise ArgumentError("out: not together with torch.func and torch.compile, which put other tensors in the "
                                "place of the argument")
        if options.double and evaluation.code == F32:
            return evaluation.run(leaves)
        from . import _plans

        return _plans.evaluate(self, evaluation, leaves)

    def compute_on_host(self, evaluation: Any, leaves: Sequence[Any], records: bool) -> Any:
        """The results, computed with copies in the memory of the host, and brought to the device of the leaves."""
        copies, back = self.on_host(leaves)
        out = evaluation.options.out
        if out is None:
            results = self.compute(evaluation, copies, records)
            return tuple(map(back, results)) if isinstance(results, tuple) else back(results)
        tensors = out if isinstance(out, (tuple, list)) else (out,)
        given = [_cuda.to_host(each.detach()).requires_grad_(each.requires_grad)
                 if isinstance(each, torch.Tensor) else each for each in tensors]
        options = evaluation.options._replace(out=given if isinstance(out, (tuple, list)) else given[0])
        inner = Evaluation(self, evaluation.program, evaluation.code, evaluation.shape, options)
        self.compute(inner, copies, records)
        for each, copy in zip(tensors, given):
            each.copy_(copy)
        return out

    def current(self, leaves: Sequence[Any]) -> Sequence[Any]:
        """The leaves, of which those are described anew whose tensors have other memory by now."""
        made: List[Any] = []
        for leaf in leaves:
            if type(leaf) is not ArrayLeaf:
                made.append(leaf)
                continue
            if type(leaf.keep) is Deferred:
                raise UnsupportedError(f"the tensor of shape {tuple(leaf.keep.tensor.shape)} has no memory, it is one "
                                       "of torch.func or torch.compile: values of it cannot be written out")
            if leaf.keep.tensor.data_ptr() != leaf.keep.pointer:
                tensor, shape = leaf.keep.tensor, shape_of(leaf)
                count = 1
                for size in shape:
                    count *= size
                parts = 2 if tensor.is_complex() else 1
                if tensor.numel() * parts != count or leaf.code != PAIRS.get(tensor.dtype, CODES.get(tensor.dtype)):
                    raise ShapeError(f"a tensor of {count} numbers has become one of the shape {tuple(tensor.shape)} "
                                     f"and dtype {tensor.dtype} since its LazyTensor was made")
                leaf = self.leaf(tensor, leaf.role, shape)
            made.append(leaf)
        return made

    def into(self, evaluation: Evaluation, leaves: Sequence[Any], records: bool) -> Any:
        """The results, written into tensors of the user."""
        out = evaluation.options.out
        tensors = out if isinstance(out, (tuple, list)) else (out,)
        if records or any(isinstance(each, torch.Tensor) and each.requires_grad for each in tensors):
            raise ArgumentError("out: results that are written into tensors have no gradients, and an argument or "
                                "`out` requires one; call under torch.no_grad(), or detach the tensors")
        first = next((leaf.keep for leaf in leaves if type(leaf) is ArrayLeaf), None)
        for each in tensors:
            if first is not None and isinstance(each, torch.Tensor) and _cuda.number_of(each) != first.number:
                raise _cuda.mixed(first.tensor, each)
        results = evaluation.run(leaves)
        for each in tensors:
            # Tells autograd that the tensor was written to: of no element, a change counts as one.
            if isinstance(each, torch.Tensor):
                each.unsqueeze(-1).narrow(-1, 0, 0).zero_()
        return results


def dense_strides(shape: Shape) -> Shape:
    """The strides of a new tensor, in elements."""
    strides = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def shape_of(leaf: Any) -> Shape:
    """The axes of a leaf as its role has them, in real numbers."""
    shape: Shape = leaf.description[1][1]
    return shape


def has_tangent(tensors: Sequence[Any]) -> bool:
    """Whether a tensor has a tangent, of forward-mode differentiation."""
    if forward_ad._current_level < 0:
        return False
    unpack: Any = forward_ad.unpack_dual
    return any([unpack(tensor).tangent is not None for tensor in tensors])


def is_traced(tensor: Any) -> bool:
    """Whether a tensor stands for others while a program is traced, as those of torch.compile and torch.export do."""
    return type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__


def address_of(tensor: Any, what: str) -> Optional[int]:
    """The address of the first element; None of a tensor that stands for others, and has no memory."""
    pointer: Optional[int] = None
    if type(tensor) is torch.Tensor or not is_traced(tensor):
        try:
            pointer = tensor.data_ptr()
        except RuntimeError:
            pointer = None  # a tensor of torch.func
    if not pointer and tensor.numel() and (pointer == 0 or not PYTORCH_2):
        raise UnsupportedError(f"{what}: the tensor of shape {tuple(tensor.shape)} has no memory: it was released, or "
                               "it is a tensor of functorch, for which PyTorch 2 is needed")
    return pointer


def autocasts(tensor: Any) -> bool:
    """Whether torch.autocast is on for the device of a tensor."""
    kind = tensor.device.type
    if PYTORCH_2_4:
        return bool(torch.is_autocast_enabled(kind))
    return bool(torch.is_autocast_cpu_enabled() if kind == "cpu" else torch.is_autocast_enabled())


def place(array: Any) -> str:
    """Why a tensor cannot be read where it is."""
    what = f"the tensor of shape {tuple(array.shape)} is"
    if array.layout is torch.strided:
        return f"{what} on the device {array.device}: only tensors of the CPU and of CUDA devices can be used, x.cpu()"
    return f"{what} stored as {array.layout}: only dense tensors can be used, x.to_dense()"


def reason(array: Any) -> str:
    """Why the elements of a tensor cannot be used."""
    what = f"the tensor of shape {tuple(array.shape)} has dtype {array.dtype}"
    if array.dtype in HALVES:
        return f"{what}, which is not there yet: convert it with x.float()"
    return f"{what}; float32, float64, complex64 and complex128 are possible, and int64 for indices"


library = TorchLibrary()


def problem(context: Any, status: int) -> None:
    """After a prepared call: raises what it has to tell. Returns where a longer look finds out what is the matter."""
    try:
        contexts.check(status, context, _cuda.place_of(context))
    except (ArgumentError, OnlyOpenCLError):
        pass


configure(Tensor, Parameter, torch.float32, torch.float64, torch.int64,
          Tensor.new_empty_strided if PYTORCH_2 else Tensor.new_empty, Tensor.is_neg, torch.is_grad_enabled,
          vars(forward_ad), vars(_cuda), vars(contexts), problem)
