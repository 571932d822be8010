/* SPDX-License-Identifier: MIT */
/* cli/solve.c: keopscl solve. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char help[] = "keopscl solve FORMULA VAR --arg NAME=ROLE:VALUE ... [options]\n"
                           "\n"
                           "Solves (A Id + K) a = b: FORMULA is K b, and VAR is the argument b. A Id + K has\n"
                           "to be symmetric and positive definite. Columns of b are solved one by one.\n"
                           "\n"
                           "  --arg x=Vi:FILE     as for run; the right-hand side is an argument b=Vj:FILE\n"
                           "  --alpha A           added to the diagonal; --noise FILE: a number for each row\n"
                           "  --tol T             the residual is at most T |b|; default: 1e-4, for f64 1e-6\n"
                           "  --absolute T        or at most T, if that is larger\n"
                           "  --max-iterations N  products with the matrix; --start FILE: a guess of a\n"
                           "  --check             tells of a matrix that is not symmetric\n"
                           "  --out FILE          .npy, otherwise a text table; without it, it is printed\n"
                           "  --json              print device, sizes, seconds, residuals, and no table\n"
                           "  --dtype, --device, --math, --missing: as for run\n"
                           "\n"
                           "Exit code 1 if a column is not solved; the best that was found is written.\n"
                           "\n"
                           "Example:\n"
                           "  printf '0 0\\n1 0\\n0 2\\n' > points.txt\n"
                           "  printf '1\\n2\\n3\\n' > values.txt\n"
                           "  keopscl solve 'Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)' b --alpha 0.1 \\\n"
                           "      --arg x=Vi:points.txt --arg y=Vj:points.txt --arg b=Vj:values.txt \\\n"
                           "      --arg g=Pm:0.5\n";

/* What a call has beside the arguments, and what it gives. */
typedef struct problem {
    table *args;
    table noise, start, solution;
    kcl_dtype dtype;
    kcl_solve_result *results;
    int64_t count; /* of systems */
    double seconds;
} problem;

/* Reads the file of an option, if it is given, as numbers of the arguments' type. */
static int load_option(table *t, const char *name, const char *path, const problem *p, const options *o, fault *f)
{
    char label[1024];
    if (!path)
        return EXIT_DONE;
    snprintf(label, sizeof label, "%s, %s", name, strcmp(path, "-") == 0 ? "standard input" : path);
    const int code = table_load(t, path, label, o->missing, f);
    return code ? code : table_convert(t, p->dtype, label, f);
}

/* Standard input can be read once. */
static int check_inputs(const options *o, fault *f)
{
    char from[sizeof((argument *)0)->name + 16] = "";
    for (int k = 0; k < o->arg_count; k++)
        if (strcmp(o->args[k].value, "-") == 0)
            snprintf(from, sizeof from, "argument '%s'", o->args[k].name);
    const char *const options[][2] = {{"--noise", o->noise}, {"--start", o->start}};
    for (size_t k = 0; k < COUNT(options); k++) {
        if (!options[k][1] || strcmp(options[k][1], "-") != 0)
            continue;
        if (*from)
            return fail(f, EXIT_USAGE, "%s and %s cannot both be read from standard input", from, options[k][0]);
        snprintf(from, sizeof from, "%s", options[k][0]);
    }
    return EXIT_DONE;
}

/* The library's sentence without the name of the function. */
static int fail_solve(const kcl_context *context, kcl_status status, fault *f)
{
    static const char function[] = "kcl_operator_solve: ";
    const char *text = kcl_context_error(context);
    if (strncmp(text, function, sizeof function - 1) == 0)
        text += sizeof function - 1;
    if (status == KCL_ERROR_ARGUMENT || status == KCL_ERROR_UNSUPPORTED) /* it is the formula */
        return fail(f, EXIT_USAGE, "%s", text);
    return status == KCL_ERROR_CANCELLED || !*text ? fail_context(context, status, f)
                                                   : fail(f, EXIT_COMPUTATION, "%s", text);
}

