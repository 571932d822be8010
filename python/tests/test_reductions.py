# SPDX-License-Identifier: MIT
"""Reductions over both axes, with batch axes and few rows, against NumPy in float64."""

import numpy as np
import pytest
from conftest import assert_close

from keopscl.numpy import LazyTensor

SHAPES = [
    ((), (), 5, 7),
    ((2,), (2,), 4, 3),
    ((2, 1), (1, 3), 3, 4),
    ((), (2,), 4, 5),
    ((), (), 1, 6),
    ((), (), 6, 1),
    ((), (), 1, 1),
    ((1,), (1,), 3, 2),
]
IDS = ["-".join(map(str, shape)) for shape in SHAPES]


@pytest.fixture(params=SHAPES, ids=IDS)
def pair(request, rng, dtype):
    """x_i and y_j with batch axes, D = 2, as LazyTensors and as arrays in float64."""
    batch_x, batch_y, m, n = request.param
    x = rng.standard_normal(batch_x + (m, 1, 2)).astype(dtype)
    y = rng.standard_normal(batch_y + (1, n, 2)).astype(dtype)
    batches = max(len(batch_x), len(batch_y))
    return LazyTensor(x), LazyTensor(y), x.astype("float64"), y.astype("float64"), batches


def logsumexp(a, axis):
    return np.log(np.exp(a).sum(axis))


@pytest.mark.parametrize("over", [0, 1])
def test_reductions(pair, over):
    x_i, y_j, x, y, axis = pair
    axis += over
    K, values = x_i * y_j, x * y
    S, scalars = (x_i - y_j).sqnorm2(), ((x - y) ** 2).sum(-1, keepdims=True)
    assert K._shape == values.shape
    assert_close(K.sum(axis), values.sum(axis), 10)
    assert_close(K.sum(dim=axis), values.sum(axis), 10)
    assert_close(K.sum_reduction(axis), values.sum(axis), 10)
    assert_close(K.mean(axis), values.mean(axis), 10)
    assert_close(S.logsumexp(axis), logsumexp(scalars, axis))
    assert_close(K.min(axis), values.min(axis))
    assert_close(K.max_reduction(axis=axis), values.max(axis))
    assert_close(K.argmin(axis), values.argmin(axis))
    assert_close(K.argmax_reduction(axis), values.argmax(axis))
    low, where = K.min_argmin(axis)
    assert_close(low, values.min(axis))
    assert_close(where, values.argmin(axis))
    high, where = K.max_argmax_reduction(axis=axis)
    assert_close(high, values.max(axis))
    assert_close(where, values.argmax(axis))


@pytest.mark.parametrize("over", [0, 1])
def test_weights(pair, over):
    x_i, y_j, x, y, axis = pair
    axis += over
    S, scalars = (x_i * y_j).sum(-1), (x * y).sum(-1, keepdims=True)
    weight, weights = y_j**2 + 1, np.broadcast_to(y**2 + 1, np.broadcast_shapes(x.shape, y.shape))
    total = (np.exp(scalars) * weights).sum(axis)
    assert_close(S.logsumexp(axis, weight=weight), np.log(total))
    assert_close(S.sumsoftmaxweight(weight, axis=axis), total / np.exp(scalars).sum(axis))


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("K", [1, 2, 4])
def test_the_k_smallest(pair, over, K):
    x_i, y_j, x, y, axis = pair
    axis += over
    S, scalars = (x_i - y_j).sqnorm2(), ((x - y) ** 2).sum(-1)
    sorted_values = np.moveaxis(np.sort(scalars, axis), axis, -1)
    sorted_indices = np.moveaxis(np.argsort(scalars, axis), axis, -1)
    missing = max(0, K - sorted_values.shape[-1])
    pad = [(0, 0)] * (sorted_values.ndim - 1) + [(0, missing)]
    expected = np.pad(sorted_values[..., :K], pad, constant_values=np.inf)
    indices = np.pad(sorted_indices[..., :K], pad, constant_values=-1)
    assert_close(S.Kmin(K, axis), expected)
    assert_close(S.argKmin(K, dim=axis), indices)
    values, where = S.Kmin_argKmin(K, axis=axis)
    assert_close(values, expected)
    assert_close(where, indices)
    assert_close(S.min_argKmin(K, axis)[1], indices)
    assert_close((-S).Kmax(K, axis), -expected)
    assert_close((-S).argKmax(K, axis), indices)
    # Of two components each on its own: (..., K, 2).
    values = np.moveaxis(np.sort(x * y, axis), axis, -2)[..., :K, :]
    values = np.pad(values, pad[:-1] + [(0, missing), (0, 0)], constant_values=np.inf)
    assert_close((x_i * y_j).Kmin(K, axis), values)


