#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares libkeopscl on a GPU with pykeops' CUDA engine, arrays on the device on both sides.

Both sides are timed alternately on the same data, whole public calls given one after another and waited for at the
end. Rates and ratios are of the medians. Results of both are checked against double precision on sampled rows.
Without pykeops, PyTorch or CUDA our side alone is timed. Exit code 1: a wrong result, a call that failed, or, at full
size, less than what is needed. See bench/README.md.
"""
import argparse
import json
import math
import os
import statistics
import sys
import time

import numpy as np

import cases
import binding

X, GPAIRS = "x", " Gpair/s"

# name: (kind, dimension, rows, columns, form, needed, aim, in what: the ratio to pykeops, or our rate)
CASES = {
    "sum-d3": ("sum", 3, 262144, 262144, None, 1.3, 2.0, X),
    "sum-d10": ("sum", 10, 131072, 131072, "differences", 1.5, 2.0, X),
    "sum-d16": ("sum", 16, 131072, 131072, None, 0, 0, X),
    "sum-d32": ("sum", 32, 131072, 131072, "differences", 2.0, 2.8, X),
    "sum-d32-auto": ("sum", 32, 131072, 131072, None, 0, 0, X),
    "sum-d100": ("sum", 100, 65536, 65536, None, 2.2, 6, X),
    "sum-d784": ("sum", 784, 65536, 65536, None, 2.2, 6, X),
    "logsumexp-d3": ("logsumexp", 3, 262144, 262144, None, 1.8, 3, X),
    "argmin-d3": ("argmin", 3, 262144, 262144, None, 1.2, 2.5, X),
    "argmin-d100": ("argmin", 100, 65536, 65536, None, 2.2, 6, X),
    "grad-d3": ("grad", 3, 262144, 262144, None, 1.4, 2.2, X),
    "argkmin-d3": ("argkmin", 3, 131072, 131072, None, 1.5, 1.5, X),
    "argkmin-d100": ("argkmin", 100, 65536, 65536, None, 2, 2, X),
    "wide-d3": ("wide", 3, 131072, 131072, None, 0, 0, X),
    "batches-d3": ("sum", 3, 256, 256, None, 2, 2, X),
    "split-d3": ("sum", 3, 10, 10000000, None, 500, 2000, GPAIRS),
}

BATCHES = {"batches-d3": 1000}

# pykeops has a scheme that spreads the columns as well; it takes the other one unless asked. The faster counts.
PYKEOPS_BACKENDS = {"split-d3": ("GPU_1D", "GPU_2D")}

SECONDS_A_MEASUREMENT = 0.02
WARM_UP_SECONDS = 0.3


class Ours:
    """One operator on arrays of the device."""

    def __init__(self, data, library, context, schedule, form):
        self.data, self.context = data, context
        self.dtype = binding.F32 if data.dtype == "f32" else binding.F64
        self.operator = data.operator(library, schedule, form)
        self.inputs = [context.upload(cases.describe(array)) for array in data.arguments()]
        self.out = context.empty(binding.I64 if data.is_index else self.dtype, *data.out_shape)
        self.run = self.operator.bind(context, [self.out], self.inputs)
        self.wait = context.finish

    def result(self):
        host = np.empty(self.data.out_shape, dtype=self.data.out_real)
        self.context.download(self.out, cases.describe(host))
        return host

    def plan(self):
        try:
            return self.operator.describe(self.context, self.dtype, self.data.m, self.data.n)
        except RuntimeError as problem:  # the interpreter has none
            return [str(problem)]

    def close(self):
        self.context.free(self.out, *self.inputs)
        self.operator.close()


class Pykeops:
    """The same by pykeops' CUDA engine on tensors of the device."""

    def __init__(self, data, backend):
        import torch
        from pykeops.torch import Genred
        function = data.genred(Genred)
        tensors = [torch.from_numpy(array).cuda() for array in data.arguments()]

        def run():
            with torch.no_grad():
                self.last = function(*tensors, backend=backend)
        self.run, self.wait = run, torch.cuda.synchronize

    def result(self):
        return self.last.cpu().numpy()

    def close(self):
        import torch
        self.run = self.last = None
        torch.cuda.empty_cache()


