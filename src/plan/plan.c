/* SPDX-License-Identifier: MIT */
/* plan/plan.c: schedule, hoisting and rewriting of a sweep. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

enum {
    TILE = 128,          /* terms added up before they meet the total: rounding errors stay those of a short sum */
    BATCH_ITEMS = 64,    /* work-items a compute unit of a CPU that batches are spread over */
    FEW_BLOCKS = 4,      /* row blocks a compute unit, below which columns are divided too */
    PART_COLUMNS = 2048, /* columns of a part, at least: a part costs a state in memory */
    LISTS = 64,          /* vectors in the lists that a work-item keeps while columns pass */
    LIST_COLUMNS = 256,  /* the same for each of the K of K-min: most terms shall be above the K smallest */
    MAX_PARTS = 1024,
    PRODUCTS = 8,                /* factors of factors that are looked at, to take them out of a sum */
    CACHED_BYTES = 1 << 19,      /* of streamed variables that stay in a core's cache while all rows pass */
    STATE_NUMBERS = 1 << 22,     /* numbers in the memory of states, where fewer parts can keep it so small */
    LONGEST_PART = 1 << 30,      /* columns that a number of the width of a float counts, and a vector more */
    STEP_WORK = 2048,            /* additions that the unrolled text of a step may cost: compilers are slow */
    UNROLLED = 64,               /* components that loops are unrolled for on GPUs: registers have no index */
    GROUP = 256,                 /* work-items of a work-group of a GPU */
    SMALL_GROUP = 32,            /* the same where batches have few rows, at least */
    GROUPS = 48,                 /* work-groups a compute unit, so that the last ones do not leave the others idle */
    ROUND = 4,                   /* work-groups of the rows schedule that share a compute unit */
    LOCAL_TILE = 256,            /* columns in local memory, at most */
    LOCAL_BYTES = 16 << 10,      /* of them: several work-groups share a compute unit */
    ROW_REGISTERS = 100,         /* 32-bit registers for the rows of a work-item */
    FEW_ROWS = 16,               /* rows whose states a work-item of a GPU keeps while columns pass */
    CONTRACTED = 48,             /* components from which on a GPU stages a vector's index */
    CHUNK = 8,                   /* components of a contraction's step where none divides the dimension */
    CONTRACTED_BYTES = 48 << 10, /* of local memory for their components */
    SMALLEST_SIDE = 4,           /* work-items along the side of a register-tiled work-group, at least */
    PACKED = 16,                 /* numbers prepared for an axis, above which they share arrays */
    PACK = 1024,                 /* numbers of such an array, at most */
    MAX_NODES = 100000           /* operators of a kernel: compilers do not take formulas of any size */
};

static const double log2e = 0x1.71547652b82fep+0;

static const kp_caps cpu_profile = {
    .device_class = KP_CPU,
    .lanes_f32 = 16,
    .lanes_f64 = 8,
    .vector_registers = 32,
    .compute_units = 8,
    .max_work_group = 4096,
    .local_memory = 256 << 10,
    .private_memory = 1 << 20,
    .max_groups = 65535,
    .has_f64 = true,
};

static const kp_caps gpu_profile = {
    .device_class = KP_GPU,
    .lanes_f32 = 4,
    .lanes_f64 = 2,
    .vector_registers = 16,
    .compute_units = 64,
    .max_work_group = 1024,
    .local_memory = 48 << 10,
    .private_memory = 128 << 10,
    .max_groups = INT32_MAX,
    .has_f64 = true,
};

const kp_caps *kp_caps_profile(const char *name)
{
    return strcmp(name, "cpu") == 0 ? &cpu_profile : strcmp(name, "gpu") == 0 ? &gpu_profile : NULL;
}

/* ---- States ------------------------------------------------------------------------------------------------------ */

/* What cl/reduce.cl keeps of a reduction, for each component; of K-min, for each of the K as well. */
static const struct state {
    int numbers; /* of a piece of a closed state: R_NUMBERS */
    int arrays;  /* vectors of a running state and its numbers, for each of KCL_STATES */
    int extra;   /* vectors beside them: of blocks and rescans, results */
    int list, list_extra; /* the same for each of the K, and for their join */
    int step;             /* vectors for each streamed element of a step */
} states[KF_REDUCTION_COUNT] = {
    [KF_REDUCE_SUM] = {1, 3, 1, 0, 0, 0},     [KF_REDUCE_LOGSUMEXP] = {2, 6, 3, 0, 0, 0},
    [KF_REDUCE_EXPSUMS] = {2, 6, 3, 0, 0, 1}, [KF_REDUCE_MIN] = {1, 3, 1, 0, 0, 0},
    [KF_REDUCE_ARGMIN] = {3, 5, 9, 0, 0, 0},  [KF_REDUCE_KMIN] = {1, 0, 2, 1, 3, 1},
    [KF_REDUCE_ARGKMIN] = {3, 2, 3, 5, 10, 1},
};

/* Of a piece of a closed state: R_NUMBERS. Where candidates are screened, the second smallest value too. */
static int numbers_of(const kr_term *term, bool is_screened)
{
    return states[term->reduction].numbers + is_screened;
}

/* Pieces of a closed state: R_PIECES. */
static int64_t pieces_of(const kr_term *term)
{
    return kf_reduction_get(term->reduction)->params ? term->param : 1;
}

/* Lists of K values fill anew in every part of the columns. */
static bool keeps_lists(size_t count, const kr_term *terms, int64_t *longest)
{
    *longest = 0;
    for (size_t k = 0; k < count; k++)
        if (kf_reduction_get(terms[k].reduction)->params)
            *longest = KB_MAX(*longest, terms[k].param);
    return *longest > 0;
}

int kp_numbers(const kp_plan *plan)
{
    int most = 0;
    for (size_t k = 0; k < plan->term_count; k++)
        most = KB_MAX(most, numbers_of(&plan->terms[k], plan->exact[k] != NULL));
    return most;
}

int64_t kp_state_dim(const kp_plan *plan, size_t term)
{
    const kr_term *t = &plan->terms[term];
    return numbers_of(t, plan->exact[term] != NULL) * pieces_of(t) * t->formula->dim;
}

const char *kp_term_name(const kp_plan *plan, size_t term)
{
    return plan->exact[term] ? "CANDIDATES" : kr_get(plan->terms[term].reduction)->cl;
}

/* Whether a term has numbers of terms as its results too. */
static bool has_numbers(const kr_term *term)
{
    return kf_reduction_get(term->reduction)->kind == KF_INT;
}

/* ---- Choice of the schedule -------------------------------------------------------------------------------------- */

static int lanes_of(const kp_caps *caps, kcl_dtype dtype)
{
    return dtype == KCL_F32 ? caps->lanes_f32 : caps->lanes_f64;
}

static const char *schedule_name(const kp_plan *plan)
{
    static const char *const names[] = {"lanes", "rows", "contraction"};
    return plan->shape == KP_COLUMNS ? "columns" : names[plan->schedule];
}

const char *kp_shape_name(kp_shape shape)
{
    static const char *const names[] = {"map", "rows", "rows, columns split", "columns", "rows, both axes reduced"};
    return names[shape];
}

static int64_t blocks_of(int64_t count, int64_t size)
{
    return count / size + (count % size != 0);
}

/* a * b, at least 0 and at most INT64_MAX. */
static int64_t product(int64_t a, int64_t b)
{
    int64_t result;
    return kb_mul_overflows(a, b, &result) ? INT64_MAX : result;
}

/* Bytes of the column variables of one column. */
static int64_t column_bytes(size_t count, const kr_var *vars, kcl_dtype dtype)
{
    int64_t dim = 0;
    for (size_t k = 0; k < count; k++)
        dim += vars[k].role == KF_ROLE_J ? vars[k].dim : 0;
    return dim * (int64_t)kb_dtype_size(dtype);
}

/*
 * Parts of columns short enough to be read from a core's own cache again and again; 1 where all columns are, or where
 * a column is so small that computing with it takes longer than fetching it. With D = 100 a sixth is gained.
 */
static int64_t cached_parts(int64_t bytes, int64_t cols)
{
    return bytes < 64 || cols < 4 * CACHED_BYTES / bytes ? 1 : blocks_of(cols, CACHED_BYTES / bytes + 1);
}

/* Names that force a schedule. */
enum { BY_RULE, FORCE_LANES, FORCE_ROWS, FORCE_CONTRACTION, FORCE_SPLIT, FORCE_COLUMNS };

static int forced_schedule(const char *name)
{
    static const char *const names[] = {"", "lanes", "rows", "contraction", "split", "columns"};
    for (int k = 0; k < (int)KB_COUNT(names); k++)
        if (strcmp(name ? name : "", names[k]) == 0)
            return k;
    return -1;
}

