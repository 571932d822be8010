/* SPDX-License-Identifier: MIT */
/*
 * plan/plan.h: a sweep on a device: rewritten formulas, how often each value is computed, the schedule.
 *
 * A plan is a pure function of a sweep, a number type, capabilities and a size class. Rows are i, columns j.
 */
#ifndef KP_PLAN_H
#define KP_PLAN_H

#include "caps.h"
#include "expand.h"
#include "reduction.h"

/*
 * One axis runs over the lanes of a vector. The other axis is streamed past the lanes, a block of a few elements at a
 * time. The schedule says what lanes are and how the streamed elements get to the lanes.
 */
typedef enum kp_schedule {
    KP_BY_LANES,       /* CPUs: vector registers, columns read where they are; work-groups of one work-item */
    KP_BY_ROWS,        /* GPUs: a few rows a work-item, columns through local memory */
    KP_BY_CONTRACTION, /* GPUs: a block of rows and columns a work-item; vectors through local memory, in chunks */
} kp_schedule;

/* Which axes there are, and where states are merged. */
typedef enum kp_shape {
    KP_MAP,        /* no columns: outputs are computed from rows alone; lanes over rows */
    KP_ROWS,       /* lanes over rows, columns streamed, one pass */
    KP_ROWS_SPLIT, /* as KP_ROWS for many columns: work-groups divide them, a second kernel merges states */
    KP_COLUMNS,    /* very few rows: lanes over columns, rows streamed; states merged by a second kernel */
    KP_ROWS_BOTH,  /* both axes reduced: lanes over rows, a state a work-group, merged by a second kernel */
    KP_SHAPE_COUNT
} kp_shape;

typedef struct kp_choice {
    kp_schedule schedule;
    kp_shape shape;
    int states;   /* KP_COLUMNS on GPUs: rows whose states a work-item keeps; else 0 */
    bool forced;  /* chosen by name: another schedule does not take its place */
    bool expand;  /* expand squared distances (expand.h): for callers who supply the centres; see kp_screens */
    bool decided; /* the device decides between two plans, expanded or not: see `guards` of the plan */
    int group;    /* batches of few rows on GPUs: work-items of a work-group, at most; 0: no limit */
    bool fast;    /* elementary functions of cl/fast.cl in place of the functions of cl/math.cl */
    bool empty;   /* nothing is reduced: factors stay in sums, since 0 times an infinite factor is not 0 */
} kp_choice;

/* What a launch goes through. */
typedef struct kp_sizes {
    int64_t rows, cols;
    int64_t batches; /* batches that have results of their own */
    int64_t each;    /* reduced batches of each of these; 1 if no batch is reduced */
} kp_sizes;

/*
 * Batch axes of a launch, merged as far as the arrays allow. The first `outer` axes have results. The other `each` axes
 * are reduced, and the sweep's `reduced` then has KF_AXIS_EACH. All zero: no batch axis.
 */
typedef struct kp_batches {
    int outer, each;
    const uint8_t *axes; /* by variable: bit k if the variable has axis k */
} kp_batches;

/*
 * How often a value is computed, as a set: {} once a launch, {LANE} once per lane, {STREAM} once per streamed element,
 * both once per pair.
 */
enum { KP_LANE = 1, KP_STREAM = 2 };

typedef struct kp_request {
    const kr_sweep *sweep;
    kcl_dtype dtype;
    const kp_caps *caps;
    kp_choice choice;
    const bool *dense; /* by variable: the rows follow each other in memory without a gap; NULL: for all variables */
    kp_batches batches;
} kp_request;

/* A value that is computed once a launch, into device memory: components at, at + 1, ... of a variable. */
typedef struct kp_prepared {
    const kf_node *value;
    size_t var;
    int at;
} kp_prepared;

/* Loops over the components of vectors. */
typedef enum kp_loops {
    KP_LOOPS_LEFT,     /* as compilers like */
    KP_LOOPS_UNROLLED, /* straight code, so that vectors are in registers, which have no index */
    KP_LOOPS_WIDE,     /* the same for all that columns meet; the totals of long sums are in private memory, in loops */
    KP_LOOPS_SHORT     /* straight code of four components: all vectors are in private memory */
} kp_loops;

