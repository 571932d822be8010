#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares whole public calls of libkeopscl with pykeops' CPU engine and with a loop in C.

All run on the same data, one after another in every repetition; the best time of each counts. Ratios are time of the
peer divided by ours. Results of all are checked against double precision on sampled rows, relative to the sum of
|terms|. Exit code 1: a wrong result, or a ratio below what is needed. See bench/README.md.
"""
import os
import sys

# A pool of threads that spins after its call would take the processor from the next engine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import argparse
import ctypes
import json
import subprocess
import tempfile
import time

import numpy as np

import keopscl

TERM = "Exp(-g*SqDist(x,y))*b"
TOLERANCE = {"f32": 1e-5, "f64": 1e-12}

# name: (kind, dimension, dtype, needed ratio to pykeops, needed ratio to the loop; 0: none is set)
CASES = {
    "sum-d3": ("sum", 3, "f32", 20, 3),
    "sum-d10": ("sum", 10, "f32", 20, 12),
    "sum-d32": ("sum", 32, "f32", 20, 0),
    "sum-d100": ("sum", 100, "f32", 30, 4),
    "grad-d3": ("grad", 3, "f32", 15, 0),
    "sum-d3-f64": ("sum", 3, "f64", 6, 0),
}


class Data:
    def __init__(self, kind, d, dtype, m, n, seed):
        random = np.random.default_rng(seed)
        real = np.float32 if dtype == "f32" else np.float64
        self.kind, self.d, self.dtype, self.m, self.n, self.real = kind, d, dtype, m, n, real
        self.x = random.random((m, d)).astype(real)
        self.y = random.random((n, d)).astype(real)
        self.b = (random.random((n, 1)) - 0.3).astype(real)
        self.e = (random.random((m, 1)) - 0.3).astype(real)
        self.g = np.array([2 if d <= 3 else 6 / d], dtype=real)
        self.out_shape = (m, d) if kind == "grad" else (m, 1)

    def reference(self, i):
        """Row i and the sum of |terms|, in double precision."""
        x, y, b = self.x[i].astype(np.float64), self.y.astype(np.float64), self.b.astype(np.float64)
        g = float(self.g[0])
        difference = x - y
        terms = np.exp(-g * (difference ** 2).sum(axis=1, keepdims=True)) * b
        if self.kind == "grad":
            terms = -2 * g * float(self.e[i, 0]) * terms * difference
        return terms.sum(axis=0), np.abs(terms).sum(axis=0)


def aliases(data):
    return [f"x=Vi({data.d})", f"y=Vj({data.d})", "b=Vj(1)", "g=Pm(1)"]


def ours(data, library, context):
    dtype = keopscl.F32 if data.dtype == "f32" else keopscl.F64
    out = np.empty(data.out_shape, dtype=data.real)
    operator = library.operator(f"Sum_Reduction({TERM},0)", aliases(data))
    inputs = [data.x, data.y, data.b, data.g]
    if data.kind == "grad":
        operator = operator.gradient("x")
        inputs.append(data.e)
    describe = lambda a: keopscl.array(a.ctypes.data, dtype, *a.shape)
    apply = operator.bind(context, [describe(out)], [describe(a) for a in inputs])

    def run():
        apply()
        return out
    return run


def pykeops_engine(data):
    import pykeops
    pykeops.set_verbose(False)
    from pykeops.numpy import Genred
    formula, names = TERM, aliases(data)
    inputs = [data.x, data.y, data.b, data.g]
    if data.kind == "grad":
        formula, names = f"Grad({TERM},x,e)", names + ["e=Vi(1)"]
        inputs.append(data.e)
    function = Genred(formula, names, reduction_op="Sum", axis=1)
    return lambda: function(*inputs, backend="CPU")


def build_loop(folder, d):
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "loop.c")
    target = os.path.join(folder, f"loop{d}.so")
    command = [os.environ.get("CC", "gcc"), "-O3", "-march=native", "-ffast-math", "-fopenmp", f"-DD={d}"]
    subprocess.run(command + ["-shared", "-fPIC", "-o", target, source, "-lm"], check=True)
    return ctypes.CDLL(target)


def loop_engine(data, library):
    out = np.empty(data.out_shape, dtype=data.real)
    function = getattr(library, f"gauss_{data.kind}_{data.dtype}", None)
    if function is None:
        return None
    scalar = ctypes.c_float if data.dtype == "f32" else ctypes.c_double
    arrays = [data.x, data.y, data.b] + ([data.e] if data.kind == "grad" else []) + [out]
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in arrays]

    def run():
        function(ctypes.c_long(data.m), ctypes.c_long(data.n), scalar(float(data.g[0])), *pointers)
        return out
    return run


def largest_error(data, result, rows):
    worst = 0.0
    for i, (value, magnitude) in rows.items():
        error = np.abs(np.asarray(result)[i].astype(np.float64) - value) / magnitude
        worst = max(worst, float(np.where(np.isnan(error), np.inf, error).max()))
    return worst


def compare(name, options, library, context, folder):
    kind, d, dtype, need_pykeops, need_loop = CASES[name]
    data = Data(kind, d, dtype, options.m, options.n, options.seed)
    engines = {"keopscl": ours(data, library, context) if library else None,
               "pykeops": pykeops_engine(data) if "pykeops" in options.peers else None,
               "loop": loop_engine(data, build_loop(folder, d)) if "loop" in options.peers else None}
    engines = {engine: run for engine, run in engines.items() if run}
    sampled = np.unique(np.linspace(0, options.m - 1, 64).astype(int))
    rows = {int(i): data.reference(int(i)) for i in sampled}

    record = {"case": name, "m": options.m, "n": options.n, "d": d, "dtype": dtype, "seconds": {}, "gpairs": {},
              "first_seconds": {}, "errors": {}, "ratios": {},
              "needed": {"pykeops": need_pykeops, "loop": need_loop}, "ok": True}
    for engine, run in engines.items():  # the first call compiles
        start = time.perf_counter()
        result = run()
        record["first_seconds"][engine] = time.perf_counter() - start
        record["errors"][engine] = largest_error(data, result, rows)
    times = {engine: [] for engine in engines}
    for _ in range(options.repeat):
        for engine, run in engines.items():
            start = time.perf_counter()
            run()
            times[engine].append(time.perf_counter() - start)
    for engine in engines:
        record["seconds"][engine] = min(times[engine])
        record["gpairs"][engine] = options.m * options.n / min(times[engine]) / 1e9
    for peer in ("pykeops", "loop"):
        if peer in engines and "keopscl" in engines:
            record["ratios"][peer] = record["seconds"][peer] / record["seconds"]["keopscl"]
            record["ok"] = record["ok"] and record["ratios"][peer] >= record["needed"][peer]
    record["ok"] = record["ok"] and all(error <= TOLERANCE[dtype] for error in record["errors"].values())
    return record


def show(record):
    for engine, seconds in record["seconds"].items():
        ratio, needed = record["ratios"].get(engine), record["needed"].get(engine, 0)
        print(f"{record['case']:<12} {engine:<8} {seconds:>10.4f} {record['gpairs'][engine]:>9.3f} "
              f"{record['errors'][engine]:>9.1e} {f'{ratio:.1f}' if ratio else '':>7} "
              f"{needed if ratio and needed else '':>7}"
              + ("  below" if ratio and ratio < needed else "")
              + ("  WRONG" if record["errors"][engine] > TOLERANCE[record["dtype"]] else ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description="libkeopscl, pykeops' CPU engine and a loop in C, alternately.",
                                     epilog="example: bench/compare.py --cases sum-d3,grad-d3")
    parser.add_argument("--cases", default=",".join(CASES), help="comma-separated, of: " + ", ".join(CASES))
    parser.add_argument("--m", type=int, default=20000, help="rows (default 20000)")
    parser.add_argument("--n", type=int, default=20000, help="columns (default 20000)")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions, the best counts (default 5)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", help="what KEOPSCL_DEVICE takes (default: the variable, else cpu)")
    parser.add_argument("--library", help="path of libkeopscl.so (default: KEOPSCL_LIBRARY, else the newest build)")
    parser.add_argument("--peers", default="pykeops,loop", help="comma-separated (default pykeops,loop)")
    parser.add_argument("--only-peers", action="store_true", help="leave libkeopscl out")
    parser.add_argument("--json", action="store_true", help="a JSON object a case")
    options = parser.parse_args()
    options.peers = [peer for peer in options.peers.split(",") if peer]
    names = options.cases.split(",")
    unknown = [name for name in names if name not in CASES] + [p for p in options.peers if p not in ("pykeops", "loop")]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; cases are {', '.join(CASES)}; peers are pykeops, loop")

    library = None if options.only_peers else keopscl.Library(options.library)
    context = library.context(options.device or os.environ.get("KEOPSCL_DEVICE") or "cpu") if library else None
    if not options.json:
        print(f"M={options.m} N={options.n}, best of {options.repeat}; error relative to the sum of |terms|\n"
              f"{'case':<12} {'engine':<8} {'seconds':>10} {'Gpair/s':>9} {'error':>9} {'ratio':>7} {'needed':>7}")
    ok = True
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            record = compare(name, options, library, context, folder)
            ok = ok and record["ok"]
            if options.json:
                print(json.dumps(record), flush=True)
            else:
                show(record)
    if context:
        context.close()
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
