/* SPDX-License-Identifier: MIT */
/* cli/bench.c: keopscl bench, a JSON object a line. */
#include "cli.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char help[] = "keopscl bench [--case NAME] [options]\n"
                           "\n"
                           "Times whole calls on host arrays. A line of JSON for each case: \"seconds\" is the\n"
                           "median after a warm-up, \"gpairs\" 1e9 pairs (i,j) a second, \"first_seconds\" the\n"
                           "first call with the building of the kernel.\n"
                           "\n"
                           "  --case NAME       gauss_sum    sum_j exp(-g |x_i-y_j|^2) b_j\n"
                           "                    gauss_grad   its gradient in x\n"
                           "                    logsumexp    log sum_j exp(-g |x_i-y_j|^2)\n"
                           "                    argmin       the nearest y_j of each x_i\n"
                           "                    argkmin      the 10 nearest\n"
                           "                    wide         b_j has 64 components\n"
                           "                    split        10 rows, 10000000 columns\n"
                           "                    default: all of them\n"
                           "  --d D             dimension of the points; default: 3\n"
                           "  --m M, --n N      numbers of rows; default: 20000 each\n"
                           "  --dtype f32|f64   default: f32\n"
                           "  --device D        default: KEOPSCL_DEVICE, else the best device\n"
                           "  --math NAME       precise or fast elementary functions; default: precise\n"
                           "  --json            accepted; the output is JSON in any case\n"
                           "\n"
                           "Example:\n"
                           "  keopscl bench --case gauss_sum --m 1000 --n 1000\n";

/* How long a case is measured. */
static const double least_seconds = 1, most_seconds = 10;
enum { LEAST_CALLS = 5 };

typedef struct bench_argument {
    const char *name;
    kcl_role role;
    int dim; /* 0: the value of --d */
} bench_argument;

#define GAUSS "Exp(-g*SqDist(x,y))*b"

static const struct bench_case {
    const char *name;
    const char *formula;
    int64_t m, n; /* without --m, --n */
    bench_argument args[5];
} cases[] = {
    {"gauss_sum",
     "Sum_Reduction(" GAUSS ",0)",
     20000,
     20000,
     {{"x", KCL_ROLE_I, 0}, {"y", KCL_ROLE_J, 0}, {"b", KCL_ROLE_J, 1}, {"g", KCL_ROLE_PARAMETER, 1}}},
    {"gauss_grad",
     "Sum_Reduction(Grad(" GAUSS ",x,e),0)",
     20000,
     20000,
     {{"x", KCL_ROLE_I, 0},
      {"y", KCL_ROLE_J, 0},
      {"b", KCL_ROLE_J, 1},
      {"g", KCL_ROLE_PARAMETER, 1},
      {"e", KCL_ROLE_I, 1}}},
    {"logsumexp",
     "LogSumExp_Reduction(-g*SqDist(x,y),0)",
     20000,
     20000,
     {{"x", KCL_ROLE_I, 0}, {"y", KCL_ROLE_J, 0}, {"g", KCL_ROLE_PARAMETER, 1}}},
    {"argmin", "ArgMin_Reduction(SqDist(x,y),0)", 20000, 20000, {{"x", KCL_ROLE_I, 0}, {"y", KCL_ROLE_J, 0}}},
    {"argkmin", "ArgKMin_Reduction(SqDist(x,y),10,0)", 20000, 20000, {{"x", KCL_ROLE_I, 0}, {"y", KCL_ROLE_J, 0}}},
    {"wide",
     "Sum_Reduction(" GAUSS ",0)",
     20000,
     20000,
     {{"x", KCL_ROLE_I, 0}, {"y", KCL_ROLE_J, 0}, {"b", KCL_ROLE_J, 64}, {"g", KCL_ROLE_PARAMETER, 1}}},
    {"split",
     "Sum_Reduction(" GAUSS ",0)",
     10,
     10000000,
     {{"x", KCL_ROLE_I, 0}, {"y", KCL_ROLE_J, 0}, {"b", KCL_ROLE_J, 1}, {"g", KCL_ROLE_PARAMETER, 1}}},
};