def why_no_pykeops():
    """None where its CUDA engine can be used."""
    try:
        import torch
        if not torch.cuda.is_available():
            return "PyTorch finds no CUDA device"
        import pykeops
        pykeops.set_verbose(False)
        if not pykeops.config.gpu_available:
            return "pykeops finds no CUDA"
        import pykeops.torch
    except Exception as problem:  # whatever a broken installation raises
        return f"{type(problem).__name__}: {problem}"
    return None


def measure(engine, calls):
    """Seconds a call, of calls given one after another."""
    start = time.perf_counter()
    for _ in range(calls):
        engine.run()
    engine.wait()
    return (time.perf_counter() - start) / calls


def compare(name, options, library, context, pykeops):
    kind, d, m, n, form, needed, aim, unit = CASES[name]
    m, n = (size if size <= 10 else max(1, round(size * options.scale)) for size in (m, n))
    data = cases.Data(kind, d, "f32", m, n, options.seed, BATCHES.get(name))
    reference = data.reference(options.rows)
    record = {"case": name, "d": d, "m": m, "n": n, "dtype": data.dtype, "tolerance": data.tolerance(),
              "needed": needed, "aim": aim, "unit": unit.strip(), "engines": {}}

    form = options.form or form
    makers = {schedule or "default": lambda schedule=schedule: Ours(data, library, context, schedule, form)
              for schedule in options.schedules}
    for backend in PYKEOPS_BACKENDS.get(name, ("GPU_1D",)) if pykeops else ():
        makers["pykeops " + backend] = lambda backend=backend: Pykeops(data, backend)
    engines = {}
    for label, make in makers.items():
        entry = record["engines"][label] = {"error": None, "failure": None, "times": []}
        try:
            engine = make()
            entry["first_seconds"] = measure(engine, 1)
            entry["error"] = data.largest_error(engine.result(), reference)
            begin, fastest = time.perf_counter(), math.inf
            while time.perf_counter() - begin < WARM_UP_SECONDS or fastest == math.inf:
                fastest = min(fastest, measure(engine, 1))
            entry["calls"] = min(1000, math.ceil(SECONDS_A_MEASUREMENT / fastest))
            engines[label] = engine
        except Exception as problem:  # one engine's failure is its row's, the others go on
            entry["failure"] = f"{type(problem).__name__}: {problem}"
    for _ in range(options.repeat):
        for label, engine in engines.items():
            entry = record["engines"][label]
            entry["times"].append(measure(engine, entry["calls"]))
    for label, engine in engines.items():
        entry = record["engines"][label]
        entry["median_gpairs"] = data.pairs() / statistics.median(entry["times"]) / 1e9
        entry["best_gpairs"] = data.pairs() / min(entry["times"]) / 1e9
        if isinstance(engine, Ours):
            entry["plan"] = engine.plan()
    for engine in engines.values():
        engine.close()
    return record


def judge(record, full_size):
    """Adds to every entry of ours its ratio to the faster pykeops, and to every entry what is wrong with it."""
    peers = [entry for label, entry in record["engines"].items() if label.startswith("pykeops")]
    peer = max((entry for entry in peers if entry["times"]), key=lambda entry: entry["median_gpairs"], default=None)
    for entry in record["engines"].values():
        entry["problem"] = entry["failure"]
        if entry["failure"]:
            continue
        if not entry["error"] <= record["tolerance"]:
            entry["problem"] = "WRONG"
        if any(entry is other for other in peers):
            continue
        entry["ratio"] = entry["median_gpairs"] / peer["median_gpairs"] if peer else None
        reached = entry["ratio"] if record["unit"] == "x" else entry["median_gpairs"]
        if full_size and not entry["problem"] and reached is not None and reached < record["needed"]:
            entry["problem"] = "below"
    return peer


