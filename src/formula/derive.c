/* SPDX-License-Identifier: MIT */
/* formula/derive.c: reverse-mode derivatives, as formulas. */
#include "derive.h"
#include "layout.h"
#include "make.h"
#include "matrix.h"
#include "order.h"
#include "partial.h"
#include "simplify.h"

/* ---- One rule per operator --------------------------------------------------------------------------------------- */

#define INT(x) kf_rat(g, x, 1)
#define RAT(p, q) kf_rat(g, p, q)
#define NUM(x) kf_num(g, x)
#define ZERO(n) kf_zero(g, n)
#define MINUS(x) kf_unary(g, KF_MINUS, x)
#define SQUARE(x) kf_unary(g, KF_SQUARE, x)
#define INV(x) kf_unary(g, KF_INV, x)
#define EXP(x) kf_unary(g, KF_EXP, x)
#define LOG(x) kf_unary(g, KF_LOG, x)
#define RSQRT(x) kf_unary(g, KF_RSQRT, x)
#define SIN(x) kf_unary(g, KF_SIN, x)
#define COS(x) kf_unary(g, KF_COS, x)
#define SINH(x) kf_unary(g, KF_SINH, x)
#define COSH(x) kf_unary(g, KF_COSH, x)
#define TANH(x) kf_unary(g, KF_TANH, x)
#define SECH(x) kf_unary(g, KF_SECH, x)
#define ONE_MINUS_SQUARE(x) kf_unary(g, KF_ONE_MINUS_SQUARE, x)
#define SIGMOID(x) kf_unary(g, KF_SIGMOID, x)
#define SIGN(x) kf_unary(g, KF_SIGN, x)
#define MULT(x, z) kf_product(g, x, z)
#define DIV(x, z) kf_binary(g, KF_DIVIDE, x, z)
#define SUB(x, z) kf_binary(g, KF_SUB, x, z)
#define POWF(x, z) kf_binary(g, KF_POWF, x, z)
#define HYPOT_RATIO(x, z) kf_binary(g, KF_HYPOT_RATIO, x, z)
#define INVERSE_HYPOT(x, z) kf_binary(g, KF_INVERSE_HYPOT, x, z)
#define POW(x, m) kf_make(g, KF_POW, (const kf_node *[]){x}, (const int64_t[]){m})
#define ADD(x, z) kf_binary(g, KF_ADD, x, z)
#define STEP(x) kf_unary(g, KF_STEP, x)
#define LESS(x, z) kf_binary(g, KF_LESS, x, z)
#define LESS_EQUAL(x, z) kf_binary(g, KF_LESS_EQUAL, x, z)
#define EQUAL(x, z) kf_binary(g, KF_EQUAL, x, z)
#define NOT_EQUAL(x, z) kf_binary(g, KF_NOT_EQUAL, x, z)
#define SPHERICAL(x, m) kf_make(g, KF_SPHERICAL, (const kf_node *[]){x}, (const int64_t[]){m})
#define NONE NULL

static const kf_node *partial_of(kf_graph *g, const kf_node *y, int k)
{
    const kf_node *a = y->arg[0], *b = y->arg[1];
    const int64_t n = y->param[0];
    (void)b, (void)n;
    switch ((kf_op)y->op) {
#define KF_MAP(id, name, arity, params, cost, value, kernel, da, db, dc, low, high)                                    \
    case KF_##id:                                                                                                      \
        return k == 0 ? da : k == 1 ? db : dc;
#include "ops.def"
    default:
        return NULL;
    }
}

static const kf_node *where(kf_graph *g, const kf_node *condition, const kf_node *a, const kf_node *b)
{
    return kf_make(g, KF_WHERE, (const kf_node *[]){condition, a, b}, NULL);
}

const kf_node *kf_times_partial(kf_graph *g, const kf_node *f, int k, const kf_node *e)
{
    const kf_node *taken = kf_condition(g, f, k);
    /* The operand that was not chosen may have no derivative, and 0 times NaN is not 0. */
    return taken ? where(g, taken, e, ZERO(1)) : MULT(e, partial_of(g, f, k));
}

