# SPDX-License-Identifier: MIT
"""Tests run on the interpreter, which needs no OpenCL and compiles nothing, unless KEOPSCL_DEVICE names a device."""

import os
import subprocess
import sys

os.environ.setdefault("KEOPSCL_DEVICE", "host")

import numpy as np
import pytest

TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "complex64": 2e-5, "complex128": 1e-12}


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def run_python(*arguments, cwd=None, **environment):
    """Python with these arguments, as a process that has ended: its exit code and what it wrote. Of `environment`, what
    is None is unset."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={key: value for key, value in {**os.environ, **environment}.items() if value is not None},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=300,
    )


def assert_close(result, expected, scale=None):
    """Equal shapes, and values that differ by rounding; expected values are in float64."""
    expected = np.asarray(expected)
    assert result.shape == expected.shape
    if result.dtype.kind in "iu":
        np.testing.assert_array_equal(result, expected)
        return
    finite = np.abs(expected[np.isfinite(expected)])
    scale = scale or max(1.0, finite.max(initial=0.0))
    np.testing.assert_allclose(
        result, expected, rtol=TOLERANCE[str(result.dtype)], atol=TOLERANCE[str(result.dtype)] * scale
    )


@pytest.fixture
def x64():
    """JAX with 64 bits."""
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def opencl_device():
    """A device that starts kernels, which the interpreter does not."""
    import keopscl
    from keopscl._core import contexts

    kind = next((kind for kind in ("cpu", "gpu") if contexts.has(kind)), None)
    if kind is None:
        pytest.skip("no OpenCL device")
    keopscl.set_device(kind)
    yield
    keopscl.set_device(None)
