# SPDX-License-Identifier: MIT
"""A program of PyOpenCL hands its context, its queue and its buffers to the C library, by the binding that the package
is made of: against NumPy."""

import gc

import numpy as np
import pytest
from keopscl._native import ffi, lib

cl = pytest.importorskip("pyopencl")

ROWS, COLUMNS, DIM = 60, 300, 3


def first_device():
    try:
        return next(device for platform in cl.get_platforms() for device in platform.get_devices())
    except (cl.Error, StopIteration):
        return None


pytestmark = pytest.mark.skipif(first_device() is None, reason="PyOpenCL finds no device")


class Library:
    """A context of the library on the objects of PyOpenCL."""

    def __init__(self, context, queue, share=ffi.NULL):
        params = ffi.new("kcl_opencl_params *")
        params.context = ffi.cast("struct _cl_context *", context.int_ptr)
        params.device = ffi.cast("struct _cl_device_id *", context.devices[0].int_ptr)
        params.queue = ffi.cast("struct _cl_command_queue *", queue.int_ptr)
        params.share = share
        self.place = ffi.new("kcl_context **")
        status = lib.kcl_opencl_context_create(self.place, ffi.NULL, params)
        self.error = ffi.string(lib.kcl_context_error(self.place[0])).decode()
        self.memories = []
        assert (status < 0) == bool(self.error)

    def memory(self, buffer):
        place = ffi.new("kcl_memory **")
        status = lib.kcl_opencl_memory(self.place[0], ffi.cast("struct _cl_mem *", buffer.int_ptr), place)
        self.memories.append(place)
        return self.told(status), place[0]

    def array(self, buffer, *shape, offset=0):
        error, memory = self.memory(buffer)
        assert not error
        return lib.kcl_array_in(memory, offset, lib.KCL_F32, len(shape), shape)

    def apply(self, operator, out, *args):
        arrays = [ffi.new("kcl_array *", array) for array in (out, *args)]
        return self.told(lib.kcl_operator_apply(operator, self.place[0], arrays[:1], 1, arrays[1:], len(args)))

    def told(self, status):
        return ffi.string(lib.kcl_context_error(self.place[0])).decode() if status < 0 else ""

    def close(self):
        for place in self.memories:
            lib.kcl_memory_release(place)
        lib.kcl_context_destroy(self.place)


@pytest.fixture(scope="module")
def context():
    return cl.Context([first_device()])


@pytest.fixture
def queue(context):
    return cl.CommandQueue(context)


@pytest.fixture(scope="module")
def programs(context):
    """A context whose compiled programs the tests share."""
    library = Library(context, cl.CommandQueue(context))
    assert library.error == ""
    yield library.place[0]
    library.close()


@pytest.fixture
def library(context, queue, programs):
    library = Library(context, queue, programs)
    assert library.error == ""
    yield library
    library.close()


@pytest.fixture(scope="module")
def operator():
    """a_i = sum_j exp(-|x_i - y_j|^2) y_j"""
    place = ffi.new("kcl_operator **")
    aliases = [ffi.new("char[]", text) for text in (b"x=Vi(3)", b"y=Vj(3)")]
    text = b"Sum_Reduction(Exp(-SqDist(x,y))*y,0)"
    assert lib.kcl_operator_create(place, text, len(aliases), aliases, ffi.NULL) == lib.KCL_OK
    yield place[0]
    lib.kcl_operator_destroy(place)


def expected(x, y):
    x, y = x.astype(float), y.astype(float)
    return np.exp(-((x[:, None] - y[None]) ** 2).sum(2)) @ y


@pytest.fixture
def points():
    rng = np.random.default_rng(7)
    return rng.random((ROWS, DIM), np.float32), rng.random((COLUMNS, DIM), np.float32)


def buffer_of(context, array):
    return cl.Buffer(context, cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR, hostbuf=array)


