/* SPDX-License-Identifier: MIT */
/* cli/options.c: reads a command line by two tables: the table of the command and the table below. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int read_argument(options *o, const char *text, unsigned style, fault *f);
static int read_out(options *o, const char *text, fault *f);
static int read_dtype(options *o, const char *text, fault *f);
static int read_missing(options *o, const char *text, fault *f);
static int read_size(int64_t *size, const char *name, const char *text, fault *f);
static int read_seed(options *o, const char *text, fault *f);
static int read_solve(options *o, const char *name, const char *text, fault *f);

enum { NAME_SIZE = sizeof((argument *)0)->name };

static const struct option_row {
    const char *name;
    unsigned commands; /* a command takes the option if the command has one of these bits */
    const char *value; /* what follows the option, for messages; NULL: nothing */
} rows[] = {
    {"--arg", OPTION_ARG_VALUES, "NAME=Vi:FILE, NAME=Vj:FILE or NAME=Pm:NUMBER"},
    {"--arg", OPTION_ARG_SHAPES, "NAME=Vi(DIM), NAME=Vj(DIM) or NAME=Pm(DIM)"},
    {"--out", OPTION_OUT, "a file name"},
    {"--dtype", OPTION_DTYPE, "f32 or f64"},
    {"--device", OPTION_DEVICE, "a device"},
    {"--json", OPTION_JSON, NULL},
    {"--m", OPTION_SIZES, "a size"},
    {"--n", OPTION_SIZES, "a size"},
    {"--d", OPTION_D, "a dimension"},
    {"--seed", OPTION_SEED, "a number"},
    {"--case", OPTION_CASE, "the name of a case"},
    {"--schedule", OPTION_SCHEDULE, "the name of a schedule"},
    {"--math", OPTION_MATH, "precise or fast"},
    {"--missing", OPTION_MISSING, "error or nan"},
    {"--dense", OPTION_DENSE, NULL},
    {"--alpha", OPTION_SOLVE, "a number"},
    {"--noise", OPTION_SOLVE, "a file"},
    {"--tol", OPTION_SOLVE, "a number"},
    {"--absolute", OPTION_SOLVE, "a number"},
    {"--max-iterations", OPTION_SOLVE, "a number"},
    {"--start", OPTION_SOLVE, "a file"},
    {"--check", OPTION_SOLVE, NULL},
};

static int read_option(options *o, const struct option_row *row, const char *value, fault *f)
{
    switch (row->commands) {
    case OPTION_ARG_VALUES:
    case OPTION_ARG_SHAPES:
        return read_argument(o, value, row->commands, f);
    case OPTION_OUT:
        return read_out(o, value, f);
    case OPTION_DTYPE:
        return read_dtype(o, value, f);
    case OPTION_DEVICE:
        o->device = value;
        return EXIT_DONE;
    case OPTION_JSON:
        o->json = true;
        return EXIT_DONE;
    case OPTION_SIZES:
        return read_size(row->name[2] == 'm' ? &o->m : &o->n, row->name, value, f);
    case OPTION_D:
        return read_size(&o->d, row->name, value, f);
    case OPTION_SEED:
        return read_seed(o, value, f);
    case OPTION_SCHEDULE:
        o->schedule = value;
        return EXIT_DONE;
    case OPTION_MATH:
        o->math = value;
        return EXIT_DONE;
    case OPTION_MISSING:
        return read_missing(o, value, f);
    case OPTION_DENSE:
        o->dense = true;
        return EXIT_DONE;
    case OPTION_SOLVE:
        return read_solve(o, row->name, value, f);
    case OPTION_CASE:
        o->case_name = value;
        return EXIT_DONE;
    }
    return fail(f, EXIT_USAGE, "option %s is not handled", row->name);
}

