# SPDX-License-Identifier: MIT
"""keopscl.jax: what LazyTensors of JAX arrays compute, of which types, and what they refuse, at trace time."""

import pickle

import numpy as np
import pytest
from conftest import assert_close
from jax_helpers import dense_squares, squares

jax = pytest.importorskip("jax")
import jax.numpy as jnp

import keopscl.jax as kj
import keopscl.numpy as kn
from keopscl.jax import ComplexLazyTensor, Genred, LazyTensor, Pm, Var, Vi, Vj


@pytest.fixture
def points(rng):
    return jnp.asarray(rng.standard_normal((6, 3))), jnp.asarray(rng.standard_normal((5, 3)))


REDUCTIONS = {
    "sum": (lambda K: K.sum(1), lambda K: K.sum(1, keepdims=True)),
    "sum over i": (lambda K: K.sum(axis=0), lambda K: K.sum(0)[:, None]),
    "mean": (lambda K: K.mean(1), lambda K: K.mean(1, keepdims=True)),
    "logsumexp": (lambda K: K.logsumexp(1), lambda K: np.log(np.exp(K).sum(1, keepdims=True))),
    "min": (lambda K: K.min(1), lambda K: K.min(1, keepdims=True)),
    "argmin": (lambda K: K.argmin(1), lambda K: K.argmin(1)[:, None]),
    "Kmin": (lambda K: K.Kmin(2, 1), lambda K: np.sort(K, 1)[:, :2]),
    "argKmin": (lambda K: K.argKmin(2, 1), lambda K: np.argsort(K, 1)[:, :2]),
    "transposed": (lambda K: K.T.sum(1), lambda K: K.T.sum(1, keepdims=True)),
    "dense": (lambda K: K.dense(), lambda K: K),
    "block": (lambda K: K[1:5:2, [3, 0]], lambda K: K[1:5:2, [3, 0]]),
    "row": (lambda K: K[2], lambda K: K[2]),
    "entries": (lambda K: K.entries([0, 5], [4, 1]), lambda K: K[[0, 5], [4, 1]]),
}


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_values(x64, points, name, jit):
    """Each reduction, and values written out, against NumPy's on the dense matrix."""
    lazy, dense = REDUCTIONS[name]
    run = jax.jit(lambda x, y: lazy(squares(x, y))) if jit else lambda x, y: lazy(squares(x, y))
    result = run(*points)
    assert isinstance(result, jax.Array)
    assert_close(np.asarray(result), dense(np.asarray(dense_squares(*points))))


def test_pairs(x64, points):
    values, indices = jax.jit(lambda x, y: squares(x, y).Kmin_argKmin(2, axis=1))(*points)
    dense = np.asarray(dense_squares(*points))
    assert_close(np.asarray(values), np.sort(dense, 1)[:, :2])
    assert_close(np.asarray(indices), np.argsort(dense, 1)[:, :2])


def test_batch_axes(x64, rng):
    """Batch axes are broadcast; a reduction may be over one of them."""
    x, y = jnp.asarray(rng.standard_normal((4, 1, 6, 1, 3))), jnp.asarray(rng.standard_normal((2, 1, 5, 3)))
    dense = ((np.asarray(x) - np.asarray(y)) ** 2).sum(-1)
    K = ((LazyTensor(x) - LazyTensor(y)) ** 2).sum(-1)
    assert K.shape == (4, 2, 6, 5)
    assert_close(np.asarray(jax.jit(lambda: K.sum(axis=3))()), dense.sum(3)[..., None])
    both = jax.jit(lambda: K.sum(axis=3, call=False).sum(axis=1))()
    assert_close(np.asarray(both), dense.sum((1, 3))[:, None, :, None])


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
def test_complex(x64, rng, jit):
    z = rng.standard_normal((6, 3)) + 1j * rng.standard_normal((6, 3))
    w = rng.standard_normal((5, 3)) - 1j * rng.standard_normal((5, 3))

    def product(z, w):
        z_i, w_j = LazyTensor(z[:, None, :]), LazyTensor(w[None, :, :])
        assert isinstance(z_i, ComplexLazyTensor)
        return (z_i * w_j).exp().sum(axis=1)

    result = (jax.jit(product) if jit else product)(jnp.asarray(z), jnp.asarray(w))
    assert result.dtype == jnp.complex128
    assert_close(np.asarray(result), np.exp(z[:, None] * w[None]).sum(1))


