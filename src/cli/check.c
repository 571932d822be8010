/* SPDX-License-Identifier: MIT */
/* cli/check.c: keopscl check, a device against the interpreter on random arguments. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>

static const char help[] = "keopscl check FORMULA --arg NAME=ROLE(DIM) ... [options]\n"
                           "\n"
                           "Computes with random arguments, uniform in [0.25, 1.25), on a device and with\n"
                           "the interpreter in double precision. Prints the largest over results of\n"
                           "|error_i| / sum_j |F_ij|, for LogSumExp |error_i| / (1 + |result_i|), for ArgMin\n"
                           "the relative difference of the values at indices that differ. Exit code 1 above\n"
                           "1e-5 (f32) or 1e-12 (f64), and where a NaN or infinity is in one result only.\n"
                           "\n"
                           "  --arg x=Vi(3)     rows of 3 numbers, one per i; y=Vj(3) one per j; g=Pm(1)\n"
                           "  --m M, --n N      numbers of rows; default: 1000 each\n"
                           "  --seed S          of the random numbers; default: 1\n"
                           "  --dtype f32|f64   default: f32\n"
                           "  --device D        default: KEOPSCL_DEVICE, else the best device\n"
                           "  --schedule NAME   lanes, rows, contraction, split or columns; default: by rule\n"
                           "  --math NAME       precise or fast elementary functions; default: precise\n"
                           "\n"
                           "Example:\n"
                           "  keopscl check 'Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)' \\\n"
                           "      --arg x='Vi(3)' --arg y='Vj(3)' --arg b='Vj(1)' --arg g='Pm(1)'\n";

typedef struct check_data {
    int in_count, out_count;
    table *args, *exact_args;              /* the same values as dtype, and as float64 */
    table *outs, *exact_outs, *magnitudes; /* of the device, of the interpreter, and the scale of errors */
} check_data;

static int make_data(check_data *c, const kcl_operator *op, const kcl_operator *magnitude, kcl_dtype dtype,
                     const options *o, int64_t m, int64_t n, fault *f)
{
    uint64_t state = o->seed;
    int code = EXIT_DONE;
    c->in_count = kcl_operator_input_count(op);
    c->out_count = kcl_operator_output_count(op);
    size_t in = (size_t)c->in_count + 1, out = (size_t)c->out_count + 1;
    c->args = calloc(in, sizeof *c->args);
    c->exact_args = calloc(in, sizeof *c->exact_args);
    c->outs = calloc(out, sizeof *c->outs);
    c->exact_outs = calloc(out, sizeof *c->exact_outs);
    c->magnitudes = calloc(out, sizeof *c->magnitudes);
    if (!c->args || !c->exact_args || !c->outs || !c->exact_outs || !c->magnitudes)
        return fail_memory(f);
    for (int k = 0; k < c->in_count; k++) {
        kcl_slot_info slot;
        kcl_operator_input(op, k, &slot);
        slot.dtype = KCL_DTYPE_NONE; /* an index too is a random number */
        code = table_for_slot(&c->args[k], &slot, dtype, m, n, f);
        if (!code)
            code = table_for_slot(&c->exact_args[k], &slot, KCL_F64, m, n, f);
        if (code)
            return code;
        for (int64_t i = 0, count = c->args[k].rows * c->args[k].columns; i < count; i++) {
            table_set(&c->args[k], i, 0.25 + random_next(&state));
            table_set(&c->exact_args[k], i, table_get(&c->args[k], i));
        }
    }
    for (int k = 0; !code && k < c->out_count; k++) {
        kcl_slot_info slot;
        kcl_operator_output(op, k, &slot);
        code = table_for_slot(&c->outs[k], &slot, dtype, m, n, f);
        if (!code)
            code = table_for_slot(&c->exact_outs[k], &slot, KCL_F64, m, n, f);
        kcl_operator_output(magnitude, k, &slot);
        if (!code)
            code = table_for_slot(&c->magnitudes[k], &slot, KCL_F64, m, n, f);
    }
    return code;
}

