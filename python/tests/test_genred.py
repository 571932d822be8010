# SPDX-License-Identifier: MIT
"""Genred and its short forms, and symbolic variables, against NumPy in float64."""

import pickle

import numpy as np
import pytest
from conftest import assert_close

from keopscl.numpy import (
    Genred,
    LazyTensor,
    Pm,
    Var,
    Vi,
    Vj,
    generic_argkmin,
    generic_argmin,
    generic_logsumexp,
    generic_sum,
)

M, N, D = 5, 7, 3
ALIASES = ["x = Vi(3)", "y = Vj(3)"]


@pytest.fixture
def points(rng, dtype):
    x, y = rng.standard_normal((M, D)).astype(dtype), rng.standard_normal((N, D)).astype(dtype)
    return x, y, ((x[:, None].astype("float64") - y[None]) ** 2).sum(-1, keepdims=True)


@pytest.mark.parametrize("axis", [0, 1])
def test_reductions(points, axis):
    x, y, q = points

    def red(op, **kwargs):
        return Genred("SqDist(x,y)", ALIASES, reduction_op=op, axis=axis, **kwargs)(x, y)

    order = np.moveaxis(np.argsort(q[..., 0], axis), axis, -1)
    values = np.moveaxis(np.sort(q[..., 0], axis), axis, -1)
    assert_close(red("Sum"), q.sum(axis), 10)
    assert_close(red("LogSumExp"), np.log(np.exp(q).sum(axis)))
    assert_close(red("Min"), q.min(axis))
    assert_close(red("Max"), q.max(axis))
    assert_close(red("ArgMin"), q.argmin(axis))
    assert_close(red("ArgMax"), q.argmax(axis))
    assert_close(red("Min_ArgMin")[0], q.min(axis))
    assert_close(red("Max_ArgMax")[1], q.argmax(axis))
    assert_close(red("KMin", opt_arg=2), values[:, :2])
    assert_close(red("ArgKMin", opt_arg=3), order[:, :3])
    assert_close(red("KMin_ArgKMin", opt_arg=2)[1], order[:, :2])
    weight = y[None].astype("float64") ** 2 + 0 * q
    total = (np.exp(q) * weight).sum(axis)
    assert_close(red("LogSumExp", formula2="Square(y)"), np.log(total))
    assert_close(red("SumSoftMaxWeight", formula2="Square(y)"), total / np.exp(q).sum(axis))
    assert_close(red("SoftMax", formula2="Square(y)"), total / np.exp(q).sum(axis))


def test_lists_of_vectors(points):
    x, y, _ = points
    values = np.sort(x[:, None].astype("float64") - y[None], 1)
    assert_close(Genred("x-y", ALIASES, reduction_op="KMin", axis=1, opt_arg=2)(x, y), values[:, :2])


def test_aliases_in_every_form(points):
    x, y, q = points
    g = np.array([0.5], x.dtype)
    expected = np.exp(-0.5 * q).sum(1)
    for aliases in (
        ["x = Vi(3)", "y = Vj(3)", "g = Pm(1)"],
        ["x=Vi(0,3)", "y=Vj(1,3)", "g=Pm(2,1)"],
        ["x = Var(0,3,0)", "y = Var(1,3,1)", "g = Var(2,1,2)"],
    ):
        assert_close(Genred("Exp(-g*SqDist(x,y))", aliases, axis=1)(x, y, g), expected)
    for aliases in ([], ["Vi(3)", "Vj(3)", "Pm(1)"], ["Var(0,3,0)"]):
        f = Genred("Exp(-Var(2,1,2)*SqDist(Var(0,3,0),Var(1,3,1)))", aliases, axis=1)
        assert_close(f(x, y, g), expected)
    assert_close(Genred("Exp(-g*SqDist(x,y))", ALIASES + ["g = Pm(1)"], axis=1)(x, y, g.reshape(())), expected)


def test_batches(rng, dtype):
    x, y = rng.standard_normal((2, M, D)).astype(dtype), rng.standard_normal((1, N, D)).astype(dtype)
    p = rng.standard_normal((2, D)).astype(dtype)
    values = (p[:, None, None].astype("float64") * x[:, :, None] * y[:, None]).sum(2)
    assert_close(Genred("p*x*y", ALIASES + ["p = Pm(3)"], axis=1)(x, y, p), values, 10)
    assert_close(Genred("x*y", ALIASES, axis=0)(x[:1], y), (x[:1, :, None].astype("float64") * y[:, None]).sum(1), 10)


