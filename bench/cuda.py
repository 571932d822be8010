#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times keopscl.torch on tensors of a CUDA device: against the C call on the same memory, and against pykeops.

  cases     every case of gpu.py, called from Python, by the C function, and by pykeops
  small     M = N = 1,000: host time of a call above a bare launch, and of a call that is waited for
  backward  a reduction and its gradient, by autograd
  sinkhorn  100 iterations of Sinkhorn's algorithm on 10,000 points

All sides are timed alternately in one process, on the same tensors; figures are medians. Needs PyTorch with CUDA;
without pykeops our side alone is timed. Exit code 1: a wrong result, a call that failed, or less than what is needed.
See bench/README.md.
"""
import argparse
import functools
import math
import statistics
import sys
import time

import numpy as np
import torch

import cases
import gpu

import keopscl
from keopscl._native import ffi, lib
from keopscl.torch import Genred, LazyTensor, Vi, Vj
from keopscl.torch._cuda import address_of
from keopscl.torch._library import library

SLOWER_THAN_C = 1.02  # most that a call from Python may take, of the time of the C call
HOST_MICROSECONDS = 12  # most host time of a small call above a bare launch
OF_PYKEOPS = 0.5  # most that a small call may take, of the time of pykeops
SINKHORN = 2.0  # least ratio of pykeops' time

# A kernel that does nothing, for the time of a launch.
NOTHING = b".version 6.0\n.target sm_50\n.address_size 64\n.visible .entry nothing() { ret; }\n\0"


def wait():
    torch.cuda.synchronize()


def seconds_a_call(run, calls, waits=False):
    """Wall time a call, of calls given one after another; `waits`: each call is waited for, else the last one. A call
    before them finds the caches as the others do."""
    run()
    wait()
    start = time.perf_counter()
    for _ in range(calls):
        run()
        if waits:
            wait()
    wait()
    return (time.perf_counter() - start) / calls


def host_seconds_a_call(run, calls=100):
    """Time of the host a call, of so few calls that the device's queue does not fill."""
    run()
    wait()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    elapsed = time.perf_counter() - start
    wait()
    return elapsed / calls


def alternating(engines, measure, repeat):
    """Medians of `measure` by name; None where an engine fails, which is told."""
    times = {name: [] for name in engines}
    for name, run in engines.items():
        try:
            run()
            run()
            wait()
        except Exception as problem:  # one engine's failure is its own, the others go on
            print(f"{name}: {type(problem).__name__}: {problem}", file=sys.stderr)
            times[name] = None
    for _ in range(repeat):
        for name, run in engines.items():
            if times[name] is not None:
                times[name].append(measure(run))
    return {name: statistics.median(each) if each else None for name, each in times.items()}


class Table:
    def __init__(self, titles):
        self.ok = True
        print("\n| " + " | ".join(titles) + " |\n|" + "---|" * len(titles), flush=True)

    def row(self, *cells, problem=None):
        self.ok = self.ok and not problem
        shown = [f"{cell:.4g}" if isinstance(cell, float) else "-" if cell is None else str(cell) for cell in cells]
        print("| " + " | ".join(shown) + (f" **{problem}**" if problem else "") + " |", flush=True)


def ratio(one, other):
    return one / other if one and other else None


def c_call(function, tensors, out):
    """kcl_operator_apply on the memory of tensors, with the operator and in the context of the calls from Python."""
    place = library.place([library.leaf(tensors[0], 0, tuple(tensors[0].shape))])
    arrays = []
    for tensor in (out, *tensors):
        shape = tuple(tensor.shape)
        code = {torch.float32: lib.KCL_F32, torch.float64: lib.KCL_F64, torch.int64: lib.KCL_I64}[tensor.dtype]
        address = ffi.cast("void *", address_of(tensor))
        array = ffi.new("kcl_array *", lib.kcl_array_of(address, code, len(shape), shape))
        if lib.keopscl_on_card(place.context, array) < 0:
            raise RuntimeError(ffi.string(lib.kcl_context_error(place.context)).decode())
        arrays.append(ffi.gc(array, lib.kcl_array_free))
    outs, arguments = ffi.new("kcl_array *[]", arrays[:1]), ffi.new("kcl_array *[]", arrays[1:])
    operator, context, count, apply = function._program.operator, place.context, len(tensors), lib.kcl_operator_apply

    def run(keep=(arrays, out, tensors)):
        if apply(operator, context, outs, 1, arguments, count) < 0:
            raise RuntimeError(ffi.string(lib.kcl_context_error(context)).decode())

    return run