kcl_status kp_check_schedule_name(const char *name, kb_error *err)
{
    return forced_schedule(name) >= 0
               ? KCL_OK
               : kb_fail(err, KCL_ERROR_ARGUMENT,
                         "schedule \"%s\" is not known: write \"lanes\", \"rows\", \"contraction\", \"split\" or "
                         "\"columns\"",
                         name);
}

/* The largest power of two up to `most`. */
static int power_of_two(int most)
{
    int result = 1;
    while (result <= most / 2)
        result *= 2;
    return result;
}

/* Work-items along the side of a work-group of the contraction schedule; its square is the group. */
static int side_of(const kp_caps *caps)
{
    int side = 16;
    while (side * side > caps->max_work_group)
        side /= 2;
    return side;
}

/* Whether a formula sums over the index of long vectors, a row's and a column's: what kp_is_contraction looks for. */
static kcl_status find_long_sums(const kr_sweep *sweep, bool *found, kb_error *err)
{
    *found = false;
    for (size_t k = 0; !*found && k < sweep->term_count; k++) {
        kf_order order;
        if (kf_order_init(&order, sweep->graph, 1, &sweep->terms[k].formula, false, err) < 0)
            return err->status;
        for (size_t n = 0; n < order.count; n++) {
            const kf_node *f = order.nodes[n];
            *found = *found || (f->op == KF_SUM && (f->axes & KF_PAIR_AXES) == KF_PAIR_AXES && f->arg[0]->dim >= CONTRACTED);
        }
        kf_order_finish(&order);
    }
    return KCL_OK;
}

kcl_status kp_choose(const kr_sweep *sweep, const kp_caps *caps, kcl_dtype dtype, int64_t rows, int64_t cols,
                     const char *name, kp_choice *choice, kb_error *err)
{
    return kp_choose_for(sweep, caps, dtype, &(kp_sizes){rows, cols, 1, 1}, name, choice, err);
}

/* Work-groups of GPUs no larger than the rows of a batch need. */
static void fit_group(kp_choice *choice, const kp_sizes *sizes, int lanes)
{
    if (sizes->batches * sizes->each == 1 || choice->schedule != KP_BY_ROWS)
        return;
    for (choice->group = SMALL_GROUP; choice->group < GROUP && (int64_t)choice->group * lanes < sizes->rows;)
        choice->group *= 2;
}

static kcl_status choose_shape(const kr_sweep *sweep, const kp_caps *caps, kcl_dtype dtype, const kp_sizes *sizes,
                               const char *name, kp_choice *choice, kb_error *err)
{
    const int64_t rows = sizes->rows, cols = sizes->cols;
    int force = forced_schedule(name);
    if (force < 0)
        return kp_check_schedule_name(name, err);
    bool cpu = caps->device_class == KP_CPU, long_sums = false;
    *choice = (kp_choice){.schedule = cpu ? KP_BY_LANES : KP_BY_ROWS, .forced = force != BY_RULE};
    if (force == FORCE_LANES || force == FORCE_ROWS || force == FORCE_CONTRACTION)
        choice->schedule = force == FORCE_LANES ? KP_BY_LANES : force == FORCE_ROWS ? KP_BY_ROWS : KP_BY_CONTRACTION;
    if (!sweep->reduced) {
        choice->shape = KP_MAP;
        choice->schedule = cpu ? KP_BY_LANES : KP_BY_ROWS;
        return KCL_OK;
    }
    /* Columns are counted in numbers of a lane's width, from the first of a part on. */
    bool counted = false;
    for (size_t k = 0; k < sweep->term_count; k++)
        counted = counted || (has_numbers(&sweep->terms[k]) && dtype == KCL_F32 && cols > LONGEST_PART);
    if (sweep->reduced & KF_AXIS_I) {
        if (counted)
            return kb_fail(
                err, KCL_ERROR_UNSUPPORTED,
                "%s over both axes takes at most %d columns in float32, here are %lld: reduce one axis after "
                "the other, or use float64 arrays",
                kf_reduction_get(KF_REDUCE_ARGMIN)->name, LONGEST_PART, (long long)cols);
        if (force == FORCE_COLUMNS || force == FORCE_CONTRACTION)
            return kb_fail(err, KCL_ERROR_UNSUPPORTED,
                           "schedule \"%s\" keeps a state for each row: it cannot reduce both axes", name);
        choice->shape = KP_ROWS_BOTH;
        return KCL_OK;
    }
    int64_t lanes = lanes_of(caps, dtype), enough = (int64_t)FEW_BLOCKS * caps->compute_units, state = 0;
    for (size_t k = 0; k < sweep->term_count; k++)
        state += numbers_of(&sweep->terms[k], false) * pieces_of(&sweep->terms[k]) * sweep->terms[k].formula->dim;
    /* Lanes over columns waste nothing on a few rows, but every row's state is kept while columns pass. */
    bool few = cpu ? rows <= lanes && cols >= 4 * lanes : rows <= FEW_ROWS && cols >= PART_COLUMNS;
    if (force == FORCE_COLUMNS || (force == BY_RULE && few)) {
        choice->shape = KP_COLUMNS;
        for (choice->states = cpu ? 0 : 2; !cpu && choice->states < FEW_ROWS && choice->states < rows;)
            choice->states *= 2;
        if (!cpu && rows > FEW_ROWS / 2 && rows <= FEW_ROWS * 3 / 4)
            choice->states = FEW_ROWS * 3 / 4;
        return KCL_OK;
    }
    if (force == BY_RULE && !cpu && rows > FEW_ROWS && find_long_sums(sweep, &long_sums, err) < 0)
        return err->status;
    /* A list for each row of a block, and one in each work-item, is more than registers hold. */
    int64_t list;
    if (long_sums && !keeps_lists(sweep->term_count, sweep->terms, &list) && side_of(caps) >= SMALLEST_SIDE)
        choice->schedule = KP_BY_CONTRACTION;
    if (choice->schedule == KP_BY_CONTRACTION || force == FORCE_SPLIT) {
        choice->shape = KP_ROWS_SPLIT;
        return KCL_OK;
    }
    if (choice->schedule == KP_BY_ROWS) {
        int64_t groups = product(blocks_of(rows, lanes * GROUP), sizes->batches);
        bool split = groups < (int64_t)GROUPS * caps->compute_units && cols >= PART_COLUMNS;
        choice->shape = split || counted ? KP_ROWS_SPLIT : KP_ROWS;
        return KCL_OK;
    }
    int64_t parts = cached_parts(column_bytes(sweep->var_count, sweep->vars, dtype), cols);
    int64_t all_rows = product(rows, sizes->batches);
    if (keeps_lists(sweep->term_count, sweep->terms, &list))
        parts = 1;
    if (counted || (product(blocks_of(rows, lanes), sizes->batches) < enough && cols >= 2 * PART_COLUMNS))
        choice->shape = KP_ROWS_SPLIT;
    else if (parts > 1 && parts <= MAX_PARTS && product(parts, product(state, all_rows)) <= STATE_NUMBERS)
        choice->shape = KP_ROWS_SPLIT;
    else
        choice->shape = KP_ROWS;
    return KCL_OK;
}

kcl_status kp_choose_for(const kr_sweep *sweep, const kp_caps *caps, kcl_dtype dtype, const kp_sizes *sizes,
                         const char *name, kp_choice *choice, kb_error *err)
{
    if (choose_shape(sweep, caps, dtype, sizes, name, choice, err) < 0)
        return err->status;
    /* Results come after the last of the batches that are reduced. */
    if (choice->shape == KP_ROWS && sweep->reduced & KF_AXIS_EACH)
        choice->shape = KP_ROWS_SPLIT;
    if (choice->shape != KP_MAP && choice->shape != KP_COLUMNS)
        fit_group(choice, sizes, lanes_of(caps, dtype));
    return KCL_OK;
}

bool kp_screens(const kp_choice *choice)
{
    return choice->schedule == KP_BY_LANES && (choice->shape == KP_ROWS || choice->shape == KP_ROWS_SPLIT);
}

/* ---- Rewriting --------------------------------------------------------------------------------------------------- */

unsigned kp_class(const kp_plan *plan, const kf_node *f)
{
    return (f->axes & plan->lane_axis ? KP_LANE : 0u) | (f->axes & plan->stream_axis ? KP_STREAM : 0u);
}

static const kf_node *mult(kf_graph *g, const kf_node *a, const kf_node *b)
{
    return kf_binary(g, KF_MULT, a, b);
}