int options_read(options *o, const command *c, int argc, char **argv, fault *f)
{
    int positional = 0;
    bool only_words = false; /* behind "--" */
    *o = (options){.m = -1, .n = -1, .d = -1, .seed = 1};
    o->args = calloc((size_t)argc + 1, sizeof *o->args);
    o->outs = calloc((size_t)argc + 1, sizeof *o->outs);
    if (!o->args || !o->outs)
        return fail_memory(f);
    for (int k = 0; k < argc; k++)
        if (strcmp(argv[k], "--help") == 0 || strcmp(argv[k], "-h") == 0) {
            o->help = true;
            return EXIT_DONE;
        }
    for (int k = 0; k < argc; k++) {
        const char *word = argv[k];
        if (only_words || word[0] != '-') {
            if (positional >= 2 || !c->positional[positional])
                return fail(f, EXIT_USAGE, "'%s' is one word too many; see keopscl %s --help", word, c->name);
            o->positional[positional++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            only_words = true;
            continue;
        }
        const struct option_row *row = NULL;
        size_t length = strcspn(word, "=");
        for (size_t r = 0; r < COUNT(rows); r++)
            if ((rows[r].commands & c->options) && strncmp(rows[r].name, word, length) == 0 && !rows[r].name[length])
                row = &rows[r];
        if (!row)
            return fail(f, EXIT_USAGE, "there is no option %.*s; see keopscl %s --help", (int)length, word, c->name);
        const char *value = word[length] ? word + length + 1 : NULL;
        if (row->value && !value) {
            if (k + 1 >= argc)
                return fail(f, EXIT_USAGE, "%s needs a value: %s", row->name, row->value);
            value = argv[++k];
        } else if (!row->value && value) {
            return fail(f, EXIT_USAGE, "%s takes no value", row->name);
        }
        int code = read_option(o, row, value, f);
        if (code)
            return code;
    }
    if (positional < 2 && c->positional[positional])
        return fail(f, EXIT_USAGE, "%s is missing; see keopscl %s --help", c->positional[positional], c->name);
    return EXIT_DONE;
}

void options_free(options *o)
{
    free(o->args);
    free(o->outs);
    *o = (options){0};
}

static const char *skip_blanks(const char *p)
{
    while (isspace((unsigned char)*p))
        p++;
    return p;
}

static size_t word_length(const char *p)
{
    size_t length = 0;
    while (isalnum((unsigned char)p[length]) || p[length] == '_')
        length++;
    return isdigit((unsigned char)*p) ? 0 : length;
}

static int read_argument(options *o, const char *text, unsigned style, fault *f)
{
    bool values = style == OPTION_ARG_VALUES;
    const char *forms = values ? "Vi:FILE, Vj:FILE or Pm:NUMBER" : "Vi(DIM), Vj(DIM) or Pm(DIM)";
    argument *a = &o->args[o->arg_count];
    const char *p = skip_blanks(text);
    size_t length = word_length(p);
    a->text = text;
    if (length >= NAME_SIZE)
        return fail(f, EXIT_USAGE, "--arg %s: a name has at most %d letters", text, (int)NAME_SIZE - 1);
    memcpy(a->name, p, length);
    p = skip_blanks(p + length);
    if (length == 0 || *p != '=')
        return fail(f, EXIT_USAGE, "--arg %s: a name, '=' and a value are wanted: NAME=%s", text, forms);
    for (int k = 0; k < o->arg_count; k++)
        if (strcmp(o->args[k].name, a->name) == 0)
            return fail(f, EXIT_USAGE, "argument '%s' is given twice", a->name);
    p = skip_blanks(p + 1);
    if (*p == 0)
        return fail(f, EXIT_USAGE, "argument '%s' has no value; write %s=%s", a->name, a->name, forms);

    table numbers;
    if (values && table_parse(&numbers, p)) { /* a bare number is a parameter */
        table_free(&numbers);
        a->role = KCL_ROLE_PARAMETER;
        a->value = p;
        o->arg_count++;
        return EXIT_DONE;
    }
    length = word_length(p);
    const char *role = p;
    for (a->role = KCL_ROLE_I; a->role <= KCL_ROLE_PARAMETER; a->role++)
        if (length == 2 && strncmp(role, role_name(a->role), 2) == 0)
            break;
    if (a->role > KCL_ROLE_PARAMETER)
        return fail(f, EXIT_USAGE, "argument '%s': the role '%.*s' is unknown; roles are Vi, Vj and Pm", a->name,
                    (int)strcspn(role, ":("), role);
    p = skip_blanks(p + length);
    if (*p != (values ? ':' : '('))
        return fail(f, EXIT_USAGE, "argument '%s': this command wants %s=%s", a->name, a->name, forms);
    p++;
    if (values && *p == 0)
        return fail(f, EXIT_USAGE, "argument '%s' has no value behind '%s'", a->name, text);
    if (values)
        a->value = p;
    if (values && a->role != KCL_ROLE_PARAMETER && table_parse(&numbers, p)) {
        table_free(&numbers);
        return fail(f, EXIT_USAGE, "argument '%s': a number is a parameter, %s=Pm:%s; a file of that name is ./%s",
                    a->name, a->name, p, p);
    }
    for (int k = 0; values && k < o->arg_count; k++)
        if (strcmp(p, "-") == 0 && strcmp(o->args[k].value, "-") == 0)
            return fail(f, EXIT_USAGE, "arguments '%s' and '%s' cannot both be read from standard input",
                        o->args[k].name, a->name);
    o->arg_count++;
    return EXIT_DONE;
}

static int read_out(options *o, const char *text, fault *f)
{
    if (*text == 0)
        return fail(f, EXIT_USAGE, "--out needs a file name");
    for (int k = 0; k < o->out_count; k++)
        if (strcmp(text, "-") != 0 && strcmp(o->outs[k], text) == 0)
            return fail(f, EXIT_USAGE, "--out %s is given twice: results would overwrite each other", text);
    o->outs[o->out_count++] = text;
    return EXIT_DONE;
}

static int read_dtype(options *o, const char *text, fault *f)
{
    for (o->dtype = KCL_F32; o->dtype <= KCL_F64; o->dtype++)
        if (strcmp(text, dtype_name(o->dtype)) == 0)
            return EXIT_DONE;
    return fail(f, EXIT_USAGE, "--dtype '%s': the types are f32 and f64", text);
}

static int read_missing(options *o, const char *text, fault *f)
{
    o->missing = strcmp(text, "nan") == 0 ? MISSING_IS_NAN : MISSING_IS_ERROR;
    if (o->missing == MISSING_IS_ERROR && strcmp(text, "error") != 0)
        return fail(f, EXIT_USAGE, "--missing '%s': missing values are 'error' or 'nan'", text);
    return EXIT_DONE;
}

static int read_size(int64_t *size, const char *name, const char *text, fault *f)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || isspace((unsigned char)*text))
        return fail(f, EXIT_USAGE, "%s '%s' is not a whole number", name, text);
    if (errno == ERANGE && value > 0)
        return fail(f, EXIT_USAGE, "%s %s is too large", name, text);
    if (value < 0)
        return fail(f, EXIT_USAGE, "%s %s: a size cannot be negative", name, text);
    *size = value;
    return EXIT_DONE;
}

