/* SPDX-License-Identifier: MIT */
/*
 * program/program.h: formulas compiled to steps. A program knows no device and no array: it says which sweeps, gathers and
 * scatters compute the results, in which order, and what each of them reads and writes.
 */
#ifndef KG_PROGRAM_H
#define KG_PROGRAM_H

#include "batch.h"
#include "expand.h"
#include "reduction.h"
#include "reductions.h"

/* ---- What a program reads and writes ------------------------------------------------------------------------------ */

/*
 * An extent class is a number of rows: arrays of one class have the same number of rows whenever the program runs. Class
 * 0 is a single row. Where the numbers of rows are not known yet, as of an operator, the classes are the axes.
 */
enum { KG_EXTENT_I = 1, KG_EXTENT_J = 2, KG_EXTENT_BOTH = 3 /* an array stands on both axes: they are as long */ };

/* A slot is an array that a program reads. Variables of the graph have the slot's number as their index. */
typedef struct kg_slot {
    int32_t dim;
    int extent;       /* class */
    kg_batch batch;   /* batch axes that the formula knows; arrays of a call may bring others along */
    int64_t rows;     /* for messages about classes that clash; -1 where the number is not known yet */
    const char *name; /* for messages: "argument \"x\""; the caller's. A program keeps neither rows nor name */
} kg_slot;

/* A root is a result: its array has one row for each row of the extent class, of int64 where the root is an integer. */
typedef struct kg_root {
    int32_t dim;
    int extent;
    kf_kind kind;
    unsigned repeats; /* axes along which an integer is the same: computed once, copied */
} kg_root;

/*
 * A temporary is a result that later steps read. Temporaries that are never needed at the same time have the same place,
 * and then the same dimension, kind and extent class.
 */
typedef struct kg_temp {
    int32_t dim;
    int extent;
    kf_kind kind; /* KF_INT: of int64 */
    uint32_t place;
} kg_temp;

/* ---- Steps -------------------------------------------------------------------------------------------------------- */

/* Where an input of a step comes from, or an output goes: a slot (of an output: a root), or a temporary. */
typedef struct kg_place {
    bool is_temp;
    uint32_t index;
} kg_place;

/*
 * A sweep; or rows chosen by an index (a gather), the sums of rows that have an index (a scatter), and the values of
 * a formula as an index (whole). inputs[0] of the last three has the values, inputs[1] of a gather or scatter the index.
 */
typedef enum kg_step_kind { KG_SWEEP, KG_GATHER, KG_SCATTER, KG_WHOLE, KG_STEP_KINDS } kg_step_kind;

/* How the index of a gather or scatter numbers the rows of its table. */
typedef struct kg_chosen {
    kf_part part;
    unsigned axes;    /* that the index numbers, as the sweep that found the index has them */
    unsigned batches; /* batch axes among `axes` that the table has, KF_BATCH_AXIS */
    int extent[2];    /* classes of the axes i and j of that sweep */
} kg_chosen;

typedef struct kg_step {
    kg_step_kind kind;
    size_t input_count, output_count;
    kg_place *inputs;           /* of a sweep: by variable */
    kg_place *outputs;          /* of a sweep: by output */
    kr_sweep sweep;             /* of KG_SWEEP */
    kp_expansion *expansion;    /* of KG_SWEEP; NULL: no squared distance can be expanded */
    kg_chosen chosen;           /* of KG_GATHER and KG_SCATTER */
    int row_extent, col_extent; /* of what is no sweep: of the result, and of the values */
    kg_batch batch;             /* of the terms, as in slots */
    unsigned reduced_batches;   /* KF_BATCH_AXIS */
    unsigned numbered;          /* axes of the pair that have an Index in a formula of the sweep */
} kg_step;

/* ---- Programs ----------------------------------------------------------------------------------------------------- */

/* How squared distances are computed: by the data of each call, or as asked for. */
typedef enum kg_form { KG_FORM_AUTO, KG_FORM_DIFFERENCES, KG_FORM_EXPANDED, KG_FORMS } kg_form;

/* What a user asks for about the kernels. */
typedef struct kg_options {
    char schedule[16]; /* forced, or "" */
    kg_form form;
    bool fast; /* shorter elementary functions */
} kg_options;

/* Reads the word for `math`: NULL, "" and "precise", or "fast". *fast stays as it is where the word is refused. */
kcl_status kg_read_math(const char *word, bool *fast, kb_error *err);

/* Immutable, shared between threads. */
typedef struct kg_program {
    kf_graph graph;
    uint64_t key; /* of the structure: equal computations have equal keys in every process */
    size_t slot_count, root_count, step_count, temp_count;
    size_t place_count; /* of temporaries */
    bool repeats;       /* a root is repeated */
    kg_slot *slots;
    kg_root *roots;
    kg_step *steps;
    kg_temp *temps;
    int extent_count;      /* classes are below this number */
    uint32_t *extent_slot; /* by class: a slot that has it */
    kg_options options;
} kg_program;

/*
 * The key that a program of these roots and slots has before anything is compiled: roots and slots with equal keys make
 * equal programs. Rows and names of slots do not count.
 */
uint64_t kg_structure(size_t root_count, const kf_node *const *roots, size_t slot_count, const kg_slot *slots,
                      const kg_options *options);

/*
 * Compiles roots of `from`, whose variables are slots[0..slot_count). Errors in err: a root depends on both axes, lengths
 * clash, host memory is out; *program is NULL then. The caller destroys the program.
 */
kcl_status kg_program_create(kg_program **program, const kf_graph *from, size_t root_count, const kf_node *const *roots,
                             size_t slot_count, const kg_slot *slots, const kg_options *options, kb_error *err);
void kg_program_destroy(kg_program **program);

/* Refuses a root that depends on both axes, that is an array of integers itself, or whose length nothing tells. */
kcl_status kg_check_root(const kf_node *root, size_t number, kb_error *err);

#endif
