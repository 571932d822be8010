# SPDX-License-Identifier: MIT
"""The operator API of libkeopscl through ctypes: what the benchmarks need, nothing more."""
import ctypes
import glob
import os

MAX_AXES = 9
F32, F64, I64 = 1, 2, 3
PM = 2  # KCL_ROLE_PARAMETER
ELEMENT_SIZE = {F32: 4, F64: 8, I64: 8}


class Array(ctypes.Structure):
    """kcl_array"""
    _fields_ = [("data", ctypes.c_void_p), ("dtype", ctypes.c_int), ("ndim", ctypes.c_int),
                ("shape", ctypes.c_int64 * MAX_AXES), ("stride", ctypes.c_int64 * MAX_AXES),
                ("memory", ctypes.c_void_p), ("offset", ctypes.c_int64)]


class ContextParams(ctypes.Structure):
    """kcl_context_params"""
    _fields_ = [("device", ctypes.c_char_p), ("threads", ctypes.c_int), ("cache_dir", ctypes.c_char_p),
                ("reallocate", ctypes.c_void_p), ("allocator_user", ctypes.c_void_p), ("log", ctypes.c_void_p),
                ("log_user", ctypes.c_void_p), ("programs", ctypes.c_int)]


class DeviceInfo(ctypes.Structure):
    """kcl_device_info"""
    _fields_ = [("id", ctypes.c_char * 16), ("name", ctypes.c_char * 128), ("platform", ctypes.c_char * 128),
                ("version", ctypes.c_char * 128), ("type", ctypes.c_char * 8), ("compute_units", ctypes.c_int),
                ("clock_mhz", ctypes.c_int), ("memory", ctypes.c_uint64), ("max_buffer", ctypes.c_uint64),
                ("has_f64", ctypes.c_int), ("score", ctypes.c_double)]


class OperatorParams(ctypes.Structure):
    """kcl_operator_params"""
    _fields_ = [("schedule", ctypes.c_char_p), ("form", ctypes.c_char_p), ("math", ctypes.c_char_p),
                ("reallocate", ctypes.c_void_p), ("allocator_user", ctypes.c_void_p)]


class SlotInfo(ctypes.Structure):
    """kcl_slot_info"""
    _fields_ = [("name", ctypes.c_char * 64), ("role", ctypes.c_int), ("dim", ctypes.c_int), ("dtype", ctypes.c_int)]


WRITE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)  # kcl_write_fn


def array(address, dtype, *shape):
    """A dense row-major array of the host at an address."""
    result = Array(data=address, dtype=dtype, ndim=len(shape))
    stride = ELEMENT_SIZE[dtype]
    for axis in reversed(range(len(shape))):
        result.shape[axis] = shape[axis]
        result.stride[axis] = stride
        stride *= shape[axis]
    return result


def find_library():
    """KEOPSCL_LIBRARY, else the newest build of this checkout, else the installed library."""
    named = os.environ.get("KEOPSCL_LIBRARY")
    if named:
        return named
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    built = glob.glob(os.path.join(root, "build*", "**", "libkeopscl.so"), recursive=True)
    return max(built, key=os.path.getmtime) if built else "libkeopscl.so"


class Library:
    def __init__(self, path=None):
        self.lib = ctypes.CDLL(path or find_library())
        for name in ("kcl_context_error", "kcl_operator_error", "kcl_version"):
            getattr(self.lib, name).restype = ctypes.c_char_p

    def context(self, device=None):
        return Context(self.lib, device)

    def operator(self, formula, aliases, schedule=None, form=None, math=None):
        handle = ctypes.c_void_p()
        texts = (ctypes.c_char_p * len(aliases))(*[alias.encode() for alias in aliases])
        params = OperatorParams(*(word.encode() if word else None for word in (schedule, form, math)))
        status = self.lib.kcl_operator_create(ctypes.byref(handle), formula.encode(), len(aliases), texts,
                                              ctypes.byref(params))
        return Operator(self.lib, handle, status)


class Context:
    def __init__(self, lib, device):
        self.lib, self.handle = lib, ctypes.c_void_p()
        params = ContextParams(device=device.encode() if device else None)
        if lib.kcl_context_create(ctypes.byref(self.handle), ctypes.byref(params)) < 0:
            raise RuntimeError(self.error())

    def device_info(self):
        info = DeviceInfo()
        self.check(self.lib.kcl_context_device_info(self.handle, ctypes.byref(info)))
        return info

    def error(self):
        return self.lib.kcl_context_error(self.handle).decode()

    def check(self, status):
        if status < 0:
            raise RuntimeError(self.error())

    def upload(self, source):
        """A device array with the elements of a host array; give it back with free."""
        result = Array()
        self.check(self.lib.kcl_array_upload(self.handle, ctypes.byref(source), ctypes.byref(result)))
        return result

    def empty(self, dtype, *shape):
        """A device array whose contents are not specified."""
        result = Array()
        sizes = (ctypes.c_int64 * max(len(shape), 1))(*shape)
        self.check(self.lib.kcl_array_create(self.handle, dtype, len(shape), sizes, ctypes.byref(result)))
        return result

    def download(self, source, target):
        """Copies a device array to a host array, after all work given before."""
        self.check(self.lib.kcl_array_download(self.handle, ctypes.byref(source), ctypes.byref(target)))

    def free(self, *arrays):
        for each in arrays:
            self.lib.kcl_array_free(ctypes.byref(each))

    def finish(self):
        """Waits for calls whose outputs are all device arrays."""
        self.check(self.lib.kcl_context_finish(self.handle))

    def close(self):
        self.lib.kcl_context_destroy(ctypes.byref(self.handle))


class Operator:
    def __init__(self, lib, handle, status):
        self.lib, self.handle = lib, handle
        if status < 0:
            raise RuntimeError(lib.kcl_operator_error(handle).decode())

    def gradient(self, variable):
        handle = ctypes.c_void_p()
        status = self.lib.kcl_operator_grad(ctypes.byref(handle), self.handle, variable.encode())
        return Operator(self.lib, handle, status)

    def outputs(self):
        """What each output is, a SlotInfo."""
        slots = [SlotInfo() for _ in range(self.lib.kcl_operator_output_count(self.handle))]
        for k, slot in enumerate(slots):
            self.lib.kcl_operator_output(self.handle, k, ctypes.byref(slot))
        return slots

    def bind(self, context, outputs, arguments):
        """A function that applies the operator to these arrays."""
        outs = (ctypes.POINTER(Array) * len(outputs))(*[ctypes.pointer(a) for a in outputs])
        args = (ctypes.POINTER(Array) * len(arguments))(*[ctypes.pointer(a) for a in arguments])

        def apply():
            context.check(
                self.lib.kcl_operator_apply(self.handle, context.handle, outs, len(outputs), args, len(arguments)))
        return apply

    def describe(self, context, dtype, m, n):
        """The lines of kcl_operator_describe."""
        pieces = []
        write = WRITE(lambda user, text, length: pieces.append(text[:length]))
        context.check(self.lib.kcl_operator_describe(self.handle, context.handle, dtype, ctypes.c_int64(m),
                                                     ctypes.c_int64(n), write, None))
        return b"".join(pieces).decode().splitlines()

    def close(self):
        self.lib.kcl_operator_destroy(ctypes.byref(self.handle))
