# SPDX-License-Identifier: MIT
"""Tensors on CUDA devices, called cards here: they are used where they are, on PyTorch's current stream.

A call is given to the current stream of the card that holds its tensors, as PyTorch's own operators are, and nobody
waits for it. Memory for results and for intermediate results comes from PyTorch's allocator, for the same stream, and
no memory of one stream is used by a call on another. So there is nothing that record_stream would have to be told.

Where a card cannot be used, and for GPUs of other vendors, tensors are copied: their copies in the memory of the host
are computed with, and results are copied back.
"""
from __future__ import annotations

import threading
import warnings
from operator import attrgetter
from typing import Any, Dict, Optional, Sequence, Set, Tuple

import torch

from .._arrays import Place
from .._core import cards, contexts, interrupts
from .._core.leaves import F32, ArrayLeaf, NumbersLeaf
from .._core.prepared import settle
from .._errors import ArgumentError
from .._native import ffi, lib

HOST = -1

# Functions of PyTorch without types, and functions that it has where it was built for CUDA.
of_cuda: Any = torch.cuda
of_build: Any = getattr(torch, "_C")

# What tells where a tensor is. All functions of this module are looked up in it, so tests can put others there.
is_on_host: Any = attrgetter("is_cpu")
index_of: Any = torch.Tensor.get_device  # the number of the card, HOST for memory of the host
pointer_of: Any = torch.Tensor.data_ptr
stream_of: Any = getattr(of_build, "_cuda_getCurrentRawStream", None)  # the address of a card's current stream
# DLPack's table of functions that look at tensors, from PyTorch 2.10 on: prepared calls are quicker by it.
exchange: Any = getattr(torch.Tensor, "__dlpack_c_exchange_api__", None)


class CopyWarning(UserWarning):
    """Tensors of a GPU are copied to the memory of the host to be computed with."""


def number_of(tensor: Any) -> int:
    """The number of the card that holds a tensor, HOST for memory of the host; of devices of other kinds, which are
    reached by a copy alone, a number below HOST."""
    if tensor.is_cuda:
        return int(tensor.get_device())
    if tensor.device.type == "xpu":
        return HOST - 1 - int(tensor.get_device())
    return HOST


def is_capturing(card: int) -> bool:
    """Whether the current stream of a card is captured, for a graph."""
    if of_build._cuda_getDevice() == card:
        return bool(of_build._cuda_isCurrentStreamCapturing())
    with torch.cuda.device(card):
        return bool(of_cuda.is_current_stream_capturing())


def device_of(number: int) -> Any:
    """The device of PyTorch that number_of numbers."""
    return torch.device("cuda", number)


def is_of_nvidia(number: int) -> bool:
    """Whether a device that number_of numbers has CUDA."""
    return number > HOST and torch.version.hip is None


def to_host(tensor: Any) -> Any:
    """A copy in the memory of the host, in pages that the driver copies to directly."""
    try:
        copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    except RuntimeError:
        return tensor.to("cpu")
    return copy.copy_(tensor)


# ---- Memory for intermediate results ---------------------------------------------------------------------------------


def address_of(tensor: Any) -> int:
    """The address of a tensor on the card."""
    return int(tensor.data_ptr())


def allocate(size: int, card: int, stream: int) -> int:
    """The address of memory that PyTorch gives for a stream."""
    if of_build._cuda_getDevice() == card:
        return int(of_build._cuda_cudaCachingAllocator_raw_alloc(size, stream))
    return int(of_cuda.caching_allocator_alloc(size, card, stream))


def release(address: int) -> None:
    """Gives the memory back."""
    of_cuda.caching_allocator_delete(address)


class Allocator(cards.Allocator):
    """PyTorch's allocator, for one stream."""

    def __init__(self, card: int, stream: int) -> None:
        self.card, self.stream = card, stream
        self.refusal: Optional[BaseException] = None  # what PyTorch raised when its memory was asked for last

    def allocate(self, size: int) -> int:
        self.refusal = None
        try:
            return allocate(size, self.card, self.stream)
        except torch.cuda.OutOfMemoryError as error:
            self.refusal = error.with_traceback(None)
            return 0

    def release(self, address: int) -> None:
        release(address)


# ---- Calls on a stream -----------------------------------------------------------------------------------------------


MOST_STREAMS = 80  # that a thread keeps a context for; PyTorch has 64 of its own on a card, and the default stream
MOST_NUMBERS = 1024


