#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times to a first result of formulas never seen, and of the same formulas in a later process, from the caches on disk.

Counted from the created context to the result, beside what the driver alone takes to build and run a kernel that adds
two arrays. Exit code 1: more than is needed. See bench/README.md.
"""
import argparse
import ctypes
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import binding

# Of a GPU seconds; of a CPU processor time of a program, relative to that of the kernel that adds.
NEEDED = {"gpu": {"median": 0.2, "largest": 0.8}, "cpu": {"median": 1.3, "largest": 3.0}}
NEEDED_FROM_DISK = 0.1  # seconds, median

ADD = b"""
__kernel void add(__global const float *restrict a, __global const float *restrict b, __global float *restrict c,
                  const long n)
{
    for (long i = get_global_id(0); i < n; i += get_global_size(0))
        c[i] = a[i] + b[i];
}
"""

GAUSS = "Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)"
LOGSUMEXP = "LogSumExp_Reduction(-g*SqDist(x,y),0)"
ATTENTION = "SumSoftMaxWeight_Reduction(Where(LessOrEqual(IndexJ,IndexI),(q|k)/8,-inf),v,0)"
POINTS = {"x": "Vi(3)", "y": "Vj(3)", "b": "Vj(1)", "g": "Pm(1)"}
HEADS = {"q": "Vi(64)", "k": "Vj(64)", "v": "Vj(64)"}


def of(d, **others):
    return dict(POINTS, x=f"Vi({d})", y=f"Vj({d})", **others)


# formula, its arguments (those that it does not name are left out), the argument of its gradient
FORMULAS = [
    (GAUSS, POINTS, None),
    ("Sum_Reduction(Exp(-g*Norm2(x-y))*b,0)", POINTS, None),
    ("Sum_Reduction(Inv(1+g*SqDist(x,y))*b,0)", POINTS, None),
    ("Sum_Reduction((x|y)*b,0)", POINTS, None),
    ("Sum_Reduction(Square(1+g*(x|y))*b,1)", POINTS, None),
    ("Sum_Reduction(Cos(g*(x|y))*b,0)", POINTS, None),
    ("Sum_Reduction(Log(1+g*SqDist(x,y))*b,0)", POINTS, None),
    ("Sum_Reduction(Exp(-g*SqDist(x,y))*b*(x-y),0)", POINTS, None),
    ("Sum_Reduction(Sqrt(1+g*SqDist(x,y))*b,2)", POINTS, None),
    ("Sum_Reduction(Powf(1+SqDist(x,y),g)*Cos(x|y),0)", POINTS, None),
    # the benchmarks
    (GAUSS, POINTS, "x"),
    (GAUSS, of(10), None),
    (GAUSS, of(32), None),
    (GAUSS, of(48), None),
    (GAUSS, of(50), None),
    (GAUSS, of(63), None),
    (GAUSS, of(64), None),
    (GAUSS, of(65), None),
    (GAUSS, of(100), None),
    (GAUSS, of(784), None),
    (GAUSS, of(3, b="Vj(64)"), None),
    (LOGSUMEXP, POINTS, None),
    (LOGSUMEXP, of(100), None),
    ("ArgMin_Reduction(SqDist(x,y),0)", POINTS, None),
    ("ArgMin_Reduction(SqDist(x,y),0)", of(100), None),
    ("ArgKMin_Reduction(SqDist(x,y),10,0)", POINTS, None),
    ("ArgKMin_Reduction(SqDist(x,y),10,0)", of(100), None),
    # the examples, and what the suites hold
    ("Sum_Reduction(Exp(-g*SqDist(x,y))*b,0); Sum_Reduction(Exp(-g*SqDist(x,y)),0)", of(3, b="Vj(2)"), None),
    ("ArgKMin_Reduction(SqDist(x,y),7,0)", of(64), None),
    ("Identity_Reduction(-g*LogSumExp_Reduction((b-SqDist(x,y)/2)/g,0),0)", of(2), None),
    ("SumSoftMaxWeight_Reduction(-g*SqDist(x,y),y,0)", of(2), None),
    ("Min_ArgMin_Reduction(SqDist(x,y),0); Max_Reduction(SqDist(x,y),0)", POINTS, None),
    ("Sum_Reduction(Sin(x*y)*Cos(x-y)+Tan(x*y/3)+Sigmoid(x-y),0)", POINTS, "x"),
    ("Sum_Reduction(MatVecMult(A,x-y)*Exp(-SqDist(x,y)),0)", of(5, A="Pm(25)"), "x"),
    ("Sum_Reduction(SoftDTW_SqDist(x,y,g),0)", of(8), None),
    (GAUSS, of(64), "x"),
    (GAUSS, of(100), "x"),
    (ATTENTION, HEADS, None),
    (ATTENTION, HEADS, "q"),
    (ATTENTION, HEADS, "k"),
]


# ---- One process -----------------------------------------------------------------------------------------------------


def clocks():
    """Seconds of the clock and of this process: on a busy machine the second are steadier."""
    return time.perf_counter(), time.process_time()


def seconds_of_add(platform_name, device_name, points):
    """Building, running and waiting for the kernel that adds, by the driver alone."""
    cl = ctypes.CDLL("libOpenCL.so.1")
    pointer, handle = ctypes.byref, ctypes.c_void_p
    for name in ("clCreateContext", "clCreateCommandQueue", "clCreateProgramWithSource", "clCreateKernel",
                 "clCreateBuffer"):
        getattr(cl, name).restype = handle

    def text(function, item, what):
        buffer = ctypes.create_string_buffer(1024)
        function(item, what, 1024, buffer, None)
        return buffer.value.decode()
    platforms, devices, count, code = (handle * 16)(), (handle * 64)(), ctypes.c_uint(), ctypes.c_int()
    cl.clGetPlatformIDs(16, platforms, pointer(count))
    for platform in list(platforms)[:count.value]:
        if text(cl.clGetPlatformInfo, handle(platform), 0x0902) != platform_name:  # CL_PLATFORM_NAME
            continue
        cl.clGetDeviceIDs(handle(platform), ctypes.c_uint64(0xffffffff), 64, devices, pointer(count))
        for device in list(devices)[:count.value]:
            if text(cl.clGetDeviceInfo, handle(device), 0x102b).strip() != device_name.strip():  # CL_DEVICE_NAME
                continue
            device = handle(device)
            context = handle(cl.clCreateContext(None, 1, pointer(device), None, None, pointer(code)))
            queue = handle(cl.clCreateCommandQueue(context, device, ctypes.c_uint64(0), pointer(code)))
            start = clocks()
            source = ctypes.c_char_p(ADD)
            program = handle(cl.clCreateProgramWithSource(context, 1, pointer(source), None, pointer(code)))
            if cl.clBuildProgram(program, 1, pointer(device), b"-cl-std=CL1.2", None, None):
                raise RuntimeError("the kernel that adds is not built")
            kernel = handle(cl.clCreateKernel(program, b"add", pointer(code)))
            for k in range(3):
                memory = handle(cl.clCreateBuffer(context, ctypes.c_uint64(1), ctypes.c_size_t(4 * points), None,
                                                  pointer(code)))
                cl.clSetKernelArg(kernel, k, ctypes.sizeof(handle), pointer(memory))
            cl.clSetKernelArg(kernel, 3, 8, pointer(ctypes.c_long(points)))
            cl.clEnqueueNDRangeKernel(queue, kernel, 1, None, pointer(ctypes.c_size_t(64)), None, 0, None, None)
            if cl.clFinish(queue):
                raise RuntimeError("the kernel that adds does not run")
            return [now - then for now, then in zip(clocks(), start)]
    raise RuntimeError("the driver has no device " + device_name)


def floats(count, spread):
    return (ctypes.c_float * count)(*[0.1 + (7 * k % spread) / spread for k in range(count)])


def first_result(loaded, context, number, points):
    formula, arguments, gradient = FORMULAS[number]
    used = {name: role for name, role in arguments.items() if re.search(rf"\b{name}\b", formula)}
    rows, arrays = {"Vi": points, "Vj": points, "Pm": 1}, []
    for role in used.values():
        role, dims = role[:2], int(role[3:-1])
        data = floats(rows[role] * dims, 101)
        shape = (dims,) if role == "Pm" else (rows[role], dims)
        arrays.append((data, binding.array(ctypes.addressof(data), binding.F32, *shape)))
    start = clocks()
    operator = loaded.operator(formula, [f"{name}={role}" for name, role in used.items()])
    outputs = operator.outputs()
    if gradient:
        operator = operator.gradient(gradient)
        for slot in outputs:
            data = floats(points * slot.dim, 89)
            arrays.append((data, binding.array(ctypes.addressof(data), binding.F32, points, slot.dim)))
        outputs = operator.outputs()
    results = []
    for slot in outputs:
        dtype, rows = slot.dtype or binding.F32, 1 if slot.role == binding.PM else points
        data = ((ctypes.c_int64 if dtype == binding.I64 else ctypes.c_float) * (slot.dim * rows))()
        results.append((data, binding.array(ctypes.addressof(data), dtype, rows, slot.dim)))
    operator.bind(context, [array for _, array in results], [array for _, array in arrays])()
    seconds = [now - then for now, then in zip(clocks(), start)]
    values = [value for data, _ in results for value in data]
    if not all(abs(value) < float("inf") for value in values) or not any(values):
        raise RuntimeError(f"{formula}: no sensible result")
    return seconds


def child(options):
    """A JSON object a formula, or for the kernel that adds."""
    loaded = binding.Library(options.library)
    for number in (int(number) for number in options.child.split(",")):
        context = loaded.context(options.device)
        info = context.device_info()
        if number < 0:
            seconds = seconds_of_add(info.platform.decode(), info.name.decode(), options.points)
        else:
            seconds = first_result(loaded, context, number, options.points)
        print(json.dumps({"seconds": seconds[0], "processor": seconds[1], "type": info.type.decode()}), flush=True)
        context.close()


# ---- All processes ---------------------------------------------------------------------------------------------------


def run(numbers, options, folder, caches):
    """Seconds, seconds of building, bytes of each program, of each formula. `caches` is the folder of all caches."""
    dump = tempfile.mkdtemp(dir=folder)
    environment = dict(
        os.environ, XDG_CACHE_HOME=caches, CUDA_CACHE_DISABLE="1", KEOPSCL_DUMP_DIR=dump, KEOPSCL_LOG="1"
    )
    # As a user has it who has set nothing.
    for name in ("KEOPSCL_CACHE", "KEOPSCL_CACHE_DIR", "POCL_CACHE_DIR", "POCL_KERNEL_CACHE"):
        environment.pop(name, None)
    command = [sys.executable, os.path.abspath(__file__), "--child=" + ",".join(map(str, numbers)), "--points",
               str(options.points)]
    for name in ("library", "device"):
        if getattr(options, name):
            command += ["--" + name, getattr(options, name)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        out, log = process.communicate()
    results = [json.loads(line) for line in out.splitlines()]
    if len(results) != len(numbers):
        raise RuntimeError(log)
    sizes = [os.path.getsize(os.path.join(dump, name)) for name in os.listdir(dump)]
    builds = [float(seconds) for seconds in re.findall(r"built in ([0-9.]+) s", log)]
    for result in results:
        result.update(build=sum(builds), programs=max(len(builds), 1), bytes=max(sizes, default=0))
    return results


def main():
    parser = argparse.ArgumentParser(description="Time to the first result, with empty caches and from the disk cache.")
    parser.add_argument("--points", type=int, default=1000, help="M and N (default 1000)")
    parser.add_argument("--device", help="what KEOPSCL_DEVICE takes (default: the variable, else cpu)")
    parser.add_argument("--library", help="path of libkeopscl.so (default: KEOPSCL_LIBRARY, else the newest build)")
    parser.add_argument("--only", help="numbers of formulas, such as 0,3,17")
    parser.add_argument("--new-only", action="store_true", help="no second process, which finds the caches")
    parser.add_argument("--json", action="store_true", help="a JSON object in place of the table")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.device = options.device or os.environ.get("KEOPSCL_DEVICE") or "cpu"
    if options.child is not None:
        return child(options)
    numbers = [int(k) for k in options.only.split(",")] if options.only else range(len(FORMULAS))
    with tempfile.TemporaryDirectory() as folder:
        def empty():
            return tempfile.mkdtemp(dir=folder)
        adds, rows = [], []
        for k in numbers:
            # By turns, since a machine may become slower. The second -1: the first one loads the driver's compiler.
            if len(rows) % 8 == 0:
                adds.append(run([-1, -1], options, folder, empty())[0 if options.device == "cpu" else 1])
            caches = empty()
            new = run([k], options, folder, caches)[0]
            second = None if options.new_only else run([k], options, folder, caches)[0]
            rows.append((k, new, second))
    kind = "gpu" if rows[0][1]["type"] == "gpu" else "cpu"
    clock = "seconds" if kind == "gpu" else "processor"
    add = statistics.median(result[clock] for result in adds)
    table = [{"formula": FORMULAS[k][0], "gradient": FORMULAS[k][2], "dims": ",".join(FORMULAS[k][1].values()),
              "seconds": new["seconds"], "build": new["build"], "programs": new["programs"], "bytes": new["bytes"],
              "ratio": new[clock] / new["programs"] / add, "from disk": second and second["seconds"]}
             for k, new, second in rows]
    counted = [row["seconds" if kind == "gpu" else "ratio"] for row in table]
    result = {"median": statistics.median(counted), "largest": max(counted)}
    from_disk = None if options.new_only else statistics.median(row["from disk"] for row in table)
    if options.json:
        told = {"add": add, "formulas": table, "of": kind, **result, "from disk": from_disk, "needed": NEEDED[kind]}
        print(json.dumps(told))
    else:
        print(f"{add:.3f} s{' of the processor' if kind == 'cpu' else ''}: a kernel that adds two arrays")
        print("first s  build s  programs   bytes  ratio  from disk")
        for row in table:
            disk = "-" if row["from disk"] is None else f"{row['from disk']:.3f}"
            gradient = f", gradient in {row['gradient']}" if row["gradient"] else ""
            print(
                f"{row['seconds']:7.3f} {row['build']:8.3f} {row['programs']:9d} {row['bytes']:7d} {row['ratio']:6.2f} "
                f"{disk:>10}  {row['formula']} of {row['dims']}{gradient}"
            )
        unit = "s" if kind == "gpu" else "times the kernel that adds, a program"
        for name, value in result.items():
            print(f"{name}: {value:.2f} {unit} (needed: at most {NEEDED[kind][name]})")
        if from_disk is not None:
            print(f"median from disk: {from_disk:.3f} s (needed: under {NEEDED_FROM_DISK})")
    is_good = all(value <= NEEDED[kind][name] for name, value in result.items())
    return 0 if is_good and (from_disk is None or from_disk < NEEDED_FROM_DISK) else 1


if __name__ == "__main__":
    sys.exit(main())
