# SPDX-License-Identifier: MIT
"""LazyTensors of complex numbers, against NumPy."""

import numpy as np
import pytest
from conftest import assert_close

from keopscl.numpy import ComplexLazyTensor, LazyTensor, Pm, Vi, Vj

M, N, D = 4, 5, 3


def numbers(rng, rows, dtype, dim=D):
    return (rng.standard_normal((rows, dim)) + 1j * rng.standard_normal((rows, dim))).astype(dtype)


CASES = {
    "x + y": lambda x, y, r: x + y,
    "x - y": lambda x, y, r: x - y,
    "x * y": lambda x, y, r: x * y,
    "x / y": lambda x, y, r: x / y,
    "x + r": lambda x, y, r: x + r,
    "r - x": lambda x, y, r: r - x,
    "x * r": lambda x, y, r: x * r,
    "r * x": lambda x, y, r: r * x,
    "x / r": lambda x, y, r: x / r,
    "r / x": lambda x, y, r: r / x,
    "2.5 * x": lambda x, y, r: 2.5 * x * y,
    "x * 2": lambda x, y, r: x * y * 2,
    "(1+2j) * x": lambda x, y, r: (1 + 2j) * x * y,
    "x + 1j": lambda x, y, r: x * y + 1j,
    "r * 1j": lambda x, y, r: r * 1j * x,
    "-x": lambda x, y, r: -x * y,
    "1 / x": lambda x, y, r: 1 / (x * y),
    "exp": lambda x, y, r: np.exp(x * y) if isinstance(x, np.ndarray) else (x * y).exp(),
    "conj": lambda x, y, r: (x * y).conj(),
    "real": lambda x, y, r: (x * y).real,
    "imag": lambda x, y, r: (x * y).imag,
    "abs": lambda x, y, r: abs(x * y),
    "angle": lambda x, y, r: np.angle(x * y) if isinstance(x, np.ndarray) else (x * y).angle(),
    "elem": lambda x, y, r: (x * y)[..., 1:2],
    "slice": lambda x, y, r: (x * y)[..., 1:],
}


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_operations(name, rng, dtype):
    x, y = numbers(rng, M, dtype), numbers(rng, N, dtype)
    r = rng.standard_normal((M, D)).astype("float32" if dtype == "complex64" else "float64")
    lazy = CASES[name](Vi(x), Vj(y), Vi(r))
    dense = CASES[name](x[:, None].astype("complex128"), y[None].astype("complex128"), r[:, None].astype("float64"))
    dense = np.broadcast_to(dense, (M, N) + dense.shape[-1:])
    assert lazy.is_complex == np.iscomplexobj(dense)
    if "y" in name or name in ("exp", "conj", "real", "imag", "abs", "angle", "elem", "slice", "2.5 * x"):
        assert lazy._shape == dense.shape
        assert_close(lazy.sum(axis=1), dense.sum(1), 200)
    else:
        assert_close((lazy * Vj(y)).sum(axis=1), (dense * y[None]).sum(1), 200)


def test_sums_shapes_and_types(rng):
    x, y = numbers(rng, M, "complex64"), numbers(rng, N, "complex64")
    K = Vi(x) * Vj(y)
    dense = x[:, None].astype("complex128") * y[None]
    assert type(K) is ComplexLazyTensor and K.dtype == "complex64" and K.shape == (M, N, D) and K.ndim == 2 * D
    assert K.sum(-1).shape == (M, N) and type(K.real) is LazyTensor
    assert_close(K.sum(-1).sum(axis=0), dense.sum(-1).sum(0)[:, None], 100)
    assert_close(K.sum(-1) @ np.ones(N, "float32"), dense.sum((1, 2)), 100)
    assert_close(Vi(x.real.copy()).exp1j().sum(axis=0), np.exp(1j * x.real.astype("float64")).sum(0)[None])
    assert_close(Vi(x.real.copy()).imag2complex().sum(axis=0), 1j * x.real.astype("float64").sum(0)[None])
    assert_close((LazyTensor(1 + 2j) * Vi(x)).sum(axis=0), (1 + 2j) * x.astype("complex128").sum(0)[None], 10)
    assert_close(
        (LazyTensor([1j, 2.0, 3.0]) * Vi(x)).sum(axis=0),
        (np.array([1j, 2, 3]) * x).sum(0)[None].astype("complex128"),
        10,
    )
    assert_close((Pm(x[0]) * Vi(x)).sum(axis=0), (x[0].astype("complex128") * x).sum(0)[None], 10)
    assert_close(Vi(x[:, ::2]).sum(axis=0), x[:, ::2].astype("complex128").sum(0)[None])


def test_real_numbers_are_not_complex(rng):
    for make in (lambda: ComplexLazyTensor(2.0), lambda: LazyTensor(rng.standard_normal((4, 1, 2)), is_complex=True)):
        with pytest.raises(TypeError, match="real2complex"):
            make()


def test_what_complex_numbers_do_not_have(rng):
    z = Vi(numbers(rng, M, "complex128"))
    for call in (
        z.real2complex,
        z.imag2complex,
        z.exp1j,
        lambda: z < z,
        z.sin,
        lambda: z**2,
        lambda: z.clamp(0, 1),
        lambda: z.keops_tensordot(z, (3,), (3,), (), ()),
    ):
        with pytest.raises(ValueError):
            call()