static void free_data(check_data *c)
{
    tables_free(c->args, c->in_count);
    tables_free(c->exact_args, c->in_count);
    tables_free(c->outs, c->out_count);
    tables_free(c->exact_outs, c->out_count);
    tables_free(c->magnitudes, c->out_count);
}

/* What is needed to compare results that are indices. */
typedef struct check_tools {
    const kcl_operator *magnitude;
    kcl_context *host;
    int64_t m, n; /* rows of i and j; 1: no argument has the axis */
} check_tools;

/* |error| over the magnitude; infinite if only one of the two values is finite, or the infinities differ. */
static double relative_error(double value, double exact, double magnitude, kcl_dtype dtype)
{
    if (dtype == KCL_F32 && isinf((float)exact))
        exact = (float)exact; /* float32 holds no better value */
    if (isnan(exact) || isnan(value))
        return isnan(exact) && isnan(value) ? 0 : INFINITY;
    if (isinf(exact) || isinf(value))
        return exact == value ? 0 : INFINITY;
    double error = fabs(value - exact), quotient = error / magnitude;
    return error == 0 ? 0 : isnan(quotient) ? INFINITY : quotient;
}

/*
 * The value of F at the index that component `at` of output k, an ArgMin or the like of F, holds; from the interpreter.
 */
static int value_at(double *value, const check_data *c, const check_tools *tools, int k, int64_t at, int64_t index,
                    fault *f)
{
    int64_t row = at / c->outs[k].columns, i, j;
    kcl_slot_info slot;
    kcl_operator_output(tools->magnitude, k, &slot);
    i = slot.role == KCL_ROLE_I ? row : slot.role == KCL_ROLE_J ? index : index / tools->n;
    j = slot.role == KCL_ROLE_J ? row : slot.role == KCL_ROLE_I ? index : index % tools->n;
    table *args = calloc((size_t)c->in_count + 1, sizeof *args), *outs = calloc((size_t)c->out_count + 1, sizeof *outs);
    int code = args && outs ? EXIT_DONE : fail_memory(f);
    for (int n = 0; !code && n < c->in_count; n++) {
        args[n] = c->exact_args[n];
        kcl_operator_input(tools->magnitude, n, &slot);
        if (slot.role == KCL_ROLE_PARAMETER)
            continue;
        args[n].values = (double *)args[n].values + (slot.role == KCL_ROLE_I ? i : j) * args[n].columns;
        args[n].rows = 1;
    }
    for (int n = 0; !code && n < c->out_count; n++) {
        kcl_operator_output(tools->magnitude, n, &slot);
        code = table_for_slot(&outs[n], &slot, KCL_F64, 1, 1, f);
    }
    if (!code)
        code = apply_operator(tools->magnitude, tools->host, outs, args, c->in_count, f);
    if (!code)
        *value = table_get(&outs[k], at % outs[k].columns); /* of each of the K smallest */
    tables_free(outs, c->out_count);
    free(args);
    return code;
}

/* How far the values at two different indices are apart. Rounding may exchange values that are almost equal. */
static int index_error(double *error, const check_data *c, const check_tools *tools, int k, int64_t at, fault *f)
{
    const int64_t index = ((const int64_t *)c->outs[k].values)[at];
    const int64_t exact = ((const int64_t *)c->exact_outs[k].values)[at];
    kcl_slot_info slot;
    kcl_operator_output(tools->magnitude, k, &slot);
    const int64_t end = (slot.role == KCL_ROLE_I ? 1 : tools->m) * (slot.role == KCL_ROLE_J ? 1 : tools->n);
    double a, b;
    *error = index == exact ? 0 : INFINITY;
    if (index == exact || index < 0 || index >= end || exact < 0)
        return EXIT_DONE;
    int code = value_at(&a, c, tools, k, at, index, f);
    if (!code)
        code = value_at(&b, c, tools, k, at, exact, f);
    if (!code && (a == b || isfinite(a - b)))
        *error = a == b ? 0 : fabs(a - b) / fmax(fabs(a), fabs(b));
    return code;
}

