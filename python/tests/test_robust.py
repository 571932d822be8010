# SPDX-License-Identifier: MIT
"""Forks, threads, pickles, long chains, arrays of any kind, and machines without a driver."""

import gc
import os
import pickle
import threading
import weakref

import numpy as np
import pytest
from conftest import assert_close, run_python

from keopscl._core import interrupts, structure
from keopscl.numpy import Genred, LazyTensor, Pm, Vi, Vj


EXAMPLE = """
import numpy as np, keopscl
from keopscl.numpy import LazyTensor
x = np.arange(12.0).reshape(4, 1, 3)
K = LazyTensor(x).sqdist(LazyTensor(x.reshape(1, 4, 3)))
"""


def test_without_a_driver_the_interpreter_says_so_once(tmp_path):
    result = run_python(
        "-c",
        EXAMPLE + "K.sum(axis=1); K.sum(axis=0); print(keopscl.device_name())",
        KEOPSCL_DEVICE=None,
        KEOPSCL_DRIVER=None,
        OCL_ICD_VENDORS=str(tmp_path),
        KEOPSCL_CACHE_DIR=str(tmp_path),
    )
    assert result.returncode == 0, result.stderr
    if "interpreter" in result.stdout:  # and no driver of pip's
        assert result.stderr.count('pip install "keopscl[cpu]"') == 1
    asked = run_python("-c", EXAMPLE + "K.sum(axis=1)", KEOPSCL_DEVICE="host", OCL_ICD_VENDORS=str(tmp_path))
    assert asked.returncode == 0 and not asked.stderr


def test_a_fork_after_use_is_an_exception():
    program = EXAMPLE + """
import os
K.sum(axis=1)
child = os.fork()
if child == 0:
    try:
        K.sum(axis=1)
    except keopscl.DeviceError as error:
        os._exit(7 if "fork" in str(error) else 8)
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(keopscl.device_name().startswith("interpreter"), status, K.sum(axis=1).shape)
"""
    result = run_python("-c", program)
    assert result.stdout.strip() in ("True 0 (4, 1)", "False 7 (4, 1)"), result.stdout + result.stderr


def test_a_child_that_forked_before_use_computes():
    program = EXAMPLE + """
import os
child = os.fork()
if child == 0:
    os._exit(int(K.sum(axis=1).shape != (4, 1)))
print(os.waitpid(child, 0)[1], K.sum(axis=1).shape)
"""
    result = run_python("-c", program)
    assert result.stdout.strip() == "0 (4, 1)", result.stderr


def test_threads(rng):
    x, y = rng.standard_normal((30, 1, 3)), rng.standard_normal((1, 40, 3))
    expected = np.exp(-((x - y) ** 2).sum(-1)).sum(1)
    K = (-((LazyTensor(x) - LazyTensor(y)) ** 2).sum(-1)).exp()
    failures = []

    def work(number):
        try:
            for k in range(10):
                np.testing.assert_allclose(K.sum(axis=1)[:, 0], expected)
                np.testing.assert_allclose((K * float(k + number)).sum(axis=1)[:, 0], expected * (k + number))
                np.testing.assert_allclose((LazyTensor(x) * LazyTensor(y)).sum(axis=1), (x * y).sum(1))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_pickles(rng, dtype):
    x, y = rng.standard_normal((2, 5, 1, 3)).astype(dtype), rng.standard_normal((1, 7, 3)).astype(dtype)
    p = rng.standard_normal((2, 1, 1, 3)).astype(dtype)
    tensors = [
        (LazyTensor(x) * LazyTensor(y) * LazyTensor(p) * 2.5).sum(-1).exp(),
        LazyTensor(x)[:2] + 3,
        LazyTensor(x).sqdist(LazyTensor(y)).T,
        Vi(x[0, :, 0]) - Vj(y[0]),
        Pm(x[0, 0, 0]) * Vi(0, 3),
        Pm([1.0, 2.0, 3.0]) * Vj(y[0]),
    ]
    for tensor in tensors:
        again = pickle.loads(pickle.dumps(tensor))
        assert type(again) is type(tensor) and again._shape == tensor._shape and again.dtype == tensor.dtype
        assert again._node is tensor._node
        arguments = [np.ones((4, 3), dtype)] if tensor.symbolic_variables else []
        for axis in range(len(tensor._batch), len(tensor._batch) + 2):
            one, two = tensor.sum(axis=axis, call=False), again.sum(axis=axis, call=False)
            if one._node.axes != structure.BOTH:
                np.testing.assert_array_equal(one(*arguments), two(*arguments))
    z = Vi((x[0, :, 0] + 1j * x[1, :, 0]))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(z)).sum(axis=0), z.sum(axis=0))