/* c * f for a constant c, which is multiplied into the part of f that is computed least often. */
static const kf_node *scaled(kf_graph *g, const kf_node *f, double c)
{
    double sign = 1;
    while (f && f->op == KF_MINUS) {
        sign = -sign;
        f = f->arg[0];
    }
    if (!f)
        return NULL;
    if (f->op == KF_CONST)
        return kf_num(g, sign * c * f->value);
    if (f->op == KF_MULT && f->dim == 1) {
        bool first = f->arg[0]->axes == 0 || (f->arg[1]->axes != 0 && f->arg[0]->axes < f->arg[1]->axes);
        if (first ? f->arg[0]->axes != f->axes : f->arg[1]->axes != f->axes)
            return first ? mult(g, scaled(g, f->arg[0], sign * c), f->arg[1])
                         : mult(g, f->arg[0], scaled(g, f->arg[1], sign * c));
        if (f->arg[0]->op == KF_CONST)
            return mult(g, kf_num(g, sign * c * f->arg[0]->value), f->arg[1]);
    }
    if (f->op == KF_DIVIDE && f->arg[0]->axes != f->axes)
        return kf_binary(g, KF_DIVIDE, scaled(g, f->arg[0], sign * c), f->arg[1]);
    return mult(g, kf_num(g, sign * c), f);
}

/*
 * Operators as the device has them: e^f as 2^(f log2 e), where the factor joins a bandwidth that is computed once; a
 * division by something computed less often as a product with its inverse.
 */
static const kf_node *lower_node(kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    switch ((kf_op)f->op) {
    case KF_EXP: {
        const kf_node *a = args[0];
        while (a->op == KF_MINUS)
            a = a->arg[0];
        /* A rounded argument costs accuracy of exp, unless the formula rounds the product of its factors anyway. */
        bool product = (a->op == KF_MULT || a->op == KF_DIVIDE) && a->dim == 1;
        return product ? kf_unary(g, KF_EXP2, scaled(g, args[0], log2e)) : kf_unary(g, KF_EXP, args[0]);
    }
    case KF_DIVIDE:
        if (args[1]->axes != (args[0]->axes | args[1]->axes) || (args[1]->dim == 1 && f->dim > 1))
            return mult(g, args[0], kf_unary(g, KF_INV, args[1]));
        break;
    case KF_MULT:
        /* p*(q*u): what is computed once is multiplied once. */
        for (int k = 0; k < 2; k++) {
            const kf_node *p = args[k], *u = args[1 - k];
            for (int c = 0; p->axes == 0 && p->dim == 1 && u->op == KF_MULT && u->axes && c < 2; c++)
                if (u->arg[c]->axes == 0 && u->arg[c]->dim == 1)
                    return mult(g, mult(g, p, u->arg[c]), u->arg[1 - c]);
        }
        break;
    case KF_SUM:
        if (args[0]->dim == 1)
            return args[0];
        break;
    case KF_LIKE:
        return kf_like(g, args[0], args[1]);
    case KF_VAR:
    case KF_CONST:
    case KF_ZERO:
        return f;
    default:
        break;
    }
    return kf_make(g, (kf_op)f->op, args, f->param);
}

static kcl_status lower(kf_graph *g, size_t count, const kf_node **roots)
{
    kf_order order;
    if (kf_order_init(&order, g, count, roots, false, &g->error) < 0)
        return g->error.status;
    const kcl_allocator *a = kf_allocator(g);
    const kf_node **made = kb_calloc(a, order.count, sizeof *made);
    kcl_status status = made ? KCL_OK : kb_no_memory(&g->error);
    for (size_t k = 0; status == KCL_OK && k < order.count; k++) {
        const kf_node *args[KF_MAX_ARGS] = {0};
        for (int c = 0; c < order.nodes[k]->arg_count; c++)
            args[c] = made[kf_at(&order, order.nodes[k]->arg[c])];
        made[k] = lower_node(g, order.nodes[k], args);
        if (!made[k])
            status = g->error.status;
    }
    for (size_t k = 0; status == KCL_OK && k < count; k++)
        roots[k] = made[kf_at(&order, roots[k])];
    kb_free(a, made);
    kf_order_finish(&order);
    return status;
}

/*
 * A sum's factors that are the same for all its terms leave the sum: F = factor * rest. Returns rest; *factor, NULL for
 * 1, is multiplied by what leaves. Looks `depth` products deep.
 */
static const kf_node *split_factors(kf_graph *g, const kf_node *f, unsigned reduced, int depth, const kf_node **factor)
{
    for (;;) {
        const kf_node *out = NULL, *rest = NULL;
        if (f && f->op == KF_MINUS) {
            out = kf_rat(g, -1, 1);
            rest = f->arg[0];
        }
        for (int k = 0; f && f->op == KF_MULT && k < 2; k++) {
            if (!(f->arg[k]->axes & reduced)) {
                out = f->arg[k];
                rest = f->arg[1 - k];
            }
        }
        /* Something must be left to be summed. */
        if (!out || !(rest->axes & reduced))
            break;
        *factor = *factor ? mult(g, *factor, out) : out;
        f = rest;
    }
    if (!f || f->op != KF_MULT || depth == 0)
        return f;
    const kf_node *a = split_factors(g, f->arg[0], reduced, depth - 1, factor);
    const kf_node *b = split_factors(g, f->arg[1], reduced, depth - 1, factor);
    return a == f->arg[0] && b == f->arg[1] ? f : mult(g, a, b);
}

typedef struct term_factors {
    kf_graph *g;
    const kf_node **factor; /* by term; NULL: 1 */
    const kr_term *terms;
} term_factors;

static const kf_node *restore_factor(void *user, const kf_node *leaf)
{
    const term_factors *s = user;
    if (leaf->op != KF_VAR || leaf->param[2] != KF_ROLE_ACC)
        return leaf;
    int64_t at = leaf->param[0];
    if (!s->factor[at])
        return leaf;
    return mult(s->g, s->factor[at], kf_acc(s->g, at, s->terms[at].formula->dim, KF_REAL));
}

/* Concat(F, G), of F as a power of 2. */
static const kf_node *scaled_exponent(kf_graph *g, const kf_node *f)
{
    bool apart = f->op == KF_CONCAT && f->arg[0]->dim == 1;
    const kf_node *F = apart ? f->arg[0] : kf_make(g, KF_ELEM, &f, &(int64_t){0});
    const kf_node *G = apart ? f->arg[1] : kf_make(g, KF_EXTRACT, &f, (int64_t[]){1, f->dim - 1});
    return F ? kf_binary(g, KF_CONCAT, scaled(g, F, log2e), G) : NULL;
}

static kcl_status rewrite_terms(kp_plan *plan)
{
    kf_graph *g = &plan->graph;
    const kf_node **factor = kb_calloc(kf_allocator(g), plan->term_count + 1, sizeof *factor);
    if (!factor)
        return kb_no_memory(&g->error);
    kcl_status status = KCL_OK;
    for (size_t k = 0; status == KCL_OK && k < plan->term_count; k++) {
        /* A state of LogSumExp is one of powers of 2 (cl/reduce.cl). */
        if (plan->terms[k].reduction == KF_REDUCE_LOGSUMEXP)
            plan->terms[k].formula = scaled(g, plan->terms[k].formula, log2e);
        else if (plan->terms[k].reduction == KF_REDUCE_EXPSUMS)
            plan->terms[k].formula = scaled_exponent(g, plan->terms[k].formula);
        else if (plan->terms[k].reduction == KF_REDUCE_SUM)
            plan->terms[k].formula = split_factors(g, plan->terms[k].formula, plan->reduced, PRODUCTS, &factor[k]);
        status = g->error.status;
    }
    term_factors s = {g, factor, plan->terms};
    if (status == KCL_OK)
        status = kf_substitute(g, plan->output_count, plan->outputs, false, restore_factor, &s, plan->outputs);
    kb_free(kf_allocator(g), factor);
    return status;
}

/* ---- Values that depend on the streamed axis only ---------------------------------------------------------------- */

/* Whether f costs anything: copies and variables are read where they are. */
static bool is_work(const kf_node *f)
{
    kf_class c = kf_info((kf_op)f->op)->op_class;
    return c == KF_CLASS_MAP || c == KF_CLASS_SUM || c == KF_CLASS_CALL;
}

typedef struct replacement {
    const kf_node *from, *to;
} replacement;

