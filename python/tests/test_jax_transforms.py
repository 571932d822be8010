# SPDX-License-Identifier: MIT
"""Derivatives and batches of keopscl.jax, against JAX's own of dense formulas."""

import numpy as np
import pytest
from jax_helpers import counted, dense_squares, squares

jax = pytest.importorskip("jax")
import jax.numpy as jnp
from jax import lax
from jax.scipy.sparse.linalg import cg
from jax.test_util import check_grads

from keopscl import DerivativeError
from keopscl._core import evaluation
from keopscl.jax import Genred, LazyTensor, Pm, Vi, Vj, where

pytestmark = pytest.mark.usefixtures("x64")


def normal(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.standard_normal(shape)) for shape in shapes]


def same(result, expected, tolerance=1e-10):
    results, values = jax.tree_util.tree_leaves(result), jax.tree_util.tree_leaves(expected)
    assert len(results) == len(values)
    for each, value in zip(results, values):
        assert each.shape == value.shape and each.dtype == value.dtype
        scale = max(1.0, float(jnp.abs(value).max(initial=0)))
        np.testing.assert_allclose(each, value, rtol=tolerance, atol=tolerance * scale)


def gaussian(x, y, b):
    return (-squares(x, y) * 2.0).exp() @ b


def dense_gaussian(x, y, b):
    return jnp.exp(-dense_squares(x, y) * 2) @ b


def pairs_of(z):
    return z + 1j * z[:, ::-1]


# A function of LazyTensors, and the same of arrays, of x (4, 2) and y (3, 2).
CASES = {
    "sum over i": (lambda x, y: (-squares(x, y)).exp().sum(axis=0),
                   lambda x, y: jnp.exp(-dense_squares(x, y)).sum(0)[:, None]),
    "components": (lambda x, y: (Vi(x) - Vj(y)).exp().sum(axis=1),
                   lambda x, y: jnp.exp(x[:, None] - y[None]).sum(1)),
    "logsumexp": (lambda x, y: squares(x, y).logsumexp(1),
                  lambda x, y: jax.nn.logsumexp(dense_squares(x, y), 1)[:, None]),
    "softmax": (lambda x, y: (-squares(x, y)).sumsoftmaxweight(Vj(y), 1),
                lambda x, y: jax.nn.softmax(-dense_squares(x, y), 1) @ y),
    "min": (lambda x, y: squares(x, y).min(1), lambda x, y: dense_squares(x, y).min(1)[:, None]),
    "Kmin and indices": (lambda x, y: squares(x, y).Kmin_argKmin(2, 1)[0],
                         lambda x, y: jnp.sort(dense_squares(x, y), 1)[:, :2]),
    "both roles": (lambda x, y: (-squares(x, x)).exp().sum(axis=1) * y[0, 0],
                   lambda x, y: jnp.exp(-dense_squares(x, x)).sum(1)[:, None] * y[0, 0]),
    "transposed": (lambda x, y: (-squares(x, y)).exp().T @ x, lambda x, y: jnp.exp(-dense_squares(x, y)).T @ x),
    "parameter": (lambda x, y: (squares(x, y) * Pm(y[0])).sum(axis=1),
                  lambda x, y: dense_squares(x, y).sum(1)[:, None] * y[0]),
    "no rows": (lambda x, y: (Pm(x[1]) * Pm(y[0])).exp()(), lambda x, y: jnp.exp(x[1:2] * y[:1])),
    "nested": (lambda x, y: (squares(x, y) / squares(x, y).sum(1, call=False)).exp().sum(axis=0),
               lambda x, y: jnp.exp(dense_squares(x, y) / dense_squares(x, y).sum(1, keepdims=True)).sum(0)[:, None]),
    "where": (lambda x, y: where(squares(x, y) < 1.0, squares(x, y).sqrt(), Vi(x).sum(-1)).sum(axis=1),
              lambda x, y: jnp.where(dense_squares(x, y) < 1, jnp.sqrt(dense_squares(x, y)),
                                     x.sum(1)[:, None]).sum(1)[:, None]),
    "take": (lambda x, y: (Vi(x) * Vj(y).take(Vi(jnp.asarray([[2], [0], [0], [1]])))).sum(axis=0),
             lambda x, y: (x * y[jnp.asarray([2, 0, 0, 1])]).sum(0)[None]),
    "Genred": (Genred("Exp(-SqDist(x,y))*y", ["x = Vi(2)", "y = Vj(2)"], axis=1),
               lambda x, y: jnp.exp(-dense_squares(x, y)) @ y),
    "batch axis": (lambda x, y: ((LazyTensor(x[:, None, None] * y[:, None]) - Vj(y)) ** 2).sum(axis=2, call=False)
                   .sqrt().sum(axis=0),
                   lambda x, y: jnp.sqrt(((x[:, None, None] * y[:, None] - y) ** 2).sum(2)).sum(0)[None]),
    "complex": (lambda x, y: (LazyTensor(pairs_of(x)[:, None]) * LazyTensor(pairs_of(y)[None])).exp().sum(axis=1).imag,
                lambda x, y: jnp.exp(pairs_of(x)[:, None] * pairs_of(y)[None]).sum(1).imag),
    "block": (lambda x, y: (-squares(x, y)).exp()[1:4:2, [0, 2]],
              lambda x, y: jnp.exp(-dense_squares(x, y))[1:4:2, jnp.asarray([0, 2])]),
    "entries": (lambda x, y: squares(x, y).entries([0, 1, 3], [2, 0, 2]),
                lambda x, y: dense_squares(x, y)[jnp.asarray([0, 1, 3]), jnp.asarray([2, 0, 2])]),
}

