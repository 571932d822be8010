#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Linear systems (alpha Id + K) a = b beside pykeops' solver, in one run, to the same true residual.

Points are uniform in the unit cube; K is the Gaussian kernel of width sigma; b is a smooth signal and a tenth as
much noise. The residual is computed in float64 from the float32 solution, without either solver. pykeops gets
tolerances that fall by factors of 10 while they help; our solver is asked for the smallest residual that pykeops
reaches, and whole calls are timed alternately. Exit code 1: our solution is worse than what it was asked for. See
bench/README.md.
"""

import argparse
import statistics
import sys
import time

import numpy as np


def problem(count, columns, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.random((count, 3))
    phases = np.arange(columns)
    signal = np.sin(6 * x[:, :1] + phases) * np.cos(4 * x[:, 1:2])
    b = signal + 0.1 * rng.standard_normal((count, columns))
    return x.astype("float32"), b.astype("float32")


def residual(x, sigma, alpha, b, a):
    """The largest |b - (alpha Id + K) a| / |b| of all columns, in float64, a block of rows of K at a time."""
    x, b, a = (np.asarray(array, "float64") for array in (x, b, a))
    left = b - alpha * a
    squares = (x**2).sum(-1)
    for start in range(0, len(x), 1000):
        rows = slice(start, start + 1000)
        distances = np.maximum(squares[rows, None] + squares - 2 * x[rows] @ x.T, 0)
        left[rows] -= np.exp(distances / (-2 * sigma**2)) @ a
    return float((np.linalg.norm(left, axis=0) / np.linalg.norm(b, axis=0)).max())


def kernel(module, x, sigma):
    x_i, y_j = module.Vi(x), module.Vj(x)
    return (-((x_i - y_j) ** 2).sum(-1) / (2 * sigma**2)).exp()


def timed(run):
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10000, help="rows of K (default 10000)")
    parser.add_argument("--columns", default="1,16", help="right-hand sides, comma-separated (default 1,16)")
    parser.add_argument("--sigma", type=float, default=0.1)
    parser.add_argument("--alpha", type=float, default=1e-2)
    parser.add_argument("--least", type=float, default=1e-4, help="the smallest residual that is of interest (1e-4)")
    parser.add_argument("--repeat", type=int, default=3, help="calls of each side (default 3)")
    parser.add_argument("--no-pykeops", action="store_true", help="our side alone, to the smallest residual")
    options = parser.parse_args()
    import keopscl
    import keopscl.numpy as ours

    theirs = None
    if not options.no_pykeops:
        import pykeops.numpy as theirs
    print(f"N={options.points}, sigma {options.sigma}, alpha {options.alpha}, {keopscl.device_name()}")
    print("| columns | true residual: pykeops | ours | seconds: pykeops | ours | pykeops / ours | products |")
    print("|---|---|---|---|---|---|---|")
    is_right = True
    for columns in (int(text) for text in options.columns.split(",")):
        x, b = problem(options.points, columns)
        K = kernel(ours, x, options.sigma)
        goal, eps = options.least, 0.0
        if theirs:
            P = kernel(theirs, x, options.sigma)
            scale, goal = float(np.linalg.norm(b) / np.sqrt(b.size)), np.inf
            for tolerance in (1e-2, 1e-3, 1e-4, 1e-5):
                a = P.solve(b, alpha=options.alpha, eps=tolerance * scale)
                reached = residual(x, options.sigma, options.alpha, b, a)
                if not reached < 0.5 * goal:
                    break
                goal, eps = reached, tolerance * scale
                if goal <= options.least:
                    break
        seconds, other = [], []
        for _ in range(options.repeat + 1):
            duration, (a, record) = timed(lambda: K.solve(b, alpha=options.alpha, tol=goal, info=True))
            seconds.append(duration)
            if theirs:
                other.append(timed(lambda: P.solve(b, alpha=options.alpha, eps=eps))[0])
        true = residual(x, options.sigma, options.alpha, b, a)
        is_right = is_right and true <= 1.1 * goal
        mine, peer = statistics.median(seconds[1:]), statistics.median(other[1:]) if theirs else float("nan")
        print(f"| {columns} | {goal:.2e} | {true:.2e} | {peer:.3f} | {mine:.3f} | {peer / mine:.2f} | "
              f"{int(np.max(record.iterations))} |", flush=True)
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