static kcl_status grow_vars(kp_plan *plan, size_t count)
{
    const kcl_allocator *a = kf_allocator(&plan->graph);
    kr_var *vars = kb_calloc(a, count + 1, sizeof *vars);
    bool *dense = kb_calloc(a, count + 1, sizeof *dense), *private = kb_calloc(a, count + 1, sizeof *private);
    int *offset = kb_calloc(a, count + 1, sizeof *offset);
    uint8_t *batched = kb_calloc(a, count + 1, sizeof *batched);
    if (!vars || !dense || !private || !offset || !batched) {
        kb_free(a, vars);
        kb_free(a, dense);
        kb_free(a, private);
        kb_free(a, offset);
        kb_free(a, batched);
        return kb_no_memory(&plan->graph.error);
    }
    if (plan->var_count) {
        memcpy(vars, plan->vars, plan->var_count * sizeof *vars);
        memcpy(dense, plan->dense, plan->var_count * sizeof *dense);
        memcpy(batched, plan->batched, plan->var_count * sizeof *batched);
    }
    kb_free(a, plan->vars);
    kb_free(a, plan->dense);
    kb_free(a, plan->private);
    kb_free(a, plan->offset);
    kb_free(a, plan->batched);
    plan->batched = batched;
    plan->offset = offset;
    plan->vars = vars;
    plan->dense = dense;
    plan->private = private;
    return KCL_OK;
}

/* Values of the streamed axis; for contractions those of both axes, since their steps read vectors from memory. */
static bool is_preparable(const kp_plan *plan, const kf_node *f)
{
    unsigned c = kp_class(plan, f);
    return c == KP_STREAM || (c == KP_LANE && plan->schedule == KP_BY_CONTRACTION);
}

/*
 * Where the numbers go that are prepared for an axis. Few have an array each. Many share some: an array is an argument
 * of the kernels, and compilers take long for text that stores each number by itself.
 */
typedef struct packing {
    int64_t left;          /* numbers of the axis to come */
    int64_t filled, width; /* numbers in the array that is shared at present; 0, 0: none */
    size_t var;            /* that array */
} packing;

/* Makes room for f; returns what terms read in its place. */
static const kf_node *place_prepared(kp_plan *plan, const kf_node *f, packing *pack)
{
    kf_graph *g = &plan->graph;
    const kf_role role = f->axes & KF_AXIS_J ? KF_ROLE_J : KF_ROLE_I;
    const bool begins = pack->filled == pack->width, shares = f->dim == 1 && (!begins || pack->left > PACKED);
    size_t var = pack->var;
    int64_t at = 0;
    if (!shares || begins) {
        var = plan->var_count++;
        plan->prepared_vars++;
        plan->vars[var] = (kr_var){role, shares ? (int32_t)KB_MIN(pack->left, PACK) : f->dim};
        plan->dense[var] = true;
    }
    if (shares && begins)
        *pack = (packing){pack->left, 0, plan->vars[var].dim, var};
    if (shares)
        at = pack->filled++;
    pack->left -= f->dim == 1;
    plan->prepared[plan->prepared_count++] = (kp_prepared){f, var, (int)at};
    const kf_node *in = kf_on_batches(g, kf_var(g, (int64_t)var, plan->vars[var].dim, role), f->axes);
    return in && shares ? kf_make(g, KF_ELEM, &in, &at) : in;
}

static kcl_status prepare(kp_plan *plan)
{
    kf_graph *g = &plan->graph;
    const kcl_allocator *a = kf_allocator(g);
    const kf_node **roots = kb_calloc(a, plan->term_count + 1, sizeof *roots);
    kf_order order = {0};
    kcl_status status = roots ? KCL_OK : kb_no_memory(&g->error);
    for (size_t k = 0; roots && k < plan->term_count; k++)
        roots[k] = plan->terms[k].formula;
    if (status == KCL_OK)
        status = kf_order_init(&order, g, plan->term_count, roots, false, &g->error);
    bool *work = kb_calloc(a, order.count + 1, sizeof *work), *used = kb_calloc(a, order.count + 1, sizeof *used);
    const kf_node **made = kb_calloc(a, order.count + 1, sizeof *made);
    if (status == KCL_OK && (!work || !used || !made))
        status = kb_no_memory(&g->error);
    size_t count = 0;
    packing packs[2] = {{0}, {0}}; /* of rows, of columns */
    if (status == KCL_OK) {
        for (size_t k = 0; k < order.count; k++) {
            const kf_node *f = order.nodes[k];
            work[k] = is_work(f);
            for (int c = 0; c < f->arg_count && !(f->op == KF_LIKE && c == 1); c++)
                work[k] |= work[kf_at(&order, f->arg[c])];
        }
        /* A value is prepared where something that is computed more often needs it. */
        for (size_t k = 0; k < order.count; k++)
            for (int c = 0; c < order.nodes[k]->arg_count; c++)
                if (!is_preparable(plan, order.nodes[k]) && !(order.nodes[k]->op == KF_LIKE && c == 1))
                    used[kf_at(&order, order.nodes[k]->arg[c])] = true;
        for (size_t k = 0; k < plan->term_count; k++)
            used[kf_at(&order, roots[k])] = true;
        for (size_t k = 0; k < order.count; k++) {
            const kf_node *f = order.nodes[k];
            used[k] = used[k] && work[k] && is_preparable(plan, f);
            count += used[k];
            packs[f->axes & KF_AXIS_J ? 1 : 0].left += used[k] && f->dim == 1;
        }
    }
    if (status == KCL_OK && count) {
        status = grow_vars(plan, plan->var_count + count);
        plan->prepared = kb_calloc(a, count, sizeof *plan->prepared);
        if (status == KCL_OK && !plan->prepared)
            status = kb_no_memory(&g->error);
        for (size_t k = 0; status == KCL_OK && k < order.count; k++) {
            const kf_node *f = order.nodes[k], *args[KF_MAX_ARGS] = {0};
            if (used[k])
                made[k] = place_prepared(plan, f, &packs[f->axes & KF_AXIS_J ? 1 : 0]);
            else if (kf_info((kf_op)f->op)->op_class == KF_CLASS_LEAF || is_preparable(plan, f))
                made[k] = f;
            else {
                for (int c = 0; c < f->arg_count; c++)
                    args[c] = made[kf_at(&order, f->arg[c])];
                made[k] = kf_make(g, (kf_op)f->op, args, f->param);
            }
            if (!made[k])
                status = g->error.status;
        }
        for (size_t k = 0; status == KCL_OK && k < plan->term_count; k++)
            plan->terms[k].formula = made[kf_at(&order, roots[k])];
    }
    kb_free(a, work);
    kb_free(a, used);
    kb_free(a, made);
    kb_free(a, roots);
    kf_order_finish(&order);
    return status;
}

/* ---- Contractions ------------------------------------------------------------------------------------------------ */

bool kp_is_contraction(const kp_plan *plan, const kf_node *f)
{
    return plan->schedule == KP_BY_CONTRACTION && f->op == KF_SUM && kp_class(plan, f) == (KP_LANE | KP_STREAM);
}

/*
 * Whether the contraction schedule can compute the terms: numbers, which need vectors of both axes only in sums over
 * one and the same dimension, component by component. `why` tells what speaks against it; NULL: nothing.
 */
static kcl_status find_contraction(kp_plan *plan, const char **why)
{
    kf_graph *g = &plan->graph;
    const kcl_allocator *a = kf_allocator(g);
    const kf_node **roots = kb_calloc(a, plan->term_count + 1, sizeof *roots);
    kf_order order = {0};
    kcl_status status = roots ? KCL_OK : kb_no_memory(&g->error);
    for (size_t k = 0; roots && k < plan->term_count; k++)
        roots[k] = plan->terms[k].formula;
    if (status == KCL_OK)
        status = kf_order_init(&order, g, plan->term_count, roots, false, &g->error);
    bool *inside = kb_calloc(a, order.count + 1, sizeof *inside);
    if (status == KCL_OK && !inside)
        status = kb_no_memory(&g->error);
    *why = NULL;
    plan->contracted = 0;
    for (size_t k = 0; status == KCL_OK && k < plan->term_count; k++)
        if (roots[k]->dim != 1)
            *why = "its terms are vectors";
    for (size_t k = order.count; status == KCL_OK && !*why && k-- > 0;) {
        const kf_node *f = order.nodes[k];
        bool pair = kp_class(plan, f) == (KP_LANE | KP_STREAM), sum = kp_is_contraction(plan, f);
        kf_class c = kf_info((kf_op)f->op)->op_class;
        if (c == KF_CLASS_CALL)
            *why = "it has a function of whole vectors";
        else if (sum && inside[k])
            *why = "it has a sum over components within another one";
        else if (sum && plan->contracted && plan->contracted != f->arg[0]->dim)
            *why = "it sums over the components of vectors of different dimensions";
        else if (pair && !sum && inside[k] && f->dim == 1)
            *why = "a number of both axes enters its sum over components";
        else if (pair && !inside[k] && f->dim > 1)
            *why = "it needs vectors of both axes outside of sums over their components";
        else if (inside[k] && f->dim > 1 && kp_class(plan, f) && c != KF_CLASS_MAP && c != KF_CLASS_LEAF)
            *why = "it rearranges the components of its vectors";
        if (sum)
            plan->contracted = f->arg[0]->dim;
        for (int n = 0; n < f->arg_count; n++)
            inside[kf_at(&order, f->arg[n])] |= sum || (inside[k] && f->dim > 1);
    }
    plan->row_operands = plan->column_operands = 0;
    for (size_t k = 0; status == KCL_OK && k < order.count; k++) {
        const kf_node *f = order.nodes[k];
        if (f->op == KF_VAR && f->dim == plan->contracted && f->dim > 1) {
            plan->row_operands += kp_class(plan, f) == KP_LANE;
            plan->column_operands += kp_class(plan, f) == KP_STREAM;
        }
    }
    if (status == KCL_OK && !*why && plan->contracted < 2)
        *why = "it has no sum over the components of row and column vectors";
    kb_free(a, inside);
    kb_free(a, roots);
    kf_order_finish(&order);
    return status;
}