class Stream(Place):
    """Calls on a stream of a card, from one thread."""

    __slots__ = ("card", "stream", "device", "allocator", "numbers")

    def __init__(self, card: int, stream: int, watched: bool) -> None:
        self.card, self.stream = card, stream
        self.device = device_of(card)
        self.allocator = Allocator(card, stream)
        self.context, self.memories = cards.create(card, stream, self.allocator, watched)
        self.numbers: Dict[Any, Any] = {}  # descriptions of parameters that are numbers, with their tensors

    def settle(self) -> None:
        settle(self.card, self.stream, self.context, self.memories, contexts.default())

    def view(self, leaf: Any, code: int) -> Any:
        if type(leaf) is NumbersLeaf:
            return self.view_of_numbers(leaf.values, code)
        return leaf.view(code)

    def stays(self, leaves: Sequence[Any]) -> bool:
        return all(type(leaf) is not NumbersLeaf for leaf in leaves)

    def view_of_numbers(self, values: Tuple[float, ...], code: int) -> Any:
        """The description of numbers in the memory of the card, which are put there when they are first met.

        A graph that is captured has numbers of its own, put there by the graph, since it may be replayed long after.
        """
        if is_capturing(self.card):
            return self.filled(values, code)
        key = (code, values) if 0 not in values else (code, tuple(map(str, values)))
        found = self.numbers.get(key)
        if found is None:
            if len(self.numbers) >= MOST_NUMBERS:
                self.numbers.clear()
            found = self.numbers[key] = self.filled(values, code)
        return found

    def filled(self, values: Tuple[float, ...], code: int) -> Any:
        """Numbers that the stream writes to memory of the card. No memory of the host is read later, nobody waits."""
        tensor = torch.empty(len(values), dtype=torch.float32 if code == F32 else torch.float64, device=self.device)
        for k, value in enumerate(values):
            tensor[k : k + 1].fill_(value)
        size = tensor.element_size()
        return ffi.cast("void *", address_of(tensor)), (code, (len(values),), (size,)), tensor

    def explain(self, status: int) -> None:
        if status == lib.KCL_ERROR_DEVICE_MEMORY:
            refusal, self.allocator.refusal = self.allocator.refusal, None
            if refusal is None:
                text = ffi.string(lib.kcl_context_error(self.context)).decode("utf-8", "replace")
                refusal = torch.cuda.OutOfMemoryError(text)
            raise refusal
        if status == lib.KCL_ERROR_UNSUPPORTED:
            raise cards.OnlyOpenCLError(ffi.string(lib.kcl_context_error(self.context)).decode("utf-8", "replace"))


def place_of(context: Any) -> Optional[Stream]:
    """The place of this thread whose context this is; None: of the memory of the host."""
    return next((place for place in _streams.known.values() if place.context is context), None)


class Streams(threading.local):
    """The streams that a thread has used."""

    def __init__(self) -> None:
        self.known: Dict[Tuple[int, int, bool], Stream] = {}  # by card, stream, and whether calls show how far they are


_streams = Streams()


def current_stream(card: int) -> Stream:
    """The current stream of a card."""
    known = _streams.known
    key = card, stream_of(card), interrupts.is_showing()
    found = known.get(key)
    if found is None:
        while len(known) >= MOST_STREAMS:
            del known[next(iter(known))]
        found = known[key] = Stream(*key)
    return found


# ---- Which device computes -------------------------------------------------------------------------------------------


def number_of_leaves(leaves: Sequence[Any]) -> int:
    """Where the tensors of a call are. Raises ArgumentError where they are on several devices."""
    first: Any = None
    for leaf in leaves:
        if type(leaf) is ArrayLeaf:
            if first is None:
                first = leaf.keep
            elif leaf.keep.number != first.number:
                raise mixed(first.tensor, leaf.keep.tensor)
    return HOST if first is None else int(first.number)


def mixed(one: Any, other: Any) -> ArgumentError:
    """The error of tensors of one call that are on several devices."""
    return ArgumentError(
        f"the tensor of shape {tuple(one.shape)} is on {one.device} and the tensor of shape {tuple(other.shape)} on "
        f"{other.device}: the tensors of a call are all on one device; x.to(device) moves one"
    )


# What calls with tensors on a card do, by the number of the card, the device that a keyword asks for, and the one that
# set_device asks for.
_copies: Dict[Tuple[int, Optional[str], Optional[str]], bool] = {}


def copies(number: int, keyword: Optional[str]) -> bool:
    """Whether tensors on a device are copied to the memory of the host to be computed with. `keyword`: the device that
    a keyword of the call asks for."""
    key = number, keyword, contexts.default()
    found = _copies.get(key)
    if found is None:
        found = _copies[key] = decide(number, keyword)
    return found


def decide(number: int, keyword: Optional[str]) -> bool:
    """See copies."""
    if not is_of_nvidia(number):
        tell("vendor", "tensors of this device are copied to pinned memory of the host, to be computed with by OpenCL, "
             "and results are copied back: without a copy tensors of CUDA devices are used")
        return True
    if keyword is None:
        name = contexts.wanted()
        if not cards.wanted(name, number):
            tell("wanted", f"the device \"{name}\" is asked for, by KEOPSCL_DEVICE or set_device, and tensors are on "
                 f"cuda:{number}: they are copied to be computed with, and results are copied back")
            return True
    elif keyword != "gpu":
        gpus = contexts.ids("gpu")
        if keyword not in gpus:
            return True  # backend="CPU", as with KeOps
        cards.wanted(f"cuda:{gpus.index(keyword)}", number)
    problem = cards.problem(number)
    if problem is not None:
        tell("problem", f"tensors on cuda:{number} are copied to be computed with, and results are copied back, since "
             f"CUDA cannot be used: {problem}")
    return problem is not None


_told: Set[str] = set()


def tell(topic: str, text: str) -> None:
    """Warns once a process and topic."""
    if topic not in _told:
        _told.add(topic)
        warnings.warn(text, CopyWarning, stacklevel=2)
