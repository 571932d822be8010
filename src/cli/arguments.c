/* SPDX-License-Identifier: MIT */
/* cli/arguments.c: what commands that compute read, and write. */
#include "cli.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void make_label(char *label, size_t size, const argument *a)
{
    snprintf(label, size, "argument '%s', %s", a->name, strcmp(a->value, "-") == 0 ? "standard input" : a->value);
}

/* Reads one argument. */
static int load_argument(table *t, const argument *a, missing_rule missing, fault *f)
{
    char label[1024];
    make_label(label, sizeof label, a);
    if (a->role != KCL_ROLE_PARAMETER || !table_parse(t, a->value)) {
        int code = table_load(t, a->value, label, missing, f);
        if (code)
            return code;
    }
    if (a->role == KCL_ROLE_PARAMETER) {
        if (t->rows > 1 && t->columns > 1)
            return fail(f, EXIT_COMPUTATION, "%s: a parameter is one row of numbers, the file has %lld rows of %lld",
                        label, (long long)t->rows, (long long)t->columns);
        t->columns *= t->rows;
        t->rows = 1;
    }
    if (t->columns < 1 || t->columns > INT_MAX)
        return fail(f, EXIT_COMPUTATION, "%s: %lld components a row; at least 1 and at most %d are possible", label,
                    (long long)t->columns, INT_MAX);
    return EXIT_DONE;
}

int load_arguments(table **tables, int **dims, const options *o, fault *f)
{
    int code = EXIT_DONE;
    *tables = calloc((size_t)o->arg_count + 1, sizeof **tables);
    *dims = calloc((size_t)o->arg_count + 1, sizeof **dims);
    if (!*tables || !*dims)
        return fail_memory(f);
    for (int k = 0; !code && k < o->arg_count; k++) {
        code = load_argument(&(*tables)[k], &o->args[k], o->missing, f);
        (*dims)[k] = code ? 0 : (int)(*tables)[k].columns;
    }
    return code;
}

/* Whether argument k is an index that is given as integers. */
static bool is_index(const kcl_operator *op, int k, const table *t)
{
    kcl_slot_info slot;
    return op && t->dtype == KCL_I64 && kcl_operator_input(op, k, &slot) == KCL_OK && slot.dtype == KCL_I64;
}

int convert_arguments(table *tables, kcl_dtype *dtype, const kcl_operator *op, const options *o, fault *f)
{
    bool any = false, all_f64 = true;
    int code = EXIT_DONE;
    for (int k = 0; k < o->arg_count; k++) {
        if (is_index(op, k, &tables[k]) || tables[k].natural == KCL_DTYPE_NONE)
            continue;
        any = true;
        all_f64 = all_f64 && tables[k].natural == KCL_F64;
    }
    *dtype = o->dtype != KCL_DTYPE_NONE ? o->dtype : any && all_f64 ? KCL_F64 : KCL_F32;
    for (int k = 0; !code && k < o->arg_count; k++) {
        char label[1024];
        make_label(label, sizeof label, &o->args[k]);
        code = table_convert(&tables[k], is_index(op, k, &tables[k]) ? KCL_I64 : *dtype, label, f);
    }
    return code;
}

int64_t axis_length(const options *o, const table *tables, kcl_role role)
{
    for (int k = 0; k < o->arg_count; k++)
        if (o->args[k].role == role)
            return tables[k].rows;
    return 1;
}

int check_outs(const options *o, fault *f)
{
    for (int k = 0; k < o->out_count; k++)
        if (o->json && strcmp(o->outs[k], "-") == 0)
            return fail(f, EXIT_USAGE, "--json and --out - would both write to standard output");
    return EXIT_DONE;
}

int save_results(const options *o, const table *outs, int count, fault *f)
{
    bool shown = false;
    int code = EXIT_DONE;
    if (o->out_count == 0 && o->json)
        return EXIT_DONE;
    output *files = calloc((size_t)count + 1, sizeof *files);
    if (!files)
        return fail_memory(f);
    for (int k = 0; !code && k < count; k++) {
        const char *path = o->out_count ? o->outs[k] : "-";
        bool standard = strcmp(path, "-") == 0;
        if (standard && shown)
            putchar('\n');
        shown |= standard;
        code = output_write(&files[k], &outs[k], path, f);
        for (int other = 0; !code && files[k].target && other < k; other++)
            if (files[other].target && strcmp(files[k].target, files[other].target) == 0)
                code = fail(f, EXIT_USAGE, "--out %s and --out %s are one file: results would overwrite each other",
                            o->outs[other], path);
    }
    for (int k = 0; !code && k < count; k++)
        code = output_commit(&files[k], f);
    for (int k = 0; k < count; k++)
        output_abandon(&files[k]);
    free(files);
    return code;
}
