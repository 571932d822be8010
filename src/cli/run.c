/* SPDX-License-Identifier: MIT */
/* cli/run.c: keopscl run. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const char help[] = "keopscl run FORMULA --arg NAME=ROLE:VALUE ... [options]\n"
                           "\n"
                           "Computes reductions of a formula. Several, of one sweep, are separated by ';'.\n"
                           "\n"
                           "  --arg x=Vi:FILE    one row per i;  y=Vj:FILE  one row per j\n"
                           "  --arg g=Pm:0.5     a parameter: a number, 1,2,3 for a vector, or a file\n"
                           "  --out FILE         for each result, in order: .npy, otherwise a text table;\n"
                           "                     without it, tables on standard output; indices are int64\n"
                           "  --dtype f32|f64    default: f64 if every file is (indices aside), else f32\n"
                           "  --device D         default: KEOPSCL_DEVICE, else the best device\n"
                           "  --math NAME        precise (the default) or fast elementary functions\n"
                           "  --missing NAME     what NA and empty cells are: error (the default) or nan\n"
                           "  --json             print device, sizes, seconds and shapes, and no table\n"
                           "  --dense            the values F_ij of a formula without reduction, a row per i\n"
                           "\n"
                           "Files are NumPy .npy (float32, float64, int32, int64) or text tables, one row a\n"
                           "line, '# ' begins a comment. '-' is standard input or output.\n"
                           "The last number of a reduction tells its rows: 0 per i, 1 per j, 2 a single one.\n"
                           "\n"
                           "Example:\n"
                           "  printf '0 0\\n1 0\\n0 2\\n' > points.txt\n"
                           "  keopscl run 'Sum_Reduction(Exp(-g*SqDist(x,y)),0)' \\\n"
                           "      --arg x=Vi:points.txt --arg y=Vj:points.txt --arg g=Pm:0.5\n";

static void print_json(const kcl_device_info *device, kcl_dtype dtype, int64_t m, int64_t n, double seconds,
                       const table *outs, int count)
{
    printf("{\"device\":");
    print_json_string(device->name);
    printf(",\"m\":%lld,\"n\":%lld,\"dtype\":\"%s\",\"seconds\":%.9g,\"results\":[", (long long)m, (long long)n,
           dtype_name(dtype), seconds);
    for (int k = 0; k < count; k++) {
        printf("%s{\"shape\":[", k ? "," : "");
        if (outs[k].axes == 2)
            printf("%lld,", (long long)outs[k].rows);
        printf("%lld],\"dtype\":\"%s\"}", (long long)outs[k].columns, dtype_name(outs[k].dtype));
    }
    puts("]}");
}

/* ---- Values of a formula ------------------------------------------------------------------------------------------ */

/* The formula with its names bound to tables. NULL after an error, which is reported. */
static kcl_expr *bind_formula(kcl_scope *scope, const options *o, const table *tables, fault *f, int *code)
{
    const char **names = calloc((size_t)o->arg_count + 1, sizeof *names);
    kcl_expr **values = calloc((size_t)o->arg_count + 1, sizeof *values), *result = NULL;
    if (!names || !values) {
        *code = fail_memory(f);
    } else {
        for (int k = 0; k < o->arg_count; k++) {
            const kcl_role role = o->args[k].role;
            const kcl_array array = array_of_table(&tables[k], role);
            names[k] = o->args[k].name;
            values[k] = role == KCL_ROLE_I   ? kcl_vi(scope, &array)
                        : role == KCL_ROLE_J ? kcl_vj(scope, &array)
                                             : kcl_pm(scope, &array);
        }
        result = kcl_formula(scope, o->positional[0], o->arg_count, names, values);
        if (kcl_expr_status(result) < 0) {
            *code = fail(f, EXIT_USAGE, "%s", kcl_expr_error(result));
            result = NULL;
        }
    }
    free(names);
    free(values);
    return result;
}

