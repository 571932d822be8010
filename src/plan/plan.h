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
 * One axis runs over the lanes of a vector, the other is streamed past them, a few elements a step. The schedule says
 * what lanes are and how the streamed elements get to them.
 */
typedef enum kp_schedule {
    KP_BY_LANES,       /* CPUs: vector registers, columns read where they are; work-groups of one work-item */
    KP_BY_ROWS,        /* GPUs: a few rows a work-item, columns through local memory */
    KP_BY_CONTRACTION, /* GPUs: blocks of rows and of columns a work-item; a vector's index in steps, through local memory */
} kp_schedule;

/* Which axes there are, and where states are merged. */
typedef enum kp_shape {
    KP_MAP,        /* no columns: outputs are computed from rows alone; lanes over rows */
    KP_ROWS,       /* lanes over rows, columns streamed, one pass */
    KP_ROWS_SPLIT, /* the same for many columns, which are divided among work-groups; a second kernel merges states */
    KP_COLUMNS,    /* very few rows: lanes over columns, rows streamed; states merged by a second kernel */
    KP_ROWS_BOTH,  /* both axes reduced: lanes over rows, a state a work-group, merged by a second kernel */
    KP_SHAPE_COUNT
} kp_shape;

typedef struct kp_choice {
    kp_schedule schedule;
    kp_shape shape;
    int states;  /* KP_COLUMNS on GPUs: rows whose states a work-item keeps; else 0 */
    bool forced; /* by name: another schedule does not take its place */
    bool expand; /* squared distances (expand.h): the caller's to set, who must supply their centres; see kp_screens */
    int group;   /* batches of few rows on GPUs: work-items of a work-group, at most; 0: no limit */
    bool fast;   /* elementary functions of cl/fast.cl in place of the functions of cl/math.cl */
    bool empty;  /* nothing is reduced: factors stay in sums, since 0 times an infinite factor is not 0 */
} kp_choice;

/* What a launch goes through. */
typedef struct kp_sizes {
    int64_t rows, cols;
    int64_t batches; /* that have results of their own */
    int64_t each;    /* that are reduced for each of these; 1 where none are */
} kp_sizes;

/*
 * Batch axes of a launch, merged as far as the arrays allow: the first `outer` have results, the others are reduced
 * (the sweep's `reduced` then has KF_AXIS_EACH). All zero: there are none.
 */
typedef struct kp_batches {
    int outer, each;
    const uint8_t *axes; /* by variable: bit k where it has axis k */
} kp_batches;

/* How often a value is computed, as a set: {} once a launch, {LANE} once per lane, {STREAM}, or per pair. */
enum { KP_LANE = 1, KP_STREAM = 2 };

typedef struct kp_request {
    const kr_sweep *sweep;
    kcl_dtype dtype;
    const kp_caps *caps;
    kp_choice choice;
    const bool *dense; /* by variable: its rows follow each other in memory without a gap; NULL: all do */
    kp_batches batches;
} kp_request;

/* A value that is computed once a launch, into device memory: components at, at + 1, ... of a variable. */
typedef struct kp_prepared {
    const kf_node *value;
    size_t var;
    int at;
} kp_prepared;

typedef struct kp_plan {
    kf_graph graph;       /* of the rewritten formulas */
    kp_schedule schedule; /* by rows if the schedule of contractions cannot run the formula and was not forced */
    kp_shape shape;
    kcl_dtype dtype;
    unsigned reduced;
    int group;  /* work-items of a work-group */
    int lanes;  /* elements of a vector: the device's, fewer where private memory or registers are short */
    int stream; /* streamed elements a step */
    int tile;   /* streamed elements whose sum is kept apart: the blocks of blocked summation; multiple of `stream` */
    unsigned lane_axis, stream_axis; /* KF_AXIS_ bits; stream_axis 0 for KP_MAP */
    bool fast, empty;                /* kp_choice */
    bool slow_divider;               /* kp_caps */
    bool native;   /* the device's own functions are good enough where the library's would be slower */
    bool many_periodic; /* sines and the like are the driver's, whose text is short */
    bool unrolled; /* loops over components are unrolled, so that vectors may be in registers */

    /* KP_BY_ROWS: a column in local memory, its variables one after another; 0: columns are read where they are. */
    int record;  /* numbers of a column */
    int *offset; /* by variable: of its first number */

    /* KP_BY_CONTRACTION: sums over the index of vectors of dimension `contracted`, `chunk` components a step. */
    int contracted, chunk;
    int row_operands, column_operands; /* vectors that are staged */

    /*
     * The sweep's variables, then parameters: the centres of expanded distances and, where terms are screened, what
     * cl/reduce/candidates.cl calls margins, two a term; then the prepared ones.
     */
    size_t var_count, centre_count, prepared_vars;
    bool screens;
    kr_var *vars;
    bool *dense;   /* see kp_request; prepared ones are */
    int outer_batches, each_batches; /* axes, see kp_batches */
    uint8_t *batched;                /* by variable: its batch axes; prepared variables have the axes of their operands */
    bool *private; /* a lane variable whose components fit into private memory; others are read where they are */

    /* They depend on the streamed axis only, for contractions on one axis only. */
    size_t prepared_count;
    kp_prepared *prepared;

    size_t term_count;
    kr_term *terms;
    const kf_node **exact; /* by term: the formula by which its candidates are compared; NULL: it is not screened */
    bool deferred;         /* steps of all parts are looked at again by `finish` */
    size_t output_count;
    const kf_node **outputs;
    bool *scaled; /* by output: kr_scale */
} kp_plan;

