/* SPDX-License-Identifier: MIT */
/* cli/cli.h: what the commands of the keopscl tool share. The tool uses the library's public headers only. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "data.h"
#include "fault.h"

#include <keopscl/keopscl.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Command lines ----------------------------------------------------------------------------------------------- */

/* The options that a command takes, a set of bits. */
typedef enum option_bit {
    OPTION_ARG_VALUES = 1 << 0, /* --arg x=Vi:points.npy */
    OPTION_ARG_SHAPES = 1 << 1, /* --arg x=Vi(3) */
    OPTION_OUT = 1 << 2,
    OPTION_DTYPE = 1 << 3,
    OPTION_DEVICE = 1 << 4,
    OPTION_JSON = 1 << 5,
    OPTION_SIZES = 1 << 6, /* --m, --n */
    OPTION_D = 1 << 7,
    OPTION_SEED = 1 << 8,
    OPTION_CASE = 1 << 9,
    OPTION_SCHEDULE = 1 << 10,
    OPTION_MATH = 1 << 11,
    OPTION_MISSING = 1 << 12,
    OPTION_DENSE = 1 << 13,
    OPTION_SOLVE = 1 << 14, /* --alpha and the other options of linear systems */
} option_bit;

/* One --arg. */
typedef struct argument {
    const char *text; /* as written */
    char name[64];
    kcl_role role;
    const char *value; /* OPTION_ARG_VALUES: a file, "-", or numbers; the texts live as long as argv */
} argument;

/* A command line that was read. What was not given is NULL, KCL_DTYPE_NONE, or the value in the comment. */
typedef struct options {
    const char *positional[2];
    argument *args;
    int arg_count;
    const char **outs;
    int out_count;
    const char *device, *case_name, *schedule, *math;
    kcl_dtype dtype;
    missing_rule missing;
    int64_t m, n, d;                   /* -1: not given */
    uint64_t seed;                     /* 1 */
    double alpha, tolerance, absolute; /* 0: not given */
    int64_t max_iterations;            /* 0: not given */
    const char *noise, *start;         /* files */
    bool json, dense, check, help;
} options;

typedef struct command {
    const char *name;
    const char *positional[2]; /* names of the words without an option, all of which must be given */
    unsigned options;
    int (*run)(const options *o, fault *f);
    const char *help; /* 24 lines of 80 columns at most, with an example at the end that the tests run */
} command;

extern const command devices_command, run_command, solve_command, emit_command, grad_command, check_command,
    bench_command, doctor_command, cache_command;

/* Reads argv[0..argc), the words behind the command's name. options_free() in any case. */
int options_read(options *o, const command *c, int argc, char **argv, fault *f);
void options_free(options *o);

/* ---- Contexts and operators -------------------------------------------------------------------------------------- */

/* NULL as `device`: the device that KEOPSCL_DEVICE names. kcl_context_destroy() in any case. */
int open_context(kcl_context **context, const char *device, fault *f);

/*
 * An operator with the arguments of `o`: dims[k] components for arguments from files; NULL as `dims` if the texts hold
 * dimensions. Parameters that the formula does not use are refused. kcl_operator_destroy() in any case.
 */
int make_operator(kcl_operator **op, const options *o, const int *dims, fault *f);

/* The same for a formula and aliases as the library takes them. */
int make_operator_of(kcl_operator **op, const char *formula, int alias_count, const char *const *aliases,
                     const options *o, fault *f);

/* Refuses a parameter that the formula does not use. `shapes`: the arguments' texts hold numbers and dimensions. */
int check_parameters(const options *o, bool shapes, fault *f);

/* Reports the reason of a failed call on the context. */
int fail_context(const kcl_context *context, kcl_status status, fault *f);

/* Whether the formula names the argument, or has its number, as in Var(index,3,0). */
bool formula_uses(const char *formula, const char *name, int index);

const char *dtype_name(kcl_dtype dtype); /* "f32", as --dtype takes it */
const char *role_name(kcl_role role);    /* "Vi" */

/* Describes a table as the library wants it for a slot: (rows, columns), or (columns) for a parameter. */
kcl_array array_of_table(const table *t, kcl_role role);

/* Makes a table for a slot of the operator, with axes i and j of lengths m and n. The table of an index is of int64. */
int table_for_slot(table *t, const kcl_slot_info *slot, kcl_dtype dtype, int64_t m, int64_t n, fault *f);

/* Sets the length of an axis that no argument has to 1, as results have one row then. */
void axis_lengths(const kcl_operator *op, int64_t *m, int64_t *n);

/*
 * interrupt.c: once interrupts are taken, SIGINT ends the process with EXIT_INTERRUPTED and a message. During a
 * computation it cancels the call on the context, which then ends, and ends the process if that takes more than a
 * second.
 */
void take_interrupts(void);
void begin_computation(kcl_context *context);
void end_computation(void);

/* kcl_operator_apply on tables: counts and roles are the operator's. */
int apply_operator(const kcl_operator *op, kcl_context *context, const table *outs, const table *args, int arg_count,
                   fault *f);

/* Frees `count` tables and their array; NULL is accepted. */
void tables_free(table *tables, int count);

/* ---- Arguments from files, results to files: arguments.c ---------------------------------------------------------- */

/* Reads all arguments. *tables and *dims have o->arg_count elements, to be freed in any case. */
int load_arguments(table **tables, int **dims, const options *o, fault *f);

/*
 * Gives all arguments one type, float64 if all are files of integers. Files of integers that are an index of `op` keep
 * their type. NULL as `op`: there is no index.
 */
int convert_arguments(table *tables, kcl_dtype *dtype, const kcl_operator *op, const options *o, fault *f);

/*
 * The length of an axis: the length of the first argument with its role, or 1. The library compares the other
 * arguments.
 */
int64_t axis_length(const options *o, const table *tables, kcl_role role);

/* Refuses --json beside a result on standard output. */
int check_outs(const options *o, fault *f);

/* Writes all results. Files get their names only if no result failed. */
int save_results(const options *o, const table *outs, int count, fault *f);

/* ---- Output ------------------------------------------------------------------------------------------------------ */

/* A text that is shown only when it is complete. `= {0}` is empty. */
typedef struct buffer {
    char *text;
    size_t length, capacity;
    bool failed; /* memory ran out */
} buffer;

void buffer_write(void *buffer_, const char *text, size_t length); /* a kcl_write_fn */
int buffer_show(buffer *b, fault *f);                              /* to standard output; frees the text */
void buffer_free(buffer *b);

void write_stdout(void *unused, const char *text, size_t length); /* a kcl_write_fn */
void print_json_string(const char *text); /* with quotes; bytes that are not UTF-8 become U+FFFD */

/* ---- Small things ------------------------------------------------------------------------------------------------ */

double seconds_now(void); /* monotonic clock */

/* splitmix64: the next number of a sequence, uniform in [0,1). */
double random_next(uint64_t *state);

#endif