const kf_node *kf_refuse_second(kf_graph *g)
{
    if (g->error.status == KCL_OK)
        kb_fail(&g->error, KCL_ERROR_DERIVATIVE, "SoftDTW_SqDist has first derivatives, no second ones");
    return NULL;
}

/* What the cotangent `e` of node f contributes to the cotangent of operand `k`; linear in e. */
static const kf_node *pull_back_value(kf_graph *g, const kf_node *f, int k, const kf_node *e)
{
    const kf_node *a = f->arg[k];
    const int64_t *p = f->param;
    switch ((kf_op)f->op) {
    case KF_SUM:
        return kf_make(g, KF_SUMT, &e, &(int64_t){a->dim});
    case KF_SUMT:
        return kf_unary(g, KF_SUM, e);
    case KF_ELEM:
        return kf_make(g, KF_ELEMT, &e, (int64_t[]){a->dim, p[0]});
    case KF_ELEMT:
        return kf_make(g, KF_ELEM, &e, (int64_t[]){p[1]});
    case KF_EXTRACT:
        return kf_make(g, KF_EXTRACTT, &e, (int64_t[]){p[0], a->dim});
    case KF_EXTRACTT:
        return kf_make(g, KF_EXTRACT, &e, (int64_t[]){p[0], a->dim});
    case KF_CONCAT:
        return kf_make(g, KF_EXTRACT, &e, (int64_t[]){k ? f->arg[0]->dim : 0, a->dim});
    case KF_SUMROWS: {
        const kf_layout l = {.rank = 2, .size = {f->dim, p[0]}, .stride = {1, 0}};
        return kf_arrange(g, e, &l);
    }
    case KF_ARRANGE: {
        const kf_layout l = kf_layout_of(f);
        return kf_arrange_adjoint(g, &l, a->dim, e);
    }
    case KF_PLACE: {
        const kf_layout l = kf_layout_of(f);
        return kf_arrange(g, e, &l);
    }
    case KF_MAX:
    case KF_MIN:
        return MULT(e, kf_one_hot(g, kf_arg_extreme(g, a, (kf_op)f->op), a->dim));
    case KF_SOFTDTW: {
        const kf_node *all = kf_make(g, KF_SOFTDTW_GRAD, f->arg, NULL);
        const int64_t first = k == 0 ? 0 : k == 1 ? f->arg[0]->dim : (int64_t)f->arg[0]->dim + f->arg[1]->dim;
        return MULT(e, kf_make(g, KF_EXTRACT, &all, (int64_t[]){first, a->dim}));
    }
    case KF_SOFTDTW_GRAD:
        return kf_refuse_second(g);
    case KF_LIKE:
        return k ? kf_zero(g, a->dim) : e;
    default: /* of the dimension of f: pull_back sums over the repetitions of an operand */
        return kf_times_partial(g, f, k, e);
    }
}

/* ---- Formulas ---------------------------------------------------------------------------------------------------- */

const kf_node *kf_repeated(kf_graph *g, const kf_node *e, int64_t dim)
{
    return !e || e->dim == dim ? e : kf_make(g, KF_SUMT, &e, &dim);
}

/* Whether a cotangent of f that is 0 stays 0 for the operands, whatever they are: no operand multiplies it. */
static bool keeps_zeros(const kf_node *f)
{
    return kf_info((kf_op)f->op)->op_class != KF_CLASS_MAP || f->op == KF_ADD || f->op == KF_SUB || f->op == KF_MINUS;
}

