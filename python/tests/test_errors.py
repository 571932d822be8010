# SPDX-License-Identifier: MIT
"""Bad input: exceptions of the fitting class, which name the argument, the axis and both sizes."""

import numpy as np
import pytest

import keopscl
from keopscl.numpy import LazyTensor, Pm, Vi

x, y = np.ones((5, 1, 3)), np.ones((1, 7, 3))
X, Y = LazyTensor(x), LazyTensor(y)
K = X * Y

CASES = [
    (lambda: X + LazyTensor(np.ones((4, 1, 3))), ValueError, r"axis -3 \(i\) has 5 rows .* and 4"),
    (lambda: K - LazyTensor(np.ones((1, 6, 3))), ValueError, r"axis -2 \(j\) has 7 rows .* and 6"),
    (lambda: X * np.ones(2), ValueError, "axis -1 has 3 components .* and 2"),
    (lambda: X | LazyTensor(np.ones((1, 7, 2))), ValueError, "axis -1 has 3"),
    (
        lambda: LazyTensor(np.ones((2, 5, 1, 3))) + LazyTensor(np.ones((3, 1, 7, 3))),
        ValueError,
        "batch axis -1 .* size 2 .* and 3",
    ),
    (lambda: X + Y.square().sum(-1) * np.ones(3, "float32"), TypeError, "float64 and float32"),
    (lambda: LazyTensor(np.ones((2, 3, 4))), ValueError, "sizes 2 and 3"),
    (lambda: LazyTensor(np.ones((5, 3))), ValueError, "axis=0"),
    (lambda: LazyTensor(np.ones((5, 3)), axis=3), ValueError, "axis=3"),
    (lambda: LazyTensor(x, axis=0), ValueError, "axis=0"),
    (lambda: LazyTensor(np.ones(3), axis=1), ValueError, "axis=1"),
    (lambda: LazyTensor(np.ones((5, 0)), axis=0), ValueError, "no components"),
    (lambda: LazyTensor(np.ones((1,) * 7 + (5, 1, 3))), ValueError, "batch axes"),
    (lambda: LazyTensor(), ValueError, "needed"),
    (lambda: LazyTensor("x"), TypeError, "str"),
    (lambda: LazyTensor(None), ValueError, "needed"),
    (lambda: LazyTensor([]), TypeError, "list"),
    (lambda: LazyTensor(["a"]), TypeError, "list"),
    (lambda: LazyTensor((1, 2)), ValueError, "index, dim, role"),
    (lambda: LazyTensor((0, 3, 5)), ValueError, "role"),
    (lambda: LazyTensor((0, 0, 0)), ValueError, "dimension"),
    (lambda: LazyTensor((0, 3, 0), axis=1), ValueError, "axis"),
    (lambda: LazyTensor(2.0, axis=0), ValueError, "axis"),
    (lambda: LazyTensor(np.array([object()])), TypeError, "object"),
    (lambda: Vi(np.ones((3, 2), int) > 0), TypeError, "bool"),
    (lambda: Vi(np.ones((3, 2), "int32")), TypeError, "int32"),
    (lambda: Vi(np.ones((3, 2), "float16")), TypeError, "float16"),
    (lambda: Vi(np.ones((3, 2), ">f8")), TypeError, "byte order"),
    (lambda: Vi(np.ones((3, 2), "int64")) + 1, TypeError, "int64"),
    (lambda: X ** "2", ValueError, "str"),
    (lambda: X ** np.ones(2), ValueError, "components"),
    (lambda: K.sum(axis=5), ValueError, "axis=5"),
    (lambda: K.min_argmin(), ValueError, "axis"),
    (lambda: K.sum(axis=0, other=1), TypeError, "other"),
    (lambda: K.sum(axis=0, backend="TPU"), ValueError, "TPU"),
    (lambda: K.sum(axis=0, dtype_acc="int8"), ValueError, "dtype_acc"),
    (lambda: K.sum(axis=0, sum_scheme="other"), ValueError, "sum_scheme"),
    (lambda: K.sum(axis=0, dtype_acc="float16"), NotImplementedError, "float16"),
    (lambda: K.sum(axis=0, use_double_acc=True, dtype_acc="float64"), ValueError, "both"),
    (lambda: K.Kmin(0, axis=1), ValueError, "K is"),
    (lambda: K.Kmin(1.5, axis=1), ValueError, "K is"),
    (lambda: K.sumsoftmaxweight(Y, axis=1), ValueError, "one component"),
    (lambda: K @ np.ones(7), ValueError, "axis -1"),
    (lambda: (X | Y) @ np.ones(6), ValueError, "7 rows"),
    (lambda: (X | Y) @ [1.0], TypeError, "list"),
    (lambda: (X | Y) @ Y, TypeError, "K @ v"),
    (lambda: np.ones((2, 5)) @ (X | Y), TypeError, "K.T"),
    (lambda: (X | Y) @ np.float64(1), (TypeError, ValueError), "K @ v"),
    (lambda: X.elem(3), ValueError, "out of bounds"),
    (lambda: X.elem(1.0), ValueError, "whole number"),
    (lambda: X[3], ValueError, "out of bounds"),
    (lambda: X[2:2], ValueError, "no component"),
    (lambda: X["a"], ValueError, "str"),
    (lambda: X[0, 0, 0, 0], IndexError, "4 keys"),
    (lambda: X[1.5:], ValueError, "whole"),
    (lambda: X.extract(2, 2), ValueError, "out of bounds"),
    (lambda: X.one_hot(3), ValueError, "one component"),
    (lambda: X.elem(0).one_hot(0), ValueError, "dimension"),
    (lambda: X.round(1.5), ValueError, "decimals"),
    (lambda: X.norm(1), ValueError, "dim=1"),
    (lambda: X.clamp(np.ones(2), 1), ValueError, "components"),
    (lambda: LazyTensor.concatenate([X, Y]), ValueError, "tuple"),
    (lambda: LazyTensor.concatenate(()), ValueError, "empty"),
    (lambda: LazyTensor.concatenate((X, Y), axis=0), ValueError, "axis=0"),
    (lambda: X.concat(Vi(np.ones((5, 2), complex))), ValueError, "complex"),
    (lambda: X.weightedsqnorm(np.ones(2)), ValueError, "2 components"),
    (lambda: X.matvecmult(np.ones(2)), ValueError, "3 components"),
    (lambda: X.keops_tensordot(Y, (2, 2), (3,), (), ()), ValueError, "dimfa"),
    (lambda: X.keops_tensordot(Y, (3,), (3,), (0,), ()), ValueError, "contfa"),
    (lambda: X.keops_kron(Y, (3,), (3, 1)), ValueError, "axes"),
    (lambda: X.bspline(Y.elem(0), 5), ValueError, "degree"),
    (lambda: X.grad(X, np.ones(2)), ValueError, "gradin"),
    (lambda: X.laplacian(X), ValueError, "components"),
    (lambda: X.divergence(Pm([1.0])), ValueError, "components"),
    (lambda: bool(X == Y), ValueError, "truth"),
    (lambda: K(), ValueError, "reduce"),
    (lambda: K.sum(axis=1, call=False)(x), ValueError, "0 arrays"),
    (lambda: Pm(2.0).sum(axis=1)(), TypeError, "number type"),
    (lambda: keopscl.set_device("no such device"), RuntimeError, "no such device"),
    (lambda: keopscl.set_device(3), ValueError, "string"),
    (lambda: K.reduction("Median", axis=1), ValueError, "Median"),
    (lambda: K.take(X), ValueError, "take"),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_bad_input(number):
    call, error, message = CASES[number]
    with pytest.raises(error, match=message):
        call()


def test_errors_leave_everything_usable():
    with pytest.raises(ValueError):
        X + LazyTensor(np.ones((4, 1, 3)))
    assert np.array_equal(K.sum(axis=1), np.full((5, 3), 7.0))


def test_classes_of_exceptions():
    assert issubclass(keopscl.ShapeError, ValueError) and issubclass(keopscl.ShapeError, keopscl.Error)
    assert issubclass(keopscl.DtypeError, TypeError) and issubclass(keopscl.DtypeError, ValueError)
    assert issubclass(keopscl.UnsupportedError, NotImplementedError) and issubclass(keopscl.DeviceError, RuntimeError)
