# SPDX-License-Identifier: MIT
"""LazyTensors as linear operators of SciPy. Skipped without SciPy."""

from pathlib import Path

import numpy as np
import pytest

import keopscl.numpy
from keopscl.numpy import Vi, Vj, index_i, index_j

pytest.importorskip("scipy", "1.12")  # cg has rtol
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


DATA = Path(__file__).resolve().parents[2] / "examples" / "data"


@pytest.fixture(scope="module")
def airports():
    """Every 20th airport of the world, as a point of the unit sphere, and its elevation in kilometres."""
    if not DATA.is_dir():
        pytest.skip("examples/data is not there: tests of an installed package")
    longitude, latitude, elevation = np.loadtxt(DATA / "airports.csv", delimiter=",", unpack=True)
    longitude, latitude = np.radians(longitude[::20]), np.radians(latitude[::20])
    position = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )
    return position, elevation[::20] / 1000


def test_eigenvectors_of_airports(airports):
    """eigsh takes a LazyTensor itself, and the operator with products of many columns."""
    x, _ = airports
    K = (-Vi(x).sqdist(Vj(x)) * 4.0).exp()
    dense = np.exp(-4 * ((x[:, None] - x[None]) ** 2).sum(-1))
    expected = np.linalg.eigvalsh(dense)[-5:]
    for operator in (K, keopscl.numpy.aslinearoperator(K)):
        values, vectors = eigsh(operator, k=5)
        np.testing.assert_allclose(values, expected, rtol=1e-10)
        np.testing.assert_allclose(dense @ vectors, vectors * values, atol=1e-9 * values[-1])


def test_interpolation_of_elevations(airports):
    """cg takes a LazyTensor itself; where i is j the kernel has the noise."""
    x, height = airports
    K = (-Vi(x).sqdist(Vj(x)) * 4.0).exp() + 0.1 * (index_i() == index_j())
    dense = np.exp(-4 * ((x[:, None] - x[None]) ** 2).sum(-1)) + 0.1 * np.eye(len(x))
    weights, info = cg(K, height, rtol=1e-10, maxiter=2000)
    assert info == 0
    np.testing.assert_allclose(weights, np.linalg.solve(dense, height), rtol=1e-6, atol=1e-6)


def test_other_linear_systems(airports):
    """Without positive definiteness, by minres, and least squares of a matrix that is not square, by lsmr."""
    from scipy.sparse.linalg import lsmr, minres

    x, height = airports
    K = Vi(x).sqdist(Vj(x)).sqrt() + 2.0 * (index_i() == index_j())
    dense = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1)) + 2 * np.eye(len(x))
    assert np.linalg.eigvalsh(dense)[0] < 0
    for operator in (K, keopscl.numpy.aslinearoperator(K)):
        weights, info = minres(operator, height, rtol=1e-12, maxiter=5000)
        assert info == 0
        np.testing.assert_allclose(weights, np.linalg.solve(dense, height), rtol=1e-5, atol=1e-5)
    few = x[::10]
    tall = (-Vi(x).sqdist(Vj(few)) * 4.0).exp()
    dense = np.exp(-4 * ((x[:, None] - few[None]) ** 2).sum(-1))
    for operator in (tall, keopscl.numpy.aslinearoperator(tall)):
        weights = lsmr(operator, height, damp=0.1, atol=1e-12, btol=1e-12, maxiter=5000)[0]
        expected = np.linalg.solve(dense.T @ dense + 0.01 * np.eye(len(few)), dense.T @ height)
        np.testing.assert_allclose(weights, expected, rtol=1e-6, atol=1e-6)


def test_lobpcg_and_svds(airports):
    """Solvers that multiply many columns, and by the transposed matrix."""
    from scipy.sparse.linalg import lobpcg, svds

    x, _ = airports
    K = (-Vi(x).sqdist(Vj(x[::3])) * 4.0).exp()
    dense = np.exp(-4 * ((x[:, None] - x[None, ::3]) ** 2).sum(-1))
    values = svds(keopscl.numpy.aslinearoperator(K), k=3, return_singular_vectors=False, random_state=0)
    np.testing.assert_allclose(np.sort(values), np.linalg.svd(dense, compute_uv=False)[2::-1], rtol=1e-9)
    square = (-Vi(x).sqdist(Vj(x)) * 4.0).exp()
    start = np.random.default_rng(0).standard_normal((len(x), 3))
    values, _ = lobpcg(keopscl.numpy.aslinearoperator(square), start, maxiter=200, tol=1e-7)
    full = np.exp(-4 * ((x[:, None] - x[None]) ** 2).sum(-1))
    np.testing.assert_allclose(np.sort(values), np.linalg.eigvalsh(full)[-3:], rtol=1e-7)


def test_operators_of_float32_take_other_vectors(rng):
    x = rng.standard_normal((20, 2)).astype(np.float32)
    operator = keopscl.numpy.aslinearoperator((-Vi(x).sqdist(Vj(x))).exp())
    dense = np.exp(-((x[:, None].astype(float) - x[None]) ** 2).sum(-1))
    v = rng.standard_normal(20)
    assert operator.dtype == np.float32
    np.testing.assert_allclose(operator @ v, dense @ v, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(operator @ (1j * v), dense @ (1j * v), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"\(M, N\).*\(20, 20, 2\)"):
        keopscl.numpy.aslinearoperator(Vi(x) - Vj(x))


def test_adjoints_of_complex_matrices(rng):
    x, y = rng.standard_normal((7, 1)), rng.standard_normal((5, 1))
    K = (Vi(x) * Vj(y)).exp1j()
    dense = np.exp(1j * x * y.T)
    u, v = (rng.standard_normal(n) + 1j * rng.standard_normal(n) for n in (7, 5))
    for operator in (aslinearoperator(K), keopscl.numpy.aslinearoperator(K)):
        np.testing.assert_allclose(operator.matvec(v), dense @ v)
        np.testing.assert_allclose(operator.rmatvec(u), dense.conj().T @ u)
        np.testing.assert_allclose(operator.rmatmat(u[:, None]), dense.conj().T @ u[:, None])
        np.testing.assert_allclose(np.vdot(u, operator.matvec(v)), np.vdot(operator.rmatvec(u), v))
