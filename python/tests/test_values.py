# SPDX-License-Identifier: MIT
"""Values of LazyTensors, against NumPy's indexing of the stored array."""

import numpy as np
import pytest
from conftest import assert_close

import keopscl
from keopscl._core import contexts
from keopscl.numpy import LazyTensor, Pm, Vi, Vj, index_i

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
    "empty, j": ([], 2),
    "empty pairs": ([], []),
    "...": np.s_[...],
    "..., j": np.s_[..., 3],
    "i, ...": np.s_[2, ...],
    "..., list": (Ellipsis, numbers),
    "mask, list": (np.arange(M) % 2 == 0, [0, 5, 7]),
    "mask of both": np.arange(M)[:, None] < np.arange(N),
    "ix_": np.ix_(np.arange(M) > 2, [2, -1]),
    "unsigned": np.array([1, 5], np.uint64),
    "array of no axis": np.array(2),
    "beyond the end": np.s_[4:100, -100:2],
    "nothing": (),
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
    if isinstance(KEYS[name], tuple) and "..." not in name:  # with Ellipsis, the last key is one of components
        assert_close(np.asarray(vectors[KEYS[name]]), (x * y)[KEYS[name]], 10)


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
    with pytest.raises(ValueError, match="6 rows and axis j 8"):
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


# Keys of K of shape (2, 6, 8), of which the first axis is a batch axis.
BATCH_KEYS = [
    np.s_[1],
    np.s_[-1, 2],
    np.s_[::-1, 1],
    np.s_[..., 1],
    np.s_[..., 1, 2],
    np.s_[1, ..., [0, 3]],
    ([1, 0],),
    ([0, 1], [2, 3]),
    ([0, 1], slice(None), [2, 3]),
    (0, slice(None), [1, 2]),
    (slice(None), [0, 1], [2, 3]),
    ([1, 0], [1, 2], [3, 4]),
    ([1, 0], slice(2, 4), 1),
    ([[0], [1]], [0, 1]),
    ([[0], [1]], [0, 1], [3, 2]),
    (0, slice(0, 2), [1, 2]),
    (np.array([True, False]), 3),
    (np.arange(12).reshape(2, 6) % 5 == 0,),
    (slice(None), np.arange(48).reshape(6, 8) % 7 == 0),
]


@pytest.mark.parametrize("key", BATCH_KEYS, ids=str)
def test_lists_on_batch_axes_and_components_mean_what_numpy_means(key, rng):
    x, y = rng.standard_normal((2, M, 1, 3)), rng.standard_normal((1, N, 3))
    K, dense = LazyTensor(x) * LazyTensor(y), x * y
    assert_close(np.asarray(K.sum(-1)[key]), dense.sum(-1)[key], 10)


VECTOR_KEYS = [
    np.s_[0, 0, 0],
    np.s_[0, :, -1],
    np.s_[0, ..., 1],
    np.s_[..., 0, 0],
    ([0, 1], slice(None), [0, 1]),
    ([0, 1], [5, 1], [0, 2]),
    ([0, 1], 0, [0, 1]),
    (0, slice(None), [0, 1]),
    (slice(None), [0, 1], slice(None, None, -1)),
    ([[0], [1]], [0, 1, 2], 1),
]


@pytest.mark.parametrize("key", VECTOR_KEYS, ids=str)
def test_components_of_values(key, pair):
    x_i, y_j, x, y = pair
    assert_close(np.asarray((x_i * y_j)[key]), (x * y)[key], 10)


def test_values_by_name(pair):
    x_i, y_j, x, y = pair
    K, dense = x_i * y_j, x * y
    for lazy, stored in ((K, dense), (K.sum(-1), dense.sum(-1)), (x_i, x), (x_i.sum(-1), x.sum(-1))):
        columns = [-1, 0] if stored.shape[1] > 1 else [0, 0]
        assert_close(lazy.rows(numbers), stored[numbers], 10)
        assert_close(np.asarray(lazy.rows(-2)), stored[-2], 10)
        assert_close(lazy.rows(np.arange(M) > 2), stored[3:], 10)
        assert_close(lazy.columns(columns), stored[:, columns], 10)
        assert_close(lazy.columns(0), stored[:, 0], 10)
        assert_close(lazy.block(numbers, columns), stored[numbers][:, columns], 10)
        assert_close(lazy.block(slice(None, None, -2), columns), stored[::-2][:, columns], 10)
        assert_close(lazy.entries([0, 1], columns), stored[[0, 1], columns], 10)
        assert_close(lazy.entries(1, columns), stored[1, columns], 10)
        assert_close(lazy.entries([[0], [2]], columns), stored[[[0], [2]], columns], 10)
        assert lazy.block([], columns).shape == (0, 2) + stored.shape[2:]
    assert_close(K.entries(slice(2, 5), [1, 1, 0]), dense[[2, 3, 4], [1, 1, 0]], 10)
    assert_close(Pm(x_i.variables[0][0]).dense(), x[:1])