def test_ten_thousand_operators_in_a_row(rng):
    x, y = rng.standard_normal((3, 1, 2)), rng.standard_normal((1, 4, 2))
    x_i, y_j = LazyTensor(x), LazyTensor(y)
    K, dense = x_i * y_j, x * y
    for k in range(10_000):
        if k % 2:
            K, dense = (K + y_j).sin(), np.sin(dense + y)
        else:
            K, dense = K * 0.5 - x_i, dense * 0.5 - x
    assert_close(K.sum(axis=1), dense.sum(1), 1e3)
    assert len(pickle.loads(pickle.dumps(K))._leaves) == len(K._leaves)
    del K
    gc.collect()


def test_what_is_shared_is_computed_once(rng):
    x, y = rng.standard_normal((3, 1, 1)), rng.standard_normal((1, 4, 1))
    K, dense = LazyTensor(x) * LazyTensor(y), x * y
    for _ in range(100):
        K, dense = (K * K - K).sin(), np.sin(dense * dense - dense)
    assert_close(K.sum(axis=1), dense.sum(1), 100)


def test_expressions_built_again_are_the_same_structure(rng):
    def build(bandwidth):
        x, y = rng.standard_normal((3, 1, 2)), rng.standard_normal((1, 4, 2))
        return (-((LazyTensor(x) - LazyTensor(y)) ** 2).sum(-1) / bandwidth).exp()._node

    first = build(0.1)
    assert build(0.2) is first
    x = rng.standard_normal((3, 2))
    assert (Vi(x) * Vi(x))._node is not (Vi(x) * Vi(x.copy()))._node


def test_structures_are_bounded(monkeypatch, rng):
    monkeypatch.setattr(structure, "CAPACITY", 100)
    x = Vi(rng.standard_normal((3, 2)))
    for k in range(300):
        x.extract(0, 1) ** k
        assert len(structure._table) <= 100
    assert_close((x * x).sum(axis=0), (x.variables[0] ** 2).sum(0)[None])


def test_arrays_are_kept_as_long_as_they_are_needed(rng):
    x, y = rng.standard_normal((5, 1, 2)), rng.standard_normal((1, 4, 2))
    expected = (x * y).sum(1)
    alive = weakref.ref(x)
    K = LazyTensor(x) * LazyTensor(y)
    del x
    gc.collect()
    assert alive() is not None
    assert_close(K.sum(axis=1), expected)
    del K
    gc.collect()
    assert alive() is None


def test_arrays_that_another_thread_lets_go_of_during_a_call(rng):
    x, y = rng.standard_normal((3000, 1, 3)), rng.standard_normal((1, 4000, 3))
    expected = np.exp(-((x[:5] - y) ** 2).sum(-1)).sum(1)
    for _ in range(5):
        holder = [(-LazyTensor(x.copy()).sqdist(LazyTensor(y.copy()))).exp()]
        results = []
        thread = threading.Thread(target=lambda: results.append(holder.pop().sum(axis=1)))  # the call alone holds it
        thread.start()
        while thread.is_alive():
            gc.collect()
        thread.join()
        np.testing.assert_allclose(results[0][:5, 0], expected)


def test_arrays_are_read_when_they_are_reduced(rng):
    x = rng.standard_normal((5, 2))
    total = Vi(x).sum(axis=0, call=False)
    before = total()
    x *= 2
    assert_close(total(), 2 * before)


STRIDES = {
    "columns": lambda a: np.asfortranarray(a),
    "every other row": lambda a: np.repeat(a, 2, 0)[::2],
    "every other column": lambda a: np.repeat(a, 2, 1)[:, ::2],
    "backwards": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "repeated": lambda a: np.broadcast_to(a[:1], a.shape),
    "read only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "subclass": lambda a: a.view(np.matrix),
    "unaligned rows": lambda a: np.pad(a, ((0, 0), (1, 2)))[:, 1:-2],
}


@pytest.mark.parametrize("name", sorted(STRIDES))
def test_strides(name, rng, dtype):
    x, y = rng.standard_normal((6, 3)).astype(dtype), rng.standard_normal((4, 3)).astype(dtype)
    view = STRIDES[name](x)
    expected = (np.asarray(view)[:, None].astype("float64") * y[None]).sum(1)
    assert_close((Vi(view) * Vj(y)).sum(axis=1), expected, 10)
    assert_close(Genred("x*y", ["x=Vi(3)", "y=Vj(3)"], axis=1)(view, y), expected, 10)