def plan_summary(lines):
    """What the table shows of kcl_operator_describe."""
    shown = []
    for key, _, value in (line.partition(": ") for line in lines):
        if key in ("schedule", "shape", "contraction", "form"):
            shown.append(value)
        elif key in ("lanes", "work-group", "registers", "spilled bytes"):
            shown.append(f"{key} {value}")
    return ", ".join(shown)


def rate(entry):
    return f"{entry['median_gpairs']:.4g} ({entry['best_gpairs']:.4g})"


def row(record, label, entry, peer):
    case = f"{record['case']}, {record['m']} x {record['n']}" + ("" if label == "default" else f", {label}")
    if entry["failure"]:
        cells = [case, "-", "-", "-", "-", "-", "-", entry["failure"].replace("\n", " ")]
    else:
        unit = record["unit"] if record["unit"] == "x" else " " + record["unit"]
        cells = [case, rate(entry), rate(peer) if peer else "-",
                 f"{entry['ratio']:.2f}x" if entry["ratio"] else "-", f"{record['needed']:g}{unit}",
                 f"{record['aim']:g}{unit}", f"{entry['error']:.1e}", plan_summary(entry["plan"])]
        if entry["problem"]:
            cells[-1] += ", **" + entry["problem"] + "**"
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description="libkeopscl on a GPU and pykeops' CUDA engine, alternately.",
                                     epilog="example: KEOPSCL_DEVICE=NVIDIA bench/gpu.py --case sum-d3,argmin-d3")
    parser.add_argument("--case", default=",".join(CASES), help="comma-separated, of: " + ", ".join(CASES))
    parser.add_argument("--schedule", default="", help="schedules to force, comma-separated, each a row of the table; "
                        "an empty name is the plan's own choice (default)")
    parser.add_argument("--form", choices=("auto", "differences", "expanded"), help="of squared distances (default: "
                        "differences for sum-d10 and sum-d32, else auto)")
    parser.add_argument("--scale", type=float, default=1, help="factor of M and N above 10; other than 1 nothing is "
                        "called too slow (default 1)")
    parser.add_argument("--repeat", type=int, default=7, help="measurements of each side, 5 or more (default 7)")
    parser.add_argument("--rows", type=int, default=32, help="rows that are checked (default 32)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", help="what KEOPSCL_DEVICE takes (default: the variable, else gpu)")
    parser.add_argument("--library", help="path of libkeopscl.so (default: KEOPSCL_LIBRARY, else the newest build)")
    parser.add_argument("--no-pykeops", action="store_true", help="time our side alone")
    parser.add_argument("--json", metavar="FILE", help="also write a JSON object a case there")
    options = parser.parse_args()
    names = options.case.split(",")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; cases are {', '.join(CASES)}")
    if options.repeat < 5:
        parser.error("--repeat: 5 or more")
    options.schedules = [name or None for name in options.schedule.split(",")]

    library = binding.Library(options.library)
    context = library.context(options.device or os.environ.get("KEOPSCL_DEVICE") or "gpu")
    reason = "left out" if options.no_pykeops else why_no_pykeops()
    info = context.device_info()
    print(f"{info.name.decode()} ({info.platform.decode()}, {info.version.decode()}); pykeops: "
          f"{reason or 'its CUDA engine'}; median and best of {options.repeat}; Gpair/s\n")
    titles = ["case, M x N", "ours (best)", "pykeops (best)", "ratio", "needed", "aim", "error", "plan"]
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles), flush=True)
    ok = True
    with open(options.json or os.devnull, "w", encoding="utf-8") as file:
        for name in names:
            record = compare(name, options, library, context, reason is None)
            peer = judge(record, options.scale == 1)
            for label, entry in record["engines"].items():
                ok = ok and not entry["problem"]
                if not label.startswith("pykeops"):
                    print(row(record, label, entry, peer), flush=True)
                elif entry["problem"]:
                    print(f"{name}: {label}: {entry['problem']}", file=sys.stderr)
            file.write(json.dumps(record) + "\n")
            file.flush()
    context.close()
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