def on_card(data):
    """The arguments of a case as tensors."""
    return [torch.from_numpy(array).cuda() for array in data.arguments()]


def bench_cases(options, pykeops):
    table = Table(["case, M x N", "Python, ms", "C, ms", "Python / C", "pykeops, ms", "pykeops / Python", "error"])
    for name in options.case.split(","):
        kind, d, m, n, *_ = gpu.CASES[name]
        m, n = (size if size <= 10 else max(1, round(size * options.scale)) for size in (m, n))
        data = cases.Data(kind, d, "f32", m, n, 1, gpu.BATCHES.get(name))
        tensors = on_card(data)
        function = data.genred(Genred)
        last = {}

        def run():
            last["ours"] = function(*tensors)

        run()
        error = data.largest_error(last["ours"].cpu().numpy(), data.reference(16))
        engines = {"Python": run, "C": c_call(function, tensors, torch.empty_like(last["ours"]))}
        for backend in gpu.PYKEOPS_BACKENDS.get(name, ("GPU_1D",)) if pykeops else ():
            theirs = data.genred(pykeops.Genred)
            engines["pykeops " + backend] = functools.partial(theirs, *tensors, backend=backend)
        fastest = seconds_a_call(run, 2)
        calls = min(200, math.ceil(0.02 / fastest))
        times = alternating(engines, lambda each: seconds_a_call(each, calls), options.repeat)
        peer = min((each for key, each in times.items() if key.startswith("pykeops") and each), default=None)
        slower = ratio(times["Python"], times["C"])
        problem = ("WRONG" if not error <= data.tolerance() else
                   "slow" if options.scale == 1 and max(m, n) >= 65536 and slower and slower > SLOWER_THAN_C else None)
        table.row(f"{name}, {m} x {n}", *[each and 1e3 * each for each in (times["Python"], times["C"])], slower,
                  peer and 1e3 * peer, ratio(peer, times["Python"]), f"{error:.1e}", problem=problem)
    return table.ok


def bare_launch():
    """A launch of a kernel that does nothing on PyTorch's stream, by the CUDA driver."""
    from cffi import FFI

    cuda = FFI()
    cuda.cdef("""
        int cuModuleLoadData(void **, const void *);
        int cuModuleGetFunction(void **, void *, const char *);
        int cuLaunchKernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *,
                           void **, void **);
        """)
    driver = cuda.dlopen("libcuda.so.1")
    module, kernel = cuda.new("void **"), cuda.new("void **")
    code = driver.cuModuleLoadData(module, NOTHING) or driver.cuModuleGetFunction(kernel, module[0], b"nothing")
    if code:
        raise RuntimeError(f"a kernel of nothing cannot be loaded: {code}")
    stream = cuda.cast("void *", torch.cuda.current_stream().cuda_stream)
    launch, function, none = driver.cuLaunchKernel, kernel[0], cuda.NULL
    return lambda: launch(function, 1, 1, 1, 32, 1, 1, 0, stream, none, none)