/* Bytes of local memory in which the states of a work-group's work-items are joined: `joined` of the kernels. */
static int64_t joining_memory(const kp_plan *plan)
{
    return (int64_t)kp_numbers(plan) * ((plan->group + 1) / 2) * plan->lanes * (int64_t)kb_dtype_size(plan->dtype);
}

/* Bytes of a work-item's states and results, and what joins them. */
static int64_t state_memory(const kp_plan *plan)
{
    int64_t bytes = 0, vector = (int64_t)kb_dtype_size(plan->dtype) * plan->lanes;
    int64_t rows = plan->shape == KP_COLUMNS ? plan->stream : 1;
    for (size_t k = 0; k < plan->term_count; k++) {
        const kr_term *term = &plan->terms[k];
        const struct state *s = &states[term->reduction];
        int64_t list = s->list ? pieces_of(term) : 0, step = (int64_t)s->step * KB_MAX(plan->stream, 1);
        int64_t arrays = 2 * (plan->exact[k] != NULL) + s->arrays * rows + s->extra + step;
        arrays += list * (s->list * rows + s->list_extra);
        bytes += term->formula->dim * vector * arrays;
    }
    return bytes;
}

/* How many work-items share the memory that a kernel's private arrays are in: on CPUs it is a thread's. */
static int64_t sharing_items(const kp_plan *plan, const kp_caps *caps)
{
    return caps->device_class == KP_CPU ? plan->group : 1;
}

/* The components a step, at most `most`: all steps alike where that can be had, else a power of two. */
static int choose_chunk(int dim, int most)
{
    static const int even[] = {16, 20, 10, 8, 12, 24};
    for (size_t k = 0; k < KB_COUNT(even); k++)
        if (dim % even[k] == 0 && even[k] <= most)
            return even[k];
    return KB_MIN(CHUNK, power_of_two(most));
}

/*
 * Work-group, blocks and step of a contraction: the largest work-group whose vectors, a component of each at least, and
 * states fit into local memory. False where that of SMALLEST_SIDE does not.
 */
static bool choose_contraction_blocks(kp_plan *plan, const kp_caps *caps)
{
    int64_t size = (int64_t)kb_dtype_size(plan->dtype);
    plan->lanes = plan->dtype == KCL_F32 ? 8 : 4;
    plan->stream = plan->lanes;
    for (int side = side_of(caps); side >= SMALLEST_SIDE; side /= 2) {
        int64_t pitch = 0;
        plan->group = side * side;
        plan->tile = side * plan->stream;
        pitch += plan->row_operands * (side * plan->lanes + 4);
        pitch += plan->column_operands * (side * plan->stream + 4);
        int64_t room = (int64_t)KB_MIN(caps->local_memory, CONTRACTED_BYTES) - joining_memory(plan);
        int64_t chunk = room / (2 * size * KB_MAX(pitch, 1));
        bool fits = state_memory(plan) * sharing_items(plan, caps) <= (int64_t)(caps->private_memory / 2);
        if (chunk >= 1 && fits) {
            plan->chunk = choose_chunk(plan->contracted, (int)KB_MIN(chunk, KF_MAX_DIM));
            return true;
        }
    }
    return false;
}

/* Takes the rows schedule in place of a contraction that is none, unless it was forced. */
static kcl_status check_contraction(kp_plan *plan, const kp_request *request)
{
    const char *why = NULL;
    if (plan->schedule != KP_BY_CONTRACTION)
        return KCL_OK;
    if (side_of(request->caps) < SMALLEST_SIDE)
        why = "work-groups of the device are too small";
    else if (find_contraction(plan, &why) < 0)
        return plan->graph.error.status;
    else if (!why && !choose_contraction_blocks(plan, request->caps))
        why = "memory of the device's work-groups is too small";
    if (why && request->choice.forced)
        return kb_fail(&plan->graph.error, KCL_ERROR_UNSUPPORTED, "schedule \"contraction\" cannot run the formula: %s",
                       why);
    if (why)
        plan->schedule = KP_BY_ROWS;
    return KCL_OK;
}

/* ---- Sizes of blocks --------------------------------------------------------------------------------------------- */

/*
 * Bytes of the arrays that a work-item of the sweep cannot do without: states and results, and vectors that are computed
 * once a launch or once per lane.
 */
static int64_t needed_memory(const kp_plan *plan, const kf_order *order, const bool *kept)
{
    int64_t bytes = state_memory(plan), size = (int64_t)kb_dtype_size(plan->dtype), vector = size * plan->lanes;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        const unsigned c = kp_class(plan, f);
        if (kept[k])
            bytes += f->dim * (c & KP_LANE ? vector : size);
        else if (f->op == KF_SUMROWS) /* sums for every element of a step */
            bytes += f->dim * (c & KP_LANE ? vector : size) * (c & KP_STREAM ? 2 : 1);
        if (kf_info((kf_op)f->op)->op_class == KF_CLASS_CALL) /* see put_call_of in render/body.c */
            bytes += vector * (kf_call_memory(f) + f->dim +
                               ((int64_t)f->arg[0]->dim + f->arg[1]->dim + 1 + f->dim) * KB_MAX(plan->stream, 1));
    }
    return bytes;
}

/* Lane variables are kept in private memory, the shorter first, as far as it reaches. */
static void place_lane_variables(kp_plan *plan, int64_t room)
{
    int64_t vector = (int64_t)kb_dtype_size(plan->dtype) * plan->lanes;
    for (;;) {
        size_t best = plan->var_count;
        for (size_t k = 0; k < plan->var_count; k++)
            if (!plan->private[k] && plan->vars[k].role != KF_ROLE_P &&
                !(plan->schedule == KP_BY_CONTRACTION && plan->vars[k].dim > 1) && /* rather registers for sums */
                (best == plan->var_count || plan->vars[k].dim < plan->vars[best].dim))
                best = k;
        if (best == plan->var_count || plan->vars[best].dim * vector > room)
            return;
        room -= plan->vars[best].dim * vector;
        plan->private[best] = true;
    }
}

/* `step` rows, or fewer: each has lists of its own where rows are streamed, and text that inserts into them. */
static int few_lists(const kp_plan *plan, int step)
{
    int64_t lists = 0;
    for (size_t k = 0; plan->shape == KP_COLUMNS && k < plan->term_count; k++)
        if (states[plan->terms[k].reduction].list)
            lists += pieces_of(&plan->terms[k]) * plan->terms[k].formula->dim;
    while (step > 1 && step * lists > LISTS)
        step /= 2;
    return step;
}

/*
 * Streamed elements a step: as many as registers hold partial results for. Every sum over components keeps a vector an
 * element; more would spill. Fewer for long formulas, whose text is repeated for every element.
 */
static int choose_step(const kp_plan *plan, const kf_order *order, const kp_caps *caps)
{
    int64_t sums = 0, work = 0, most = 16, list;
    if (plan->schedule == KP_BY_ROWS)
        /* LogSumExp needs registers for more; of insertions there is a text for each element. */
        most = plan->record > 16 ? 2 : kp_numbers(plan) == 2 || keeps_lists(plan->term_count, plan->terms, &list) ? 4 : 8;
    for (size_t k = 0; k < order->count; k++) {
        if (kp_class(plan, order->nodes[k]) != (KP_LANE | KP_STREAM))
            continue;
        if (kf_info((kf_op)order->nodes[k]->op)->op_class == KF_CLASS_SUM)
            sums += order->nodes[k]->dim;
        if (kf_info((kf_op)order->nodes[k]->op)->op_class == KF_CLASS_CALL) /* one element a step */
            sums += STEP_WORK;
        work += kf_info((kf_op)order->nodes[k]->op)->cost;
    }
    int64_t step = most;
    while (plan->schedule == KP_BY_LANES && step > 1 && step * KB_MAX(sums, 1) + 6 > caps->vector_registers)
        step /= 2;
    step = KB_MAX(step, sums > 4 ? 1 : 2);
    while (step > 1 && step * work > STEP_WORK)
        step /= 2;
    return few_lists(plan, (int)step);
}

