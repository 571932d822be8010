# SPDX-License-Identifier: MIT
"""Elementwise operations and operations of components, against NumPy in float64."""

import math

import numpy as np
import pytest
from conftest import assert_close

from keopscl.numpy import LazyTensor, Pm, Vi, Vj

M, N, D = 5, 7, 3

erf = np.vectorize(math.erf)

UNARY = {
    "exp": np.exp,
    "expm1": np.expm1,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "erf": erf,
    "erfc": lambda x: 1 - erf(x),
    "abs": np.abs,
    "square": np.square,
    "sign": np.sign,
    "sinc": np.sinc,
    "sinxdivx": lambda x: np.sinc(x / np.pi),
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "step": lambda x: np.where(x < 0, 0.0, 1.0),
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "inv": lambda x: 1 / x,
}
POSITIVE = {
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "xlogx": lambda x: x * np.log(x),
    "acosh": lambda x: np.arccosh(1 + x),
}
SMALL = {"asin": np.arcsin, "acos": np.arccos, "atanh": np.arctanh}


def points(rng, dtype):
    return rng.standard_normal((M, D)).astype(dtype), rng.standard_normal((N, D)).astype(dtype)


def both(x, y):
    """x_i and y_j as LazyTensors and as arrays in float64."""
    return Vi(x), Vj(y), x[:, None, :].astype("float64"), y[None].astype("float64")


@pytest.mark.parametrize("name", sorted(UNARY))
def test_functions(name, rng, dtype):
    x_i, y_j, x, y = both(*points(rng, dtype))
    assert_close(getattr(x_i * y_j, name)().sum(axis=1), UNARY[name](x * y).sum(1), 50)


@pytest.mark.parametrize("name", sorted(POSITIVE))
def test_functions_of_positive_numbers(name, rng, dtype):
    x_i, y_j, x, y = both(*points(rng, dtype))
    operand = (x_i * y_j) ** 2 + 0.5
    if name == "acosh":
        operand = operand + 1
    assert_close(getattr(operand, name)().sum(axis=1), POSITIVE[name]((x * y) ** 2 + 0.5).sum(1), 50)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_functions_between_minus_one_and_one(name, rng, dtype):
    x_i, y_j, x, y = both(*points(rng, dtype))
    assert_close(getattr((x_i * y_j).sin() * 0.9, name)().sum(axis=1), SMALL[name](np.sin(x * y) * 0.9).sum(1), 50)


BINARY = {
    "x + y": lambda x, y: x + y,
    "x - y": lambda x, y: x - y,
    "x * y": lambda x, y: x * y,
    "x / y": lambda x, y: x / y,
    "-x": lambda x, y: -x * y,
    "2 - x": lambda x, y: 2 - x * y,
    "1 / x": lambda x, y: 1 / (x * y),
    "2.5 / x": lambda x, y: 2.5 / (x * y),
    "0 * x": lambda x, y: 0 * x + y,
    "x ** 2": lambda x, y: (x - y) ** 2,
    "x ** 3": lambda x, y: (x - y) ** 3,
    "x ** -1": lambda x, y: (x - y) ** -1,
    "x ** 0.5": lambda x, y: ((x - y) ** 2) ** 0.5,
    "x ** -0.5": lambda x, y: ((x - y) ** 2) ** -0.5,
    "x ** 1.5": lambda x, y: ((x - y) ** 2) ** 1.5,
    "x ** y": lambda x, y: abs(x) ** y,
    "abs": lambda x, y: abs(x - y),
    "x + list": lambda x, y: x * y + [1.0, 2.0, 3.0],
    "array - x": lambda x, y: np.arange(3.0).astype(x.dtype) - x * y,
    "==": lambda x, y: x * 0 + (y == y),
    "!=": lambda x, y: (x != y),
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
    "< 0.5": lambda x, y: x * y < 0.5,
}


@pytest.mark.parametrize("name", sorted(BINARY))
def test_operators(name, rng, dtype):
    x_i, y_j, x, y = both(*points(rng, dtype))
    if name == "array - x":
        expected = np.arange(3.0) - x * y
    else:
        expected = np.broadcast_to(BINARY[name](x, y), (M, N, D)) * 1.0
    assert_close(BINARY[name](x_i, y_j).sum(axis=1), expected.sum(1), np.abs(expected).sum(1).max())