def test_take(x64, points):
    """Indices are int32 or int64."""
    x, y = points
    for dtype in (jnp.int32, jnp.int64):
        rows = jnp.asarray([[4], [0], [0], [2], [1], [3]], dtype)
        f = jax.jit(lambda x, y, rows: (Vi(x) * Vj(y).take(Vi(rows))).sum(-1).sum(axis=1))
        assert_close(np.asarray(f(x, y, rows)), (np.asarray(x) * np.asarray(y)[np.asarray(rows)[:, 0]]).sum(1)[:, None])


def test_makers(x64, points):
    """Vi, Vj, Pm, Var, where, index_i, index_j."""
    x, y = points
    dense = np.asarray(dense_squares(x, y))
    K = kj.where(kj.index_j() <= kj.index_i(), Vi(x).sqdist(Vj(y)) * Pm(2.0), 0.0)
    assert_close(np.asarray(K.sum(axis=1)), 2 * np.tril(dense).sum(1, keepdims=True))
    product = (Var(x, cat=0) * Var(y[0], cat=2)).sum(axis=0)
    assert_close(np.asarray(product), (np.asarray(x) * np.asarray(y)[0]).sum(0)[None])
    symbolic = (Vi(0, 3).sqdist(Vj(1, 3)) * Pm(2, 1)).sum(axis=1)
    result = jax.jit(lambda x, y, s: symbolic(x, y, s))(x, y, jnp.ones(1) * 3)
    assert_close(np.asarray(result), 3 * dense.sum(1)[:, None])


def test_operands_of_either_side(x64, points):
    x, y = points
    K = squares(x, y)
    for made in (2.0 * K, jnp.asarray(2.0) * K, K * np.full(1, 2.0), np.full(1, 2.0) * K, jnp.full((6, 1, 1), 2.0) * K):
        assert type(made) is LazyTensor
        assert_close(np.asarray(made.sum(axis=1)), 2 * np.asarray(dense_squares(x, y)).sum(1)[:, None])
    b = jnp.arange(5.0)
    assert_close(np.asarray(jax.jit(lambda b: K @ b)(b)), np.asarray(dense_squares(x, y)) @ np.arange(5.0))
    assert_close(np.asarray(K @ jnp.ones((2, 5, 3))), np.asarray(dense_squares(x, y)) @ np.ones((2, 5, 3)))


FORMULAS = {
    "Genred": (kj.Genred, kn.Genred, ("Exp(-g*SqDist(x,y))*b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(1)", "g = Pm(1)"]),
               {"axis": 1}),
    "generic_sum": (kj.generic_sum, kn.generic_sum,
                    ("Exp(-g*SqDist(x,y))*b", "a = Vi(1)", "x = Vi(3)", "y = Vj(3)", "b = Vj(1)", "g = Pm(1)"), {}),
    "generic_logsumexp": (kj.generic_logsumexp, kn.generic_logsumexp,
                          ("g*SqDist(x,y)*b", "a = Vi(1)", "x = Vi(3)", "y = Vj(3)", "b = Vj(1)", "g = Pm(1)"), {}),
    "generic_argkmin": (kj.generic_argkmin, kn.generic_argkmin,
                        ("g*SqDist(x,y)*b", "a = Vi(2)", "x = Vi(3)", "y = Vj(3)", "b = Vj(1)", "g = Pm(1)"), {}),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_in_text(x64, points, rng, name):
    """The same results as for NumPy, whose own tests compare them with dense matrices."""
    ours, theirs, args, kwargs = FORMULAS[name]
    arrays = [*map(np.asarray, points), rng.standard_normal((5, 1)), np.array([0.5])]
    expected = theirs(*args, **kwargs)(*arrays)
    f = ours(*args, **kwargs)
    for run in (f, jax.jit(f)):
        assert_close(np.asarray(run(*map(jnp.asarray, arrays))), expected)


def test_number_types(rng):
    """JAX's rule: without jax_enable_x64 there are 32 bits, whatever arrays of NumPy have; indices are int32."""
    x, y = rng.standard_normal((6, 3)), rng.standard_normal((5, 3))
    K = Vi(x).sqdist(Vj(y))
    assert K.dtype == "float32" and K.sum(axis=1).dtype == jnp.float32
    assert K.argmin(axis=1).dtype == jnp.int32
    assert jax.eval_shape(lambda: K.argKmin(7, axis=1)).dtype == jnp.int32
    assert_close(np.asarray(K.argKmin(7, axis=1))[:, 5:], np.full((6, 2), -1))
    assert (K + Pm(1j)).sum(axis=1).dtype == jnp.complex64