TRANSFORMS = {
    "jacrev": lambda f: jax.jacrev(f, (0, 1)),
    "jacfwd": lambda f: jax.jacfwd(f, (0, 1)),
    "jacfwd of jacrev": lambda f: jax.jacfwd(jax.jacrev(f, (0, 1)), (0, 1)),
    "grad of grad": lambda f: jax.grad(lambda x, y: jnp.sin(jax.grad(lambda x, y: jnp.cos(f(x, y)).sum())(x, y)).sum(),
                                       (0, 1)),
    "vmap of vmap": lambda f: lambda x, y: jax.vmap(jax.vmap(f, (0, None)), (None, 0))(
        jnp.stack([x, 2 * x]), jnp.stack([y, y + 1, y / 2])),
    "grad of vmap of grad": lambda f: jax.grad(
        lambda x, y: jnp.sin(jax.vmap(jax.grad(lambda x, y: jnp.cos(f(x, y)).sum()), (None, 0))(
            x, jnp.stack([y, y + 1]))).sum(), (0, 1)),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("case", CASES)
def test_transforms(case, transform):
    lazy, dense = CASES[case]
    inputs = [each / 2 for each in normal(3, (4, 2), (3, 2))]
    transformed = TRANSFORMS[transform]
    same(jax.jit(transformed(lazy))(*inputs), jax.jit(transformed(dense))(*inputs))


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
def test_finite_differences(jit):
    """Second order in both modes."""
    inputs = normal(4, (4, 2), (3, 2), (3, 1))
    check_grads(jax.jit(gaussian) if jit else gaussian, inputs, order=2, modes=("fwd", "rev"), rtol=1e-4)


def test_third_order():
    x, y, b = normal(5, (4, 1), (3, 1), (3, 1))
    third = [jax.grad(lambda s: jax.grad(lambda s: jax.grad(lambda s: f(x * s, y, b).sum())(s))(s)) for f in
             (gaussian, dense_gaussian)]
    same(third[0](0.7), third[1](0.7))


def test_terms_that_cancel():
    """Derivatives of the second order at a place of symmetry, where sums of cotangents are 0."""
    x, y = jnp.zeros((2, 2)), jnp.asarray([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]])
    for transform in (lambda f: jax.jacfwd(jax.jacrev(f)), lambda f: jax.jacfwd(jax.jacfwd(f))):
        same(transform(lambda x: squares(x, y).logsumexp(1)[:, 0])(x),
             transform(lambda x: jax.nn.logsumexp(dense_squares(x, y), 1))(x))