METHODS = {
    "atan2": (lambda a, b: a.atan2(b), np.arctan2),
    "hypot": (lambda a, b: a.hypot(b), np.hypot),
    "minimum": (lambda a, b: a.minimum(b), np.minimum),
    "maximum": (lambda a, b: a.maximum(b), np.maximum),
    "mod": (lambda a, b: (a * b).mod(0.7), lambda a, b: a * b - 0.7 * np.floor(a * b / 0.7)),
    "mod with offset": (lambda a, b: (a * b).mod(2, -1), lambda a, b: a * b - 2 * np.floor((a * b + 1) / 2)),
    "clamp ints": (lambda a, b: (a * b).clamp(-1, 1), lambda a, b: np.clip(a * b, -1, 1)),
    "clamp floats": (lambda a, b: (a * b).clamp(-0.5, 0.25), lambda a, b: np.clip(a * b, -0.5, 0.25)),
    "ifelse": (lambda a, b: (a - b).ifelse(a, b), lambda a, b: np.where(a - b >= 0, a, b)),
    "where": (lambda a, b: (a < b).where(a, 2.0), lambda a, b: np.where(a < b, a, 2.0)),
    "round": (lambda a, b: (a * b).round(1), lambda a, b: np.sign(a * b) * np.floor(np.abs(a * b) * 10 + 0.5) / 10),
    "power": (lambda a, b: a.power(2) * b, lambda a, b: a**2 * b),
    "logic": (lambda a, b: (a < b) & ~(a < 0), lambda a, b: ((a < b) & (a >= 0)) * 1.0),
    "logical_or": (lambda a, b: (a < b).logical_or(a < 0), lambda a, b: ((a < b) | (a < 0)) * 1.0),
}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_methods(name, rng, dtype):
    x_i, y_j, x, y = both(*points(rng, dtype))
    lazy, dense = METHODS[name]
    assert_close(lazy(x_i, y_j).sum(axis=1), np.broadcast_to(dense(x, y), (M, N, D)).sum(1), 20)


def dot(a, b):
    return (a * b).sum(-1, keepdims=True)


