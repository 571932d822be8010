#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the Python package adds to the calls of the library, beside pykeops in the same run.

Small calls (M=N=100): a call of a LazyTensor expression that was built before, a call of Genred, and building
(-((x_i - y_j)**2).sum(-1)).exp() @ b from arrays, each beside kcl_operator_apply of the same operator on the same
arrays. All sides alternate in blocks of calls, and the medians of differences count. Whole calls: the cases of
compare.py, Genred beside kcl_operator_apply; the best time of each counts. Exit code 1: a wrong result, or a bound that
is missed. See bench/README.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

PARTS = ("small", "whole")

# Largest time above the call from C, in microseconds.
BOUNDS = {"lazy": 10.0, "genred": 10.0, "build": 60.0}

# Smallest ratio of the times of a whole call, C to Python.
RATIO = 0.95

# A case that is below the ratio is measured on, up to this many times as long: other work on the machine disturbs
# single calls by more than the bound.
PATIENCE = 6

# Sides take turns after this many calls, the first of which does not count: how soon a driver's threads wake up depends
# on the call before.
BLOCK = 20

# Before each call, seconds: a call from C that follows another one at once finds the driver's threads still awake, and
# is faster by more than what is measured here.
PAUSE = 20e-6


class Native:
    """kcl_operator_apply on arrays that were described before: the call that C programs make."""

    def __init__(self, operator, arguments, out):
        import numpy as np
        from keopscl._core import contexts
        from keopscl._native import ffi, lib

        codes = {np.dtype(np.float32): lib.KCL_F32, np.dtype(np.float64): lib.KCL_F64, np.dtype(np.int64): lib.KCL_I64}
        self.keep = [*arguments, out]

        def describe(array):
            address = ffi.from_buffer(array)
            self.keep.append(address)
            return ffi.new("kcl_array *", lib.kcl_array_of(address, codes[array.dtype], array.ndim, array.shape))

        arrays = [describe(array) for array in arguments]
        result = [describe(out)]
        self.keep += arrays + result
        self.call = (
            lib.kcl_operator_apply,
            operator,
            contexts.current(),
            ffi.new("kcl_array *[]", result),
            1,
            ffi.new("kcl_array *[]", arrays),
            len(arrays),
        )
        self.keep.append(self.call)
        self.out = out

    def __call__(self):
        apply, *arguments = self.call
        if apply(*arguments) < 0:
            raise RuntimeError("kcl_operator_apply")
        return self.out


# ---- Small calls -----------------------------------------------------------------------------------------------------


def sides_of(module, x, y, b):
    """The three kinds of calls, of keopscl.numpy or of pykeops.numpy."""
    x_i, y_j, b_j = module.LazyTensor(x[:, None, :]), module.LazyTensor(y[None, :, :]), module.LazyTensor(b[None, :, :])
    built = ((-((x_i - y_j) ** 2).sum(-1)).exp() * b_j).sum(axis=1, call=False)
    genred = module.Genred("Exp(-SqDist(x,y))*b", ["x=Vi(3)", "y=Vj(3)", "b=Vj(1)"], reduction_op="Sum", axis=1)

    def build():
        x_i, y_j = module.LazyTensor(x[:, None, :]), module.LazyTensor(y[None, :, :])
        return (-((x_i - y_j) ** 2).sum(-1)).exp() @ b

    return {"lazy": lambda: built(), "genred": lambda: genred(x, y, b), "build": build}, genred


