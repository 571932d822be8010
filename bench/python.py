#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the Python package adds to the library's calls, and pykeops in the same run where it is installed.

    python bench/python.py [--device cpu] [--calls 500]

The first table is of small problems, M = N = 100, D = 3, in microseconds: the call from C of a prepared operator, a call of
a built LazyTensor expression, of Genred, and an expression built from arrays and reduced. The second is of whole calls of
larger problems: the time from C divided by the time from Python.
"""
import argparse
import os
import statistics
import sys
import time

# The module keopscl.py of this folder is the other benchmarks' binding, not the package.
sys.path[:] = [path for path in sys.path if os.path.realpath(path) != os.path.dirname(os.path.realpath(__file__))]

import numpy as np

import keopscl
import keopscl.numpy
from keopscl import _arrays
from keopscl._core import contexts
from keopscl._native import ffi, lib


def timed(*functions, calls):
    """The median time of each function, in seconds, called in turns."""
    for function in functions:
        function()
    times = [[] for _ in functions]
    for _ in range(calls):
        for function, its in zip(functions, times):
            start = time.perf_counter()
            function()
            its.append(time.perf_counter() - start)
    return [statistics.median(its) for its in times]


def arrays(m, n, d=3):
    rng = np.random.default_rng(0)
    return (rng.standard_normal((m, d)).astype("float32"), rng.standard_normal((n, d)).astype("float32"),
            rng.standard_normal((n, 1)).astype("float32"))


def gaussian(package, x, y):
    x_i, y_j = package.LazyTensor(x[:, None, :]), package.LazyTensor(y[None, :, :])
    return (-((x_i - y_j) ** 2).sum(-1)).exp()


def from_c(reduced):
    """A call of the operator of a reduction on its arrays, and nothing else."""
    reduced()
    program = next(iter(reduced._node.programs.values()))
    leaves, context = reduced._leaves, contexts.current()
    result = np.empty(reduced().shape, "float32")
    out = _arrays.describe_dense(ffi.from_buffer(result), lib.KCL_F32, result.shape)
    outs = ffi.new("kcl_array *[]", [out])
    arguments = ffi.new("kcl_array *[]", [leaves[k].array(lib.KCL_F32) for k in program.order])
    keep = (result, out, leaves)

    def call():
        lib.kcl_operator_apply(program.operator, context, outs, 1, arguments, len(program.order))
        return keep

    return call


def small(package, calls, c=None):
    """Times of a built expression, of Genred, and of building; with c, of a call from C before."""
    x, y, b = arrays(100, 100)
    K = gaussian(package, x, y)
    reduced = (K * package.LazyTensor(b[None])).sum(1, call=False)
    genred = package.Genred("Exp(-SqDist(x,y))*b", ["x=Vi(3)", "y=Vj(3)", "b=Vj(1)"], axis=1)
    functions = [reduced, lambda: genred(x, y, b), lambda: gaussian(package, x, y) @ b]
    return timed(*([from_c(reduced)] if c else []), *functions, calls=calls)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default=None)
    parser.add_argument("--calls", type=int, default=500)
    options = parser.parse_args()
    keopscl.set_device(options.device)
    print(f"{keopscl.device_name()}\n\nM = N = 100, D = 3, microseconds (median of {options.calls} calls)")
    c, *ours = small(keopscl.numpy, options.calls, c=True)
    rows = [("a call from C", c, None)]
    names = ("a built LazyTensor expression", "Genred", "built from arrays, and reduced")
    rows += [(name, its, its - c) for name, its in zip(names, ours)]
    try:
        import pykeops.numpy
        theirs = [None, *small(pykeops.numpy, max(options.calls // 5, 10))]
    except ImportError:
        theirs = [None] * 4
    for (name, its, above), other in zip(rows, theirs):
        print(f"  {name:34}{its * 1e6:8.1f}" + (f"  {above * 1e6:6.1f} above C" if above is not None else "")
              + (f"    pykeops {other * 1e6:8.1f}" if other else ""))
    print("\nWhole calls: the time from C divided by the time from Python")
    for size in (1000, 5000, 20000):
        x, y, b = arrays(size, size)
        K = gaussian(keopscl.numpy, x, y)
        call = from_c((K * keopscl.numpy.LazyTensor(b[None])).sum(1, call=False))
        c, ours = timed(call, lambda: K @ b, calls=max(5, int(20 * 5000 / size)))
        print(f"  M = N = {size:6}  {c / ours:.3f}")


main()
