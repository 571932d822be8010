# SPDX-License-Identifier: MIT
"""The same results on an OpenCL CPU device as from NumPy. Skipped, visibly, without one."""

import threading

import numpy as np
import pytest
from conftest import assert_close

import keopscl
from keopscl._core import contexts
from keopscl.numpy import Genred, LazyTensor, Vi, Vj


@pytest.fixture(autouse=True)
def device():
    if not contexts.has("cpu"):
        pytest.skip("there is no OpenCL CPU device")
    keopscl.set_device("cpu")
    yield
    keopscl.set_device(None)


def test_values(rng):
    dtype = "float32"
    x, y = rng.standard_normal((300, 3)).astype(dtype), rng.standard_normal((200, 3)).astype(dtype)
    b = rng.standard_normal((200, 2)).astype(dtype)
    q = ((x[:, None].astype("float64") - y[None]) ** 2).sum(-1)
    S = ((Vi(x) - Vj(y)) ** 2).sum(-1)
    K = (-S / 2.0).exp()
    assert_close(K @ b, np.exp(-q / 2) @ b, 100)
    assert_close(K.T @ x, np.exp(-q / 2).T @ x, 100)
    distances, neighbours = S.Kmin_argKmin(4, axis=1)
    assert_close(neighbours, q.argsort(1)[:, :4])
    assert_close(distances, np.sort(q, 1)[:, :4])
    assert_close((K.sum(axis=1, call=False).log() * Vi(x))(), np.log(np.exp(-q / 2).sum(1))[:, None] * x, 10)
    assert_close(
        Genred("Exp(-g*SqDist(x,y))", ["x=Vi(3)", "y=Vj(3)", "g=Pm(1)"], axis=1)(x, y, np.array([0.5], dtype)),
        np.exp(-q / 2).sum(1)[:, None],
        100,
    )
    assert "shape" in K.plan() or ":" in K.plan()


def test_batches_and_complex_numbers(rng):
    x, y = rng.standard_normal((2, 1, 30, 1, 2)), rng.standard_normal((3, 1, 40, 2))
    z = LazyTensor(x + 1j * x) * LazyTensor(y)
    assert_close(z.sum(axis=3), ((x + 1j * x) * y).sum(3), 10)
    large = np.asfortranarray(rng.standard_normal((20, 6)))
    assert_close(
        (Vi(large[:, ::2]) * Vj(large[::-1, 1::2])).sum(axis=0),
        (large[:, None, ::2] * large[None, ::-1, 1::2]).sum(0),
        10,
    )


def test_threads_have_contexts_of_their_own(rng):
    x, y = rng.standard_normal((50, 1, 3)), rng.standard_normal((1, 60, 3))
    K = LazyTensor(x) * LazyTensor(y)
    expected, failures = (x * y).sum(1), []

    def work():
        try:
            for _ in range(20):
                np.testing.assert_allclose(K.sum(axis=1), expected, atol=1e-12)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_backends_by_keops_names(rng):
    x = rng.standard_normal((5, 1, 2))
    K = LazyTensor(x) * LazyTensor(x.swapaxes(0, 1))
    expected = (x * x.swapaxes(0, 1)).sum(1)
    assert_close(K.sum(axis=1, backend="CPU"), expected)
    assert_close(K.sum(axis=1, backend="auto"), expected)
    K.backend = "CPU"
    assert_close(K.sum(axis=1), expected)
    if not contexts.has("gpu"):
        for backend in ("GPU", "GPU_1D", "GPU_2D"):
            with pytest.raises(RuntimeError, match="GPU"):
                K.sum(axis=1, backend=backend)


def test_gpus_by_number(monkeypatch):
    monkeypatch.setattr(
        contexts,
        "_devices",
        [
            contexts.drivers.Device("0:0", "cpu"),
            contexts.drivers.Device("1:0", "gpu"),
            contexts.drivers.Device("1:1", "gpu"),
        ],
    )
    assert contexts.of_backend("auto") is None and contexts.of_backend("auto", 1) == "1:1"
    assert contexts.of_backend("GPU") == "gpu" and contexts.of_backend("GPU_1D", 0) == "1:0"
    assert contexts.of_backend("CPU", 1) == "cpu" and contexts.of_backend("auto", 7) is None
    with pytest.raises(ValueError, match="2 GPUs"):
        contexts.of_backend("GPU", 2)