def small(options):
    import numpy as np

    import keopscl.numpy

    random = np.random.default_rng(options.seed)
    x, y, b = (random.random((options.points, d), dtype=np.float32) for d in (3, 3, 1))
    expected = np.exp(-((x[:, None].astype(np.float64) - y[None]) ** 2).sum(-1)) @ b
    ours, genred = sides_of(keopscl.numpy, x, y, b)
    sides = {"C": Native(genred._program.operator, (x, y, b), np.empty((options.points, 1), np.float32))}
    sides.update((name, call) for name, call in ours.items())
    if not options.no_pykeops:
        import pykeops

        pykeops.set_verbose(False)
        import pykeops.numpy

        sides.update(("pykeops " + name, call) for name, call in sides_of(pykeops.numpy, x, y, b)[0].items())
    right = True
    for name, call in sides.items():
        error = float(np.abs(call() - expected).max() / np.abs(expected).max())
        if error > 1e-5:
            print(f"{name}: WRONG, error {error:.1e}")
            right = False
    times = {name: [] for name in sides}  # the median of each block
    for _ in range(max(options.calls // BLOCK, 1)):
        for name, call in sides.items():
            call()
            block = []
            for _ in range(BLOCK):
                asleep = time.perf_counter() + PAUSE
                while time.perf_counter() < asleep:
                    pass
                start = time.perf_counter()
                call()
                block.append(time.perf_counter() - start)
            times[name].append(statistics.median(block) * 1e6)
    medians = {name: statistics.median(each) for name, each in times.items()}
    # Of neighbours in time: the clock of a processor and the work of others change the times of all sides alike.
    above_c = {name: statistics.median(time - c for time, c in zip(each, times["C"])) for name, each in times.items()}
    if not options.json:
        print(
            f"M=N={options.points}, medians of {options.calls} calls, microseconds\n"
            f"{'call':<16} {'time':>8} {'above C':>8} {'bound':>8}"
        )
    for name, median in medians.items():
        above, bound = above_c[name], BOUNDS.get(name)
        late = bound is not None and above > bound
        right = right and not late
        if options.json:
            print(json.dumps({"part": "small", "call": name, "microseconds": median, "above": above, "bound": bound}))
        else:
            print(f"{name:<16} {median:>8.1f} {above:>8.1f} {bound or '':>8}" + ("  ABOVE" if late else ""), flush=True)
    return right


# ---- Whole calls -----------------------------------------------------------------------------------------------------


def whole(options):
    import numpy as np

    from keopscl.numpy import Genred

    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    import cases
    import compare

    right = True
    if not options.json:
        print(
            f"M={options.m} N={options.n}, best of {options.repeat}, seconds\n"
            f"{'case':<16} {'C':>9} {'Python':>9} {'C/Python':>9} {'error':>9}"
        )
    for name in options.cases.split(",") if options.cases else compare.CASES:
        kind, d, dtype, *_ = compare.CASES[name]
        batches, m, n = compare.BATCHES.get(name, (None, options.m, options.n))
        data = cases.Data(kind, d, dtype, m, n, options.seed, batches)
        genred, arguments = data.genred(Genred), data.arguments()
        native = Native(genred._program.operator, arguments, np.empty(data.out_shape, data.out_real))
        error = max(data.largest_error(result, data.reference(16)) for result in (native(), genred(*arguments)))
        best = {"C": float("inf"), "Python": float("inf")}
        for repetition in range(options.repeat * PATIENCE):
            if repetition >= options.repeat and best["C"] / best["Python"] >= RATIO:
                break
            for side, call in (("C", native), ("Python", lambda: genred(*arguments))):
                start = time.perf_counter()
                call()
                best[side] = min(best[side], time.perf_counter() - start)
        c, python = best["C"], best["Python"]
        good = c / python >= RATIO and error <= data.tolerance()
        right = right and good
        if options.json:
            print(
                json.dumps(
                    {"part": "whole", "case": name, "c": c, "python": python, "ratio": c / python, "error": error}
                )
            )
        else:
            print(
                f"{name:<16} {c:>9.4f} {python:>9.4f} {c / python:>9.3f} {error:>9.1e}" + ("" if good else "  MISSED"),
                flush=True,
            )
    return right


def main():
    parser = argparse.ArgumentParser(
        description="The Python package beside the library's own calls, and pykeops.",
        epilog="example: bench/python.py --parts small --calls 2000",
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated, of: " + ", ".join(PARTS))
    parser.add_argument("--points", type=int, default=100, help="rows and columns of the small calls (default 100)")
    parser.add_argument("--calls", type=int, default=4000, help="small calls of each kind (default 4000)")
    parser.add_argument("--no-pykeops", action="store_true", help="leave pykeops out")
    parser.add_argument("--cases", help="of the whole calls, comma-separated (default: all of compare.py)")
    parser.add_argument("--m", type=int, default=20000, help="rows of the whole calls (default 20000)")
    parser.add_argument("--n", type=int, default=20000, help="their columns (default 20000)")
    parser.add_argument("--repeat", type=int, default=5, help="whole calls of each kind, the best counts (default 5)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    options = parser.parse_args()
    parts = options.parts.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; parts are {', '.join(PARTS)}")
    if len(parts) > 1:
        # Each part is a process of its own: PoCL reads the number of its threads once.
        return max(
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--parts", part]).returncode for part in parts
        )
    os.environ.setdefault("KEOPSCL_DEVICE", "cpu")
    if parts[0] == "small":
        os.environ.setdefault("POCL_MAX_PTHREAD_COUNT", "1")  # waking threads would take longer than the call
        return 0 if small(options) else 1
    return 0 if whole(options) else 1


if __name__ == "__main__":
    sys.exit(main())
