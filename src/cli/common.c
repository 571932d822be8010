/* SPDX-License-Identifier: MIT */
/* cli/common.c: contexts, operators, arrays and output, as the commands need them. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *dtype_name(kcl_dtype dtype)
{
    return dtype == KCL_I64 ? "i64" : dtype == KCL_F64 ? "f64" : "f32";
}

const char *role_name(kcl_role role)
{
    return role == KCL_ROLE_I ? "Vi" : role == KCL_ROLE_J ? "Vj" : "Pm";
}

/* ---- Contexts and operators -------------------------------------------------------------------------------------- */

int fail_context(const kcl_context *context, kcl_status status, fault *f)
{
    const char *text = context ? kcl_context_error(context) : "";
    if (status == KCL_ERROR_CANCELLED)
        return fail(f, EXIT_INTERRUPTED, "interrupted");
    return fail(f, EXIT_COMPUTATION, "%s", *text ? text : kcl_status_text(status));
}

int open_context(kcl_context **context, const char *device, fault *f)
{
    kcl_context_params params = {.device = device};
    kcl_status status = kcl_context_create(context, &params);
    return status < 0 ? fail_context(*context, status, f) : EXIT_DONE;
}

int make_operator_of(kcl_operator **op, const char *formula, int alias_count, const char *const *aliases,
                     const options *o, fault *f)
{
    const kcl_operator_params params = {.schedule = o->schedule, .math = o->math};
    kcl_status status = kcl_operator_create(op, formula, alias_count, aliases, &params);
    if (status >= 0)
        return EXIT_DONE;
    bool machine = status == KCL_ERROR_NO_MEMORY || status == KCL_ERROR_INTERNAL;
    const char *text = *op ? kcl_operator_error(*op) : "";
    return fail(f, machine ? EXIT_COMPUTATION : EXIT_USAGE, "%s", *text ? text : kcl_status_text(status));
}

bool formula_uses(const char *formula, const char *name, int index)
{
    size_t wanted = strlen(name);
    for (const char *p = formula; *p;) {
        size_t length = 0;
        while (isalnum((unsigned char)p[length]) || p[length] == '_' || (length && p[length] == '.'))
            length++;
        if (length == wanted && strncmp(p, name, length) == 0)
            return true;
        if (length == 3 && strncmp(p, "Var", 3) == 0) {
            const char *q = p + 3 + strspn(p + 3, " \t");
            char *end;
            if (*q == '(') {
                const long number = strtol(q + 1, &end, 10);
                end += strspn(end, " \t");
                if (number == index || *end != ',') /* a number that is computed may be any */
                    return true;
            }
        }
        p += length ? length : 1;
    }
    return false;
}

int make_operator(kcl_operator **op, const options *o, const int *dims, fault *f)
{
    enum { ALIAS_SIZE = sizeof((argument *)0)->name + 32 };
    int count = o->arg_count, code;
    char *made = dims ? malloc((size_t)count * ALIAS_SIZE + 1) : NULL;
    const char **aliases = malloc((size_t)count * sizeof *aliases + 1);
    *op = NULL;
    if (!aliases || (dims && !made)) {
        code = fail_memory(f);
    } else {
        for (int k = 0; k < count; k++) {
            const argument *a = &o->args[k];
            char *text = dims ? made + (size_t)k * ALIAS_SIZE : NULL;
            if (dims)
                snprintf(text, ALIAS_SIZE, "%s = %s(%d)", a->name, role_name(a->role), dims[k]);
            aliases[k] = dims ? text : a->text;
        }
        code = make_operator_of(op, o->positional[0], count, aliases, o, f);
    }
    free(made);
    free(aliases);
    return code ? code : check_parameters(o, !dims, f);
}

int check_parameters(const options *o, bool shapes, fault *f)
{
    for (int k = 0; k < o->arg_count; k++) {
        const argument *a = &o->args[k];
        const char *inside = shapes ? strchr(a->text, '(') : NULL;
        int index = inside && strchr(inside, ',') ? (int)strtol(inside + 1, NULL, 10) : k;
        /* Rows tell how long an axis is, whether the formula uses them or not. */
        if (a->role == KCL_ROLE_PARAMETER && !formula_uses(o->positional[0], a->name, index))
            return fail(f, EXIT_USAGE, "the formula does not use parameter '%s'", a->name);
    }
    return EXIT_DONE;
}

/* ---- Arrays ------------------------------------------------------------------------------------------------------ */

kcl_array array_of_table(const table *t, kcl_role role)
{
    int64_t shape[2] = {t->rows, t->columns}, flat[1] = {t->rows * t->columns};
    return role == KCL_ROLE_PARAMETER ? kcl_array_of(t->values, t->dtype, 1, flat)
                                      : kcl_array_of(t->values, t->dtype, 2, shape);
}