def test_no_rows(dtype):
    x_i = LazyTensor(np.zeros((0, 1, 2), dtype))
    y_j = LazyTensor(np.ones((1, 3, 2), dtype))
    assert (x_i * y_j).sum(axis=1).shape == (0, 2)
    assert_close((x_i * y_j).sum(axis=0), np.zeros((3, 2)))
    assert_close((x_i * y_j).min(axis=0), np.full((3, 2), np.inf))
    assert_close((x_i * y_j).argmin(axis=0), np.full((3, 2), -1))
    assert (x_i * y_j).argmin(axis=1).dtype == np.int64


def test_an_axis_that_is_not_there_has_one_row(rng, dtype):
    x = rng.standard_normal((4, 1, 2)).astype(dtype)
    x_i = LazyTensor(x)
    assert_close(x_i.sum(axis=1), x[:, 0].astype("float64"))
    assert_close(x_i.max(axis=1), x[:, 0].astype("float64"))
    assert_close(x_i.argmin(axis=1), np.zeros((4, 2), int))
    assert_close(x_i.Kmin(1, axis=1), x.astype("float64"))
    assert_close(LazyTensor(x[:1]).sum(axis=0), x[0].astype("float64"))


def test_products_with_vectors(rng, dtype):
    x, y = rng.standard_normal((5, 3)).astype(dtype), rng.standard_normal((7, 3)).astype(dtype)
    K = (-LazyTensor(x[:, None]).sqdist(LazyTensor(y[None]))).exp()
    dense = np.exp(-((x[:, None].astype("float64") - y[None]) ** 2).sum(-1))
    for shape in [(7,), (7, 1), (7, 4), (2, 7, 3)]:
        b = rng.standard_normal(shape).astype(dtype)
        assert_close(K @ b, dense @ b)
        assert_close(K.matvec(b), dense @ b)
    for shape in [(5,), (5, 2)]:
        b = rng.standard_normal(shape).astype(dtype)
        assert_close(K.T @ b, dense.T @ b)
        assert_close(K.t() @ b, dense.T @ b)
        assert_close(K.rmatvec(b), dense.T @ b)
    assert K.T.shape == (7, 5)


def test_a_reduction_is_a_lazy_tensor(rng, dtype):
    x, y = rng.standard_normal((5, 3)).astype(dtype), rng.standard_normal((7, 3)).astype(dtype)
    x_i, y_j = LazyTensor(x[:, None]), LazyTensor(y[None])
    dense = ((x[:, None].astype("float64") - y[None]) ** 2).sum(-1, keepdims=True)
    rows = (x_i - y_j).sqnorm2().sum(axis=1, call=False)
    assert rows.shape == (5, 1)
    assert_close(rows(), dense.sum(1))
    assert_close((rows.log() * x_i)(), np.log(dense.sum(1)) * x)
    assert_close((rows * y_j).sum(axis=0), (dense.sum(1)[:, None] * y).sum(0), 100)
    assert_close((rows**2).sum(axis=0), (dense.sum(1) ** 2).sum(0)[None], 1e4)


def test_results_are_written_into_arrays(rng, dtype):
    x, y = rng.standard_normal((5, 2)).astype(dtype), rng.standard_normal((7, 2)).astype(dtype)
    K = LazyTensor(x[:, None]) * LazyTensor(y[None])
    expected = K.sum(axis=1)
    out = np.empty((5, 2), dtype)
    assert K.sum(axis=1, out=out) is out
    np.testing.assert_array_equal(out, expected)
    large = np.zeros((10, 4), dtype)
    K.sum(axis=1, out=large[::2, ::2])
    np.testing.assert_array_equal(large[::2, ::2], expected)
    assert not large[1::2].any()
    for bad, error in [(np.empty((4, 2), dtype), ValueError), (np.empty((5, 2), "int64"), TypeError), ([1], TypeError)]:
        with pytest.raises(error, match="out"):
            K.sum(axis=1, out=bad)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="written"):
        K.sum(axis=1, out=out)


def test_wider_accumulators(rng):
    y = np.full((1, 200_000, 1), 0.1, "float32")
    K = LazyTensor(y)
    exact = 200_000 * float(np.float32(0.1))
    for kwargs in ({"use_double_acc": True}, {"dtype_acc": "float64"}, {"sum_scheme": "kahan_scheme"}):
        result = K.sum(axis=1, **kwargs)
        assert result.dtype == np.float32
        assert result[0, 0] == np.float32(exact)
    assert abs(K.sum(axis=1, sum_scheme="direct_sum")[0, 0] - exact) < 0.01


def test_a_matrix_and_its_transpose(rng, dtype):
    x, y = rng.standard_normal((4, 2)).astype(dtype), rng.standard_normal((4, 2)).astype(dtype)
    K = LazyTensor(x[:, None]).sqdist(LazyTensor(y[None]) * 2)
    dense = ((x[:, None].astype("float64") - 2 * y[None]) ** 2).sum(-1)
    assert_close((K - K.T).sum(axis=1), (dense - dense.T).sum(1)[:, None], 100)
    assert_close((K.T.sum(axis=1, call=False) * K).sum(axis=0), (dense.sum(0)[:, None] * dense).sum(0)[:, None], 1e4)
    assert_close(K.T.T.argmin(axis=0), dense.argmin(0)[:, None])
