# SPDX-License-Identifier: MIT
"""What tests of tensors on CUDA devices need: a real device, or a simulated one whose tensors are those of the CPU.

The simulated CUDA driver is that of tests/device/fake_cuda, named by the variable KEOPSCL_FAKE_CUDA: its devices take
memory of the process as theirs, by addresses of their own. So all tensors are tensors of a simulated card here, but for
those that the library copies to the host, and calls are waited for, since PyTorch does not wait for simulated streams.
"""
import ctypes
import gc
import os

import pytest

torch = pytest.importorskip("torch")

PATH = os.environ.get("KEOPSCL_FAKE_CUDA")
if PATH:
    ctypes.CDLL(PATH, ctypes.RTLD_GLOBAL)
    os.environ["KEOPSCL_DRIVER"] = PATH

import keopscl  # noqa: E402
from keopscl._core import contexts, evaluation  # noqa: E402
from keopscl._native import ffi, lib  # noqa: E402
from keopscl.torch import _cuda  # noqa: E402
from keopscl.torch._library import Held, TorchLibrary  # noqa: E402

REAL = torch.cuda.is_available() and torch.version.hip is None and not PATH


def storage_of(tensor):
    return tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()


class Seen(ctypes.Structure):
    """DLTensor, of DLPack."""

    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
                ("rest", ctypes.c_uint64 * 4)]


Look = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(Seen))
CurrentStream = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_int32, ctypes.c_int32, ctypes.POINTER(ctypes.c_void_p))


class Functions(ctypes.Structure):
    """DLPackExchangeAPI, of DLPack."""

    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("unused", ctypes.c_void_p * 4),
                ("look", Look), ("current_stream", CurrentStream)]


NAME = b"dlpack_exchange_api"


class Exchange:
    """DLPack's functions, as PyTorch has them, but that tensors are on cards as `number_of` and `address_of` tell."""

    def __init__(self, number_of, address_of, stream_of):
        api = ctypes.pythonapi
        api.PyCapsule_GetPointer.restype = ctypes.POINTER(Functions)
        api.PyCapsule_GetPointer.argtypes = ctypes.py_object, ctypes.c_char_p
        api.PyCapsule_New.restype = ctypes.py_object
        api.PyCapsule_New.argtypes = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
        true = api.PyCapsule_GetPointer(torch.Tensor.__dlpack_c_exchange_api__, NAME).contents

        def look(tensor, out):
            try:
                status = true.look(tensor, out)
            except RuntimeError:
                return -1
            if status == 0 and number_of(tensor) != _cuda.HOST:
                out.contents.device_type, out.contents.device_id = 2, number_of(tensor)
                out.contents.data = address_of(tensor)
            return status

        def current_stream(kind, card, out):
            out[0] = stream_of(card)
            return 0

        self.functions = Functions(true.major, true.minor, (ctypes.c_void_p * 4)(), Look(look),
                                   CurrentStream(current_stream))
        self.capsule = api.PyCapsule_New(ctypes.addressof(self.functions), NAME, None)


class Real:
    """Card 0."""

    is_real = True
    device = torch.device("cuda", 0)

    def put(self, tensor):
        """The tensor on the card, of the same strides, in memory of its own."""
        if not tensor.numel():
            return tensor.to(self.device)
        span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride()))
        memory = torch.empty(span, dtype=tensor.dtype, device=self.device)
        made = memory.as_strided(tensor.shape, tensor.stride())
        return made.copy_(tensor).requires_grad_(tensor.requires_grad)

    def wait(self):
        torch.cuda.synchronize()