def test_a_call_between_two_kernels(context, queue, library, operator, points):
    """Nothing waits between a kernel of the program, the call, and another kernel of the program."""
    x, y = points
    double = cl.Program(context, "kernel void twice(global float *a) { a[get_global_id(0)] *= 2; }").build().twice
    buffers = [buffer_of(context, array) for array in (x, y, np.zeros_like(x))]
    arrays = [library.array(buffer, len(array), DIM) for buffer, array in zip(buffers, (x, y, x))]
    for factor in (2, 4, 8):
        got = np.empty_like(x)
        double(queue, (x.size,), None, buffers[0])
        assert library.apply(operator, arrays[2], *arrays[:2]) == ""
        double(queue, (x.size,), None, buffers[2])
        cl.enqueue_copy(queue, got, buffers[2])
        np.testing.assert_allclose(got, 2 * expected(factor * x, y), rtol=1e-5, atol=1e-30)


def test_parts_of_buffers(context, queue, library, operator, points):
    """A sub-buffer, and rows in the middle of a buffer, one buffer for all."""
    x, y = points
    align = first_device().mem_base_addr_align // 8
    whole = buffer_of(context, np.zeros(align + 4 * (x.size + y.size + x.size), np.uint8))
    cl.enqueue_copy(queue, whole, x, dst_offset=align)
    cl.enqueue_copy(queue, whole, y, dst_offset=align + 4 * x.size)
    part = whole.get_sub_region(align, 4 * (x.size + y.size))
    out = library.array(whole, ROWS, DIM, offset=align + 4 * (x.size + y.size))
    arrays = library.array(part, ROWS, DIM), library.array(part, COLUMNS, DIM, offset=4 * x.size)
    assert library.apply(operator, out, *arrays) == ""
    got = np.empty_like(x)
    cl.enqueue_copy(queue, got, whole, src_offset=align + 4 * (x.size + y.size))
    np.testing.assert_allclose(got, expected(x, y), rtol=1e-5)
    across = library.array(whole, ROWS, DIM, offset=align + 4)
    assert "overlap" in library.apply(operator, across, *arrays)


def test_the_program_lets_go_first(operator, points):
    """Objects that Python has freed live on while the library holds them."""
    x, y = points
    context = cl.Context([first_device()])
    queue = cl.CommandQueue(context)
    library = Library(context, queue)
    buffers = [buffer_of(context, array) for array in (x, y, np.zeros_like(x))]
    arrays = [library.array(buffer, len(array), DIM) for buffer, array in zip(buffers, (x, y, x))]
    del context, queue, buffers
    gc.collect()
    assert library.apply(operator, arrays[2], *arrays[:2]) == ""
    got = np.empty_like(x)
    to = lib.kcl_array_of(ffi.from_buffer(got), lib.KCL_F32, 2, got.shape)
    status = lib.kcl_array_download(library.place[0], ffi.new("kcl_array *", arrays[2]), ffi.new("kcl_array *", to))
    assert library.told(status) == ""
    np.testing.assert_allclose(got, expected(x, y), rtol=1e-5)
    library.close()


def test_objects_that_do_not_fit(context, library, programs):
    other = cl.Context([first_device()])
    error, memory = library.memory(buffer_of(other, np.zeros(4, np.float32)))
    assert "another cl_context" in error and memory == ffi.NULL
    mixed = Library(context, cl.CommandQueue(other))
    assert "queue of another context" in mixed.error
    mixed.close()
    shared = Library(other, cl.CommandQueue(other), programs)
    assert "another cl_context" in shared.error
    shared.close()
    properties = cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE
    if first_device().queue_properties & properties:
        unordered = Library(context, cl.CommandQueue(context, properties=properties))
        assert "out of order" in unordered.error
        unordered.close()


def test_many_descriptions_leave_no_reference(context, library):
    buffer = buffer_of(context, np.zeros(4, np.float32))
    place = ffi.new("kcl_memory **")
    mem = ffi.cast("struct _cl_mem *", buffer.int_ptr)
    for _ in range(1000):
        assert lib.kcl_opencl_memory(library.place[0], mem, place) == lib.KCL_OK
        assert buffer.reference_count == 2
        lib.kcl_memory_release(place)
    assert buffer.reference_count == 1