def test_reductions_have_values(pair):
    x_i, y_j, x, y = pair
    q = ((x - y) ** 2).sum(-1)
    nearest = x_i.sqdist(y_j).argmin(axis=1, call=False)
    assert_close(nearest.rows([4, -1, 0]), q.argmin(1)[[4, -1, 0], None])
    assert nearest.rows(2).dtype == np.int64
    assert_close(nearest.entries([3, 1], 0), q.argmin(1)[[3, 1]])
    assert_close(np.asarray(nearest[2, 0]), q.argmin(1)[2])
    assert_close(x_i.sqdist(y_j).Kmin(3, dim=1, call=False).rows([1, 2]), np.sort(q, 1)[[1, 2], None, :3], 10)
    in_double = x_i.sqdist(y_j).sum(axis=1, call=False, dtype_acc="float64", use_fast_math=True)
    assert_close(in_double.rows(slice(1, 4)), q.sum(1)[1:4, None], 100)
    with pytest.raises(ValueError, match="two results"):
        x_i.sqdist(y_j).min_argmin(axis=1, call=False).dense()
    with pytest.raises(NotImplementedError, match="out"):
        x_i.sqdist(y_j).sum(axis=1, call=False, out=np.empty((M, 1))).dense()


def test_axes_of_size_0(dtype):
    none, some = np.empty((0, 3), dtype), np.ones((4, 3), dtype)
    K = Vi(none).sqdist(Vj(some))
    assert K.dense().shape == K[:].shape == (0, 4) and K[:, 1].shape == (0,) and K[:, [1, 2]].shape == (0, 2)
    assert K.dense().dtype == np.dtype(dtype)
    assert K.T.rows([0, 1]).shape == (2, 0) and Vi(none).sqdist(Vj(none)).diag().shape == (0,)
    with pytest.raises(IndexError, match="number 0 on axis i, which has 0"):
        K[0]
    with pytest.raises(ValueError, match="axis i has 0 rows and axis j 4"):
        K.diag()


def test_refusals_say_what_is_wrong(pair):
    x_i, y_j, _, _ = pair
    K, vectors = x_i.sqdist(y_j), x_i * y_j
    for told, key in {
        "number 6 on axis i, which has 6": 6,
        "number -9 on axis j, which has 8": np.s_[:, [0, -9]],
        "None": None,
        "True": (0, True),
        "one Ellipsis": (..., ...),
        "mask for axis j": (0, [True] * 3),
        "sizes \\(6, 8\\)": np.ones((8, 6), bool),
        "array of float64": np.array([0.0]),
        "K.block": ([0, 1], [0, 1, 2]),
        "bounds": np.s_[0.5:],
    }.items():
        with pytest.raises(IndexError, match=told):
            K[key]
    with pytest.raises(ValueError, match="step"):
        K[::0]
    for key in ([0, 1], (slice(None), slice(None), [0])):
        with pytest.raises(ValueError, match="rows"):
            vectors[key]
    with pytest.raises(IndexError, match="rows: there is no number 7 on axis i"):
        vectors.rows([7])
    with pytest.raises(IndexError, match="entries: lists"):
        vectors.entries([1, 2], [1, 2, 3])
    with pytest.raises(IndexError, match="Ellipsis"):
        vectors.block(..., 0)
    for lazy in (index_i(), LazyTensor(2.0)):
        with pytest.raises(TypeError, match="number type"):
            lazy.dense()
    K.ranges = (0,)
    with pytest.raises(NotImplementedError, match="ranges"):
        K.rows(0)


def test_values_on_a_device(pair):
    if not contexts.has("cpu"):
        pytest.skip("there is no OpenCL CPU device")
    x_i, y_j, x, y = pair
    K, dense = x_i * y_j, x * y
    keopscl.set_device("cpu")
    try:
        assert_close(K.dense(), dense, 10)
        assert_close(K.block(numbers, [7, 0]), dense[numbers][:, [7, 0]], 10)
        assert_close(K.sum(-1)[[0, 3], [1, -1]], dense.sum(-1)[[0, 3], [1, -1]], 10)
        assert_close((x_i * Vj(x_i.variables[0])).diag(), x[:, 0] ** 2, 10)
    finally:
        keopscl.set_device(None)
