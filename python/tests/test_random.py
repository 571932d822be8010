# SPDX-License-Identifier: MIT
"""Random expressions, with batch axes, arrays in several places, transpositions and reductions inside, against NumPy.

KEOPSCL_TEST_SEED=n repeats the expressions of a seed.
"""

import os

import numpy as np
import pytest
from conftest import assert_close

from keopscl.numpy import LazyTensor, Pm, Vi, Vj

SEED = int(os.environ.get("KEOPSCL_TEST_SEED", "1"))
M, D = 4, 2  # as many rows as columns: transposes meet what they come from
BATCHES = [(), (3,), (2, 1), (2, 3), (1, 3)]


def leaf(rng, arrays):
    """A LazyTensor of a new array or of one that was there before, and its values in all axes."""
    role = rng.choice(["i", "j", "parameter", "number", "whole"])
    if role == "number":
        value = float(np.round(rng.uniform(0.2, 2), 2))
        return LazyTensor(value), np.full((1, 1, 1), value)
    if role == "whole":
        value = int(rng.integers(1, 4))
        return LazyTensor(value), np.full((1, 1, 1), float(value))
    if arrays and rng.random() < 0.5:
        x = arrays[rng.integers(len(arrays))]
    else:
        batch = BATCHES[rng.integers(len(BATCHES))]
        x = rng.uniform(0.2, 1.5, batch + (M, int(rng.choice([1, D]))))
        arrays.append(x)
    if role == "i":
        return (Vi(x) if x.ndim == 2 and rng.random() < 0.5 else LazyTensor(x[..., :, None, :])), x[..., :, None, :]
    if role == "j":
        return (Vj(x) if x.ndim == 2 and rng.random() < 0.5 else LazyTensor(x[..., None, :, :])), x[..., None, :, :]
    row = x[..., 0, :]
    return Pm(row), row[..., None, None, :]


UNARY = [
    (lambda a: a.sin(), np.sin),
    (lambda a: (-a).exp(), lambda a: np.exp(-a)),
    (lambda a: a**2, np.square),
    (lambda a: a.tanh(), np.tanh),
    (lambda a: abs(a), np.abs),
]
BINARY = [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / (1.5 + b * b)]


def expression(rng, depth, arrays, known):
    """A LazyTensor and its values."""
    if known and rng.random() < 0.2:
        return known[rng.integers(len(known))]
    if depth == 0:
        return leaf(rng, arrays)
    kind = rng.choice(["unary", "binary", "binary", "transpose", "inner", "reduced"])
    a, x = expression(rng, depth - 1, arrays, known)
    if kind == "unary":
        lazy, dense = UNARY[rng.integers(len(UNARY))]
        made = lazy(a), dense(x)
    elif kind == "transpose":
        made = a.T, x.swapaxes(-2, -3)
    elif kind == "inner":
        made = a.sum(-1), x.sum(-1, keepdims=True)
    elif kind == "reduced":
        over = int(rng.integers(2))
        if a._node.axes == 0:
            made = a, x
        else:
            number = len(a._batch) + over
            made = a.sum(axis=number, call=False), x.sum(over - 3, keepdims=True)
    else:
        b, y = expression(rng, depth - 1, arrays, known)
        function = BINARY[rng.integers(len(BINARY))]
        made = function(a, b), function(x, y)
    known.append(made)
    return made


@pytest.mark.parametrize("number", range(150))
def test_random_expressions(number):
    rng = np.random.default_rng([SEED, number])
    arrays, known = [np.ones((M, 1))], []
    lazy, dense = expression(rng, int(rng.integers(1, 5)), arrays, known)
    lazy = lazy * LazyTensor(np.ones((M, 1, 1)))  # rows, and a number type
    dense = dense * np.ones((M, 1, 1))
    assert lazy._shape == np.broadcast_shapes(dense.shape, lazy._shape), f"seed {SEED}, expression {number}"
    for over in (0, 1):
        expected = np.broadcast_to(dense, lazy._shape).sum(over - 3)
        assert_close(lazy.sum(axis=len(lazy._batch) + over), expected, 10 * max(1.0, np.abs(dense).sum()))
    if lazy.nj == lazy.ni:
        np.testing.assert_allclose(
            lazy.dense(),
            np.broadcast_to(dense, lazy._shape).reshape(lazy.dense().shape),
            rtol=1e-9,
            atol=1e-9 * max(1.0, np.abs(dense).max()),
        )