typedef struct kp_plan {
    kf_graph graph;       /* of the rewritten formulas */
    kp_schedule schedule; /* KP_BY_ROWS if the contraction schedule cannot run the formula and was not forced */
    kp_shape shape;
    kcl_dtype dtype;
    unsigned reduced;
    int group;  /* work-items of a work-group */
    int lanes;  /* elements of a vector: as many as the device has, fewer if private memory or registers are short */
    int stream; /* streamed elements of a block */
    int tile;   /* streamed elements whose sum is kept apart in blocked summation: a multiple of `stream` */
    unsigned lane_axis, stream_axis; /* KF_AXIS_ bits; stream_axis 0 for KP_MAP */
    bool fast, empty;                /* kp_choice */
    bool slow_divider;               /* kp_caps */
    bool one_block; /* a launch has a work-group (finish: a work-item) of its own for each block of rows */
    bool native;    /* the functions of the device are good enough if the functions of the library would be slower */
    bool many_periodic; /* sines and the like are the driver's functions: short text, and on GPUs one text each */
    kp_loops loops;

    /* KP_BY_ROWS: a column in local memory, one variable after another. */
    int record;  /* numbers of a column; 0: columns are read where they are in global memory */
    int *offset; /* by variable: the place of its first number in the column */

    /* KP_BY_CONTRACTION: sums over the index of vectors of dimension `contracted`, `chunk` components at a time. */
    int contracted, chunk;
    int row_operands, column_operands; /* vectors that are staged */

    /*
     * The sweep's variables; then parameters, which are the centres of expanded distances, if terms are screened two
     * margins a term (cl/reduce/candidates.cl), and if the device decides two sizes a distance, max |a - c|^2 and
     * max |b - c|^2; then the prepared variables.
     */
    size_t var_count, centre_count, size_count, prepared_vars;
    bool screens;
    kr_var *vars;
    bool *dense;                     /* see kp_request; prepared variables are dense */
    int outer_batches, each_batches; /* numbers of axes, see kp_batches */
    uint8_t *batched; /* by variable: its batch axes; prepared variables have the axes of their operands */
    bool *private;    /* by variable: a lane variable in private memory; other variables are read where they are */

    /* Prepared values depend on the streamed axis alone; in contractions on either axis alone. */
    size_t prepared_count;
    kp_prepared *prepared;

    size_t term_count;
    kr_term *terms;
    const kf_node **exact; /* by term: compares its candidates; NULL: the term is not screened */
    bool deferred;         /* `finish` looks again at the blocks of all parts */
    size_t output_count;
    const kf_node **outputs;
    bool *scaled; /* by output: kr_scale */

    /*
     * If the device decides: numbers of parameters and sizes, which are bounds on errors and the sizes themselves, in
     * multiples of the largest that may be. If no number exceeds KP_BOUND_LIMIT the kernels of the expanded plan do the
     * work, else the kernels of the plan that is not expanded. The kernels of the other plan return at once. NaN exceeds.
     */
    bool expanded;
    size_t guard_count;
    const kf_node **guards;
} kp_plan;

/*
 * Chooses schedule and shape for numbers of rows and columns; kp_choose_for heeds batches too. `name`: NULL or "" to
 * choose by rule, else "lanes", "rows", "contraction", "split" or "columns". Errors: KCL_ERROR_ARGUMENT (the name is
 * not known), KCL_ERROR_UNSUPPORTED.
 */
kcl_status kp_choose(const kr_sweep *sweep, const kp_caps *caps, kcl_dtype dtype, int64_t rows, int64_t cols,
                     const char *name, kp_choice *choice, kb_error *err);
kcl_status kp_choose_for(const kr_sweep *sweep, const kp_caps *caps, kcl_dtype dtype, const kp_sizes *sizes,
                         const char *name, kp_choice *choice, kb_error *err);
const char *kp_shape_name(kp_shape shape);
kcl_status kp_check_schedule_name(const char *name, kb_error *err);

/*
 * Returns whether the terms of an ArgMin can be screened: expanded distances find candidates, and `finish` compares the
 * candidates by differences. GPUs do not screen, because a row with many candidates would take a work-group of its own.
 */
bool kp_screens(const kp_choice *choice);

/*
 * Creates the plan of a request, which kp_plan_destroy destroys. *plan is NULL after an error. Errors:
 * KCL_ERROR_UNSUPPORTED (double on a device without double, formulas of too many operators, vectors too long for
 * private memory, a forced schedule that cannot run the formula), KCL_ERROR_NO_MEMORY.
 */
kcl_status kp_plan_create(kp_plan **plan, const kp_request *request, kb_error *err);
void kp_plan_destroy(kp_plan **plan);

/* Returns how often a node is computed, as a set of KP_LANE and KP_STREAM. */
unsigned kp_class(const kp_plan *plan, const kf_node *f);

/*
 * How the kernels of a plan are started, in work-groups of plan->group work-items. The plan, the capabilities and the
 * sizes alone tell the number of parts, so that results do not depend on anything else.
 */
typedef struct kp_launch {
    size_t prepare_items[2]; /* work-items of the kernels `prepare_rows` and `prepare`; 0: the kernel does not exist */
    size_t sweep_items[2];   /* work-items of `sweep`: lane blocks or row groups, parts; 0: the kernel does not exist */
    size_t finish_items;     /* work-items of `finish`; 0: the kernel does not exist */
    int64_t parts;           /* states a row that `finish` merges */
    int64_t part_length;     /* columns of a part */
    int64_t each_parts, each_length; /* parts of the reduced batches, batches of a part */
    int64_t prepared_elements;       /* numbers in the memory of all prepared values */
    int64_t partial_elements;        /* numbers in the memory of states */
} kp_launch;

void kp_launch_for(const kp_plan *plan, const kp_caps *caps, int64_t rows, int64_t cols, kp_launch *launch);

/* As kp_launch_for, with batches: the work-items of one batch, the memory of all batches. */
void kp_launch_batches(const kp_plan *plan, const kp_caps *caps, const kp_sizes *sizes, kp_launch *launch);

/*
 * Returns whether node f of a term is a sum over the vector index that the contraction schedule computes: a sum of a
 * function of one component of row and column vectors.
 */
bool kp_is_contraction(const kp_plan *plan, const kf_node *f);

/* Returns the row of a term's reduction in the table of kernels: kr_screened for screened terms, else kr_get. */
const kr_reduction *kp_reduction(const kp_plan *plan, size_t term);

int kp_numbers(const kp_plan *plan); /* the most numbers that the state of a component has: R_NUMBERS of cl/reduce.cl */

/* Returns the numbers of the closed state of a term, all components together: numbers a row in the memory of states. */
int64_t kp_state_dim(const kp_plan *plan, size_t term);

/* Returns whether the sweep of a plan declares an array of a term's reduction. */
bool kp_has_array(const kp_plan *plan, const kr_array *array);

/* Writes the plan's choices, a "key: value" a line. */
void kp_describe(const kp_plan *plan, kb_str *out);

#endif