enum { MOST_ARGS = COUNT(cases[0].args) };

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Calls until there are enough times for a median. */
static int measure(double *median, const kcl_operator *op, kcl_context *context, const table *out, const table *args,
                   int arg_count, fault *f)
{
    double *times = NULL, start = seconds_now(), spent = 0;
    size_t count = 0, capacity = 0;
    int code = EXIT_DONE;
    while (!code && spent < most_seconds && (count < LEAST_CALLS || spent < least_seconds)) {
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 1024;
            double *moved = realloc(times, capacity * sizeof *times);
            if (!moved) {
                code = fail_memory(f);
                break;
            }
            times = moved;
        }
        double before = seconds_now();
        code = apply_operator(op, context, out, args, arg_count, f);
        double after = seconds_now();
        times[count++] = after - before;
        spent = after - start;
    }
    if (!code) {
        qsort(times, count, sizeof *times, compare_doubles);
        *median = (times[count / 2] + times[(count - 1) / 2]) / 2;
    }
    free(times);
    return code;
}

static int run_case(const struct bench_case *c, kcl_context *context, const kcl_device_info *device, const options *o,
                    fault *f)
{
    const kcl_dtype dtype = o->dtype ? o->dtype : KCL_F32;
    const int d = o->d > 0 ? (int)o->d : 3;
    const int64_t m = o->m >= 0 ? o->m : c->m, n = o->n >= 0 ? o->n : c->n;
    char texts[MOST_ARGS][32];
    const char *aliases[MOST_ARGS];
    table args[MOST_ARGS] = {{0}}, out = {0};
    kcl_operator *op = NULL;
    kcl_slot_info slot;
    uint64_t state = 1;
    int count = 0, code = EXIT_DONE;
    for (; !code && count < MOST_ARGS && c->args[count].name; count++) {
        const bench_argument *a = &c->args[count];
        slot = (kcl_slot_info){.role = a->role, .dim = a->dim ? a->dim : d};
        snprintf(texts[count], sizeof texts[count], "%s = %s(%d)", a->name, role_name(a->role), slot.dim);
        aliases[count] = texts[count];
        code = table_for_slot(&args[count], &slot, dtype, m, n, f);
        for (int64_t k = 0; !code && k < args[count].rows * args[count].columns; k++)
            table_set(&args[count], k, random_next(&state));
    }
    double start = seconds_now(), first = 0, median = 0;
    if (!code)
        code = make_operator_of(&op, c->formula, count, aliases, o, f);
    if (!code) {
        kcl_operator_output(op, 0, &slot);
        code = table_for_slot(&out, &slot, dtype, m, n, f);
    }
    if (!code)
        code = apply_operator(op, context, &out, args, count, f);
    first = seconds_now() - start;
    if (!code)
        code = measure(&median, op, context, &out, args, count, f);
    if (!code) {
        printf("{\"case\":\"%s\",\"d\":%d,\"m\":%lld,\"n\":%lld,\"dtype\":\"%s\",\"device\":", c->name, d, (long long)m,
               (long long)n, dtype_name(dtype));
        print_json_string(device->name);
        printf(",\"seconds\":%.9g,\"gpairs\":%.6g,\"first_seconds\":%.9g}\n", median,
               (double)m * (double)n / fmax(median, 1e-9) / 1e9, first);
        if (fflush(stdout) != 0)
            code = fail_output(f);
    }
    kcl_operator_destroy(&op);
    table_free(&out);
    for (int k = 0; k < count; k++)
        table_free(&args[k]);
    return code;
}

static int bench(const options *o, fault *f)
{
    kcl_context *context = NULL;
    kcl_device_info device;
    bool known = !o->case_name;
    for (size_t k = 0; k < COUNT(cases); k++)
        known |= o->case_name && strcmp(o->case_name, cases[k].name) == 0;
    if (!known)
        return fail(f, EXIT_USAGE,
                    "there is no case '%s'; there are gauss_sum, gauss_grad, logsumexp, argmin, argkmin, wide and split",
                    o->case_name);
    if (o->d == 0 || o->d > INT_MAX)
        return fail(f, EXIT_USAGE, "--d %lld: points have 1 to %d coordinates", (long long)o->d, INT_MAX);
    int code = open_context(&context, o->device, f);
    if (!code)
        kcl_context_device_info(context, &device);
    for (size_t k = 0; !code && k < COUNT(cases); k++)
        if (!o->case_name || strcmp(o->case_name, cases[k].name) == 0)
            code = run_case(&cases[k], context, &device, o, f);
    kcl_context_destroy(&context);
    return code;
}

const command bench_command = {
    "bench",
    {NULL},
    OPTION_CASE | OPTION_D | OPTION_SIZES | OPTION_DTYPE | OPTION_DEVICE | OPTION_JSON | OPTION_SCHEDULE | OPTION_MATH,
    bench,
    help,
};