def test_arrays_of_other_libraries(rng):
    class Other:
        """An array of a library that shares its memory by DLPack."""

        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **kwargs):
            return self.array.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    x = rng.standard_normal((6, 3))
    assert_close(Vi(Other(x)).sum(axis=0), x.sum(0)[None], 10)

    class Elsewhere(Other):
        """An array in the memory of a GPU."""

        def __dlpack_device__(self):
            return 2, 0

        def __dlpack__(self, **kwargs):
            raise BufferError("it is on a GPU")

    with pytest.raises(TypeError, match="Elsewhere cannot be read"):
        Vi(Elsewhere(x))


def test_a_reduction_that_was_called_is_called_again(rng):
    x, y = rng.standard_normal((5, 2)), rng.standard_normal((4, 2))
    total = Vi(x).sqdist(Vj(y)).sum(axis=1, call=False)
    results, expected = [], []
    for _ in range(3):
        x[:] = rng.standard_normal((5, 2))
        results.append(total())
        expected.append(((x[:, None] - y) ** 2).sum(-1).sum(1)[:, None])
    assert_close(np.stack(results), np.stack(expected))
    copies = pickle.loads(pickle.dumps(total))
    y[:] = 0
    assert_close(total(), 4 * (x**2).sum(-1, keepdims=True))
    assert_close(copies(), expected[-1])
    total.backend = "nowhere"
    with pytest.raises(ValueError, match="nowhere"):
        total()
    total.backend, total.ranges = None, "some"
    with pytest.raises(NotImplementedError, match="ranges"):
        total()


def test_an_interrupt_in_the_last_moment_of_a_call_is_raised(monkeypatch, rng):
    total = Vi(rng.standard_normal((5, 2))).sum(axis=0, call=False)
    monkeypatch.setattr(interrupts.state, "raised", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        total()
    assert total().shape == (1, 2)


def test_development_mode_has_nothing_to_say():
    result = run_python("-X", "dev", "-W", "error", "-c", EXAMPLE + "K.sum(axis=1); print(K)")
    assert result.returncode == 0 and not result.stderr, result.stderr


def test_what_outlives_the_modules_is_left_alone():
    """When Python ends, modules that something refers to are emptied, those first that were imported last."""
    result = run_python("-c", EXAMPLE + """
import os, sys
from keopscl.numpy import Genred
os.kept = [K, Genred("SqDist(x,y)", ["x = Vi(3)", "y = Vj(3)"]), sys.modules["keopscl._core.program"], os]
K.sum(axis=1)
""", KEOPSCL_DEVICE="host")
    assert result.returncode == 0 and not result.stderr, result.stderr


INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np, keopscl
from keopscl.numpy import LazyTensor
x = np.random.default_rng(0).standard_normal((200_000, 1, 3)).astype("float32")

def matrix(x):
    K = (-LazyTensor(x).sqdist(LazyTensor(x.reshape(1, -1, 3))) / 0.1).exp()
    for n in range(8):
        K = (K + 0.1 * n).sin().exp().cos()
    return K

K = matrix(x)
sent = []

def interrupt():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

for seconds in (2.0, float(sys.argv[1])):  # the first call compiles what the second needs
    threading.Timer(seconds, interrupt).start()
    try:
        K.sum(axis=1, verbose=sys.argv[2] == "verbose")
        print("done before the interrupt")
    except KeyboardInterrupt:
        print("interrupted after", round(time.monotonic() - sent[-1], 2))
total = LazyTensor(x[:50]).sum(axis=0)
assert np.allclose(total, x[:50, 0].sum(0), atol=1e-4)
"""


@pytest.mark.parametrize("how", ["quiet", "verbose"])
def test_an_interrupt_ends_a_long_call(how):
    result = run_python("-c", INTERRUPTED, "1", how)
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1].split()
    assert last[0] == "interrupted" and float(last[-1]) < 1.0, result.stdout
    assert ("%" in result.stderr) == (how == "verbose"), result.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer keeps memory that is freed")
def test_memory_stays_flat(rng):
    """What is lost grows in every stretch of steps; memory that an allocator keeps grows in the first ones alone."""
    genred = Genred("SqDist(x,y)", ["x=Vi(3)", "y=Vj(3)"], axis=1)

    def steps(count):
        for k in range(count):
            x, y = rng.standard_normal((5 + k % 200, 1, 3)), rng.standard_normal((1, 7, 3))
            K = (-((LazyTensor(x) - LazyTensor(y)) ** 2).sum(-1) / (1.0 + k)).exp()
            K @ y[0], K.argKmin(2, axis=1), K[0], (K**2).T.sum(axis=1), genred(x[:, 0], y[0])
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    sizes = [steps(400)]
    while len(sizes) < 6 and (len(sizes) < 2 or sizes[-1] - sizes[-2] >= 2**20):
        sizes.append(steps(600))
    assert sizes[-1] - sizes[-2] < 2**20, sizes