/* Writes the values: rows are i, columns are j and the components of each. */
static int compute_dense(kcl_context *context, const options *o, const table *args, kcl_dtype dtype, table *out,
                         int64_t sizes[2], fault *f)
{
    int64_t shape[KCL_MAX_AXES];
    kcl_scope *scope = kcl_scope_create(context);
    kcl_status status = kcl_scope_set_math(scope, o->math ? o->math : "precise");
    int code = status < 0 ? fail(f, EXIT_USAGE, "%s", kcl_context_error(context)) : EXIT_DONE;
    kcl_expr *values = code ? NULL : bind_formula(scope, o, args, f, &code);
    if (values) {
        kcl_expr_shape(values, shape);
        sizes[0] = shape[0];
        sizes[1] = shape[1];
        const bool is_index = kcl_expr_dtype(values) == KCL_I64;
        for (int k = 0; k < 2 && !code; k++)
            if (shape[k] < 0)
                code = fail(f, EXIT_USAGE,
                            "of axis %c the formula has only the numbers, Index%c: no file tells its length",
                            k ? 'j' : 'i', k ? 'J' : 'I');
        if (!code && shape[1] > INT64_MAX / shape[2])
            code = fail_memory(f);
        if (!code)
            code = table_create(out, is_index ? KCL_I64 : dtype, shape[0], shape[1] * shape[2], f);
    }
    if (values && !code) {
        const kcl_array array = kcl_array_of(out->values, out->dtype, 3, shape);
        begin_computation(context);
        status = kcl_dense(values, &array);
        end_computation();
        code = status < 0 ? fail_context(context, status, f) : EXIT_DONE;
    }
    kcl_scope_destroy(&scope);
    return code;
}

static int run_dense(const options *o, fault *f)
{
    table *args = NULL, out = {0};
    int *dims = NULL;
    kcl_context *context = NULL;
    kcl_device_info device;
    kcl_dtype dtype = KCL_DTYPE_NONE;
    int64_t sizes[2] = {0, 0};
    if (o->out_count > 1)
        return fail(f, EXIT_USAGE, "--dense gives one result, but --out is given %d times", o->out_count);
    int code = load_arguments(&args, &dims, o, f);
    if (!code)
        code = check_parameters(o, false, f);
    if (!code)
        code = convert_arguments(args, &dtype, NULL, o, f);
    if (!code)
        code = open_context(&context, o->device, f);
    if (!code) {
        kcl_context_device_info(context, &device);
        const double start = seconds_now();
        code = compute_dense(context, o, args, dtype, &out, sizes, f);
        const double seconds = seconds_now() - start;
        if (!code)
            code = save_results(o, &out, 1, f);
        if (!code && o->json)
            print_json(&device, dtype, sizes[0], sizes[1], seconds, &out, 1);
    }
    table_free(&out);
    tables_free(args, o->arg_count);
    free(dims);
    kcl_context_destroy(&context);
    return code;
}

/* ---- Results of reductions ---------------------------------------------------------------------------------------- */

static int run(const options *o, fault *f)
{
    table *args = NULL, *outs = NULL;
    int *dims = NULL, out_count = 0;
    kcl_operator *op = NULL;
    kcl_context *context = NULL;
    kcl_device_info device;
    kcl_dtype dtype = KCL_DTYPE_NONE;
    int code = check_outs(o, f);
    if (!code && o->dense)
        return run_dense(o, f);
    if (!code)
        code = load_arguments(&args, &dims, o, f);
    if (!code)
        code = make_operator(&op, o, dims, f);
    if (!code)
        code = convert_arguments(args, &dtype, op, o, f);
    if (code)
        goto done;
    out_count = kcl_operator_output_count(op);
    if (o->out_count && o->out_count != out_count) {
        code = fail(f, EXIT_USAGE, "the formula has %d result%s, but --out is given %d time%s", out_count,
                    out_count == 1 ? "" : "s", o->out_count, o->out_count == 1 ? "" : "s");
        goto done;
    }
    if (!(outs = calloc((size_t)out_count + 1, sizeof *outs))) {
        code = fail_memory(f);
        goto done;
    }
    int64_t m = axis_length(o, args, KCL_ROLE_I), n = axis_length(o, args, KCL_ROLE_J);
    for (int k = 0; !code && k < out_count; k++) {
        kcl_slot_info slot;
        kcl_operator_output(op, k, &slot);
        code = table_for_slot(&outs[k], &slot, dtype, m, n, f);
    }
    if (!code)
        code = open_context(&context, o->device, f);
    if (code)
        goto done;
    kcl_context_device_info(context, &device);
    double start = seconds_now();
    code = apply_operator(op, context, outs, args, o->arg_count, f);
    double seconds = seconds_now() - start;
    if (!code)
        code = save_results(o, outs, out_count, f);
    if (!code && o->json)
        print_json(&device, dtype, m, n, seconds, outs, out_count);
done:
    tables_free(outs, out_count);
    tables_free(args, o->arg_count);
    free(dims);
    kcl_operator_destroy(&op);
    kcl_context_destroy(&context);
    return code;
}

const command run_command = {
    "run",
    {"FORMULA"},
    OPTION_ARG_VALUES | OPTION_OUT | OPTION_DTYPE | OPTION_DEVICE | OPTION_JSON | OPTION_MATH | OPTION_MISSING |
        OPTION_DENSE,
    run,
    help,
};
