/* SPDX-License-Identifier: MIT */
/* plan/rewrite.c: formulas in the operators of the device, and sums without the factors that can leave the sums. */
#include "make.h"
#include "passes.h"
#include "planner.h"

enum {
    PRODUCTS = 8 /* products within products that are searched for factors of a sum */
};

static const double log2e = 0x1.71547652b82fep+0;

unsigned kp_class(const kp_plan *plan, const kf_node *f)
{
    return (f->axes & plan->lane_axis ? KP_LANE : 0u) | (f->axes & plan->stream_axis ? KP_STREAM : 0u);
}

static const kf_node *mult(kf_graph *g, const kf_node *a, const kf_node *b)
{
    return kf_binary(g, KF_MULT, a, b);
}

/* Returns c * f. The constant c is multiplied into the part of f that is computed least often. */
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
 * Returns whether f is rounded when it is computed, or was rounded before. Exact operators hand on an operand, the last
 * of several, or give whole numbers.
 */
static bool is_rounded(const kf_node *f)
{
    for (;;) {
        const bool copies = kf_info((kf_op)f->op)->op_class == KF_CLASS_COPY && f->arg_count;
        switch ((kf_op)f->op) {
        case KF_MINUS:
        case KF_ABS:
        case KF_RELU:
        case KF_MINIMUM:
        case KF_MAXIMUM:
        case KF_IFELSE:
        case KF_WHERE:
        case KF_MAX:
        case KF_MIN:
            f = f->arg[f->arg_count - 1];
            break;
        case KF_LIKE:
            f = f->arg[0];
            break;
        case KF_SIGN:
        case KF_STEP:
        case KF_FLOOR:
        case KF_CEIL:
        case KF_TRUNC:
            return false;
        default:
            if (kf_is_truth(f))
                return false;
            if (!copies)
                return kf_info((kf_op)f->op)->op_class != KF_CLASS_LEAF;
            f = f->arg[f->arg_count - 1];
        }
    }
}

/*
 * Returns whether e^f is computed as 2^(f log2 e), which costs less but rounds the argument. In a product f, log2 e
 * joins a factor. A value f of a pair may be rounded if f has roundings of its own anyway.
 */
static bool is_power_of_two(const kf_node *f)
{
    while (f->op == KF_MINUS)
        f = f->arg[0];
    const bool product = (f->op == KF_MULT || f->op == KF_DIVIDE) && f->dim == 1;
    return product || ((f->axes & KF_PAIR_AXES) == KF_PAIR_AXES && is_rounded(f));
}

/*
 * Rewrites a node in the operators of the device. A power of e becomes a power of 2, as is_power_of_two tells: log2 e
 * may join a bandwidth that is computed once. A division by a value that is computed less often becomes a product with
 * the inverse of the value.
 */
static const kf_node *lower_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    (void)user;
    switch ((kf_op)f->op) {
    case KF_EXP:
        return is_power_of_two(args[0]) ? kf_unary(g, KF_EXP2, scaled(g, args[0], log2e))
                                        : kf_unary(g, KF_EXP, args[0]);
    case KF_DIVIDE:
        if (args[1]->axes != (args[0]->axes | args[1]->axes) || (args[1]->dim == 1 && f->dim > 1))
            return mult(g, args[0], kf_unary(g, KF_INV, args[1]));
        break;
    case KF_MULT:
        /* p*(q*u) becomes (p*q)*u: p*q is computed once. The simplifier knows which two constants stay apart. */
        for (int k = 0; k < 2; k++) {
            const kf_node *p = args[k], *u = args[1 - k];
            for (int c = 0; p->axes == 0 && p->dim == 1 && u->op == KF_MULT && u->axes && c < 2; c++)
                if (u->arg[c]->axes == 0 && u->arg[c]->dim == 1 && !(p->op == KF_CONST && u->arg[c]->op == KF_CONST))
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

kcl_status kp_lower(kf_graph *g, size_t count, const kf_node **roots)
{
    return kf_rewrite(g, g, count, roots, false, lower_node, NULL, roots);
}

/*
 * Takes factors that are the same for all terms out of a sum: F = factor * rest. Returns rest. *factor, NULL for 1, is
 * multiplied by the factors. Looks `depth` products deep.
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
        /* The rest must still be summed over the reduced axes. */
        if (!out || !(rest->axes & reduced))
            break;
        *factor = *factor ? mult(g, *factor, out) : out;
        f = rest;
    }
    if (f && f->op == KF_WHERE && kf_is_zero(f->arg[2]) && depth > 0) {
        /*
         * Numbers leave a sum under a condition. Values of rows stay: a row without a term that counts has the sum 0.
         */
        const kf_node *rest = split_factors(g, f->arg[1], ~0u, depth - 1, factor);
        return rest == f->arg[1] ? f : kf_make(g, KF_WHERE, (const kf_node *[]){f->arg[0], rest, f->arg[2]}, NULL);
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

/* Returns Concat(F log2 e, G) for f = Concat(F, G): F is an exponent of e, F log2 e an exponent of 2. */
static const kf_node *scaled_exponent(kf_graph *g, const kf_node *f)
{
    bool apart = f->op == KF_CONCAT && f->arg[0]->dim == 1;
    const kf_node *F = apart ? f->arg[0] : kf_make(g, KF_ELEM, &f, &(int64_t){0});
    const kf_node *G = apart ? f->arg[1] : kf_make(g, KF_EXTRACT, &f, (int64_t[]){1, f->dim - 1});
    return F ? kf_binary(g, KF_CONCAT, scaled(g, F, log2e), G) : NULL;
}

kcl_status kp_rewrite_terms(kp_plan *plan)
{
    kf_graph *g = &plan->graph;
    const kf_node **factor = kb_calloc(kf_allocator(g), plan->term_count + 1, sizeof *factor);
    if (!factor)
        return kb_no_memory(&g->error);
    kcl_status status = KCL_OK;
    for (size_t k = 0; status == KCL_OK && k < plan->term_count; k++) {
        const kr_reduction *r = kp_reduction(plan, k);
        if (r->exponent == KR_EXPONENTS)
            plan->terms[k].formula = scaled(g, plan->terms[k].formula, log2e);
        else if (r->exponent == KR_FIRST_EXPONENT)
            plan->terms[k].formula = scaled_exponent(g, plan->terms[k].formula);
        else if (r->sums && !plan->empty)
            plan->terms[k].formula = split_factors(g, plan->terms[k].formula, plan->reduced, PRODUCTS, &factor[k]);
        status = g->error.status;
    }
    term_factors s = {g, factor, plan->terms};
    if (status == KCL_OK)
        status = kf_substitute(g, plan->output_count, plan->outputs, false, restore_factor, &s, plan->outputs);
    kb_free(kf_allocator(g), factor);
    return status;
}