def test_number_types_of_64_bits(x64, rng):
    x = rng.standard_normal((6, 3))
    K = Vi(x).sqdist(Vj(x))
    assert K.dtype == "float64" and K.argmin(axis=1).dtype == jnp.int64
    single = jnp.asarray(x, jnp.float32)
    assert Vi(single).sqdist(Vj(single)).sum(axis=1).dtype == jnp.float32
    with pytest.raises(TypeError, match="float32 and float64"):
        Vi(single).sqdist(Vj(x))


def test_numbers_of_python(x64, rng):
    """A number of Python's takes the type of the arrays that it meets, as an argument of a jitted function too."""
    x = jnp.asarray(rng.standard_normal((6, 3)), jnp.float32)
    expected = (2.5 * np.asarray(x, np.float64) + 3).sum(0, keepdims=True)
    for run in (lambda x, a, b: (Vi(x) * a + b).sum(axis=0), lambda x, a, b: (b + a * Vi(x)).sum(axis=0),
                Genred("a*x+b", ["x = Vi(3)", "a = Pm(1)", "b = Pm(1)"], axis=0)):
        result = jax.jit(run)(x, 2.5, 3.0)
        assert result.dtype == jnp.float32
        assert_close(np.asarray(result), expected)
    whole = jax.jit(lambda x, n: (Vi(x) * n).sum(axis=0))(x, 3)
    assert_close(np.asarray(whole), 3 * np.asarray(x, np.float64).sum(0)[None])
    # Alone they have the type that JAX gives them.
    assert jax.jit(lambda a: (Vi(jnp.full((4, 1), a)) * a).sum(axis=0))(2.0).dtype == jnp.float64


def test_wider_accumulator(rng):
    """float32 arrays are computed with in float64, without jax_enable_x64 too."""
    x = np.full((1, 1), 1.0, np.float32)
    y = np.concatenate([[2.0**25], np.ones(64), [-(2.0**25)]]).astype(np.float32)[:, None]
    f = jax.jit(lambda x, y: (Vi(x) * Vj(y)).sum(axis=1, dtype_acc="float64"))
    assert float(f(x, y)[0, 0]) == 64
    gradient = jax.jit(jax.grad(lambda x: f(x, y)[0, 0]))(jnp.asarray(x))
    assert gradient.dtype == jnp.float32 and float(gradient[0, 0]) == 64


REFUSED = {
    "sizes": (lambda x, y: Vi(x) - Vj(y[:, :2]), ValueError, "axis -1 has 3 components .* and 2 in the second"),
    "rows": (lambda x, y: Vi(x) + Vi(y), ValueError, "6 rows in the first operand"),
    "roles": (lambda x, y: LazyTensor(x), ValueError, "needs axis=0"),
    "bfloat16": (lambda x, y: Vi(x.astype(jnp.bfloat16)), TypeError, "dtype bfloat16; float32, float64"),
    "booleans": (lambda x, y: Vi(x > 0), TypeError, "dtype bool; float32"),
    "whole numbers": (lambda x, y: Vi(x.astype(jnp.int32)) + 1, TypeError, "an index, for take"),
    "keys": (lambda x, y: Vi(jax.random.key(0)), TypeError, "key"),
    "out": (lambda x, y: Vi(x).sum(axis=0, out=x), NotImplementedError, "not written to"),
    "solve": (lambda x, y: Vi(x).sqdist(Vj(x)).solve(x), NotImplementedError, "JAX arrays it is not there"),
    "array @ K": (lambda x, y: x @ Vi(x), TypeError, "write K.T @ array"),
    "Genred": (lambda x, y: Genred("x*y", ["x = Vi(3)", "y = Vj(3)"])(x, y[:, :2]), ValueError, r"\(rows, 3\)"),
    "another library": (lambda x, y: Vi(x) * kn.Vi(np.ones((6, 3))), TypeError, "do not meet"),
    "an array of a LazyTensor": (lambda x, y: np.asarray(Vi(x)), TypeError, r"K.dense\(\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_trace_time(points, name):
    """Errors are the library's, and raised before anything runs: eval_shape runs nothing."""
    function, error, text = REFUSED[name]
    for run in (function, lambda x, y: jax.eval_shape(function, x, y)):
        with pytest.raises(error, match=text):
            run(*points)


def test_pickle(points):
    x, y = points
    K = Vi(x).sqdist(Vj(y))
    assert_close(np.asarray(pickle.loads(pickle.dumps(K)).sum(axis=1)), np.asarray(K.sum(axis=1), np.float64))


def test_dlpack(points):
    """What has __dlpack__ on the CPU is an array."""

    class Other:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **kwargs):
            return self.array.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert_close(np.asarray(Vi(Other(x)).sum(axis=0)), x.sum(0, keepdims=True))
