# SPDX-License-Identifier: MIT
"""Reductions over batch axes, against NumPy in float64."""

import numpy as np
import pytest
from conftest import assert_close

from keopscl.numpy import Genred, LazyTensor, Pm


@pytest.mark.parametrize(
    "batch_x, batch_y", [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((1, 3), (1, 1)), ((2, 1), (2, 1))]
)
@pytest.mark.parametrize("axis", [0, 1])
def test_reductions_over_batch_axes(batch_x, batch_y, axis, rng, dtype):
    x = rng.standard_normal(batch_x + (4, 1, 2)).astype(dtype)
    y = rng.standard_normal(batch_y + (1, 5, 2)).astype(dtype)
    x_i, y_j = LazyTensor(x), LazyTensor(y)
    values = np.broadcast_to(x.astype("float64") * y, np.broadcast_shapes(batch_x, batch_y) + (4, 5, 2))
    rows = (x_i * y_j).sum(axis=3, call=False)
    assert_close(rows.sum(axis=axis), values.sum((3,)).sum(axis, keepdims=True), 10)
    assert_close(rows.min(axis=axis), values.sum(3).min(axis, keepdims=True), 10)
    assert_close(rows.mean(axis=axis), values.sum(3).mean(axis, keepdims=True), 10)
    if values.shape[: axis + 1] == (1,) * (axis + 1):
        with pytest.raises(NotImplementedError, match="axis 0"):
            rows.argmax(axis=axis)
    else:
        assert_close(rows.argmax(axis=axis), values.sum(3).argmax(axis, keepdims=True))
    assert_close((x_i * y_j).sum(axis=axis, call=False).sum(axis=2), values.sum(axis, keepdims=True).sum(2), 10)
    assert_close((x_i * y_j).max(axis, call=False).max(axis=3), values.max(axis, keepdims=True).max(3))
    assert_close(rows.sum(axis=axis - 5), values.sum(3).sum(axis, keepdims=True), 10)


def test_a_matrix_is_not_returned(rng):
    x = rng.standard_normal((2, 3, 1, 1))
    K = LazyTensor(x) * LazyTensor(x.swapaxes(1, 2))
    with pytest.raises(ValueError, match="still depends on i and j"):
        K.sum(axis=0)


def test_parameters_have_batch_axes(rng, dtype):
    p, x = rng.standard_normal((2, 3)).astype(dtype), rng.standard_normal((2, 4, 1, 3)).astype(dtype)
    y = rng.standard_normal((1, 5, 3)).astype(dtype)
    values = (p[:, None, None].astype("float64") * x * y).sum(2)
    assert_close((Pm(p) * LazyTensor(x) * LazyTensor(y)).sum(axis=2), values, 10)
    assert_close((LazyTensor(p[:, None, None]) * LazyTensor(x) * LazyTensor(y)).sum(axis=2), values, 10)


def test_one_array_read_in_two_ways(rng):
    """A parameter of three batch axes, and of one, from the same array of four axes."""
    p, x = rng.standard_normal((2, 1, 1, 3)), rng.standard_normal((2, 4, 1, 3))
    three, one = Pm(p), LazyTensor(p)
    assert three._shape == (2, 1, 1, 1, 1, 3) and one._shape == (2, 1, 1, 3)
    expected = p[:, :, :, None, None] * x * p
    assert_close((three * LazyTensor(x) * one).sum(axis=4), expected.sum(4))


@pytest.mark.parametrize("batch", [(7,), (3, 2)])
@pytest.mark.parametrize("axis", [0, 1])
def test_batches_of_single_rows(batch, axis, rng, dtype):
    """With one row and one column nothing but the axes tells batches from rows."""
    x, y = (rng.standard_normal(batch + (1, 3)).astype(dtype) for _ in range(2))
    expected = (x.astype("float64") * y).sum(-1, keepdims=True)
    reduction = Genred("Sum((x*y))", ["x=Vi(3)", "y=Vj(3)"], reduction_op="Sum", axis=axis)
    assert_close(reduction(x, y), expected, 10)
    x_i, y_j = LazyTensor(x[..., :, None, :]), LazyTensor(y[..., None, :, :])
    assert_close((x_i | y_j).sum(axis=len(batch) + axis), expected, 10)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    "of_x, of_y", [((5, 1), (4,)), ((5, 1), (1,)), ((5, 1), (1, 1)), ((2, 1, 1), (4,)), ((5, 1), (5, 4))]
)
def test_batches_of_single_rows_beside_rows(of_x, of_y, axis, rng, dtype):
    """Batches of single rows on one side only, which read as rows as well: the shape of the result tells."""
    x, y = (rng.standard_normal(shape + (3,)).astype(dtype) for shape in (of_x, of_y))
    for left, right in ((x, y), (y, x)):
        expected = (left.astype("float64")[..., :, None, :] * right[..., None, :, :] ** 2).sum(-3 + axis)
        reduction = Genred("x*Square(y)", ["x=Vi(3)", "y=Vj(3)"], reduction_op="Sum", axis=axis)
        result = reduction(left, right)
        assert result.shape == expected.shape
        assert_close(result, expected, 10)
