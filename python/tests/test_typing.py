# SPDX-License-Identifier: MIT
"""A user's program passes mypy --strict."""

import os

import pytest
from conftest import run_python

PROGRAM = """
import numpy as np
import numpy.typing as npt

import keopscl
from keopscl.numpy import ComplexLazyTensor, Genred, KernelSolve, LazyTensor, Pm, Vi, Vj, generic_sum
from keopscl.numpy import index_i, index_j, where

Array = npt.NDArray[np.float64]


def kernel(x: Array, y: Array, width: float) -> LazyTensor:
    x_i, y_j = LazyTensor(x[:, None, :]), LazyTensor(y[None, :, :])
    distance = ((x_i - y_j) ** 2).sum(-1)
    K: LazyTensor = (-distance / (2 * width**2)).exp()
    return where(index_j() <= index_i(), K, 0.0)


def smooth(x: Array, y: Array, b: Array) -> Array:
    keopscl.set_device("host")
    K = kernel(x, y, 0.5)
    total: Array = K.sum(axis=1)
    result: Array = (K @ b) / total
    neighbours: npt.NDArray[np.int64] = Vi(x).sqdist(Vj(y)).argKmin(3, axis=1)
    some: Array = K[:3, [0, -1]] + K.block([0, 1, 2], [0, 1]) + K.rows(0)[:2]
    pairs: Array = K.entries([0, 1], [1, 0]) + K.diag()[:2] + K.dense()[0, :2] + K.columns(0)[:2]
    weights: Array = kernel(x, x, 0.5).solve(b, alpha=0.1, tol=1e-4)
    record: keopscl.SolveResult = kernel(x, x, 0.5).solve(weights, alpha=0.1, info=True)[1]
    print(record.converged.all(), record.iterations.max())
    print(some, pairs, K.shape, K.T.dtype, neighbours.shape, keopscl.device_name())
    return result


f = Genred("Exp(-SqDist(x,y))*b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(1)"], reduction_op="Sum", axis=1)
a: Array = f(np.ones((2, 3)), np.ones((4, 3)), np.ones((4, 1)))
s = KernelSolve("Exp(-SqDist(x,y))*b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(1)"], "b", axis=1)
c: Array = s(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 1)), alpha=0.1)
z: ComplexLazyTensor = Vi(np.ones((2, 3))).exp1j()
r: LazyTensor = z.real
p: LazyTensor = Pm(2.0) * Vi(0, 3)
g = generic_sum("x", "a = Vi(3)", "x = Vi(3)")
"""


def test_a_users_program(tmp_path):
    pytest.importorskip("mypy")
    import keopscl

    (tmp_path / "program.py").write_text(PROGRAM)
    path = os.path.dirname(os.path.dirname(keopscl.__file__))
    result = run_python(
        *("-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "program.py"),
        cwd=tmp_path,
        MYPYPATH=path if os.path.basename(path) == "src" else "",
    )
    assert result.returncode == 0, result.stdout + result.stderr
