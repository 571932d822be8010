# SPDX-License-Identifier: MIT
"""Values of LazyTensors, against NumPy's indexing of the stored array."""

import numpy as np
import pytest
from conftest import assert_close

from keopscl.numpy import LazyTensor, Vi, Vj

M, N = 6, 8
numbers = [2, 0, -1, 2]
mask = np.arange(N) % 3 == 0

KEYS = {
    "i": np.s_[2],
    "-1": np.s_[-1],
    "slice": np.s_[1:4],
    "backwards": np.s_[::-2],
    "list": numbers,
    "array": np.array(numbers),
    "mask": np.arange(M) > 2,
    ":, j": np.s_[:, 3],
    ":, -1": np.s_[:, -1],
    "i, j": np.s_[1, 2],
    "block": np.s_[2:5, ::3],
    "none": np.s_[4:2, :],
    "list, :": (numbers, slice(None)),
    ":, list": (slice(None), numbers),
    ":, mask": (slice(None), mask),
    "pairs": (numbers, [1, 2, 3, 4]),
    "list, j": (numbers, 3),
    "i, list": (1, numbers),
    "slice, list": (slice(1, 3), numbers),
    "outer": (np.array([[0], [2]]), np.array([[1, 3, 5]])),
    "two axes": np.array([[0, 1], [2, 3]]),
    "empty": [],
}


@pytest.fixture
def pair(rng, dtype):
    x, y = rng.standard_normal((M, 3)).astype(dtype), rng.standard_normal((N, 3)).astype(dtype)
    return Vi(x), Vj(y), x[:, None].astype("float64"), y[None].astype("float64")


@pytest.mark.parametrize("name", sorted(KEYS))
def test_values_of_a_matrix(name, pair):
    x_i, y_j, x, y = pair
    K, dense = (-x_i.sqdist(y_j)).exp(), np.exp(-((x - y) ** 2).sum(-1))
    assert_close(np.asarray(K[KEYS[name]]), dense[KEYS[name]])
    vectors = x_i * y_j
    if isinstance(KEYS[name], tuple):
        assert_close(vectors[KEYS[name]], (x * y)[KEYS[name]], 10)


def test_all_values_and_the_diagonal(pair):
    x_i, y_j, x, y = pair
    K, dense = x_i * y_j, x * y
    assert_close(K.dense(), dense, 10)
    assert_close(K.sum(-1).dense(), dense.sum(-1), 10)
    assert_close(K.T.sum(-1).dense(), dense.sum(-1).T, 10)
    assert_close(x_i.dense(), x)
    square = x_i * Vj(x_i.variables[0])
    assert_close(square.diag(), x[:, 0] ** 2, 10)
    assert_close(square.sum(-1).diag(), (x[:, 0] ** 2).sum(-1), 10)
    assert_close(K.sum(axis=1, call=False).dense()[:, 0], dense.sum(1), 10)
    assert_close(K.elem(0).argmin(axis=1, call=False).dense()[:, 0], dense[..., 0].argmin(1))
    assert_close(K[:, 2:4, 1], dense[:, 2:4, 1], 10)
    assert_close(K[2, :, ::2], dense[2, :, ::2], 10)
    with pytest.raises(ValueError, match="6 and 8"):
        K.diag()


def test_batches_and_complex_numbers(rng):
    x, y = rng.standard_normal((2, 1, 4, 1, 2)), rng.standard_normal((3, 1, 5, 2))
    K, dense = LazyTensor(x) * LazyTensor(y), x * y
    assert_close(K.dense(), dense)
    assert_close(K.sum(-1)[1, :, 2], dense.sum(-1)[1, :, 2])
    assert_close(K.sum(-1)[:, 0, 1:3, 4], dense.sum(-1)[:, 0, 1:3, 4])
    assert_close(K.sum(-1)[0], dense.sum(-1)[0])
    assert_close(K[:, :, 1, :, 0], dense[:, :, 1, :, 0])
    z = LazyTensor(x + 1j * x) * LazyTensor(y)
    assert_close(z.dense(), (x + 1j * x) * y)
    assert_close(z.sum(-1)[1, 2], ((x + 1j * x) * y).sum(-1)[1, 2])
    assert_close(z[:, :, :, :, 1].sum(axis=2), ((x + 1j * x) * y)[..., 1:].sum(2))


def test_components_as_in_keops(pair):
    x_i, y_j, x, y = pair
    K = x_i * y_j
    for lazy in (K[1], K[:, :, 1], K[..., 1], K[1:3], K[:, :, 1:3], x_i.elem(0)[0]):
        assert isinstance(lazy, LazyTensor)
    assert_close(K[..., 1].sum(axis=1), (x * y)[..., 1:2].sum(1), 10)


def test_numbers_that_are_not_there(pair):
    x_i, y_j, _, _ = pair
    K = x_i.sqdist(y_j)
    for key in (6, -7, [0, 6], np.s_[:, 8], np.s_[0, 0, 0], np.ones(5, bool), "a", 1.5, ([0, 1], [0, 1, 2]), [0.5]):
        with pytest.raises(IndexError):
            K[key]
    with pytest.raises(ValueError, match="symbolic"):
        (Vi(0, 3) | y_j).dense()
    with pytest.raises(TypeError, match="dense"):
        np.asarray(K)