VECTORS = {
    "(x|y)": (lambda a, b: (a | b), dot),
    "sqnorm2": (lambda a, b: (a - b).sqnorm2(), lambda a, b: dot(a - b, a - b)),
    "norm2": (lambda a, b: (a - b).norm2(), lambda a, b: np.sqrt(dot(a - b, a - b))),
    "norm(-1)": (lambda a, b: (a - b).norm(-1), lambda a, b: np.sqrt(dot(a - b, a - b))),
    "normalize": (lambda a, b: (a - b).normalize(), lambda a, b: (a - b) / np.sqrt(dot(a - b, a - b))),
    "sqdist": (lambda a, b: a.sqdist(b), lambda a, b: dot(a - b, a - b)),
    "weightedsqnorm": (
        lambda a, b: (a - b).weightedsqnorm([1.0, 2.0, 3.0]),
        lambda a, b: dot((a - b) ** 2, np.array([1.0, 2, 3])),
    ),
    "weightedsqdist": (lambda a, b: a.weightedsqdist(b, 2.0), lambda a, b: 2 * dot(a - b, a - b)),
    "sum(-1)": (lambda a, b: (a * b).sum(-1), dot),
    "sum(2)": (lambda a, b: (a * b).sum(2), dot),
    "sum(dim=2)": (lambda a, b: (a * b).sum(dim=2), dot),
    "max": (lambda a, b: (a * b).max(-1), lambda a, b: (a * b).max(-1, keepdims=True)),
    "min": (lambda a, b: (a * b).min(), lambda a, b: (a * b).min(-1, keepdims=True)),
    "argmax": (lambda a, b: (a * b).argmax(-1), lambda a, b: (a * b).argmax(-1)[..., None]),
    "argmin": (lambda a, b: (a * b).argmin(), lambda a, b: (a * b).argmin(-1)[..., None]),
    "elem": (lambda a, b: (a * b).elem(1), lambda a, b: (a * b)[..., 1:2]),
    "x[2]": (lambda a, b: (a * b)[2], lambda a, b: (a * b)[..., 2:3]),
    "x[-1]": (lambda a, b: (a * b)[-1], lambda a, b: (a * b)[..., 2:3]),
    "x[:, :, 1]": (lambda a, b: (a * b)[:, :, 1], lambda a, b: (a * b)[..., 1:2]),
    "x[..., 1:]": (lambda a, b: (a * b)[..., 1:], lambda a, b: (a * b)[..., 1:]),
    "x[:2]": (lambda a, b: (a * b)[:2], lambda a, b: (a * b)[..., :2]),
    "x[::-1]": (lambda a, b: (a * b)[::-1], lambda a, b: (a * b)[..., ::-1]),
    "x[::2]": (lambda a, b: (a * b)[::2], lambda a, b: (a * b)[..., ::2]),
    "extract": (lambda a, b: (a * b).extract(1, 2), lambda a, b: (a * b)[..., 1:3]),
    "concat": (lambda a, b: a.concat(b), lambda a, b: np.concatenate(np.broadcast_arrays(a, b), -1)),
    "concatenate": (
        lambda a, b: LazyTensor.concatenate((a, b, a)),
        lambda a, b: np.concatenate([*np.broadcast_arrays(a, b), np.broadcast_arrays(a, b)[0]], -1),
    ),
    "cat": (lambda a, b: LazyTensor.cat((a, b), -1), lambda a, b: np.concatenate(np.broadcast_arrays(a, b), -1)),
    "one_hot": (
        lambda a, b: (abs(a.elem(0) * b.elem(0)) * 2).one_hot(4),
        lambda a, b: (np.floor(np.abs(a[..., :1] * b[..., :1]) * 2 + 0.5) == np.arange(4)) * 1.0,
    ),
    "tensorprod": (
        lambda a, b: a.tensorprod(b),
        lambda a, b: np.einsum("ijk,ijl->ijkl", *np.broadcast_arrays(a, b)).reshape(M, N, 9),
    ),
    "matvecmult": (lambda a, b: a.tensorprod(a).matvecmult(b), lambda a, b: a * dot(a, b)),
    "vecmatmult": (lambda a, b: a.vecmatmult(b.tensorprod(b)), lambda a, b: b * dot(a, b)),
    "tensordot": (
        lambda a, b: a.tensorprod(a).keops_tensordot(b, (3, 3), (3,), (1,), (0,)),
        lambda a, b: a * dot(a, b),
    ),
    "kron": (
        lambda a, b: a.keops_kron(b, (3,), (3,)),
        lambda a, b: np.einsum("ijk,ijl->ijkl", *np.broadcast_arrays(a, b)).reshape(M, N, 9),
    ),
    "difference_matrix": (
        lambda a, b: a.difference_matrix(b),
        lambda a, b: (a[..., :, None] - b[..., None, :]).reshape(M, N, 9),
    ),
    "factorize": (lambda a, b: (a * b).factorize(a).auto_factorize(), lambda a, b: a * b),
    "bspline": (
        lambda a, b: Pm([0.0, 1.0, 2.0, 3.0]).bspline(a[0] * b[0], 0),
        lambda a, b: ((np.floor(a[..., :1] * b[..., :1]) == np.arange(3)) * 1.0),
    ),
    "grad": (lambda a, b: (a * b).sin().grad(a, b), lambda a, b: np.cos(a * b) * b * b),
    "diff": (lambda a, b: (a * b).sin().diff(a, b), lambda a, b: np.cos(a * b) * b * b),
    "grad_matrix": (
        lambda a, b: (a * b).grad_matrix(a),
        lambda a, b: (np.eye(3) * (b + 0 * a)[..., None]).reshape(M, N, 9),
    ),
    "divergence": (lambda a, b: (a * b).sin().divergence(a), lambda a, b: (np.cos(a * b) * b).sum(-1, keepdims=True)),
    "laplacian": (lambda a, b: (a | b).sin().laplacian(a), lambda a, b: -np.sin(dot(a, b)) * dot(b, b)),
    "trace_operator": (lambda a, b: (a * b).trace_operator(a), lambda a, b: (b + 0 * a).sum(-1, keepdims=True)),
}


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_components(name, rng, dtype):
    x_i, y_j, x, y = both(*points(rng, dtype))
    lazy, dense = VECTORS[name]
    expected = dense(x, y)
    expected = np.broadcast_to(expected, (M, N, expected.shape[-1]))
    assert lazy(x_i, y_j)._shape == expected.shape
    assert_close(lazy(x_i, y_j).sum(axis=1), expected.sum(1), 20)
