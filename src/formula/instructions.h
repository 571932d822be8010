/* SPDX-License-Identifier: MIT */
/*
 * formula/instructions.h: formulas as lists of instructions, which interp.c compiles and frame.c runs.
 *
 * Instructions are sorted by what they depend on: parameters alone, the row, the column, both. A value that depends on
 * columns is an array [component][column of the block], any other value an array [component]. Values that only their
 * own group reads give their memory back after the last use.
 */
#ifndef KF_INSTRUCTIONS_H
#define KF_INSTRUCTIONS_H

#include "interp.h"

/* The groups of instructions are the sets of axes. */
enum { LAUNCH = 0, ROW = KF_AXIS_I, COLUMN = KF_AXIS_J, PAIR = KF_AXIS_I | KF_AXIS_J, GROUPS };

/* The place of a value: `offset` in doubles, or in blocks of columns. */
typedef struct place {
    int64_t offset;
    int32_t dim;
    bool columns;
} place;

/*
 * Components to, to+1, ... of a COPY node: `count` components of operand `arg` from component `from` on; zeros if arg <
 * 0.
 */
typedef struct copy_run {
    int64_t to, from, count;
    int arg, stride;
} copy_run;

typedef struct instruction {
    place out;
    place arg[KF_MAX_ARGS];
    uint32_t producer[KF_MAX_ARGS]; /* the instruction that computes arg[k] */
    uint32_t last_use;              /* the last instruction that reads the value, or KEPT */
    uint8_t op, arg_count;
    uint8_t role, kind;
    int64_t index;     /* of a variable */
    int64_t n;         /* first parameter */
    int64_t number[3]; /* of Index */
    double value;      /* of a constant */
    size_t run, run_count;
} instruction;

#define KEPT UINT32_MAX

struct kf_interp {
    kcl_allocator allocator;
    instruction *instructions;
    size_t first[GROUPS + 1]; /* instructions of a group: from first[group] to first[group + 1] */
    copy_run *runs;
    size_t run_count, run_capacity;
    place *roots;
    size_t root_count;
    int64_t scalar_count; /* doubles of a frame that do not depend on columns */
    int64_t block_count;  /* blocks of columns of a frame */
    int64_t call_count;   /* doubles in which a function of whole vectors works, its operands and result among them */
    int columns;          /* of a block */
};

struct kf_frame {
    const kf_interp *interp;
    double *scalars, *blocks, *calls;
    const kf_source *sources;
    const double *const *acc;
    int64_t row, column;
    int count; /* columns of the block that is held, 0: none */
};

#endif