def bench_small(options, pykeops):
    table = Table(["M = N = 1,000", "host, us", "C, us", "above a launch, us", "pykeops, us", "waited for, us",
                   "pykeops, us", "ours / pykeops"])
    a, b = torch.rand(1000).cuda(), torch.rand(1000).cuda()
    out = torch.empty_like(a)
    basis = alternating({"cuLaunchKernel": bare_launch(), "torch.add(out=)": lambda: torch.add(a, b, out=out)},
                        host_seconds_a_call, options.repeat)
    for name, seconds in basis.items():
        table.row(name, seconds and 1e6 * seconds, *[None] * 6)
    bare = basis["cuLaunchKernel"] or basis["torch.add(out=)"]

    for name in ("sum", "logsumexp", "argmin", "grad", "built LazyTensor", "LazyTensor"):
        kind = "sum" if name.endswith("LazyTensor") else name
        data = cases.Data(kind, 3, "f32", 1000, 1000, 1)
        tensors = on_card(data)
        function = data.genred(Genred)
        engines = {"ours": functools.partial(function, *tensors), "C": c_call(function, tensors, function(*tensors))}
        if name.endswith("LazyTensor"):
            x, y, weights, g = tensors
            engines["ours"] = lambda: ((-Vi(x).sqdist(Vj(y)) * 2.0).exp() * Vj(weights)).sum(axis=1)
        if name == "built LazyTensor":
            engines["ours"] = ((-Vi(x).sqdist(Vj(y)) * 2.0).exp() * Vj(weights)).sum(axis=1, call=False)
        if pykeops:
            engines["pykeops"] = functools.partial(data.genred(pykeops.Genred), *tensors, backend="GPU_1D")
            if name.endswith("LazyTensor"):
                v_i, v_j = pykeops.Vi, pykeops.Vj
                engines["pykeops"] = lambda: (
                    (-v_i(x).sqdist(v_j(y)) * 2.0).exp() * v_j(weights)).sum(axis=1, backend="GPU_1D")
        host = alternating(engines, host_seconds_a_call, options.repeat)
        waited = alternating(engines, lambda run: seconds_a_call(run, 100, True), options.repeat)
        above = host["ours"] and host["ours"] - bare
        share = ratio(waited["ours"], waited.get("pykeops"))
        problem = None
        if options.scale == 1 and (above is None or (name != "LazyTensor" and above * 1e6 > HOST_MICROSECONDS)
                                   or (share and share > OF_PYKEOPS)):
            problem = "slow"
        seconds = host["ours"], host["C"], above, host.get("pykeops"), waited["ours"], waited.get("pykeops")
        table.row(name, *[each and 1e6 * each for each in seconds], share, problem=problem)
    with torch.enable_grad():
        return bench_small_gradients(options, pykeops, bare) and table.ok


class Nothing(torch.autograd.Function):
    """What PyTorch takes for a function of four tensors of which three have gradients, none of them computed."""

    @staticmethod
    def forward(ctx, *tensors):
        ctx.save_for_backward(*tensors)
        return tensors[0].new_empty((len(tensors[0]), 1))

    @staticmethod
    def backward(ctx, cotangent):
        return (*[torch.empty_like(tensor) for tensor in ctx.saved_tensors[:3]], None)


def bench_small_gradients(options, pykeops, bare):
    table = Table(["sum, M = N = 1,000", "host, us", "PyTorch alone, us", "launches", "above both, us", "pykeops, us"])
    data = cases.Data("sum", 3, "f32", 1000, 1000, 1)
    tensors = on_card(data)
    for tensor in tensors[:3]:
        tensor.requires_grad_()
    functions = {"ours": data.genred(Genred), "nothing": Nothing.apply}
    if pykeops:
        functions["pykeops"] = functools.partial(data.genred(pykeops.Genred), backend="GPU_1D")
    forward = {name: functools.partial(function, *tensors) for name, function in functions.items()}
    cotangent = torch.ones(1000, 1).cuda()
    backward = {name: functools.partial(torch.autograd.grad, run(), tensors[:3], cotangent, retain_graph=True)
                for name, run in forward.items()}
    # The gradients of x, and of y and b, are a sweep each.
    for name, engines, launches in (("forward", forward, 1), ("backward", backward, 2)):
        host = alternating(engines, host_seconds_a_call, options.repeat)
        above = host["ours"] and host["ours"] - host["nothing"] - launches * bare
        slow = options.scale == 1 and (above is None or above * 1e6 > HOST_MICROSECONDS)
        seconds = [each and 1e6 * each for each in (host["ours"], host["nothing"], above, host.get("pykeops"))]
        table.row(name, *seconds[:2], launches, *seconds[2:], problem="slow" if slow else None)
    return table.ok


def bench_backward(options, pykeops):
    table = Table(["sum and its gradient, M x N", "ours, ms", "pykeops, ms", "pykeops / ours", "difference"])
    for d, size in ((3, 1000), (3, 65536), (10, 65536), (100, 16384)):
        size = size if size == 1000 else max(1000, round(size * options.scale))
        data = cases.Data("sum", d, "f32", size, size, 1)
        tensors = [tensor.requires_grad_() for tensor in on_card(data)]
        results = {}

        def step(function, name, **keywords):
            results[name] = torch.autograd.grad(function(*tensors, **keywords).sum(), tensors[:3])

        engines = {"ours": functools.partial(step, data.genred(Genred), "ours")}
        if pykeops:
            engines["pykeops"] = functools.partial(step, data.genred(pykeops.Genred), "pykeops", backend="GPU_1D")
        times = alternating(engines, lambda run: seconds_a_call(run, 100 if size == 1000 else 3), options.repeat)
        share = ratio(times.get("pykeops"), times["ours"])
        difference = max((float((one - other).abs().max() / other.abs().max())
                          for one, other in zip(results.get("ours", ()), results.get("pykeops", ()))), default=None)
        problem = "slow" if options.scale == 1 and size == 1000 and share and share < 1 / OF_PYKEOPS else None
        problem = "WRONG" if difference is not None and not difference < 1e-4 else problem
        seconds = times["ours"], times.get("pykeops")
        table.row(f"d{d}, {size} x {size}", *[each and 1e3 * each for each in seconds], share, difference,
                  problem=problem)
    return table.ok


