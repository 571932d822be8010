# SPDX-License-Identifier: MIT
"""Linear systems: K.solve and KernelSolve, against NumPy's solutions with dense matrices."""

import pickle
import warnings

import numpy as np
import pytest

import keopscl
from keopscl.numpy import KernelSolve, LazyTensor, Pm, Vi, Vj, index_i, index_j
from keopscl.numpy.operations import KernelSolve as KernelSolveOfOperations

N = 30
WITHIN = {"float32": 1e-4, "float64": 1e-8}  # relative residuals that are asked for
FORMULA = "Exp(-g*SqDist(x,y))*b"
ALIASES = ["x = Vi(3)", "y = Vj(3)", "b = Vj(2)", "g = Pm(1)"]


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", keopscl.SolveWarning)
        yield


def gauss(x, width=2.0):
    return (-Vi(x).sqdist(Vj(x)) * width).exp()


def dense_gauss(x, width=2.0):
    x = x.astype(np.float64)
    return np.exp(-width * ((x[..., :, None, :] - x[..., None, :, :]) ** 2).sum(-1))


def residual(matrix, a, b):
    """|b - A a| / |b| for each column."""
    b = np.asarray(b, np.float64)
    return np.linalg.norm(b - matrix @ np.asarray(a, np.float64), axis=-2) / np.linalg.norm(b, axis=-2)


@pytest.fixture
def points(rng, dtype):
    return rng.random((N, 3)).astype(dtype)


@pytest.fixture
def b(rng, dtype):
    return rng.standard_normal((N, 2)).astype(dtype)


def test_forms_of_right_hand_sides(points, b, dtype):
    K, matrix = gauss(points), dense_gauss(points) + 0.1 * np.eye(N)
    expected = np.linalg.solve(matrix, b)
    for given, shape in ((b, (N, 2)), (Vi(b), (N, 2)), (Vj(b), (N, 2)), (b[:, None, :], (N, 2)),
                         (LazyTensor(b[:, None, :]), (N, 2)), (b[None], (1, N, 2)), (np.asfortranarray(b), (N, 2))):
        a = K.solve(given, alpha=0.1, tol=WITHIN[dtype])
        assert a.shape == shape and a.dtype == dtype
        assert residual(matrix, a.reshape(N, 2), b).max() <= 1.1 * WITHIN[dtype]
        np.testing.assert_allclose(a.reshape(N, 2), expected, atol=20 * WITHIN[dtype] * np.abs(expected).max())
    a = K.solve(b[:, 0], alpha=0.1, tol=WITHIN[dtype])
    assert a.shape == (N,) and residual(matrix, a[:, None], b[:, :1]).max() <= 1.1 * WITHIN[dtype]


def test_without_a_tolerance(points, b, dtype):
    matrix = dense_gauss(points) + 0.1 * np.eye(N)
    a = gauss(points).solve(b, alpha=0.1)
    assert residual(matrix, a, b).max() <= (1e-5 if dtype == "float32" else 1.1e-6)
    a = gauss(points).solve(b, alpha=np.float32(0.1), dtype=np.float64, tol=1e-10)
    matrix = dense_gauss(points) + float(np.float32(0.1)) * np.eye(N)
    assert a.dtype == np.float64 and residual(matrix, a, b).max() <= 1.1e-10


def test_the_record(points, dtype):
    """Columns of all sizes in one call, each to the tolerance, and residuals that are true ones."""
    rng = np.random.default_rng(3)
    column = rng.standard_normal((N, 1))
    b = (column * [1, 1e-6, 0, 1e6]).astype(dtype)
    a, record = gauss(points).solve(b, alpha=0.1, tol=1e-4, info=True)
    matrix = dense_gauss(points) + 0.1 * np.eye(N)
    true = np.linalg.norm(b - matrix @ a.astype(np.float64), axis=0)
    assert isinstance(record, keopscl.SolveResult)
    for field in (record.converged, record.reason, record.iterations, record.residual, record.norm):
        assert field.shape == (4,)
    assert record.converged.all() and set(record.reason) == {"converged"}
    np.testing.assert_allclose(record.norm, np.linalg.norm(b.astype(np.float64), axis=0), rtol=1e-6)
    np.testing.assert_allclose(record.residual, true, rtol=1e-6, atol=1e-13 * record.norm.max())
    assert (record.residual <= 1e-4 * record.norm).all()
    assert record.iterations[2] == 0 and not a[:, 2].any() and (record.iterations[[0, 1, 3]] > 1).all()
    assert repr(record).startswith("SolveResult(converged: 4; iterations up to ")


