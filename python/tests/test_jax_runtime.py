# SPDX-License-Identifier: MIT
"""How keopscl.jax runs: what is compiled and computed how often, in which threads, and what errors look like."""

import gc
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from jax_helpers import counted, dense_squares, squares

jax = pytest.importorskip("jax")
import jax.numpy as jnp

import keopscl
from keopscl import DeviceError
from keopscl._core import contexts, evaluation
from keopscl.jax import LazyTensor, Vi, Vj, _task

PROGRAM = """
import numpy as np, jax, jax.numpy as jnp, keopscl
from keopscl.jax import Vi, Vj
x, y = jnp.asarray(np.random.default_rng(1).random((4, 3))), jnp.asarray(np.random.default_rng(2).random((5, 3)))
f = lambda x, y: (-Vi(x).sqdist(Vj(y))).exp().sum(axis=1)
"""


def run(program, **environment):
    """The program's output, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.fixture
def points(rng):
    return [jnp.asarray(rng.standard_normal(shape)) for shape in ((6, 3), (5, 3))]


def gaussian(x, y, s):
    return (-squares(x, y) * s).exp().sum(axis=1)


def test_a_jitted_function_is_traced_once(points):
    """Later calls trace nothing, make no operator, and compute once each, whatever numbers of Python's they have."""
    traced = []

    def loss(x, y, s):
        traced.append(1)
        return gaussian(x, y, s).sum()

    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 2)))
    jax.block_until_ready(step(*points, 0.5))
    with counted() as counts:
        for k in range(5):
            value, _ = jax.block_until_ready(step(*points, 0.1 * k))
    assert len(traced) == 1 and counts["evaluations"] == 10
    assert counts["programs_built"] == counts["programs_loaded"] == 0
    np.testing.assert_allclose(value, np.exp(-0.4 * np.asarray(dense_squares(*points))).sum(), rtol=1e-5)


def test_equal_tasks_are_equal(points):
    """A formula that is built again is the same static argument, so JAX's caches find it."""
    def task(s):
        jaxpr = jax.make_jaxpr(lambda x, y: gaussian(x, y, s))(*points)
        found, = (each.params["task"] for each in jaxpr.jaxpr.eqns if "task" in each.params)
        return found

    first, second, other = task(0.5), task(0.5), task(0.25)
    assert first == second and first is not second and hash(first) == hash(second)
    assert other != first and other.stage is first.stage


def test_a_number_compiles_nothing(points):
    """Outside of jit too: another float is another argument of the same operator."""
    gaussian(*points, 0.5)
    with counted() as counts:
        for k in range(4):
            gaussian(*points, 0.1 * k)
    assert counts["evaluations"] == 4 and counts["programs_built"] == counts["programs_loaded"] == 0


def test_unused_results_are_not_computed(points):
    """What a jitted function does not return is left out by XLA."""
    f = jax.jit(lambda x, y: (gaussian(x, y, 1.0), gaussian(x, y, 2.0))[0])
    jax.block_until_ready(f(*points))
    before = evaluation.evaluated()
    jax.block_until_ready(f(*points))
    assert evaluation.evaluated() == before + 1


def test_arrays_are_released(points):
    """A LazyTensor holds its arrays, and nothing else does."""
    x = jnp.asarray(np.random.default_rng(1).random((6, 3)))
    gone = weakref.ref(x)
    jax.block_until_ready(jax.grad(lambda x: gaussian(x, points[1], 1.0).sum())(x))
    K = Vi(x)
    del x
    gc.collect()
    assert gone() is not None
    del K
    gc.collect()
    assert gone() is None


def test_threads_of_xla(points, opencl_device):
    """A function of two independent reductions, called by many threads: contexts are lent, and are no more than the
    threads that compute at the same time."""
    x, y = points
    wide = jnp.asarray(np.random.default_rng(3).random((2000, 3)), jnp.float32)

    @jax.jit
    def f(x, s):
        a, b = (-squares(wide, wide) * s).exp().sum(axis=1), (squares(wide, wide) * s).sum(axis=0)
        return a.sum() + jnp.sin(x).sum(), b.sum(), gaussian(x, y, s)

    expected = [np.exp(-s * np.asarray(dense_squares(x, y))).sum(1) for s in range(4)]
    failures = []
    jax.block_until_ready(f(x, 0.0))

    def work(number):
        try:
            for k in range(6):
                s = (number + k) % 4
                np.testing.assert_allclose(f(x, float(s))[2][:, 0], expected[s], rtol=1e-5)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert not failures and not any(thread.is_alive() for thread in threads)
    assert len(contexts._lent) <= 5 + 2 * (os.cpu_count() or 1)
    lent = len(contexts._lent)
    for _ in range(20):
        jax.block_until_ready(f(x, 1.0))
    assert len(contexts._lent) == lent