/* Vectors that one class of values computes for another: arrays, unless they are variables. */
static void find_kept(const kp_plan *plan, const kf_order *order, bool *kept)
{
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        for (int c = 0; c < f->arg_count; c++)
            kept[kf_at(order, f->arg[c])] |= kp_class(plan, f->arg[c]) != kp_class(plan, f);
    }
    for (size_t k = 0; k < plan->term_count; k++)
        kept[kf_at(order, plan->terms[k].formula)] = true;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        kept[k] = kept[k] && f->dim > 1 && !(kp_class(plan, f) & KP_STREAM) &&
                  kf_info((kf_op)f->op)->op_class != KF_CLASS_LEAF;
    }
}

/* Numbers a column in local memory, and where each variable's begin. */
static void choose_record(kp_plan *plan, const kf_order *order)
{
    plan->record = 0;
    for (size_t k = 0; k < plan->var_count; k++)
        plan->offset[k] = -1;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (f->op != KF_VAR || kp_class(plan, f) != KP_STREAM || plan->offset[f->param[0]] >= 0)
            continue;
        plan->offset[f->param[0]] = plan->record;
        if (plan->record < KF_MAX_DIM)
            plan->record += f->dim;
    }
    /* Whole vectors of four numbers: they are loaded at once. */
    if (plan->record > 2)
        plan->record = (int)blocks_of(plan->record, 4) * 4;
}

/* Whether a row variable is read while columns pass; one that others are computed from before that needs no registers. */
static bool is_read_by_pairs(const kp_plan *plan, const kf_order *order, const kf_node *var)
{
    bool read = false;
    for (size_t k = 0; !read && k < order->count; k++)
        for (int c = 0; c < order->nodes[k]->arg_count; c++)
            read |= order->nodes[k]->arg[c] == var && kp_class(plan, order->nodes[k]) != KP_LANE;
    for (size_t k = 0; k < plan->term_count; k++)
        read |= plan->terms[k].formula == var;
    return read;
}

/* Vectors of the work-item's rows: as many rows as registers hold the numbers of. */
static int rows_of_item(const kp_plan *plan, const kf_order *order, const bool *kept)
{
    int64_t numbers = 0, words = (int64_t)kb_dtype_size(plan->dtype) / 4;
    for (size_t k = 0; k < order->count; k++) {
        const kf_node *f = order->nodes[k];
        if (kp_class(plan, f) == KP_LANE && (kept[k] || (f->op == KF_VAR && is_read_by_pairs(plan, order, f))))
            numbers += f->dim;
    }
    for (size_t k = 0; k < plan->term_count; k++)
        numbers += 3 * kp_state_dim(plan, k);
    int rows = plan->dtype == KCL_F32 ? 4 : 2;
    while (rows > 1 && rows * numbers * words > ROW_REGISTERS)
        rows /= 2;
    return rows;
}

/* Work-group, vector, step and tile of a plan. */
static void choose_blocks(kp_plan *plan, const kf_order *order, const bool *kept, const kp_caps *caps)
{
    int64_t size = (int64_t)kb_dtype_size(plan->dtype), longest = 0;
    int64_t local = (int64_t)KB_MIN(caps->local_memory, (size_t)INT64_MAX);
    for (size_t k = 0; k < order->count; k++)
        longest = KB_MAX(longest, order->nodes[k]->dim);
    plan->unrolled = plan->schedule != KP_BY_LANES && longest <= UNROLLED;
    if (plan->schedule == KP_BY_CONTRACTION)
        return; /* chosen when it was found to be one */
    plan->tile = TILE;
    plan->group = plan->group ? plan->group : GROUP;
    plan->group = plan->schedule == KP_BY_LANES ? 1 : power_of_two(KB_MIN(plan->group, caps->max_work_group));
    plan->lanes = lanes_of(caps, plan->dtype);
    if (plan->schedule == KP_BY_ROWS)
        plan->lanes = plan->shape == KP_MAP || plan->shape == KP_COLUMNS ? 1 : rows_of_item(plan, order, kept);
    /* A work-group joins its states in local memory; where both axes are reduced that is beside the columns. */
    if (plan->schedule == KP_BY_ROWS && (plan->shape == KP_COLUMNS || plan->shape == KP_ROWS_BOTH)) {
        while (plan->group > 1 && joining_memory(plan) > (plan->shape == KP_COLUMNS ? local : local / 2))
            plan->group /= 2;
        local -= joining_memory(plan);
    }
    if (plan->schedule == KP_BY_ROWS && plan->shape == KP_COLUMNS)
        plan->stream = few_lists(plan, plan->stream);
    if (plan->schedule == KP_BY_ROWS && (plan->shape == KP_MAP || plan->shape == KP_COLUMNS))
        return;
    if (plan->schedule == KP_BY_ROWS) {
        choose_record(plan, order);
        plan->tile = LOCAL_TILE;
        while (plan->tile > 16 && size * plan->tile * plan->record > KB_MIN(LOCAL_BYTES, local))
            plan->tile /= 2;
        if (size * plan->tile * plan->record > local) {
            plan->record = 0;
            plan->tile = TILE;
        }
    }
    plan->stream = choose_step(plan, order, caps);
}

/* Sizes of blocks: fewer states, then narrower vectors, where the arrays of a work-item would not fit. */
static kcl_status choose_sizes(kp_plan *plan, const kp_caps *caps)
{
    kf_graph *g = &plan->graph;
    const kcl_allocator *a = kf_allocator(g);
    size_t root_count = plan->term_count + plan->output_count;
    const kf_node **roots = kb_calloc(a, root_count + 1, sizeof *roots);
    if (!roots)
        return kb_no_memory(&g->error);
    for (size_t k = 0; k < root_count; k++)
        roots[k] = k < plan->term_count ? plan->terms[k].formula : plan->outputs[k - plan->term_count];
    kf_order order;
    kcl_status status = kf_order_init(&order, g, root_count, roots, false, &g->error);
    bool *kept = kb_calloc(a, order.count + 1, sizeof *kept);
    if (status == KCL_OK && !kept)
        status = kb_no_memory(&g->error);
    if (status == KCL_OK) {
        find_kept(plan, &order, kept);
        choose_blocks(plan, &order, kept, caps);
        int64_t bytes, longest, room = (int64_t)KB_MIN(caps->private_memory, (size_t)INT64_MAX);
        /* On CPUs the work-items of a group share a thread's memory. */
        bool shares = caps->device_class == KP_CPU;
        while ((bytes = needed_memory(plan, &order, kept) * sharing_items(plan, caps)) > room) {
            if (shares && plan->group > 1 && plan->schedule != KP_BY_CONTRACTION)
                plan->group /= 2;
            else if (plan->shape == KP_COLUMNS && plan->stream > 1)
                plan->stream /= 2;
            else if (plan->lanes > 1 && plan->schedule != KP_BY_CONTRACTION)
                plan->lanes /= 2;
            else
                break;
        }
        if (bytes > room)
            status = kb_fail(&g->error, KCL_ERROR_UNSUPPORTED,
                             "the formula's vectors%s take %lld bytes of a kernel's own memory, which has %lld: reduce "
                             "parts of them one after the other (Extract), or use the device \"host\"",
                             keeps_lists(plan->term_count, plan->terms, &longest) ? " and lists of K values" : "",
                             (long long)bytes, (long long)room);
        place_lane_variables(plan, (room - bytes) / sharing_items(plan, caps));
    }
    kb_free(a, kept);
    kb_free(a, roots);
    kf_order_finish(&order);
    return status;
}

/* ---- Plans ------------------------------------------------------------------------------------------------------- */

static kcl_status check_size(kp_plan *plan, size_t count, const kf_node *const *roots)
{
    kf_order order;
    kf_graph *g = &plan->graph;
    if (kf_order_init(&order, g, count, roots, false, &g->error) < 0)
        return g->error.status;
    size_t size = order.count;
    kf_order_finish(&order);
    if (size > MAX_NODES)
        return kb_fail(
            &g->error, KCL_ERROR_UNSUPPORTED,
            "the formula has %zu different operators; a kernel can have %d. Divide it into several reductions, "
            "or use the device \"host\"",
            size, MAX_NODES);
    return KCL_OK;
}

/*
 * Adds a parameter for the centre of each distance that is expanded, and one for margins where terms are screened: their
 * formulas as they were go behind the roots, roots[exact_count++], and exact_of[term] tells where.
 */