/* Solves. There is a solution, if none that is exact enough, unless p->count is 0. */
static int compute(problem *p, const kcl_operator *op, kcl_context *context, const options *o, fault *f)
{
    const size_t count = (size_t)o->arg_count + 1;
    kcl_array *arrays = calloc(count, sizeof *arrays), noise, start;
    const kcl_array **args = calloc(count, sizeof *args);
    kcl_solve_params params = {.alpha = o->alpha,
                               .tolerance = o->tolerance,
                               .absolute = o->absolute,
                               .max_iterations = o->max_iterations,
                               .checks_symmetry = o->check};
    int code = EXIT_DONE;
    p->results = calloc((size_t)p->solution.columns + 1, sizeof *p->results);
    if (!arrays || !args || !p->results) {
        code = fail_memory(f);
        goto done;
    }
    for (int k = 0; k < o->arg_count; k++) {
        kcl_slot_info slot = {.role = KCL_ROLE_I};
        if (k < kcl_operator_input_count(op)) /* the call reports a surplus argument */
            kcl_operator_input(op, k, &slot);
        arrays[k] = array_of_table(&p->args[k], slot.role);
        args[k] = &arrays[k];
    }
    if (o->noise) {
        noise = array_of_table(&p->noise, KCL_ROLE_PARAMETER);
        params.noise = &noise;
    }
    if (o->start) {
        start = array_of_table(&p->start, KCL_ROLE_I);
        params.start = &start;
    }
    const kcl_array solution = array_of_table(&p->solution, KCL_ROLE_I);
    const double begin = seconds_now();
    kcl_status status = KCL_ERROR_LENGTH;
    begin_computation(context);
    /* A system a column; or one system, of all components, if the formula mixes them. */
    for (int mixes = 0; status == KCL_ERROR_LENGTH && mixes < 2; mixes++) {
        p->count = mixes ? 1 : p->solution.columns;
        status = kcl_operator_solve(op, context, o->positional[1], &solution, args, o->arg_count, &params, p->results,
                                    p->count);
    }
    end_computation();
    p->seconds = seconds_now() - begin;
    if (status < 0) {
        code = fail_solve(context, status, f);
        p->count = status == KCL_ERROR_NOT_SOLVED ? p->count : 0;
    }
done:
    free(arrays);
    free(args);
    return code;
}

static void print_number(const char *name, double number)
{
    if (isfinite(number))
        printf(",\"%s\":%.9g", name, number);
    else
        printf(",\"%s\":null", name);
}

static void print_json(const problem *p, const kcl_context *context)
{
    kcl_device_info device;
    kcl_context_device_info(context, &device);
    printf("{\"device\":");
    print_json_string(device.name);
    printf(",\"n\":%lld,\"dtype\":\"%s\",\"seconds\":%.9g,\"systems\":[", (long long)p->solution.rows,
           dtype_name(p->dtype), p->seconds);
    for (int64_t k = 0; k < p->count; k++) {
        const kcl_solve_result *r = &p->results[k];
        printf("%s{\"reason\":\"%s\",\"iterations\":%lld", k ? "," : "", kcl_solve_reason_name(r->reason),
               (long long)r->iterations);
        print_number("residual", r->residual);
        print_number("norm", r->norm);
        putchar('}');
    }
    printf("],\"results\":[{\"shape\":[%lld,%lld],\"dtype\":\"%s\"}]}\n", (long long)p->solution.rows,
           (long long)p->solution.columns, dtype_name(p->dtype));
}

/* Writes what there is, solved or not. */
static int show(const problem *p, int code, const kcl_context *context, const options *o, fault *f)
{
    fault own;
    const int written = save_results(o, &p->solution, 1, &own);
    if (!written && o->json)
        print_json(p, context);
    if (!written)
        return code;
    return code ? fail(f, written, "%s; and %s", f->text, own.text) : fail(f, written, "%s", own.text);
}

static int solve(const options *o, fault *f)
{
    problem p = {.dtype = KCL_DTYPE_NONE};
    int *dims = NULL;
    kcl_operator *op = NULL;
    kcl_context *context = NULL;
    kcl_slot_info slot = {.dim = 1};
    if (o->out_count > 1)
        return fail(f, EXIT_USAGE, "there is one result, but --out is given %d times", o->out_count);
    int code = check_outs(o, f);
    if (!code)
        code = check_inputs(o, f);
    if (!code)
        code = load_arguments(&p.args, &dims, o, f);
    if (!code)
        code = make_operator(&op, o, dims, f);
    if (!code)
        code = convert_arguments(p.args, &p.dtype, op, o, f);
    if (!code)
        code = load_option(&p.noise, "--noise", o->noise, &p, o, f);
    if (!code)
        code = load_option(&p.start, "--start", o->start, &p, o, f);
    if (!code) {
        kcl_operator_output(op, 0, &slot);
        code = table_create(&p.solution, p.dtype, axis_length(o, p.args, KCL_ROLE_I), slot.dim, f);
    }
    if (!code)
        code = open_context(&context, o->device, f);
    if (!code) {
        code = compute(&p, op, context, o, f);
        if (p.count)
            code = show(&p, code, context, o, f);
    }
    free(p.results);
    table_free(&p.noise);
    table_free(&p.start);
    table_free(&p.solution);
    tables_free(p.args, o->arg_count);
    free(dims);
    kcl_operator_destroy(&op);
    kcl_context_destroy(&context);
    return code;
}

const command solve_command = {
    "solve",
    {"FORMULA", "VAR"},
    OPTION_ARG_VALUES | OPTION_OUT | OPTION_DTYPE | OPTION_DEVICE | OPTION_JSON | OPTION_MATH | OPTION_MISSING |
        OPTION_SOLVE,
    solve,
    help,
};
