# SPDX-License-Identifier: MIT
"""LazyTensors as linear operators of SciPy. Skipped without SciPy."""
import numpy as np
import pytest

from keopscl.numpy import Vi, Vj

pytest.importorskip("scipy")
from scipy.sparse.linalg import LinearOperator, aslinearoperator, cg, eigsh  # noqa: E402


@pytest.fixture
def matrix(rng):
    x = rng.standard_normal((60, 2))
    K = (-Vi(x).sqdist(Vj(x)) / 2.0).exp()
    return K, np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / 2)


def test_products(matrix, rng):
    K, dense = matrix
    operator = aslinearoperator(K)
    v, V = rng.standard_normal(60), rng.standard_normal((60, 3))
    assert operator.shape == (60, 60) and operator.dtype == np.float64
    np.testing.assert_allclose(operator @ v, dense @ v)
    np.testing.assert_allclose(operator @ V, dense @ V)
    np.testing.assert_allclose(operator.rmatvec(v), dense.T @ v)
    np.testing.assert_allclose((2 * operator + aslinearoperator(np.eye(60))) @ v, 2 * dense @ v + v)


def test_eigenvalues(matrix):
    K, dense = matrix
    values, vectors = eigsh(aslinearoperator(K), k=4)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(dense)[-4:])
    np.testing.assert_allclose(dense @ vectors, vectors * values, atol=1e-9)


def test_linear_systems(matrix, rng):
    K, dense = matrix
    b = rng.standard_normal(60)
    regularised = LinearOperator((60, 60), dtype=np.float64, matvec=lambda v: K @ v + v)
    solution, info = cg(regularised, b, maxiter=500)
    assert info == 0
    np.testing.assert_allclose(dense @ solution + solution, b, atol=1e-4)