/*
 * Schedule and shape for a size: many columns are split. `name`: NULL or "" to choose by rule, else "lanes", "rows",
 * "contraction", "split" or "columns". Errors: KCL_ERROR_ARGUMENT (no such name), KCL_ERROR_UNSUPPORTED.
 */
kcl_status kp_choose(const kr_sweep *sweep, const kp_caps *caps, kcl_dtype dtype, int64_t rows, int64_t cols,
                     const char *name, kp_choice *choice, kb_error *err);
kcl_status kp_choose_for(const kr_sweep *sweep, const kp_caps *caps, kcl_dtype dtype, const kp_sizes *sizes,
                         const char *name, kp_choice *choice, kb_error *err);
const char *kp_shape_name(kp_shape shape);
kcl_status kp_check_schedule_name(const char *name, kb_error *err);

/*
 * Whether a choice allows the terms of an ArgMin to be screened: candidates are found with expanded distances, and
 * compared with differences by `finish`. Of GPUs that would take a work-group for each row that has many.
 */
bool kp_screens(const kp_choice *choice);

/*
 * Errors: KCL_ERROR_UNSUPPORTED (double on a device without it, formulas of too many operators, vectors too long for
 * private memory, a forced schedule that cannot run the formula), KCL_ERROR_NO_MEMORY.
 */
kcl_status kp_plan_create(kp_plan **plan, const kp_request *request, kb_error *err);
void kp_plan_destroy(kp_plan **plan);

/* {LANE, STREAM} class of a node. */
unsigned kp_class(const kp_plan *plan, const kf_node *f);

/*
 * How the kernels of a plan are started, in work-groups of plan->group work-items. Sizes only; the number of parts
 * depends on nothing else.
 */
typedef struct kp_launch {
    size_t prepare_items[2];   /* work-items of `prepare_rows`, `prepare`; 0: there is no such kernel */
    size_t sweep_items[2];     /* of `sweep`: lane blocks or row groups, parts; 0: there is no such kernel */
    size_t finish_items;       /* of `finish`; 0: there is no such kernel */
    int64_t parts;             /* states a row that `finish` merges */
    int64_t part_length;       /* columns of a part */
    int64_t each_parts, each_length; /* of the batches that are reduced: parts, batches of a part */
    int64_t prepared_elements; /* numbers in the memory of prepared values, all together */
    int64_t partial_elements;  /* numbers in the memory of states */
} kp_launch;

void kp_launch_for(const kp_plan *plan, const kp_caps *caps, int64_t rows, int64_t cols, kp_launch *launch);

/* The same for batches: work-items of one batch, memory of all batches. */
void kp_launch_batches(const kp_plan *plan, const kp_caps *caps, const kp_sizes *sizes, kp_launch *launch);

/*
 * Whether `f`, of a term, is a sum over the vector index that the contraction schedule computes: of a function of one
 * component of row and column vectors.
 */
bool kp_is_contraction(const kp_plan *plan, const kf_node *f);

/* The row of a term's reduction in kernels: kr_screened for screened terms, else kr_get. */
const kr_reduction *kp_reduction(const kp_plan *plan, size_t term);

int kp_numbers(const kp_plan *plan); /* of a component's state, at most: R_NUMBERS of cl/reduce.cl */

/* Numbers of a closed state of a term, of all components: how many a row has in the memory of states. */
int64_t kp_state_dim(const kp_plan *plan, size_t term);

/* Whether the sweep of a plan declares an array of a term's reduction. */
bool kp_has_array(const kp_plan *plan, const kr_array *array);

/* Writes the plan's choices, a "key: value" a line. */
void kp_describe(const kp_plan *plan, kb_str *out);

#endif