def test_eps_is_the_root_mean_square_of_a_residual(points, dtype):
    b = np.ones((N, 1), dtype) * np.array([1, 100], dtype)
    matrix = dense_gauss(points) + 0.1 * np.eye(N)
    _, record = gauss(points).solve(b, alpha=0.1, eps=1e-3, info=True)
    assert (record.residual <= 1e-3 * np.sqrt(N)).all()
    few = record.iterations
    a, record = gauss(points).solve(b, alpha=0.1, eps=1e-3, tol=1e-1, info=True)
    assert (record.residual <= 0.1 * record.norm).all() and (record.iterations < few).all()
    assert residual(matrix, a, b).max() <= 0.11


def test_noise_for_each_row(points, b, rng, dtype):
    noise = (0.1 + rng.random(N)).astype(dtype)
    a = gauss(points).solve(b, alpha=0.2, noise=noise, tol=WITHIN[dtype])
    assert residual(dense_gauss(points) + np.diag(0.2 + noise.astype(float)), a, b).max() <= 1.1 * WITHIN[dtype]


def test_a_start(points, b, dtype):
    K = gauss(points)
    a, cold = K.solve(b, alpha=0.1, tol=WITHIN[dtype], info=True)
    _, warm = K.solve(b, alpha=0.1, tol=2 * WITHIN[dtype], start=a, info=True)
    assert (warm.iterations <= 2).all() and (cold.iterations > 5).all()
    flat = K.solve(b[:, 0], alpha=0.1, start=a[:, 0])
    assert flat.shape == (N,)


def test_batches(rng, dtype):
    """Elements are systems of their own, and axes are broadcast."""
    x = rng.random((2, 3, N, 1, 2)).astype(dtype)
    x[1, 2] *= 1e-2  # an element whose matrix is nearly one of rank 1
    K = (-((LazyTensor(x) - LazyTensor(x.swapaxes(-3, -2))) ** 2).sum(-1)).exp()
    matrix = dense_gauss(x[..., 0, :], 1.0) + 0.1 * np.eye(N)
    noise = rng.random((3, N)).astype(dtype)
    for b in (rng.standard_normal((2, 3, N, 2)), rng.standard_normal((3, N, 1)), rng.standard_normal((N, 2))):
        b = b.astype(dtype)
        a, record = K.solve(b, alpha=0.1, tol=WITHIN[dtype], info=True)
        assert a.shape == (2, 3, N, b.shape[-1]) and record.reason.shape == (2, 3, b.shape[-1])
        assert residual(matrix, a, np.broadcast_to(b, a.shape)).max() <= 1.1 * WITHIN[dtype]
        a = K.solve(b, alpha=0.1, noise=noise, tol=WITHIN[dtype])
        noisy = matrix + noise.astype(float)[..., None] * np.eye(N)
        assert residual(noisy, a, np.broadcast_to(b, a.shape)).max() <= 1.1 * WITHIN[dtype]
    one = gauss(x[0, 0, :, 0])
    b = rng.standard_normal((4, N, 1)).astype(dtype)
    a = one.solve(b, alpha=0.1, tol=WITHIN[dtype])
    assert residual(dense_gauss(x[0, 0, :, 0]) + 0.1 * np.eye(N), a, b).max() <= 1.1 * WITHIN[dtype]
    assert K.solve(b[0, :, 0], alpha=0.1).shape == (2, 3, N)


