/* SPDX-License-Identifier: MIT */
/*
 * bench/math.c: the functions of cl/math.cl against the OpenCL built-ins for the same vectors, on one device.
 *
 *     math [--only FUNCTION] [--rounds N] [--fast path/to/cl/fast.cl] path/to/cl/math.cl
 *
 * With --fast: the forms of cl/fast.cl against the forms of cl/math.cl.
 *
 * Both sides compute the same number of values in a loop that stays in registers. They take turns; a ratio is ours by
 * the other's time of one round, printed is the median of all rounds: below 1 ours is faster.
 */
static const char program_name[] = "math";
#include "../tests/math/opencl.h"
#include "timing.h"

/* STEPS values for each of ITEMS vectors; the C loop around it has a round last ROUND_SECONDS. */
enum { ITEMS = 1024, STEPS = 256, MAX_ROUNDS = 101 };
#define ROUND_SECONDS 0.01

typedef struct function {
    const char *name, *ours, *builtin; /* of x and y */
    double low, high;                  /* of x; y is 1 more */
} function;

static const function functions[] = {
    {"exp2", "kcl_exp2(x)", "exp2(x)", -20, 20},
    {"exp2_nonpos", "kcl_exp2_nonpos(x)", "exp2(x)", -20, -1},
    {"exp", "kcl_exp(x)", "exp(x)", -20, 20},
    {"expm1", "kcl_expm1(x)", "expm1(x)", -4, 4},
    {"log2", "kcl_log2(x)", "log2(x)", 0.01, 100},
    {"log", "kcl_log(x)", "log(x)", 0.01, 100},
    {"log1p", "kcl_log1p(x)", "log1p(x)", -0.9, 10},
    {"xlogx", "kcl_xlogx(x)", "(x * log(x))", 0.01, 100},
    {"powf", "kcl_powf(x, y)", "pow(x, y)", 0.1, 4},
    {"powi", "kcl_powi(x, 5)", "pown(x, 5)", 0.1, 4},
    {"sqrt", "kcl_sqrt(x)", "sqrt(x)", 0.01, 100},
    {"rsqrt", "kcl_rsqrt(x)", "rsqrt(x)", 0.01, 100},
    {"inv", "kcl_inv(x)", "(1 / x)", 0.01, 100},
    {"sin", "kcl_sin(x)", "sin(x)", -10, 10},
    {"cos", "kcl_cos(x)", "cos(x)", -10, 10},
    {"tan", "kcl_tan(x)", "tan(x)", -10, 10},
    {"asin", "kcl_asin(x)", "asin(x)", -0.99, 0.99},
    {"acos", "kcl_acos(x)", "acos(x)", -0.99, 0.99},
    {"atan", "kcl_atan(x)", "atan(x)", -4, 4},
    {"atan2", "kcl_atan2(x, y)", "atan2(x, y)", -4, 4},
    {"sinh", "kcl_sinh(x)", "sinh(x)", -4, 4},
    {"cosh", "kcl_cosh(x)", "cosh(x)", -4, 4},
    {"tanh", "kcl_tanh(x)", "tanh(x)", -4, 4},
    {"asinh", "kcl_asinh(x)", "asinh(x)", -10, 10},
    {"acosh", "kcl_acosh(x)", "acosh(x)", 1, 10},
    {"atanh", "kcl_atanh(x)", "atanh(x)", -0.99, 0.99},
    {"erf", "kcl_erf(x)", "erf(x)", -4, 4},
    {"erfc", "kcl_erfc(x)", "erfc(x)", -4, 4},
    {"sigmoid", "kcl_sigmoid(x)", "(1 / (1 + exp(-x)))", -10, 10},
    {"sech", "kcl_sech(x)", "(1 / cosh(x))", -10, 10},
    {"softplus", "kcl_softplus(x)", "log1p(exp(x))", -10, 10},
    {"hypot", "kcl_hypot(x, y)", "hypot(x, y)", -10, 10},
    {"floor", "kcl_floor(x)", "floor(x)", -10, 10},
    {"ceil", "kcl_ceil(x)", "ceil(x)", -10, 10},
    {"trunc", "kcl_trunc(x)", "trunc(x)", -10, 10},
    {"round", "kcl_round(x, 0)", "round(x)", -10, 10},
    {"sign", "kcl_sign(x)", "sign(x)", -10, 10},
    {"minimum", "kcl_minimum(x, y)", "fmin(x, y)", -10, 10},
};

enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

typedef struct device {
    opencl cl;
    const char *define; /* what kernels for the device have */
    cl_mem out;
} device;

/* Whether the text of cl/fast.cl has a form of the function that is called. */
static bool replaces(const char *fast, const char *call)
{
    char define[64];
    snprintf(define, sizeof define, "#define %.*s ", (int)strcspn(call, "("), call);
    return strstr(fast, define) != NULL;
}