static int read_seed(options *o, const char *text, fault *f)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno == ERANGE)
        return fail(f, EXIT_USAGE, "--seed '%s' is not a whole number from 0 to 18446744073709551615", text);
    o->seed = value;
    return EXIT_DONE;
}

/* The options of linear systems. */
static int read_solve(options *o, const char *name, const char *text, fault *f)
{
    const struct {
        const char *name;
        double *number;
        bool may_be_zero;
    } numbers[] = {{"--alpha", &o->alpha, true}, {"--tol", &o->tolerance, false}, {"--absolute", &o->absolute, false}};
    for (size_t k = 0; k < COUNT(numbers); k++) {
        if (strcmp(name, numbers[k].name) != 0)
            continue;
        if (!parse_number(text, numbers[k].number) || !isfinite(*numbers[k].number) ||
            !(numbers[k].may_be_zero ? *numbers[k].number >= 0 : *numbers[k].number > 0))
            return fail(f, EXIT_USAGE, "%s '%s': it must be a number, %s", name, text,
                        numbers[k].may_be_zero ? "0 or more" : "above 0");
        return EXIT_DONE;
    }
    if (strcmp(name, "--max-iterations") == 0) {
        int code = read_size(&o->max_iterations, name, text, f);
        return code || o->max_iterations ? code : fail(f, EXIT_USAGE, "%s 0: at least 1 is possible", name);
    }
    if (strcmp(name, "--check") == 0)
        o->check = true;
    else
        *(strcmp(name, "--noise") == 0 ? &o->noise : &o->start) = text;
    return EXIT_DONE;
}