def sinkhorn(Lazy, x, y, iterations, eps=0.01):
    """Potentials of the entropic transport of uniform weights."""
    x_i, y_j = Lazy(x[:, None, :]), Lazy(y[None, :, :])
    y_i, x_j = Lazy(y[:, None, :]), Lazy(x[None, :, :])
    f, g = torch.zeros_like(x[:, :1]), torch.zeros_like(y[:, :1])
    cost, back = ((x_i - y_j) ** 2).sum(-1) / 2, ((y_i - x_j) ** 2).sum(-1) / 2
    weight = math.log(len(x))
    for _ in range(iterations):
        f = -eps * (Lazy((g / eps - weight)[None, :, :]) - cost / eps).logsumexp(axis=1)
        g = -eps * (Lazy((f / eps - weight)[None, :, :]) - back / eps).logsumexp(axis=1)
    return f, g


def bench_sinkhorn(options, pykeops):
    table = Table(["Sinkhorn, 100 iterations", "ours, ms", "pykeops, ms", "pykeops / ours", "difference"])
    size = max(100, round(10000 * options.scale))
    generator = np.random.default_rng(1)
    x, y = (torch.from_numpy(generator.random((size, 3), dtype=np.float32)).cuda() for _ in range(2))
    results = {}

    def step(Lazy, name):
        results[name] = sinkhorn(Lazy, x, y, 100)

    engines = {"ours": functools.partial(step, LazyTensor, "ours")}
    if pykeops:
        engines["pykeops"] = functools.partial(step, pykeops.LazyTensor, "pykeops")
    times = alternating(engines, lambda run: seconds_a_call(run, 1), options.repeat)
    share = ratio(times.get("pykeops"), times["ours"])
    difference = float((results["ours"][0] - results["pykeops"][0]).abs().max()) if times.get("pykeops") else None
    problem = "slow" if options.scale == 1 and share and share < SINKHORN else None
    problem = "WRONG" if difference is not None and not difference < 1e-3 else problem
    seconds = times["ours"], times.get("pykeops")
    table.row(f"{size} x {size}, d3", *[each and 1e3 * each for each in seconds], share, difference, problem=problem)
    return table.ok


PARTS = {"small": bench_small, "sinkhorn": bench_sinkhorn, "backward": bench_backward, "cases": bench_cases}


def main():
    parser = argparse.ArgumentParser(description="keopscl.torch on CUDA tensors, the C call, and pykeops, alternately.",
                                     epilog="example: bench/cuda.py --only small,cases --case sum-d3,argmin-d3")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma-separated, of: " + ", ".join(PARTS))
    parser.add_argument("--case", default=",".join(gpu.CASES), help="cases, comma-separated (default: all of gpu.py)")
    parser.add_argument("--scale", type=float, default=1, help="factor of sizes above 1,000; other than 1 nothing is "
                        "called too slow (default 1)")
    parser.add_argument("--repeat", type=int, default=5, help="measurements of each side (default 5)")
    parser.add_argument("--no-pykeops", action="store_true", help="time our side alone")
    options = parser.parse_args()
    parts = options.only.split(",")
    unknown = [name for name in parts if name not in PARTS]
    unknown += [name for name in options.case.split(",") if name not in gpu.CASES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    if not torch.cuda.is_available():
        print("PyTorch finds no CUDA device", file=sys.stderr)
        return 77
    reason = "left out" if options.no_pykeops else gpu.why_no_pykeops()
    pykeops = None
    if reason is None:
        import pykeops.torch as pykeops
    keopscl.set_device("cuda")
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, keopscl {keopscl.__version__}; pykeops: "
          f"{reason or 'its CUDA engine'}; medians of {options.repeat}")
    ok = True
    with torch.no_grad():
        for name in parts:
            start = time.perf_counter()
            with torch.enable_grad() if name == "backward" else torch.no_grad():
                ok = PARTS[name](options, pykeops) and ok
            print(f"\n{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
