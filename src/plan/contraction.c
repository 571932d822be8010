/* SPDX-License-Identifier: MIT */
/* plan/contraction.c: sums over the components of vectors of both axes, which a register-tiled product computes. */
#include "planner.h"

enum {
    CHUNK = 8,                  /* components of a chunk if none of the usual numbers divides the dimension */
    CONTRACTED_BYTES = 48 << 10 /* bytes of local memory for the components */
};

bool kp_is_contraction(const kp_plan *plan, const kf_node *f)
{
    return plan->schedule == KP_BY_CONTRACTION && f->op == KF_SUM && kp_class(plan, f) == (KP_LANE | KP_STREAM);
}

/*
 * Finds whether the contraction schedule can compute the terms. The terms have to be numbers that need vectors of both
 * axes only in sums over one and the same dimension, component by component. *why is the reason against the schedule;
 * NULL: there is none.
 */
static kcl_status find_contraction(kp_plan *plan, const char **why)
{
    kf_graph *g = &plan->graph;
    const kcl_allocator *a = kf_allocator(g);
    kf_order order;
    kcl_status status = kp_order_terms(plan, &order);
    bool *inside = kb_calloc(a, order.count + 1, sizeof *inside);
    if (status == KCL_OK && !inside)
        status = kb_no_memory(&g->error);
    *why = NULL;
    plan->contracted = 0;
    for (size_t k = 0; status == KCL_OK && k < plan->term_count; k++)
        if (plan->terms[k].formula->dim != 1)
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
    kf_order_finish(&order);
    return status;
}

/* Returns the bytes of local memory in which a work-group joins states: `joined` of the kernels. */
int64_t kp_joining_memory(const kp_plan *plan)
{
    return (int64_t)kp_numbers(plan) * ((plan->group + 1) / 2) * plan->lanes * (int64_t)kb_dtype_size(plan->dtype);
}

/* Returns how many work-items share the memory of private arrays, which is the memory of a thread on CPUs. */
int64_t kp_sharing_items(const kp_plan *plan, const kp_caps *caps)
{
    return caps->device_class == KP_CPU ? plan->group : 1;
}

/* Returns the components of a chunk, at most `most`: a number that divides `dim` if one does, or a power of two. */
static int choose_chunk(int dim, int most)
{
    static const int even[] = {16, 20, 10, 8, 12, 24};
    for (size_t k = 0; k < KB_COUNT(even); k++)
        if (dim % even[k] == 0 && even[k] <= most)
            return even[k];
    return KB_MIN(CHUNK, power_of_two(most));
}

/*
 * Chooses work-group, blocks and chunk of a contraction: the largest work-group whose states and vectors, at least one
 * component of each vector, fit into local memory. Returns false if the work-group of SMALLEST_SIDE does not fit.
 */
static bool choose_contraction_blocks(kp_plan *plan, const kp_caps *caps)
{
    int64_t size = (int64_t)kb_dtype_size(plan->dtype);
    plan->lanes = plan->dtype == KCL_F32 ? 8 : 4;
    plan->stream = plan->lanes;
    for (int side = kp_side_of(caps); side >= SMALLEST_SIDE; side /= 2) {
        int64_t pitch = 0;
        plan->group = side * side;
        plan->tile = side * plan->stream;
        pitch += plan->row_operands * (side * plan->lanes + 4);
        pitch += plan->column_operands * (side * plan->stream + 4);
        int64_t room = (int64_t)KB_MIN(caps->local_memory, CONTRACTED_BYTES) - kp_joining_memory(plan);
        int64_t chunk = room / (2 * size * KB_MAX(pitch, 1));
        bool fits = kp_state_memory(plan) * kp_sharing_items(plan, caps) <= (int64_t)(caps->private_memory / 2);
        if (chunk >= 1 && fits) {
            plan->chunk = choose_chunk(plan->contracted, (int)KB_MIN(chunk, KF_MAX_DIM));
            return true;
        }
    }
    return false;
}

/* Takes the rows schedule if the formula is no contraction. A schedule that was forced is refused instead. */
kcl_status kp_check_contraction(kp_plan *plan, const kp_request *request)
{
    const char *why = NULL;
    int64_t longest;
    if (plan->schedule != KP_BY_CONTRACTION)
        return KCL_OK;
    if (kp_side_of(request->caps) < SMALLEST_SIDE)
        why = "work-groups of the device are too small";
    else if (kp_keeps_lists(plan->term_count, plan->terms, &longest))
        why = "KMin, KMax, their means and indices keep a list of K values for each row, and a work-item has several "
              "rows: more than registers hold";
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
