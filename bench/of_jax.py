#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Calls of keopscl.jax against the same calls of keopscl.numpy: of_jax.py [M...]

For M rows and columns (100, 1000 and 20000 if none is given) a Gaussian kernel times a vector, in float32. Calls of
both alternate, and the fastest of each counts, in microseconds.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import keopscl
import keopscl.jax
import keopscl.numpy


def gaussian(module):
    def product(x, y, b):
        return (-module.Vi(x).sqdist(module.Vj(y))).exp() @ b

    return product


def best(calls, seconds=3.0):
    """The fastest of alternating calls, in microseconds."""
    for call in calls:
        call()
    times = [float("inf")] * len(calls)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for k, call in enumerate(calls):
            start = time.perf_counter()
            call()
            times[k] = min(times[k], time.perf_counter() - start)
    return [1e6 * each for each in times]


def main(sizes):
    print(f"{keopscl.device_name()}; JAX {jax.__version__}")
    print("     M  numpy us    jit us  outside us  gradient by jit us  jit / numpy")
    for m in sizes:
        arrays = [np.random.default_rng(k).standard_normal((m, d), dtype=np.float32) for k, d in enumerate((3, 3, 1))]
        given = [jnp.asarray(each) for each in arrays]
        ours = gaussian(keopscl.jax)
        jitted, gradient = jax.jit(ours), jax.jit(jax.grad(lambda x, y, b: ours(x, y, b).sum()))
        theirs = gaussian(keopscl.numpy)
        numpy, by_jit, outside, derived = best([
            lambda: theirs(*arrays), lambda: jitted(*given).block_until_ready(),
            lambda: ours(*given).block_until_ready(), lambda: gradient(*given).block_until_ready()])
        print(f"{m:6} {numpy:9.1f} {by_jit:9.1f} {outside:11.1f} {derived:19.1f} {by_jit / numpy:12.2f}")


if __name__ == "__main__":
    main([int(each) for each in sys.argv[1:]] or [100, 1000, 20000])
