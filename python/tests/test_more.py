# SPDX-License-Identifier: MIT
"""What LazyTensors have besides the interface of pykeops."""

import numpy as np
import pytest
from conftest import assert_close

import keopscl
from keopscl.numpy import Vi, Vj, index_i, index_j, where

M, N, D = 5, 7, 3


@pytest.fixture
def points(rng, dtype):
    return rng.standard_normal((M, D)).astype(dtype), rng.standard_normal((N, D)).astype(dtype)


FUNCTIONS = [
    np.exp,
    np.expm1,
    np.sin,
    np.cos,
    np.tan,
    np.sinh,
    np.cosh,
    np.tanh,
    np.arctan,
    np.arcsinh,
    np.abs,
    np.absolute,
    np.fabs,
    np.square,
    np.sign,
    np.floor,
    np.ceil,
    np.trunc,
    np.negative,
    np.positive,
    np.reciprocal,
    np.sinc,
]
PAIRS = [
    np.add,
    np.subtract,
    np.multiply,
    np.divide,
    np.minimum,
    np.maximum,
    np.hypot,
    np.arctan2,
    np.equal,
    np.not_equal,
    np.less,
    np.less_equal,
    np.greater,
    np.greater_equal,
]


@pytest.mark.parametrize("function", FUNCTIONS + PAIRS, ids=lambda f: f.__name__)
def test_functions_of_numpy(function, points):
    x, y = points
    X, Y = x[:, None].astype("float64"), y[None].astype("float64")
    if function in FUNCTIONS:
        assert_close(function(Vi(x) * Vj(y)).sum(axis=1), function(X * Y).sum(1), 50)
        return
    expected = np.broadcast_to(function(X, Y) * 1.0, (M, N, D))
    assert_close(function(Vi(x), Vj(y)).sum(axis=1), expected.sum(1), 50)
    assert_close(function(x[:, None], Vj(y)).sum(axis=1), expected.sum(1), 50)
    assert_close(function(Vi(x), y[None]).sum(axis=1), expected.sum(1), 50)


def test_further_functions_of_numpy(points):
    x, y = points
    K, dense = Vi(x) * Vj(y), x[:, None].astype("float64") * y[None]
    assert_close(np.where(K > 0, K, 2.0).sum(axis=1), np.where(dense > 0, dense, 2.0).sum(1), 10)
    assert_close(where(K > 0, K, 2.0).sum(axis=1), np.where(dense > 0, dense, 2.0).sum(1), 10)
    assert_close(np.clip(K, -0.5, 0.5).sum(axis=1), np.clip(dense, -0.5, 0.5).sum(1))
    assert_close(np.sum(K, axis=0), dense.sum(0), 10)
    assert_close(np.max(K, axis=1), dense.max(1))
    assert_close(np.argmin(K, axis=1), dense.argmin(1))
    assert_close(np.concatenate((K, K), axis=-1).sum(axis=1), np.concatenate((dense, dense), -1).sum(1), 10)
    with pytest.raises(TypeError):
        np.cumsum(K)
    with pytest.raises(TypeError):
        np.add.reduce(K)


def test_numbers_of_rows_and_columns(points):
    x, y = points
    i, j = np.arange(M)[:, None, None], np.arange(N)[None, :, None]
    K, dense = Vi(x).sqdist(Vj(y)), ((x[:, None].astype("float64") - y[None]) ** 2).sum(-1, keepdims=True)
    assert_close((K * (index_j() <= index_i())).sum(axis=1), (dense * (j <= i)).sum(1), 20)
    assert_close(
        where(abs(index_i() - index_j()) < 2, K, 0.0).sum(axis=0), np.where(abs(i - j) < 2, dense, 0).sum(0), 20
    )
    assert_close((K * index_j()).sum(axis=1), (dense * j).sum(1), 200)
    assert_close((K.T * index_j()).sum(axis=1), (dense.swapaxes(0, 1) * np.arange(M)[None, :, None]).sum(1), 200)
    masked = where(index_j() <= index_i(), K, -np.inf)
    expected = np.where(j <= i, dense, -np.inf)
    weights = np.exp(expected - expected.max(1, keepdims=True))
    assert_close(masked.sumsoftmaxweight(Vj(y), axis=1), (weights * y[None]).sum(1) / weights.sum(1))


def test_rows_by_number(points):
    x, y = points
    numbers = np.array([[3], [0], [6], [3], [9]])
    taken = np.where(numbers < N, y[np.minimum(numbers[:, 0], N - 1)], 0).astype("float64")
    assert_close(Vj(y).take(Vi(numbers))(), taken)
    assert_close((Vj(y).take(Vi(numbers)) * Vj(y)).sum(axis=1), (taken[:, None] * y[None]).sum(1), 10)
    nearest = Vi(x).sqdist(Vj(y)).argmin(axis=1, call=False)
    indices = ((x[:, None] - y[None]) ** 2).sum(-1).argmin(1)
    assert_close(nearest(), indices[:, None])
    assert_close(Vj(y).take(nearest)(), y[indices].astype("float64"))
    assert_close(
        (Vj(y).take(nearest) - Vi(x)).square().sum(axis=0), ((y[indices].astype("float64") - x) ** 2).sum(0)[None], 10
    )


def test_text(points):
    x, y = points
    K = (-Vi(x).sqdist(Vj(y)) / 0.5).exp()
    text = str(K)
    assert "Exp" in text and "shape: (5, 7)" in text and str(x.dtype) in text and "device: " in text
    assert "Sum" in str(K.sum(axis=1, call=False))
    assert "Var(0, 3, 0)" in str(Vi(0, 3) + 1)
    assert "complex" in str(Vi(x + 1j * x)).lower()
    assert "__kernel" in K.kernel(profile="gpu") and "KCL_" in K.kernel(axis=0, profile="cpu")
    if keopscl.device_name().startswith("interpreter"):
        with pytest.raises(NotImplementedError, match="interprets"):
            K.plan()
    with pytest.raises(ValueError):
        K.kernel(profile="abacus")