def test_a_context_is_lent_and_given_back():
    """A thread that Python did not start finds no contexts of its own in its next call: it takes one that is there."""
    seen = []

    def call():
        with contexts.lent():
            seen.append(contexts.current())
            with contexts.lent():
                assert contexts.current() is seen[-1]
        assert not hasattr(contexts._local, "contexts")

    for _ in range(3):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    assert seen[0] is seen[1] is seen[2]


def test_an_error_of_a_callback_is_readable(points, monkeypatch):
    """What fails in a compiled function is told by JAX's exception with the library's words, and the next call works;
    outside of jit the exception is the library's."""
    f = jax.jit(lambda x, y: gaussian(x, y, 3.0))
    expected = jax.block_until_ready(f(*points))

    def fails(*args):
        raise keopscl.OutOfMemoryError("the device has no memory for the result")

    with monkeypatch.context() as patched:
        patched.setattr(_task, "apply", fails)
        with pytest.raises(Exception, match="OutOfMemoryError: the device has no memory for the result"):
            jax.block_until_ready(f(*points))
        with pytest.raises(keopscl.OutOfMemoryError):
            gaussian(*points, 3.0)
    np.testing.assert_array_equal(f(*points), expected)


def test_a_tracer_that_escapes(points):
    """A LazyTensor of tracers is an error of JAX's outside of the function."""
    kept = []
    jax.jit(lambda x: kept.append(LazyTensor(x, axis=0)) or x)(points[0])
    with pytest.raises(jax.errors.UnexpectedTracerError):
        kept[0].sum(axis=0)


def test_a_device_that_is_not_there(points):
    with pytest.raises(DeviceError):
        keopscl.set_device("no such device")
    with pytest.raises(ValueError, match="backend"):
        jax.eval_shape(lambda x: Vi(x).sum(axis=0, backend="no such"), points[0])


def test_devices_of_jax():
    """Arrays on two of JAX's devices, one function on both; results are where the arrays are."""
    lines = run(PROGRAM + """
from jax.sharding import Mesh, NamedSharding, PartitionSpec
one, two = jax.devices()
expected = np.exp(-((np.asarray(x)[:, None] - np.asarray(y)[None]) ** 2).sum(-1)).sum(1)[:, None]
a, b = jax.device_put(x, two), jax.device_put(y, two)
sharded = jax.device_put(x, NamedSharding(Mesh(np.array([one, two]), ("rows",)), PartitionSpec("rows")))
for result in (f(a, b), jax.jit(f)(a, b), f(sharded, y), jax.jit(f)(sharded, y)):
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    print(sorted(device.id for device in result.devices()))
if hasattr(jax, "shard_map"):
    rows = PartitionSpec("rows")
    mesh = Mesh(np.array([one, two]), ("rows",))
    each = jax.shard_map(f, mesh=mesh, in_specs=(rows, PartitionSpec()), out_specs=rows, check_vma=False)
    total = lambda f: jax.grad(lambda x, y: (f(x, y) ** 2).sum(), (0, 1))
    for ours, alone in zip(total(jax.jit(each))(x, y), total(f)(x, y)):
        np.testing.assert_allclose(ours, alone, rtol=1e-5)
""", XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert lines[:2] == ["[1]", "[1]"] and lines[3] == "[0, 1]"


def test_imports():
    """keopscl.jax imports no PyTorch, and keopscl neither; neither opens a driver, nor starts a backend of JAX."""
    assert run("""
import sys, keopscl
print([name for name in ("jax", "torch", "keopscl.jax", "keopscl.torch") if name in sys.modules])
import keopscl.jax
from keopscl._core import contexts
print([name for name in ("torch", "keopscl.torch") if name in sys.modules], contexts._roots)
import jax._src.xla_bridge as bridge
print(bridge._backends)
""") == ["[]", "[] {}", "{}"]


def test_a_fork_after_use():
    """A child that was forked after its parent has computed gets an exception, as with NumPy."""
    lines = run(PROGRAM + """
import os, warnings
warnings.simplefilter("ignore")  # JAX's own warning about fork
f(x, y)
child = os.fork()
if child == 0:
    try:
        f(x, y)
    except keopscl.DeviceError as error:
        os._exit(7 if "fork" in str(error) else 8)
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(keopscl.device_name().startswith("interpreter"), status, f(x, y).shape)
""", KEOPSCL_DEVICE=next((kind for kind in ("cpu", "gpu") if contexts.has(kind)), "host"))
    assert lines[-1] in ("True 0 (4, 1)", "False 7 (4, 1)")


def test_spawned_processes(tmp_path):
    """Workers of a pool compute what they are sent."""
    (tmp_path / "pool.py").write_text(PROGRAM + """
import multiprocessing
def total(scale):
    return float(jax.jit(f)(x * scale, y).sum())
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(pool.map(total, [1.0, 2.0]) == [total(1.0), total(2.0)])
""")
    done = subprocess.run([sys.executable, tmp_path / "pool.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=300)
    assert done.stdout.strip() == "True", done.stderr