class Simulated:
    """Two simulated cards. Tensors are on card 0, unless `put_on_second` was told of them."""

    is_real = False
    device = torch.device("cpu")

    def __init__(self, patch):
        self.library = ctypes.CDLL(PATH)
        assert self.library.cuInit(0) == 0
        self.library.fake_cuda_lend.restype = ctypes.c_uint64
        self.library.fake_cuda_lend.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
        self.stream = 0
        self.place = None  # of the running call
        self.is_captured = False
        self.on_host, self.on_second = [], []  # storages
        self.temporaries = {}  # by address, what the library holds
        self.released = []  # what work that is not done may use
        self.allocations = 0
        self.limit = None  # bytes that an allocation may have

        def is_among(tensor, some):
            try:
                pointer = storage_of(tensor).data_ptr()
            except (RuntimeError, NotImplementedError):
                return False  # of torch.func: it has no memory
            return any(each.data_ptr() == pointer for each in some)

        def number_of(tensor):
            return _cuda.HOST if is_among(tensor, self.on_host) else int(is_among(tensor, self.on_second))

        def address_of(tensor):
            storage = storage_of(tensor)
            if not storage.nbytes():
                return 0
            begin = self.library.fake_cuda_lend(number_of(tensor), storage.data_ptr(), storage.nbytes())
            assert begin
            return begin + tensor.data_ptr() - storage.data_ptr()

        def to_host(tensor):
            copy = tensor.clone()
            self.on_host.append(storage_of(copy))
            return copy

        def allocate(size, card, stream):
            if self.limit is not None and size > self.limit:
                raise torch.cuda.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes")
            memory = torch.empty(size, dtype=torch.uint8)
            address = address_of(memory)
            self.temporaries[address] = memory, stream
            self.allocations += 1
            return address

        def release(address):
            self.released.append(self.temporaries.pop(address))

        patch.setattr(_cuda, "is_on_host", lambda tensor: number_of(tensor) == _cuda.HOST)
        patch.setattr(_cuda, "number_of", number_of)
        patch.setattr(_cuda, "index_of", number_of)
        patch.setattr(_cuda, "pointer_of",
                      lambda tensor: tensor.data_ptr() if number_of(tensor) == _cuda.HOST else address_of(tensor))
        self.exchange = _cuda.exchange and Exchange(number_of, address_of, lambda card: self.stream)
        patch.setattr(_cuda, "exchange", self.exchange and self.exchange.capsule)
        patch.setattr(_cuda, "stream_of", lambda card: self.stream)
        patch.setattr(_cuda, "is_capturing", lambda card: self.is_captured)
        patch.setattr(_cuda, "device_of", lambda number: self.device)
        patch.setattr(_cuda, "to_host", to_host)
        patch.setattr(_cuda, "address_of", address_of)
        patch.setattr(_cuda, "allocate", allocate)
        patch.setattr(_cuda, "release", release)
        patch.setattr(_cuda, "_streams", _cuda.Streams())

        def describe(library, array, what, true=TorchLibrary.describe):
            address, code, keep, shape, strides = true(library, array, what)
            if type(keep) is Held and keep.number != _cuda.HOST:
                address = ffi.cast("void *", address_of(keep.alias))
            return address, code, keep, shape, strides

        def empty(library, shape, code, place, true=TorchLibrary.empty):
            self.place = place
            return true(library, shape, code, place)

        def address(library, array, true=TorchLibrary.address):
            return true(library, array) if self.place is None else ffi.cast("void *", address_of(array))

        def wait(place):
            if place is not None and not self.is_captured:
                lib.kcl_context_finish(place.context)
                self.released.clear()

        def check(status, context, place=None, true=contexts.check):
            wait(place)
            true(status, context, place)

        def filled(place, values, code, true=_cuda.Stream.filled):
            made = true(place, values, code)
            self.released.append(made)
            return made

        patch.setattr(_cuda.Stream, "filled", filled)
        patch.setattr(TorchLibrary, "describe", describe)
        patch.setattr(TorchLibrary, "empty", empty)
        patch.setattr(TorchLibrary, "address", address)
        def compute(program, device, place, *rest, true=evaluation.compute):
            try:
                true(program, device, place, *rest)
            finally:
                wait(place)

        class Waiting:
            """A Prepared whose calls are waited for."""

            def __init__(self, true):
                self.true, self.learn = true, true.learn

            def __call__(self, *tensors):
                before = lib.keopscl_calls
                result = self.true(*tensors)
                if lib.keopscl_calls != before and tensors:
                    number = number_of(tensors[0])
                    wait(None if number == _cuda.HOST else _cuda.current_stream(number))
                return result

        patch.setattr(TorchLibrary, "prepared", lambda library, program, placed, true=TorchLibrary.prepared: (
            None if program.complex else Waiting(true(library, program, placed))))
        patch.setattr(contexts, "check", check)
        patch.setattr(evaluation, "compute", compute)

    def put(self, tensor):
        return tensor

    def wait(self):
        pass


@pytest.fixture
def card(monkeypatch):
    """A card, asked for by set_device."""
    if not REAL and not PATH:
        pytest.skip("PyTorch finds no CUDA device")
    made = Real() if REAL else Simulated(monkeypatch)
    monkeypatch.setattr(contexts, "_default", "cuda")
    monkeypatch.setattr(_cuda, "_copies", {})
    monkeypatch.setattr(_cuda, "_told", set())
    yield made
    made.place = None
    _cuda._streams.known.clear()  # while the memory of a simulated card is known
    gc.collect()