def test_values_and_cotangents_of_some_results():
    """value_and_grad with auxiliary indices, which have no derivative."""

    def loss(x, y):
        values, indices = squares(x, y).Kmin_argKmin(2, axis=1)
        return values.sum(), indices

    x, y = normal(6, (4, 2), (3, 2))
    (value, indices), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(x, y)
    dense = dense_squares(x, y)
    same((value, indices), (jnp.sort(dense, 1)[:, :2].sum(), jnp.argsort(dense, 1)[:, :2]))
    same(gradient, jax.grad(lambda x: jnp.sort(dense_squares(x, y), 1)[:, :2].sum())(x))


AXES = [(0, None, None), (None, 0, None), (None, None, 1), (2, None, 1), (0, 1, 2), (-1, 0, 0)]


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_vmap_is_one_launch(axes, opencl_device):
    """A vmapped reduction starts as many kernels as one that is not vmapped, and so does its gradient."""
    inputs = normal(7, (4, 2), (3, 2), (3, 2))
    stacked = [each if axis is None else jnp.stack([each, each / 2, -each, each + 1, each * each], axis)
               for each, axis in zip(inputs, axes)]

    def cost(run, *args):
        jax.block_until_ready(run(*args))
        with counted() as counts:
            result = jax.block_until_ready(run(*args))
        return result, counts

    def gradient(f):
        return jax.grad(lambda *args: jnp.sin(f(*args)).sum(), (0, 1, 2))

    for of in (lambda f: f, jax.jit, gradient, lambda f: jax.jit(gradient(f))):
        one, many = cost(of(gaussian), *inputs)[1], cost(jax.vmap(of(gaussian), axes), *stacked)
        same(many[0], jax.jit(jax.vmap(of(dense_gaussian), axes))(*stacked))
        assert many[1] == one and one["programs_built"] == one["programs_loaded"] == 0
        assert one["launches"] >= one["evaluations"] > 0


def test_nested_vmaps_are_one_launch():
    x, y, b = normal(8, (5, 4, 2), (3, 3, 2), (3, 1))
    nested = jax.vmap(jax.vmap(gaussian, (0, None, None)), (None, 0, None))
    with counted() as counts:
        result = jax.block_until_ready(nested(x, y, b))
    assert counts["evaluations"] == 1
    same(result, jax.vmap(jax.vmap(dense_gaussian, (0, None, None)), (None, 0, None))(x, y, b))


@pytest.mark.parametrize("jacobian", [jax.jacrev, jax.jacfwd])
def test_a_jacobian_is_two_calls(jacobian):
    """The function once, and all directions as one batch."""
    inputs = normal(9, (4, 2), (3, 2), (3, 1))
    before = evaluation.evaluated()
    jax.block_until_ready(jacobian(gaussian)(*inputs))
    assert evaluation.evaluated() == before + 2


def test_batch_axes_of_arrays_and_of_vmap():
    """Arrays with different numbers of batch axes; up to six in all."""
    x, y = normal(10, (3, 2, 4, 1, 2), (3, 1, 3, 2))

    def lazy(x, y):
        return (-((LazyTensor(x) - LazyTensor(y)) ** 2).sum(-1)).exp().sum(axis=x.ndim - 2)

    def dense(x, y):
        return jnp.exp(-((x - y) ** 2).sum(-1)).sum(-1)[..., None]

    run = lambda f: jax.grad(lambda x, y: jnp.sin(jax.vmap(f)(x, y)).sum(), (0, 1))  # noqa: E731
    same(run(lazy)(x, y), run(dense)(x, y))
    many = lazy
    for _ in range(7):
        many = jax.vmap(many)
    with pytest.raises(ValueError, match="batch axes"):
        many(jnp.ones((1,) * 9 + (1, 2)), jnp.ones((1,) * 7 + (1, 3, 2)))