kf_guarded kf_pull_back(kf_graph *g, const kf_node *f, int k, kf_guarded e)
{
    const kf_node *taken = kf_condition(g, f, k);
    const bool map = kf_info((kf_op)f->op)->op_class == KF_CLASS_MAP;
    if (!map && e.where && e.where->dim > 1) {
        /* Components move, or are added up, and their guards with them. */
        e = (kf_guarded){kf_guard_mask(g, &e), kf_or_zero(g, pull_back_value(g, f, k, e.where)), true};
    }
    if (!taken)
        e = (kf_guarded){kf_or_zero(g, pull_back_value(g, f, k, e.value)), e.where, e.masked && keeps_zeros(f)};
    else
        e = (kf_guarded){kf_repeated(g, e.value, f->dim), kf_guard_and(g, e.where, taken), false};
    if (map && e.value && f->arg[k]->dim < e.value->dim) {
        if (e.where && e.where->dim > 1)
            e = (kf_guarded){kf_guard_mask(g, &e), kf_unary(g, KF_SUM, e.where), true};
        e.value = kf_or_zero(g, kf_unary(g, KF_SUM, e.value));
    }
    return e;
}

kcl_status kf_vjp(kf_graph *g, const kf_node *F, const kf_node *e, size_t leaf_count, const kf_node *const *leaves,
                  const kf_node **out)
{
    if (e->dim != F->dim && e->dim != 1)
        return kb_fail(&g->error, KCL_ERROR_SHAPE,
                       "Grad: the formula has dimension %d, the cotangent has %d; they must be equal", F->dim, e->dim);
    kf_order order;
    if (kf_order_init(&order, g, 1, &F, true, &g->error) < 0)
        return g->error.status;
    const kcl_allocator *alloc = kf_allocator(g);
    kf_guarded *cotangent = kb_calloc(alloc, order.count, sizeof *cotangent);
    bool *wanted = kb_calloc(alloc, order.count, sizeof *wanted);
    bool ok = cotangent && wanted;
    if (!ok)
        kb_no_memory(&g->error);
    for (size_t k = 0; ok && k < leaf_count; k++)
        if (kf_reached(&order, leaves[k]))
            wanted[kf_at(&order, leaves[k])] = true;
    /* Nodes above a wanted leaf. The operands of a reduction belong to another sweep, unless F is the reduction. */
    for (size_t k = 0; ok && k < order.count; k++)
        for (int c = 0; c < order.nodes[k]->arg_count && order.nodes[k]->op != KF_REDUCE; c++)
            wanted[k] |= wanted[kf_at(&order, order.nodes[k]->arg[c])];
    if (ok) {
        cotangent[kf_at(&order, F)].value = kf_repeated(g, kf_to_real(g, e), F->dim);
        ok = cotangent[kf_at(&order, F)].value != NULL;
    }
    for (size_t k = order.count; ok && k-- > 0;) {
        const kf_node *f = order.nodes[k];
        if (!wanted[k] || !cotangent[k].value || f->op == KF_REDUCE)
            continue;
        for (int c = 0; ok && c < f->arg_count; c++) {
            size_t at = kf_at(&order, f->arg[c]);
            if (!wanted[at])
                continue;
            const kf_guarded term = kf_pull_back(g, f, c, cotangent[k]);
            ok = kf_guard_add(g, &cotangent[at], &term);
        }
    }
    for (size_t k = 0; ok && k < leaf_count; k++) {
        bool reached = kf_reached(&order, leaves[k]);
        const kf_guarded c = reached ? cotangent[kf_at(&order, leaves[k])] : (kf_guarded){.value = NULL};
        out[k] = c.value ? kf_guard_mask(g, &c) : kf_zero(g, leaves[k]->dim);
        ok = out[k] != NULL;
    }
    if (ok && leaf_count)
        ok = kf_simplify(g, leaf_count, out, out) == KCL_OK;
    /* A derivative that no longer mentions an axis still counts once for every index of the axis. */
    for (size_t k = 0; ok && k < leaf_count; k++)
        ok = (out[k] = kf_like(g, out[k], F)) != NULL;
    kb_free(alloc, cotangent);
    kb_free(alloc, wanted);
    kf_order_finish(&order);
    return ok ? KCL_OK : g->error.status;
}
