#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares an operator's precise and fast elementary functions on a device, alternately on the same device arrays.

A row for each formula: rates of both, the median of the ratios (above 1 fast is faster), and the largest difference of
the results, relative to the largest result. See bench/README.md.
"""
import argparse
import os
import statistics
import time

import numpy as np

import cases
import binding

# name: a formula in x, y of three components and b of one, which are uniform in [0.25, 1.25)
FORMULAS = {
    "Gaussian": "Exp(-SqDist(x,y))*b",
    "Laplacian kernel": "Exp(-Norm2(x-y))*b",
    "Cauchy kernel": "b/(1+SqDist(x,y))",
    "inverse multiquadric": "b*Rsqrt(1+SqDist(x,y))",
    "logarithm": "Log(0.1+SqDist(x,y))*b",
    "power": "Powf(0.1+SqDist(x,y),0.7)*b",
    "sine": "Sin(3*(x|y))*b",
    "logistic": "Sigmoid((x|y)-b)*b",
}
ALIASES = ["x=Vi(3)", "y=Vj(3)", "b=Vj(1)"]


def seconds(run, wait, calls):
    start = time.perf_counter()
    for _ in range(calls):
        run()
    wait()
    return (time.perf_counter() - start) / calls


def main():
    parser = argparse.ArgumentParser(description="Precise and fast elementary functions, alternately.")
    parser.add_argument("--size", type=int, default=20000, help="rows and columns (default 20000)")
    parser.add_argument("--repeat", type=int, default=7, help="measurements of each side (default 7)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", help="what KEOPSCL_DEVICE takes (default: the variable, else the best device)")
    options = parser.parse_args()
    library = binding.Library(None)
    context = library.context(options.device or os.environ.get("KEOPSCL_DEVICE"))
    info = context.device_info()
    print(f"{info.name.decode()} ({info.platform.decode()}), {options.size} x {options.size}, Gpair/s\n\n"
          "| formula | type | precise | fast | ratio | difference |\n|---|---|---|---|---|---|")
    random = np.random.default_rng(options.seed)
    for dtype, real in ((binding.F32, np.float32), (binding.F64, np.float64)):
        data = [random.uniform(0.25, 1.25, (options.size, dim)).astype(real) for dim in (3, 3, 1)]
        arrays = [context.upload(cases.describe(array)) for array in data]
        for name, formula in FORMULAS.items():
            runs, results, operators = [], [], []
            for math in ("precise", "fast"):
                out = context.empty(dtype, options.size, 1)
                operator = library.operator(f"Sum_Reduction({formula},0)", ALIASES, math=math)
                run = operator.bind(context, [out], arrays)
                seconds(run, context.finish, 1)
                host = np.empty((options.size, 1), dtype=real)
                context.download(out, cases.describe(host))
                runs.append(run)
                results.append(host)
                operators.append((operator, out))
            calls = max(1, round(0.05 / seconds(runs[0], context.finish, 1)))
            times = [[seconds(run, context.finish, calls) for run in runs] for _ in range(options.repeat)]
            rates = [options.size ** 2 / statistics.median(side) / 1e9 for side in zip(*times)]
            ratio = statistics.median(precise / fast for precise, fast in times)
            difference = np.abs(results[0] - results[1]).max() / np.abs(results[0]).max()
            print(f"| {name} | {real.__name__} | {rates[0]:.4g} | {rates[1]:.4g} | {ratio:.2f} | {difference:.1e} |",
                  flush=True)
            for operator, out in operators:
                operator.close()
                context.free(out)
        context.free(*arrays)
    context.close()


if __name__ == "__main__":
    main()