@pytest.mark.parametrize("size", [0, 1])
def test_vmap_over_few(size):
    inputs = normal(11, (size, 4, 2), (3, 2), (3, 1))
    same(jax.vmap(gaussian, (0, None, None))(*inputs), jax.vmap(dense_gaussian, (0, None, None))(*inputs))


def test_loops():
    """scan, fori_loop, while_loop, map, cond and checkpoint, differentiated where JAX differentiates them."""
    x, y, b = normal(12, (3, 2), (3, 2), (3, 1))

    def steps(f):
        def scanned(x):
            return lax.scan(lambda x, _: (x + 0.1 * f(x, y, b), f(x, y, b).sum()), x, None, length=3)

        def looped(x):
            return lax.fori_loop(0, 3, lambda _, x: x + 0.1 * f(x, y, b), x)

        def until(x):
            return lax.while_loop(lambda x: jnp.abs(x).sum() < 50, lambda x: 2 * x + f(x, y, b) ** 2, x)

        def mapped(x):
            return lax.map(lambda row: f(row[None], y, b)[0], x)

        def chosen(x):
            return lax.cond(x[0, 0] > 0, lambda: f(x, y, b), lambda: f(-x, y, b))

        def kept(x):
            return jax.checkpoint(lambda x: jnp.sin(f(jnp.sin(f(x, y, b)) + x, y, b)))(x)

        def total(x):
            return sum(each.sum() for g in (scanned, looped, mapped, chosen, kept)
                       for each in jax.tree_util.tree_leaves(g(x)))

        all_of_them = (scanned, looped, until, mapped, chosen, kept, jax.grad(total))
        return jax.jit(lambda x: [g(x) for g in all_of_them])(x)

    same(steps(gaussian), steps(dense_gaussian))


def test_linear_solve():
    """Conjugate gradients transposes the product, for derivatives of the solution."""
    x, b = normal(13, (4, 2), (4, 1))

    def solve(f):
        return lambda x, b: cg(lambda v: f(x, x, v) + v, b, tol=1e-14)[0]

    def run(f):
        all_of_them = (solve(f), jax.jacrev(solve(f), (0, 1)), jax.jacfwd(solve(f)))
        return jax.jit(lambda x, b: [g(x, b) for g in all_of_them])(x, b)

    same(run(gaussian), run(dense_gaussian), 1e-8)
    transposed = jax.linear_transpose(lambda v: gaussian(x, x, v), b)
    same(transposed(b), (dense_gaussian(x, x, b),))


def test_training_loop():
    """Gradient descent, wholly under jit: centres and weights of a kernel sum, fitted."""
    x, = normal(14, (30, 1))
    target = jnp.sin(2 * x)

    def loss(parameters, f):
        return jnp.mean((f(x, *parameters) - target) ** 2)

    def trained(f):
        def step(parameters, _):
            value, gradient = jax.value_and_grad(loss)(parameters, f)
            return jax.tree_util.tree_map(lambda p, g: p - 0.4 * g, parameters, gradient), value

        return jax.jit(lambda parameters: lax.scan(step, parameters, None, length=60))

    start = (jnp.linspace(-2, 2, 8)[:, None], jnp.zeros((8, 1)))
    (_, losses), expected = trained(gaussian)(start), trained(dense_gaussian)(start)
    same(losses, expected[1], 1e-8)
    assert losses[-1] < losses[0] / 4


def test_values_without_derivatives_say_so():
    """Values of formulas with reductions: jit and vmap have them, derivatives are an error as JAX traces."""
    x, y = normal(15, (4, 2), (3, 2))

    def values(x, y):
        K = squares(x, y)
        return (K / K.sum(1, call=False)).rows([0, 2])

    def dense(x, y):
        D = dense_squares(x, y)
        return (D / D.sum(1, keepdims=True))[jnp.asarray([0, 2])]

    same(jax.jit(values)(x, y), dense(x, y))
    same(jax.vmap(values, (0, None))(jnp.stack([x, -x]), y), jax.vmap(dense, (0, None))(jnp.stack([x, -x]), y))
    with pytest.raises(DerivativeError, match="stop_gradient"):
        jax.grad(lambda x: values(x, y).sum())(x)
