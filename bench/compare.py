#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares whole public calls of libkeopscl with pykeops' CPU engine and with a loop in C.

All run on the same data, one after another in every repetition; the best time of each counts. Ratios are time of the
peer divided by ours. Results of all are checked against double precision on sampled rows. Exit code 1: a wrong result,
or a ratio below what is needed. See bench/README.md.
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

import cases
import binding

# name: (kind, dimension, dtype, needed ratio to pykeops, needed ratio to the loop; 0: none is set)
CASES = {
    "sum-d3": ("sum", 3, "f32", 20, 3),
    "sum-d10": ("sum", 10, "f32", 20, 12),
    "sum-d32": ("sum", 32, "f32", 20, 0),
    "sum-d100": ("sum", 100, "f32", 30, 4),
    "grad-d3": ("grad", 3, "f32", 15, 0),
    "sum-d3-f64": ("sum", 3, "f64", 6, 0),
    "logsumexp-d3": ("logsumexp", 3, "f32", 18, 0),
    "logsumexp-d100": ("logsumexp", 100, "f32", 30, 0),
    "argmin-d3": ("argmin", 3, "f32", 7, 0),
    "argmin-d100": ("argmin", 100, "f32", 30, 0),
    "argkmin-d3": ("argkmin", 3, "f32", 6, 0),
    "argkmin-d100": ("argkmin", 100, "f32", 26, 0),
    "wide-d3": ("wide", 3, "f32", 13, 0),
    "batches-d3": ("sum", 3, "f32", 15, 0),
}

# 1,000 batches of 256 x 256.
BATCHES = {"batches-d3": (1000, 256, 256)}

# What loop.c has.
LOOPS = [("sum", "f32"), ("sum", "f64"), ("grad", "f32")]


def ours(data, library, context):
    out = np.empty(data.out_shape, dtype=data.out_real)
    apply = data.operator(library).bind(context, [cases.describe(out)], [cases.describe(a) for a in data.arguments()])

    def run():
        apply()
        return out
    return run


def pykeops_engine(data):
    import pykeops
    pykeops.set_verbose(False)
    from pykeops.numpy import Genred
    function = data.genred(Genred)
    return lambda: function(*data.arguments(), backend="CPU")


def build_loop(folder, d):
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "loop.c")
    target = os.path.join(folder, f"loop{d}.so")
    command = [os.environ.get("CC", "gcc"), "-O3", "-march=native", "-ffast-math", "-fopenmp", f"-DD={d}"]
    subprocess.run(command + ["-shared", "-fPIC", "-o", target, source, "-lm"], check=True)
    return ctypes.CDLL(target)


def loop_engine(data, folder):
    if (data.kind, data.dtype) not in LOOPS or data.batches:
        return None
    out = np.empty(data.out_shape, dtype=data.out_real)
    function = getattr(build_loop(folder, data.d), f"gauss_{data.kind}_{data.dtype}")
    scalar = ctypes.c_float if data.dtype == "f32" else ctypes.c_double
    arrays = [array for array in data.arguments() if array is not data.inputs["g"]] + [out]
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in arrays]

    def run():
        function(ctypes.c_long(data.m), ctypes.c_long(data.n), scalar(float(data.inputs["g"][0])), *pointers)
        return out
    return run


def compare(name, options, library, context, folder):
    kind, d, dtype, need_pykeops, need_loop = CASES[name]
    batches, m, n = BATCHES.get(name, (None, options.m, options.n))
    data = cases.Data(kind, d, dtype, m, n, options.seed, batches)
    engines = {"keopscl": ours(data, library, context) if library else None,
               "pykeops": pykeops_engine(data) if "pykeops" in options.peers else None,
               "loop": loop_engine(data, folder) if "loop" in options.peers else None}
    engines = {engine: run for engine, run in engines.items() if run}
    reference = data.reference(64)
    record = {"case": name, "m": m, "n": n, "batches": batches, "d": d, "dtype": dtype, "seconds": {}, "gpairs": {},
              "first_seconds": {}, "errors": {}, "tolerance": data.tolerance(), "ratios": {},
              "needed": {"pykeops": need_pykeops, "loop": need_loop}, "ok": True}
    for engine, run in engines.items():  # the first call compiles
        start = time.perf_counter()
        result = run()
        record["first_seconds"][engine] = time.perf_counter() - start
        record["errors"][engine] = data.largest_error(result, reference)
    times = {engine: [] for engine in engines}
    for _ in range(options.repeat):
        for engine, run in engines.items():
            start = time.perf_counter()
            run()
            times[engine].append(time.perf_counter() - start)
    for engine in engines:
        record["seconds"][engine] = min(times[engine])
        record["gpairs"][engine] = data.pairs() / min(times[engine]) / 1e9
    for peer in ("pykeops", "loop"):
        if peer in engines and "keopscl" in engines:
            record["ratios"][peer] = record["seconds"][peer] / record["seconds"]["keopscl"]
            record["ok"] = record["ok"] and record["ratios"][peer] >= record["needed"][peer]
    record["ok"] = record["ok"] and all(error <= record["tolerance"] for error in record["errors"].values())
    return record


def show(record):
    for engine, seconds in record["seconds"].items():
        ratio, needed = record["ratios"].get(engine), record["needed"].get(engine, 0)
        print(f"{record['case']:<14} {engine:<8} {seconds:>10.4f} {record['gpairs'][engine]:>9.3f} "
              f"{record['errors'][engine]:>9.1e} {f'{ratio:.1f}' if ratio else '':>7} "
              f"{needed if ratio and needed else '':>7}"
              + ("  below" if ratio and ratio < needed else "")
              + ("  WRONG" if record["errors"][engine] > record["tolerance"] else ""), flush=True)


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

    library = None if options.only_peers else binding.Library(options.library)
    context = library.context(options.device or os.environ.get("KEOPSCL_DEVICE") or "cpu") if library else None
    if not options.json:
        print(f"M={options.m} N={options.n}, best of {options.repeat}; errors: see bench/README.md\n"
              f"{'case':<14} {'engine':<8} {'seconds':>10} {'Gpair/s':>9} {'error':>9} {'ratio':>7} {'needed':>7}")
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