static kcl_status expand(kp_plan *plan, const kr_sweep *sweep, size_t root_count, const kf_node **roots,
                         size_t *exact_count, size_t *exact_of)
{
    kf_graph *g = &plan->graph;
    kp_distance distances[KP_MAX_DISTANCES];
    size_t slope_count = 0;
    kp_slope *slopes = kb_calloc(kf_allocator(g), sweep->term_count * KP_MAX_DISTANCES + 1, sizeof *slopes);
    if (!slopes)
        return kb_no_memory(&g->error);
    int count = kp_find_distances(g, sweep->term_count, sweep->terms, roots, distances, &slope_count, slopes);
    for (size_t k = 0; count >= 0 && k < slope_count; k++) {
        if (!slopes[k].is_screened)
            continue;
        plan->screens = true;
        exact_of[slopes[k].term] = root_count + *exact_count;
        roots[root_count + (*exact_count)++] = roots[slopes[k].term];
    }
    kb_free(kf_allocator(g), slopes);
    if (count < 0 || grow_vars(plan, plan->var_count + (size_t)count + plan->screens) < 0 ||
        kp_expand(g, root_count, roots, (size_t)count, distances, plan->var_count) < 0)
        return g->error.status;
    plan->centre_count = (size_t)count;
    for (size_t k = 0; k < plan->centre_count + plan->screens; k++) {
        plan->vars[plan->var_count] =
            (kr_var){KF_ROLE_P, k < plan->centre_count ? distances[k].dim : 2 * (int32_t)sweep->term_count};
        plan->dense[plan->var_count++] = true;
    }
    if (plan->screens)
        plan->shape = KP_ROWS_SPLIT;
    return KCL_OK;
}

/* Prepared values have the batch axes of all that the kernel which computes them reads: one launch does for them. */
static kcl_status find_prepared_batches(kp_plan *plan)
{
    uint8_t of_side[2] = {0, 0};
    kf_order order;
    if (!plan->prepared_count || !(plan->outer_batches + plan->each_batches))
        return KCL_OK;
    for (size_t k = 0; k < plan->prepared_count; k++) {
        if (kf_order_init(&order, &plan->graph, 1, &plan->prepared[k].value, false, &plan->graph.error) < 0)
            return plan->graph.error.status;
        for (size_t m = 0; m < order.count; m++)
            if (order.nodes[m]->op == KF_VAR)
                of_side[plan->vars[plan->prepared[k].var].role] |= plan->batched[order.nodes[m]->param[0]];
        kf_order_finish(&order);
    }
    for (size_t k = plan->var_count - plan->prepared_vars; k < plan->var_count; k++)
        plan->batched[k] = of_side[plan->vars[k].role];
    return KCL_OK;
}

static kcl_status fill(kp_plan *plan, const kp_request *request)
{
    const kr_sweep *sweep = request->sweep;
    kf_graph *g = &plan->graph;
    const kcl_allocator *a = kf_allocator(g);
    size_t root_count = sweep->term_count + sweep->output_count, exact_count = 0;
    const kf_node **roots = kb_calloc(a, root_count + sweep->term_count + 1, sizeof *roots);
    size_t *exact_of = kb_calloc(a, sweep->term_count + 1, sizeof *exact_of);
    plan->terms = kb_calloc(a, sweep->term_count + 1, sizeof *plan->terms);
    plan->exact = kb_calloc(a, sweep->term_count + 1, sizeof *plan->exact);
    plan->outputs = kb_calloc(a, sweep->output_count + 1, sizeof *plan->outputs);
    plan->scaled = kb_calloc(a, sweep->output_count + 1, sizeof *plan->scaled);
    kcl_status status = grow_vars(plan, sweep->var_count);
    if (status == KCL_OK && (!roots || !exact_of || !plan->terms || !plan->exact || !plan->outputs || !plan->scaled))
        status = kb_no_memory(&g->error);
    if (status == KCL_OK) {
        for (size_t k = 0; k < sweep->var_count; k++) {
            plan->vars[k] = sweep->vars[k];
            plan->dense[k] = !request->dense || request->dense[k];
            plan->batched[k] = request->batches.axes ? request->batches.axes[k] : 0;
        }
        plan->var_count = sweep->var_count;
        for (size_t k = 0; k < sweep->term_count; k++)
            roots[k] = sweep->terms[k].formula;
        for (size_t k = 0; k < sweep->output_count; k++)
            roots[sweep->term_count + k] = sweep->outputs[k];
    }
    if (status == KCL_OK)
        status = kf_import(g, sweep->graph, root_count, roots, roots);
    if (status == KCL_OK)
        status = check_size(plan, root_count, roots);
    if (status == KCL_OK)
        status = kf_simplify(g, root_count, roots, roots);
    if (status == KCL_OK && request->choice.expand)
        status = expand(plan, sweep, root_count, roots, &exact_count, exact_of);
    if (status == KCL_OK)
        status = lower(g, root_count + exact_count, roots);
    if (status == KCL_OK) {
        for (size_t k = 0; k < sweep->term_count; k++) {
            plan->terms[k] = sweep->terms[k];
            plan->terms[k].formula = roots[k];
            plan->exact[k] = exact_of[k] ? roots[exact_of[k]] : NULL;
        }
        for (size_t k = 0; k < sweep->output_count; k++) {
            plan->outputs[k] = roots[sweep->term_count + k];
            plan->scaled[k] = sweep->scales && sweep->scales[k].is_scaled;
        }
        plan->term_count = sweep->term_count;
        plan->output_count = sweep->output_count;
        status = rewrite_terms(plan);
    }
    if (status == KCL_OK)
        status = prepare(plan);
    if (status == KCL_OK)
        status = check_contraction(plan, request);
    if (status == KCL_OK)
        status = find_prepared_batches(plan);
    for (size_t k = 0; status == KCL_OK && k < plan->term_count; k++)
        plan->deferred |= plan->terms[k].reduction == KF_REDUCE_ARGMIN && plan->schedule == KP_BY_LANES &&
                          plan->shape == KP_ROWS_SPLIT && !(sweep->reduced & KF_AXIS_EACH);
    kb_free(a, exact_of);
    kb_free(a, roots);
    return status;
}

kcl_status kp_plan_create(kp_plan **out, const kp_request *request, kb_error *err)
{
    const kp_caps *caps = request->caps;
    const kcl_allocator *a = kf_allocator(request->sweep->graph);
    *out = NULL;
    if (request->dtype == KCL_F64 && !caps->has_f64)
        return kb_fail(err, KCL_ERROR_UNSUPPORTED,
                       "the device does not compute in double precision: use float32 arrays");
    kp_plan *plan = kb_calloc(a, 1, sizeof *plan);
    if (!plan)
        return kb_no_memory(err);
    kf_graph_init(&plan->graph, a);
    plan->schedule = request->choice.schedule;
    plan->shape = request->choice.shape;
    plan->dtype = request->dtype;
    plan->reduced = request->sweep->reduced;
    plan->lane_axis = plan->shape == KP_COLUMNS ? KF_AXIS_J : KF_AXIS_I;
    plan->stream_axis = plan->shape == KP_MAP ? 0 : plan->shape == KP_COLUMNS ? KF_AXIS_I : KF_AXIS_J;
    plan->stream = request->choice.states;
    plan->native = caps->device_class == KP_GPU;
    plan->group = request->choice.group;
    plan->outer_batches = request->batches.outer;
    plan->each_batches = request->batches.each;
    if (fill(plan, request) < 0 || choose_sizes(plan, caps) < 0) {
        *err = plan->graph.error;
        kp_plan_destroy(&plan);
        return err->status;
    }
    *out = plan;
    return KCL_OK;
}

void kp_plan_destroy(kp_plan **plan)
{
    if (!plan || !*plan)
        return;
    kp_plan *p = *plan;
    const kcl_allocator a = *kf_allocator(&p->graph);
    kb_free(&a, p->vars);
    kb_free(&a, p->dense);
    kb_free(&a, p->private);
    kb_free(&a, p->offset);
    kb_free(&a, p->batched);
    kb_free(&a, p->prepared);
    kb_free(&a, p->terms);
    kb_free(&a, p->exact);
    kb_free(&a, p->outputs);
    kb_free(&a, p->scaled);
    kf_graph_finish(&p->graph);
    kb_free(&a, p);
    *plan = NULL;
}

/* Work-items for `blocks`, in whole work-groups. */
static size_t items_for(int64_t blocks, const kp_plan *plan, const kp_caps *caps)
{
    int64_t groups = KB_MAX(1, KB_MIN(blocks_of(blocks, plan->group), caps->max_groups));
    return (size_t)groups * (size_t)plan->group;
}

/*
 * Parts of the columns, so many that work-groups leave few compute units idle at the end: work-groups run in rounds of
 * about ROUND a compute unit.
 */