/* One kernel: values of `call` at numbers from low to high, added up. */
static cl_kernel build(const device *d, const char *math, const char *fast, const function *f, const char *call,
                       bool f64, int lanes)
{
    char *source = malloc(strlen(math) + strlen(fast) + 4096);
    if (source == NULL) {
        fprintf(stderr, "math: no memory\n");
        exit(2);
    }
    sprintf(source,
            "#define KCL_REAL_%s\n#define KCL_LANES %d\n%s\n%s\n%s\n"
            "__kernel void loop(__global real *out, const int repeats)\n{\n"
            "    const lanes low = (lanes)(KCL_R(%.17e)), step = (lanes)(KCL_R(%.17e) / %d);\n"
            "    lanes sum = (lanes)(KCL_R(0.0));\n"
            "    for (int r = 0; r < repeats; r++)\n        for (int k = 0; k < %d; k++) {\n"
            "            const lanes x = low + (lanes)((real)k) * step, y = x + (lanes)((real)(r & 1) + 1);\n"
            "            sum += %s;\n        }\n"
            "    real lane[KCL_LANES];\n    KCL_VSTORE(sum, lane);\n    out[get_global_id(0)] = lane[0];\n}\n",
            f64 ? "F64" : "F32", lanes, d->define, math, fast, f->low, f->high - f->low, STEPS, STEPS, call);
    cl_int status;
    cl_program program = build_program(&d->cl, source, call);
    cl_kernel kernel = clCreateKernel(program, "loop", &status);
    check(status, "clCreateKernel");
    clReleaseProgram(program);
    free(source);
    return kernel;
}

static double seconds(const device *d, cl_kernel kernel, int repeats)
{
    const size_t items = ITEMS;
    check(clSetKernelArg(kernel, 0, sizeof(cl_mem), &d->out), "clSetKernelArg");
    check(clSetKernelArg(kernel, 1, sizeof repeats, &repeats), "clSetKernelArg");
    const double start = seconds_now();
    check(clEnqueueNDRangeKernel(d->cl.queue, kernel, 1, NULL, &items, NULL, 0, NULL, NULL), "launch");
    check(clFinish(d->cl.queue), "clFinish");
    return seconds_now() - start;
}

int main(int argc, char **argv)
{
    const char *path = NULL, *fast_path = NULL, *only = NULL;
    int rounds = 15;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            rounds = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--fast") == 0 && i + 1 < argc) {
            fast_path = argv[++i];
        } else if (argv[i][0] != '-' && path == NULL) {
            path = argv[i];
        } else {
            path = NULL;
            break;
        }
    }
    if (path == NULL || rounds < 1 || rounds > MAX_ROUNDS) {
        fprintf(stderr, "usage: math [--only FUNCTION] [--rounds N] [--fast path/to/cl/fast.cl] path/to/cl/math.cl\n");
        return 2;
    }
    device d;
    if (!open_device(&d.cl)) {
        fprintf(stderr, "math: no OpenCL device\n");
        return 77;
    }
    d.define = d.cl.type & CL_DEVICE_TYPE_GPU ? "#define KCL_NATIVE"
               : strstr(d.cl.name, "Intel")   ? "#define KCL_SLOW_DIVIDER"
                                              : "";
    d.out = make_buffer(&d.cl, ITEMS * sizeof(double));

    char *const math = read_text(path), *const fast = fast_path ? read_text(fast_path) : NULL;
    printf("device %s\n%-12s %-4s %5s %10s %10s %6s\n", d.cl.name, "function", "type", "lanes", "ours/ns", "theirs/ns",
           "ratio");
    for (int f64 = 0; f64 <= d.cl.has_f64; f64++) {
        cl_uint width = 0; /* of a register, as kernels have it */
        clGetDeviceInfo(d.cl.id, f64 ? CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE : CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT,
                        sizeof width, &width, NULL);
        const int lanes = f64 ? (width >= 8 ? 8 : width >= 4 ? 4 : 2) : width >= 16 ? 16 : width >= 8 ? 8 : 4;
        for (int i = 0; i < FUNCTIONS; i++) {
            const function *const f = &functions[i];
            if ((only != NULL && strcmp(only, f->name) != 0) || (fast != NULL && !replaces(fast, f->ours))) {
                continue;
            }
            cl_kernel ours = build(&d, math, fast ? fast : "", f, f->ours, f64, lanes),
                      theirs = build(&d, math, "", f, fast ? f->ours : f->builtin, f64, lanes);
            seconds(&d, ours, 1); /* the driver compiles with the first launch */
            seconds(&d, theirs, 1);
            const double once = seconds(&d, theirs, 1);
            const int repeats = 1 + (int)(ROUND_SECONDS / once);
            double ratio[MAX_ROUNDS], mine[MAX_ROUNDS], other[MAX_ROUNDS];
            for (int r = 0; r < rounds; r++) {
                mine[r] = seconds(&d, ours, repeats);
                other[r] = seconds(&d, theirs, repeats);
                ratio[r] = mine[r] / other[r];
            }
            const double values = (double)ITEMS * STEPS * repeats * lanes;
            printf("%-12s %-4s %5d %10.4f %10.4f %6.2f\n", f->name, f64 ? "f64" : "f32", lanes,
                   1e9 * median(mine, rounds) / values, 1e9 * median(other, rounds) / values, median(ratio, rounds));
            fflush(stdout);
            clReleaseKernel(ours);
            clReleaseKernel(theirs);
        }
    }
    free(math);
    free(fast);
    clReleaseMemObject(d.out);
    close_device(&d.cl);
    return 0;
}