def test_short_forms(points):
    x, y, q = points
    assert_close(generic_sum("SqDist(x,y)", "a = Vi(1)", *ALIASES)(x, y), q.sum(1), 10)
    assert_close(generic_sum("SqDist(x,y)", "a = Vj(1)", *ALIASES)(x, y), q.sum(0), 10)
    assert_close(generic_logsumexp("SqDist(x,y)", "a = Vi(1)", *ALIASES)(x, y), np.log(np.exp(q).sum(1)))
    assert_close(generic_argmin("SqDist(x,y)", "a = Vi(1)", *ALIASES)(x, y), q.argmin(1))
    assert_close(generic_argkmin("SqDist(x,y)", "a = Vi(4)", *ALIASES)(x, y), q[..., 0].argsort(1)[:, :4])
    with pytest.raises(ValueError, match="output"):
        generic_sum("SqDist(x,y)", "a = Pm(1)", *ALIASES)


def test_gradients_in_formulas(points):
    x, y, q = points
    e = x[:, :1]
    gradient = Genred("Grad(Exp(-SqDist(x,y)),x,e)", ALIASES + ["e = Vi(1)"], axis=1)(x, y, e)
    expected = (np.exp(-q) * -2 * (x[:, None].astype("float64") - y[None])).sum(1) * e
    assert_close(gradient, expected, 10)


def test_out_and_pickling(points):
    x, y, q = points
    f = Genred("SqDist(x,y)", ALIASES, axis=1)
    out = np.empty((M, 1), x.dtype)
    assert f(x, y, out=out) is out
    assert_close(out, q.sum(1), 10)
    assert_close(pickle.loads(pickle.dumps(f))(x, y), q.sum(1), 10)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Genred("Exp(x", ALIASES), r"Exp\(x"),
        (lambda: Genred("z", ALIASES), "z"),
        (lambda: Genred("x+Var(2,2,0)", ALIASES), "3"),
        (lambda: Genred("x", ALIASES, reduction_op="Median"), "Median"),
        (lambda: Genred("x", ALIASES, axis=2), "axis"),
        (lambda: Genred("x", ALIASES, reduction_op="KMin"), "opt_arg"),
        (lambda: Genred("x", ALIASES, reduction_op="SumSoftMaxWeight"), "formula2"),
        (lambda: Genred("x", ["x = Vk(3)"]), "Vk"),
        (lambda: Genred("x", [3]), "alias 0"),
        (lambda: Genred("x", ALIASES, sum_scheme="other"), "sum_scheme"),
        (lambda: Genred("x", ALIASES, dtype_acc="int"), "dtype_acc"),
    ],
)
def test_errors_of_formulas(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_errors_of_arrays(points):
    x, y, _ = points
    f = Genred("SqDist(x,y)", ALIASES, axis=1)
    other = "float64" if x.dtype == np.float32 else "float32"
    for args, error, message in [
        ((x,), ValueError, "2 arrays"),
        ((x, y[:, :2]), ValueError, r"y: .*\(rows, 3\)"),
        ((x, [1.0]), TypeError, "y: "),
        ((x, y.astype(other)), TypeError, "y has the number type"),
        ((x.astype(int), y), TypeError, "int64"),
        ((x[0], y), ValueError, "x: "),
    ]:
        with pytest.raises(error, match=message):
            f(*args)
    with pytest.raises(ValueError, match="y: axis -2 has 6 rows"):
        Genred("x+y", ["x = Vj(3)", "y = Vj(3)"])(y, y[:6])


def test_symbolic_variables(points):
    x, y, q = points
    b = np.ones((N, 2), x.dtype)
    K = (-Vi(0, D).sqdist(Vj(1, D))).exp()
    assert K.symbolic_variables == ((0, 3, 0), (1, 3, 1))
    f = K.sum(axis=1)
    assert_close(f(x, y), np.exp(-q).sum(1))
    assert_close(f(x[:2], y[:3]), np.exp(-q[:2, :3]).sum(1))
    assert_close((K * LazyTensor(b[None])).sum(axis=1)(x, y), np.exp(-q).sum(1) * np.ones(2))
    assert_close((Var(0, 1, 2) * Vi(x)).sum(axis=0)(np.array([2.0], x.dtype)), 2 * x.astype("float64").sum(0)[None], 10)
    assert_close(K.argKmin(2, axis=1)(x, y), (-q[..., 0]).argsort(1)[:, :2])
    assert_close((Pm(0.5) * K).sum(axis=0)(x, y), 0.5 * np.exp(-q).sum(0))
    with pytest.raises(ValueError, match="2 arrays"):
        f(x)
    with pytest.raises(ValueError, match="argument 0"):
        f(x[:, :2], y)
    with pytest.raises(ValueError, match="reduce it"):
        K(x, y)