static int64_t filling_parts(const kp_plan *plan, const kp_caps *caps, int64_t groups, int64_t cols)
{
    int64_t tiles = blocks_of(cols, plan->tile), round = caps->compute_units, best = 1;
    int64_t least = blocks_of((int64_t)GROUPS * caps->compute_units, KB_MAX(groups, 1)),
            most = KB_MIN(MAX_PARTS, 2 * least);
    double best_fill = 0;
    if (plan->schedule == KP_BY_ROWS)
        round *= ROUND;
    for (int64_t parts = least; parts <= most && parts <= blocks_of(tiles, 4); parts++) {
        int64_t length = blocks_of(tiles, parts), rounds = blocks_of(product(groups, blocks_of(tiles, length)), round);
        double fill = (double)groups * (double)tiles / ((double)rounds * (double)round * (double)length);
        if (fill > best_fill * 1.002) {
            best_fill = fill;
            best = blocks_of(tiles, length);
        }
    }
    return best_fill > 0 ? best : blocks_of(tiles, 4);
}

/* Parts of the columns that a plan wants, before the limits on their states. */
static int64_t wanted_parts(const kp_plan *plan, const kp_caps *caps, int64_t groups, int64_t cols)
{
    int64_t list;
    if (keeps_lists(plan->term_count, plan->terms, &list))
        return KB_MIN(blocks_of((int64_t)FEW_BLOCKS * caps->compute_units, KB_MAX(groups, 1)),
                      cols / KB_MAX(product(LIST_COLUMNS, list), PART_COLUMNS));
    int64_t few = blocks_of(cols, PART_COLUMNS);
    if (plan->schedule == KP_BY_LANES) {
        bool enough = plan->shape == KP_ROWS_SPLIT && groups >= (int64_t)FEW_BLOCKS * caps->compute_units;
        return enough ? cached_parts(column_bytes(plan->var_count, plan->vars, plan->dtype), cols) : few;
    }
    if (plan->shape == KP_COLUMNS)
        return KB_MIN(few, 2 * (int64_t)caps->compute_units);
    return filling_parts(plan, caps, groups, cols);
}

/* The same where every batch has as many: on CPUs a work-item takes several blocks then. */
static size_t items_of_batch(int64_t blocks, const kp_plan *plan, const kp_caps *caps, const kp_sizes *sizes)
{
    if (caps->device_class == KP_CPU && sizes->batches > 1)
        blocks = KB_MIN(blocks, blocks_of((int64_t)BATCH_ITEMS * caps->compute_units, sizes->batches));
    return items_for(blocks, plan, caps);
}

void kp_launch_batches(const kp_plan *plan, const kp_caps *caps, const kp_sizes *sizes, kp_launch *launch)
{
    const int64_t rows = sizes->rows, cols = sizes->cols, batches = KB_MAX(sizes->batches, 1);
    int64_t row_blocks = blocks_of(rows, plan->lanes), col_blocks = blocks_of(cols, plan->lanes), state = 0;
    for (size_t k = 0; k < plan->term_count; k++)
        state += kp_state_dim(plan, k);
    *launch = (kp_launch){.parts = 1, .part_length = cols, .each_parts = 1, .each_length = sizes->each};
    for (size_t k = plan->var_count - plan->prepared_vars; k < plan->var_count; k++) {
        bool of_rows = plan->vars[k].role == KF_ROLE_I;
        int64_t elements = product(plan->vars[k].dim, of_rows ? rows : cols);
        launch->prepare_items[of_rows ? 0 : 1] = items_of_batch(of_rows ? row_blocks : col_blocks, plan, caps, sizes);
        launch->prepared_elements = KB_MIN(elements, INT64_MAX - launch->prepared_elements) + launch->prepared_elements;
    }
    int64_t side = plan->schedule == KP_BY_CONTRACTION ? plan->tile / plan->stream : plan->group;
    int64_t groups = blocks_of(row_blocks, side);
    int64_t states = product(product(plan->shape == KP_ROWS_BOTH ? 1 : rows, state), batches);
    int64_t numbers = caps->device_class == KP_CPU ? STATE_NUMBERS : 4 * (int64_t)STATE_NUMBERS;
    int64_t most = KB_MIN(MAX_PARTS, KB_MAX(1, numbers / KB_MAX(1, states)));
    int64_t wanted = KB_MAX(KB_MIN(most, KB_MAX(1, wanted_parts(plan, caps, product(groups, batches), cols))),
                            blocks_of(cols, LONGEST_PART));
    switch (plan->shape) {
    case KP_MAP:
        launch->finish_items = items_of_batch(row_blocks, plan, caps, sizes);
        return;
    case KP_ROWS:
        launch->sweep_items[0] = items_of_batch(row_blocks, plan, caps, sizes);
        launch->sweep_items[1] = 1;
        return;
    case KP_ROWS_SPLIT:
        launch->sweep_items[0] = items_of_batch(product(groups, plan->group), plan, caps, sizes);
        /* Parts are whole tiles, so that a split sum has the terms of an undivided one. */
        launch->part_length = blocks_of(blocks_of(cols, wanted), plan->tile) * plan->tile;
        break;
    case KP_COLUMNS:
        launch->sweep_items[0] = items_for(product(blocks_of(rows, plan->stream), plan->group), plan, caps);
        launch->part_length = blocks_of(col_blocks, wanted) * plan->lanes;
        break;
    default:
        launch->parts = KB_MAX(1, KB_MIN(most, groups));
        launch->sweep_items[0] = (size_t)launch->parts * (size_t)plan->group;
        launch->finish_items = (size_t)plan->group;
        break;
    }
    if (plan->shape != KP_ROWS_BOTH) {
        launch->parts = KB_MAX(1, blocks_of(cols, KB_MAX(1, launch->part_length)));
        launch->finish_items = items_of_batch(row_blocks, plan, caps, sizes);
    }
    /* Batches that are reduced are divided where rows and columns leave compute units idle. */
    int64_t busy = product(product(groups, batches), plan->shape == KP_ROWS_BOTH ? 1 : launch->parts);
    int64_t idle = blocks_of((int64_t)GROUPS * caps->compute_units, KB_MAX(1, busy));
    int64_t each = KB_MAX(1, KB_MIN(KB_MIN(idle, most / launch->parts), sizes->each));
    launch->each_length = blocks_of(sizes->each, each);
    launch->each_parts = KB_MAX(1, blocks_of(sizes->each, KB_MAX(1, launch->each_length)));
    launch->sweep_items[1] = (size_t)(plan->shape == KP_ROWS_BOTH ? 1 : launch->parts) * (size_t)launch->each_parts;
    launch->parts *= launch->each_parts;
    launch->partial_elements = product(launch->parts, states);
}

void kp_launch_for(const kp_plan *plan, const kp_caps *caps, int64_t rows, int64_t cols, kp_launch *launch)
{
    kp_launch_batches(plan, caps, &(kp_sizes){rows, cols, 1, 1}, launch);
}

void kp_describe(const kp_plan *plan, kb_str *out)
{
    kb_str_putf(out, "schedule: %s\nshape: %s\ntype: %s\nlanes: %d\n", schedule_name(plan), kp_shape_name(plan->shape),
                kb_dtype_name(plan->dtype), plan->lanes);
    if (plan->schedule != KP_BY_LANES)
        kb_str_putf(out, "work-group: %d\n", plan->group);
    if (plan->schedule == KP_BY_ROWS && plan->record)
        kb_str_putf(out, "local memory: %d columns of %d numbers\n", plan->tile, plan->record);
    if (plan->schedule == KP_BY_CONTRACTION)
        kb_str_putf(out, "contraction: dimension %d, %d components a step, %d x %d pairs a work-group\n",
                    plan->contracted, plan->chunk, plan->tile / plan->stream * plan->lanes, plan->tile);
    if (plan->stream_axis)
        kb_str_putf(out, "streamed a step: %d\nsummation: blocked, blocks of %d\n", plan->stream, plan->tile);
    for (size_t k = 0; k < plan->term_count; k++) {
        kb_str_putf(out, "term %zu: ", k);
        kb_str_putf(out, "%s of dimension %d\n", kf_reduction_get(plan->terms[k].reduction)->name,
                    plan->terms[k].formula->dim);
        if (states[plan->terms[k].reduction].list)
            kb_str_putf(out, "K: %lld\n", (long long)plan->terms[k].param);
    }
    if (plan->centre_count)
        kb_str_putf(out, "squared distances expanded: %zu%s\n", plan->centre_count,
                    plan->screens ? ", candidates compared by differences" : "");
    kb_str_putf(out, "values computed once a launch: %zu\n", plan->prepared_count);
}