int table_for_slot(table *t, const kcl_slot_info *slot, kcl_dtype dtype, int64_t m, int64_t n, fault *f)
{
    int64_t rows = slot->role == KCL_ROLE_I ? m : slot->role == KCL_ROLE_J ? n : 1;
    int code = table_create(t, slot->dtype ? slot->dtype : dtype, rows, slot->dim, f);
    if (slot->role == KCL_ROLE_PARAMETER)
        t->axes = 1;
    return code;
}

void axis_lengths(const kcl_operator *op, int64_t *m, int64_t *n)
{
    bool has_i = false, has_j = false;
    for (int k = 0; k < kcl_operator_input_count(op); k++) {
        kcl_slot_info slot;
        kcl_operator_input(op, k, &slot);
        has_i = has_i || slot.role == KCL_ROLE_I;
        has_j = has_j || slot.role == KCL_ROLE_J;
    }
    *m = has_i ? *m : 1;
    *n = has_j ? *n : 1;
}

int apply_operator(const kcl_operator *op, kcl_context *context, const table *outs, const table *args, int arg_count,
                   fault *f)
{
    int out_count = kcl_operator_output_count(op), code = EXIT_DONE;
    size_t count = (size_t)(out_count > 0 ? out_count : 0) + (size_t)arg_count;
    kcl_array *arrays = malloc(count * sizeof *arrays + 1);
    const kcl_array **pointers = malloc(count * sizeof *pointers + 1);
    if (!arrays || !pointers) {
        code = fail_memory(f);
        goto done;
    }
    for (int k = 0; k < (int)count; k++) {
        kcl_slot_info slot = {.role = KCL_ROLE_I};
        bool is_out = k < out_count;
        /* A surplus argument has no slot; the call below reports it. */
        if (is_out)
            kcl_operator_output(op, k, &slot);
        else if (k - out_count < kcl_operator_input_count(op))
            kcl_operator_input(op, k - out_count, &slot);
        arrays[k] = array_of_table(is_out ? &outs[k] : &args[k - out_count], slot.role);
        pointers[k] = &arrays[k];
    }
    begin_computation(context);
    kcl_status status = kcl_operator_apply(op, context, pointers, out_count, pointers + out_count, arg_count);
    end_computation();
    if (status < 0)
        code = fail_context(context, status, f);
done:
    free(arrays);
    free(pointers);
    return code;
}

void tables_free(table *tables, int count)
{
    for (int k = 0; tables && k < count; k++)
        table_free(&tables[k]);
    free(tables);
}

/* ---- Output ------------------------------------------------------------------------------------------------------ */

void buffer_write(void *buffer_, const char *text, size_t length)
{
    buffer *b = buffer_;
    if (b->failed)
        return;
    if (length > b->capacity - b->length) {
        size_t grown = 2 * b->capacity + length + 4096;
        char *moved = realloc(b->text, grown);
        if (!moved) {
            b->failed = true;
            return;
        }
        b->text = moved;
        b->capacity = grown;
    }
    memcpy(b->text + b->length, text, length);
    b->length += length;
}

int buffer_show(buffer *b, fault *f)
{
    int code = b->failed ? fail_memory(f) : EXIT_DONE;
    if (!code && b->length) {
        errno = 0;
        if (b->text[b->length - 1] != '\n')
            buffer_write(b, "\n", 1);
        if (fwrite(b->text, 1, b->length, stdout) < b->length)
            code = fail_output(f);
    }
    buffer_free(b);
    return code;
}

void buffer_free(buffer *b)
{
    free(b->text);
    *b = (buffer){0};
}

void write_stdout(void *unused, const char *text, size_t length)
{
    (void)unused;
    fwrite(text, 1, length, stdout);
}

/* Length of the UTF-8 character at `p`; 0: no character. */
static size_t utf8_length(const unsigned char *p)
{
    if (*p < 0x80)
        return 1;
    size_t length = *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
    for (size_t k = 1; k < length; k++)
        if ((p[k] & 0xc0) != 0x80)
            return 0;
    bool overlong = (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xf0 && p[1] < 0x90);
    bool surrogate = *p == 0xed && p[1] >= 0xa0, beyond = *p == 0xf4 && p[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

void print_json_string(const char *text)
{
    putchar('"');
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t length = utf8_length(p);
        if (*p == '"' || *p == '\\')
            printf("\\%c", *p);
        else if (*p < ' ' || *p == 127)
            printf("\\u%04x", *p);
        else if (length == 0)
            fputs("\\ufffd", stdout);
        else
            fwrite(p, 1, length, stdout);
        p += length ? length : 1;
    }
    putchar('"');
}

/* ---- Small things ------------------------------------------------------------------------------------------------ */

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}