def test_few_rows_and_none():
    for rows in (0, 1):
        K, b = gauss(np.ones((rows, 3))), np.ones((rows, 2))
        a, record = K.solve(b, alpha=1.0, info=True)
        np.testing.assert_allclose(a, b / 2)
        assert record.reason.shape == (2,) and record.converged.all()
        assert K.solve(b[:, 0], alpha=1.0, backend="CPU").shape == (rows,)
    x = np.ones((0, 4, 1, 3))
    K = (-((LazyTensor(x) - LazyTensor(x.swapaxes(-3, -2))) ** 2).sum(-1)).exp()
    a, record = K.solve(np.ones((4, 2)), info=True)
    assert a.shape == (0, 4, 2) and record.reason.shape[0] == 0 and repr(record) == "SolveResult(no systems)"


def test_a_matrix_for_each_component(points, b, dtype):
    widths = np.array([1.0, 4.0], dtype)
    K = (-Vi(points).sqdist(Vj(points)) * Pm(widths)).exp()
    a, record = K.solve(b, alpha=0.1, tol=WITHIN[dtype], info=True)
    for k in range(2):
        matrix = dense_gauss(points, float(widths[k])) + 0.1 * np.eye(N)
        assert residual(matrix, a[:, k:k + 1], b[:, k:k + 1]).max() <= 1.1 * WITHIN[dtype]
    assert record.reason.shape == (2,)


def curl_free(x, v):
    """-1/2 the Hessian of exp(-|x - y|^2), times v: a positive definite kernel of matrices."""
    d = Vi(x) - Vj(x)
    return (v - 2 * d * (d | v)) * (-(d | d)).exp()


def dense_curl_free(x):
    d = x[:, None] - x[None]
    blocks = (np.eye(x.shape[1]) - 2 * d[..., :, None] * d[..., None, :]) * np.exp(-(d**2).sum(-1))[..., None, None]
    return blocks.transpose(0, 2, 1, 3).reshape(x.size, x.size)


def test_kernels_of_matrices(rng):
    x, b = rng.random((N, 2)), rng.standard_normal((N, 2))
    expected = np.linalg.solve(dense_curl_free(x) + 0.1 * np.eye(2 * N), b.ravel()).reshape(N, 2)
    v = Vj(0, 2)
    for a in (curl_free(x, v).solve(b, var=v, alpha=0.1, tol=1e-12),
              curl_free(x, v).solve(Vi(0, 2), var=v, alpha=0.1, tol=1e-12)(b),
              curl_free(x, Vi(0, 2)).solve(Vj(b), var=Vi(0, 2), alpha=0.1, tol=1e-12)):
        np.testing.assert_allclose(a, expected, rtol=1e-9, atol=1e-9)
    _, record = curl_free(x, v).solve(b, var=v, alpha=0.1, info=True)
    assert record.reason.shape == (1,)  # the columns are no systems of their own
    d = "(x-y)"
    f = KernelSolve(f"(v - 2*{d}*({d}|v))*Exp(-SqDist(x,y))", ["x=Vi(2)", "y=Vj(2)", "v=Vj(2)"], "v", axis=1)
    np.testing.assert_allclose(f(x, x, b, alpha=0.1, tol=1e-12), expected, rtol=1e-9, atol=1e-9)


def test_symbolic_variables(rng):
    x, b = rng.random((N, 3)), rng.standard_normal((N, 2))
    expected = np.linalg.solve(dense_gauss(x) + 0.1 * np.eye(N), b)
    K = (-Vi(0, 3).sqdist(Vj(1, 3)) * 2.0).exp()
    f = K.solve(Vi(2, 2), alpha=0.1, tol=1e-12)
    assert f.symbolic_variables == ((0, 3, 0), (1, 3, 1), (2, 2, 0)) and f.callfun is f
    np.testing.assert_allclose(f(x, x, b), expected, rtol=1e-9, atol=1e-9)
    assert "3 symbolic variables" in repr(f)
    a, record = f(x, x, b, alpha=0.5, info=True)
    np.testing.assert_allclose(a, np.linalg.solve(dense_gauss(x) + 0.5 * np.eye(N), b), rtol=1e-9, atol=1e-9)
    assert record.converged.all()
    later = gauss(x).solve(b, alpha=0.1, tol=1e-12, call=False)
    np.testing.assert_allclose(later(), expected, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="3 arrays are needed.*not 2"):
        f(x, x)
    with pytest.raises(ValueError, match="argument 2.*rows, 2.*not"):
        f(x, x, b[:, :1])