static int compare(const check_data *c, const check_tools *tools, kcl_dtype dtype, const options *o, fault *f)
{
    const double limit = dtype == KCL_F64 ? 1e-12 : 1e-5;
    double largest = -1;
    int worst = 0, code = EXIT_DONE;
    int64_t at = 0;
    for (int k = 0; k < c->out_count; k++)
        for (int64_t i = 0, count = c->outs[k].rows * c->outs[k].columns; !code && i < count; i++) {
            double error = 0;
            if (c->outs[k].dtype != KCL_I64)
                error = relative_error(table_get(&c->outs[k], i), table_get(&c->exact_outs[k], i),
                                       table_get(&c->magnitudes[k], i), dtype);
            else if (largest <= limit) /* one by one, until there is a failure */
                code = index_error(&error, c, tools, k, i, f);
            if (!code && error > largest) {
                largest = error;
                worst = k;
                at = i;
            }
        }
    if (code)
        return code;
    printf("error %.3g of the scale, limit %g\n", largest > 0 ? largest : 0, limit);
    if (largest <= limit)
        return EXIT_DONE;
    const table *t = &c->outs[worst];
    if (t->dtype == KCL_I64)
        return fail(f, EXIT_COMPUTATION,
                    "result %d, row %lld, component %lld: the device gives index %.0f, the interpreter %.0f, and the "
                    "values there differ by %.3g of the larger (seed %llu)",
                    worst, (long long)(at / t->columns), (long long)(at % t->columns), table_get(t, at),
                    table_get(&c->exact_outs[worst], at), largest, (unsigned long long)o->seed);
    return fail(f, EXIT_COMPUTATION,
                "result %d, row %lld, component %lld: the device gives %.17g, the interpreter %.17g, where the "
                "scale is %.3g (seed %llu)",
                worst, (long long)(at / t->columns), (long long)(at % t->columns), table_get(t, at),
                table_get(&c->exact_outs[worst], at), table_get(&c->magnitudes[worst], at),
                (unsigned long long)o->seed);
}

static int check(const options *o, fault *f)
{
    const kcl_dtype dtype = o->dtype ? o->dtype : KCL_F32;
    int64_t m = o->m >= 0 ? o->m : 1000, n = o->n >= 0 ? o->n : 1000;
    kcl_operator *op = NULL, *magnitude = NULL;
    kcl_context *context = NULL, *host = NULL;
    kcl_device_info device;
    check_data c = {0};
    int code = make_operator(&op, o, NULL, f);
    if (!code) {
        kcl_status status = kcl_operator_magnitude(&magnitude, op);
        const char *reason = magnitude ? kcl_operator_error(magnitude) : "";
        if (status < 0)
            code = fail(f, EXIT_COMPUTATION, "%s", *reason ? reason : kcl_status_text(status));
    }
    if (!code) {
        axis_lengths(op, &m, &n);
        code = make_data(&c, op, magnitude, dtype, o, m, n, f);
    }
    if (!code)
        code = open_context(&context, o->device, f);
    if (!code)
        code = open_context(&host, "host", f);
    if (!code)
        code = apply_operator(op, context, c.outs, c.args, c.in_count, f);
    if (!code)
        code = apply_operator(op, host, c.exact_outs, c.exact_args, c.in_count, f);
    if (!code)
        code = apply_operator(magnitude, host, c.magnitudes, c.exact_args, c.in_count, f);
    if (!code) {
        kcl_context_device_info(context, &device);
        printf("device %s\nm %lld, n %lld, dtype %s, seed %llu\n", device.name, (long long)m, (long long)n,
               dtype_name(dtype), (unsigned long long)o->seed);
        const check_tools tools = {magnitude, host, m, n};
        code = compare(&c, &tools, dtype, o, f);
    }
    free_data(&c);
    kcl_operator_destroy(&magnitude);
    kcl_operator_destroy(&op);
    kcl_context_destroy(&host);
    kcl_context_destroy(&context);
    return code;
}

const command check_command = {
    "check",
    {"FORMULA"},
    OPTION_ARG_SHAPES | OPTION_SIZES | OPTION_SEED | OPTION_DTYPE | OPTION_DEVICE | OPTION_SCHEDULE | OPTION_MATH,
    check,
    help,
};