def test_complex_numbers(rng):
    """A Hermitian matrix, positive definite: that of a Gaussian, between two diagonal matrices of phases."""
    x = rng.random((N, 2))
    K = gauss(x) * (3.0 * (Vi(x[:, :1]) - Vj(x[:, :1]))).exp1j()
    phase = np.exp(3j * x[:, 0])
    matrix = phase[:, None] * dense_gauss(x) * phase.conj()[None] + 0.1 * np.eye(N)
    b = rng.standard_normal((N, 2)) + 1j * rng.standard_normal((N, 2))
    a, record = K.solve(b, alpha=0.1, tol=1e-12, info=True)
    assert a.dtype == np.complex128 and record.reason.shape == (1,)
    np.testing.assert_allclose(a, np.linalg.solve(matrix, b), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(K.solve(b[:, 0], alpha=0.1, tol=1e-12), a[:, 0], rtol=1e-9, atol=1e-9)
    real = gauss(x).solve(b, alpha=0.1, tol=1e-12)
    np.testing.assert_allclose(real, np.linalg.solve(dense_gauss(x) + 0.1 * np.eye(N), b), rtol=1e-9, atol=1e-9)
    with pytest.raises(TypeError, match="K is complex and b is real"):
        K.solve(b.real)


def test_kernel_solve(points, b, dtype):
    g = np.array([2.0], dtype)
    matrix = dense_gauss(points) + 0.1 * np.eye(N)
    over_i = ["x = Vi(3)", "y = Vj(3)", "b = Vi(2)", "g = Pm(1)"]
    unnamed = ["Vi(3)", "Vj(3)", "Vj(2)", "Pm(1)"]
    for f in (KernelSolve(FORMULA, ALIASES, "b", axis=1), KernelSolve(FORMULA, over_i, "b"),
              KernelSolve("Exp(-Var(3,1,2)*SqDist(Var(0,3,0),Var(1,3,1)))*Var(2,2,1)", [], "Var(2,2,1)", axis=1),
              KernelSolve("Exp(-Var(3,1,2)*SqDist(Var(0,3,0),Var(1,3,1)))*Var(2,2,0)", [], "Var(2,2,0)", axis=0),
              KernelSolve("Exp(-Var(3,1,2)*SqDist(Var(0,3,0),Var(1,3,1)))*Var(2,2,1)", unnamed, "Var(2,2,1)", axis=1),
              pickle.loads(pickle.dumps(KernelSolve(FORMULA, ALIASES, "b", axis=1, sum_scheme="kahan_scheme")))):
        a = f(points, points, b, g, alpha=0.1, tol=WITHIN[dtype])
        assert a.shape == (N, 2) and a.dtype == dtype
        assert residual(matrix, a, b).max() <= 1.1 * WITHIN[dtype]
    assert KernelSolveOfOperations is KernelSolve
    a, record = f(points, points, b, g, alpha=0.1, noise=np.ones(N, dtype), start=a, dtype="float64", info=True)
    assert a.dtype == np.float64 and residual(matrix + np.eye(N), a, b).max() <= 1.1e-6 and record.converged.all()


def test_kernel_solve_of_a_matrix_that_is_not_symmetric_knows_i_from_j(rng):
    """x and y change places with the axis; the skew part decides which of the two matrices is solved with."""
    x, y, b = rng.random((N, 1)), rng.random((N, 1)), rng.standard_normal((N, 1))
    K = np.exp(-((x - y.T) ** 2))
    for axis, matrix in ((0, K.T), (1, K)):
        f = KernelSolve("Exp(-Square(x-y))*b", ["x=Vi(1)", "y=Vj(1)", f"b={'ij'[axis].join(['V', '(1)'])}"], "b", axis)
        a, record = f(x, y, b, alpha=100.0, max_iterations=1, tol=0.9, info=True)
        # One step of the method is along b.
        step = (b * b).sum() / (b * (matrix @ b + 100 * b)).sum()
        np.testing.assert_allclose(a, step * b, rtol=1e-9)
        np.testing.assert_allclose(record.residual[0], np.linalg.norm(b - matrix @ a - 100 * a), rtol=1e-9)


def test_kernel_solve_with_batches(rng):
    x, b = rng.random((4, N, 3)), rng.standard_normal((N, 2))
    g = np.array([[1.0], [2.0], [3.0], [4.0]])
    a = KernelSolve(FORMULA, ALIASES, "b", axis=1)(x, x, b, g, alpha=0.1, tol=1e-10)
    for k in range(4):
        np.testing.assert_allclose(a[k], np.linalg.solve(dense_gauss(x[k], k + 1) + 0.1 * np.eye(N), b), atol=1e-7)


def test_accumulators_in_float64(rng):
    x, b = rng.random((N, 3)).astype("float32"), rng.standard_normal((N, 1)).astype("float32")
    for keyword in ({"use_double_acc": True}, {"dtype_acc": "float64"}, {"sum_scheme": "kahan_scheme"}):
        a = gauss(x).solve(b, alpha=0.1, tol=1e-6, **keyword)
        assert a.dtype == np.float32 and residual(dense_gauss(x) + 0.1 * np.eye(N), a, b).max() <= 2e-6


def test_limits_warn_and_return_the_best(points, b, dtype):
    with pytest.warns(keopscl.SolveWarning, match=r"column 0.*limit of iterations.*2 of 2 systems") as told:
        a, record = gauss(points).solve(b, alpha=0.1, max_iterations=8, info=True)
    assert told[0].filename == __file__
    assert set(record.reason) == {"limit"} and (record.iterations == 8).all() and not record.converged.any()
    true = np.linalg.norm(b - (dense_gauss(points) + 0.1 * np.eye(N)) @ a.astype(float), axis=0)
    np.testing.assert_allclose(record.residual, true, rtol=1e-5)
    assert (record.residual < record.norm).all()


def test_tolerances_that_float32_does_not_have(rng):
    x, b = rng.random((N, 3)).astype("float32"), rng.standard_normal((N, 1)).astype("float32")
    with pytest.warns(keopscl.SolveWarning, match='does not get any smaller.*dtype="float64"'):
        a = gauss(x).solve(b, alpha=1e-3, tol=1e-12)
    assert residual(dense_gauss(x) + 1e-3 * np.eye(N), a, b).max() <= 1e-3


def test_matrices_that_are_not_positive_definite(points, b):
    x = points
    wrong = {
        "not_positive_definite": (-gauss(x), {}),
        "indefinite": (Vi(x).sqdist(Vj(x)).sqrt(), {}),
        "not_symmetric": ((-Vi(x).sqdist(2 * Vj(x))).exp(), {"check_symmetry": True}),
    }
    for reason, (K, keywords) in wrong.items():
        with pytest.raises(keopscl.SolveError, match=r"solve: column 0 is not solved.*2 of 2") as told:
            K.solve(b, **keywords)
        assert set(told.value.result.reason) == {reason}
        assert isinstance(told.value, (np.linalg.LinAlgError)) and isinstance(told.value, ArithmeticError)
        assert isinstance(told.value, keopscl.Error)
    b[3, 1] = np.nan
    with pytest.raises(keopscl.SolveError, match="column 1 is not solved.*NaN") as told:
        gauss(x).solve(b, alpha=0.1)
    assert list(told.value.result.reason) == ["converged", "not_finite"]
    assert gauss(x).solve(b[:, 0], alpha=0.1, check_symmetry=True).shape == (N,)


def test_one_element_of_a_batch_that_fails(rng):
    scale = np.array([1.0, -1.0])
    K = gauss(rng.random((N, 3))) * LazyTensor(scale[:, None, None, None])
    with pytest.raises(keopscl.SolveError, match=r"column 0 of batch element \(1,\).*1 of 2"):
        K.solve(np.ones((N, 1)), alpha=0.1)


x64, b64 = np.random.default_rng(1).random((N, 3)), np.ones((N, 2))
K64 = gauss(x64)
V = Vj(0, 2)
CASES = [
    (lambda: K64.solve(b64[:-1]), ValueError, "b has 29 rows.*30"),
    (lambda: (-Vi(x64).sqdist(Vj(x64[:-1]))).exp().solve(b64), ValueError, "axis i of K has 30 rows and axis j has 29"),
    (lambda: K64.solve(b64.astype("float32")), TypeError, r"\(30, 2\) has the number type float32.*float64"),
    (lambda: K64.solve(b64.astype("int64")), TypeError, "solve: b.*int64"),
    (lambda: K64.solve(1.0), TypeError, "b is one of NumPy arrays.*float"),
    (lambda: K64.solve(np.float64(1.0)), TypeError, "b is one of NumPy arrays"),
    (lambda: K64.solve(np.ones(())), ValueError, "no axes"),
    (lambda: K64.solve(np.ones((N, 0))), ValueError, "without columns"),
    (lambda: K64.solve(Pm(b64[0])), ValueError, "not a formula or a parameter"),
    (lambda: K64.solve(Vi(b64) + 1), ValueError, "not a formula"),
    (lambda: (Vi(x64) - Vj(x64)).solve(b64), ValueError, "3 components, and b has 2 columns"),
    (lambda: Vi(x64).solve(b64), ValueError, "no matrix"),
    (lambda: K64.solve(b64, var=V), ValueError, r"var, the variable \(0, 2, 1\), is not in the formula"),
    (lambda: K64.solve(b64, var=Vi(b64)), ValueError, "var is a symbolic variable"),
    (lambda: (K64 * V).solve(Vj(b64), var=V), ValueError, "var has rows of j and b of j"),
    (lambda: (K64 * V).solve(b64[:, :1], var=V), ValueError, "var has 2 components, the formula 2 and b 1"),
    (lambda: (K64 * V.square()).solve(b64, var=V), ValueError, "not linear"),
    (lambda: K64.solve(b64, alpha=-1.0), ValueError, "alpha=-1.0"),
    (lambda: K64.solve(b64, alpha=np.nan), ValueError, "alpha=nan"),
    (lambda: K64.solve(b64, alpha="1"), ValueError, "alpha='1'"),
    (lambda: K64.solve(b64, alpha=None), ValueError, "alpha=None"),
    (lambda: K64.solve(b64, alpha=np.ones(N)), ValueError, r"alpha has the shape \(30,\).*noise"),
    (lambda: K64.solve(b64, tol=0), ValueError, "tolerance of 0"),
    (lambda: K64.solve(b64, eps=0.0), ValueError, "tolerance of 0"),
    (lambda: K64.solve(b64, tol=np.inf), ValueError, "tol=inf"),
    (lambda: K64.solve(b64, eps=-1e-6), ValueError, "eps=-1e-06"),
    (lambda: K64.solve(b64, max_iterations=0), ValueError, "max_iterations=0"),
    (lambda: K64.solve(b64, max_iterations=1.5), ValueError, "max_iterations=1.5"),
    (lambda: K64.solve(b64, noise=np.ones(N - 1)), ValueError, r"noise has the shape \(29,\).*30 rows"),
    (lambda: K64.solve(b64, noise=np.ones((2, N))), ValueError, r"noise has the shape \(2, 30\)"),
    (lambda: K64.solve(b64, noise=np.ones(N, "float32")), TypeError, "noise has the number type float32"),
    (lambda: K64.solve(b64, noise=1.0), TypeError, "noise: expected one of NumPy arrays, not float"),
    (lambda: K64.solve(b64, start=np.ones((N, 1))), ValueError, r"start has the shape \(30, 1\).*\(30, 2\)"),
    (lambda: K64.solve(b64, dtype="float16"), ValueError, "dtype='float16'"),
    (lambda: K64.solve(b64, dtype="float32"), ValueError, "dtype='float32': the arrays are float64"),
    (lambda: K64.solve(b64, out=b64), NotImplementedError, "out"),
    (lambda: K64.solve(b64, ranges=(1, 2, 3, 4, 5, 6)), NotImplementedError, "ranges"),
    (lambda: K64.solve(b64, backend="TPU"), ValueError, "TPU"),
    (lambda: K64.solve(b64, other=1), TypeError, "multiple values|'other'"),
    (lambda: K64.solve(b64, unknown=1), TypeError, "'unknown'"),
    (lambda: KernelSolve(FORMULA, ALIASES, "c", axis=1), ValueError, "varinvalias='c' is none.*x, y, b, g"),
    (lambda: KernelSolve(FORMULA, ALIASES, 2, axis=1), ValueError, "name of an argument, not int"),
    (lambda: KernelSolve(FORMULA, ALIASES, "b", axis=2), ValueError, "axis=2"),
    (lambda: KernelSolve(FORMULA, ALIASES, "b", axis=0), ValueError, "b must have rows of i"),
    (lambda: KernelSolve(FORMULA, ALIASES, "x", axis=1), ValueError, "x must have rows of j.*2, not 3"),
    (lambda: KernelSolve("Exp(-g*SqDist(x,y))*Square(b)", ALIASES, "b", axis=1)(x64, x64, b64, np.ones(1)), ValueError,
     "not linear"),
    (lambda: KernelSolve(FORMULA, ALIASES, "b", axis=1)(x64, x64, b64), ValueError, "4 arrays are needed"),
    (lambda: KernelSolve(FORMULA, ALIASES, "b", axis=1)(x64[:-1], x64, b64, np.ones(1)), ValueError,
     "30 rows of j and 29 rows of i"),
    (lambda: KernelSolve(FORMULA, ALIASES, "b", axis=1)(x64, x64, b64, 1.0), TypeError, "g: expected one of NumPy"),
    (lambda: KernelSolve(FORMULA, ALIASES, "b", axis=1)(x64, x64, b64, np.ones(1), ranges=(1,) * 6),
     NotImplementedError, "ranges"),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_bad_input(case):
    call, error, text = CASES[case]
    with pytest.raises(error, match=text):
        call()


def test_noise_in_the_formula(rng):
    """What stands on the diagonal of the formula is part of K."""
    x, b = rng.random((N, 3)), rng.standard_normal((N, 1))
    K = gauss(x) + 0.5 * (index_i() == index_j())
    expected = np.linalg.solve(dense_gauss(x) + 0.5 * np.eye(N), b)
    np.testing.assert_allclose(K.solve(b, tol=1e-12), expected, rtol=1e-8, atol=1e-8)


def test_long_calls_show_how_far_they_are_and_end_where_they_are_interrupted(monkeypatch, rng):
    """Though none of the products takes long."""
    from keopscl._core import interrupts

    shown = []
    monkeypatch.setattr(interrupts, "DELAY", 0.0)
    monkeypatch.setattr(interrupts, "_show", shown.append)
    x, b = rng.random((400, 3)), rng.random((400, 1))
    a, record = gauss(x, 50.0).solve(b, alpha=1e-4, tol=1e-9, verbose=True, info=True)
    assert record.converged.all() and residual(dense_gauss(x, 50.0) + 1e-4 * np.eye(400), a, b) <= 1.1e-9
    if len(shown) < 3:
        pytest.skip("the device is too fast")
    assert shown == sorted(shown) and 0 <= shown[0] < shown[-2] <= 1 and shown[-1] == 1

    def interrupted(fraction):
        shown.append(fraction)
        raise KeyboardInterrupt

    del shown[:]
    monkeypatch.setattr(interrupts, "_show", interrupted)
    with pytest.raises(KeyboardInterrupt):
        gauss(x, 50.0).solve(b, alpha=1e-4, tol=1e-9, verbose=True)
    assert len(shown) == 1
    assert gauss(x[:N]).solve(b[:N], alpha=0.1).shape == (N, 1)
