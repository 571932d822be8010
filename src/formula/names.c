/* SPDX-License-Identifier: MIT */
/* formula/names.c: the names of formula strings, and the combinations of operators that some names stand for. */
#include "names.h"
#include "complex_numbers.h"
#include "intern.h"
#include "make.h"
#include "matrix.h"
#include "reductions.h"

#include <math.h>

/* The vocabulary of composites in ops.def. */
#define INT(x) kf_rat(g, x, 1)
#define NUM(x) kf_num(g, x)
#define INDEX(x, y) kf_index(g, x, y, 0)
#define RAT(p, q) kf_rat(g, p, q)
#define DOT(x, y) kf_dot(g, x, y)
#define SUM(x) kf_unary(g, KF_SUM, x)
#define SUB(x, y) kf_binary(g, KF_SUB, x, y)
#define SQUARE(x) kf_unary(g, KF_SQUARE, x)
#define SQRT(x) kf_unary(g, KF_SQRT, x)
#define RSQRT(x) kf_unary(g, KF_RSQRT, x)
#define FLOOR(x) kf_unary(g, KF_FLOOR, x)
#define MULT(x, y) kf_binary(g, KF_MULT, x, y)
#define DIV(x, y) kf_binary(g, KF_DIVIDE, x, y)
#define LESS(x, y) kf_binary(g, KF_LESS, x, y)
#define WEIGHTED(s, x) kf_weighted_norm(g, s, x)
#define MATVEC(A, x) kf_mat_vec(g, A, x)
#define VECMAT(x, A) kf_vec_mat(g, x, A)
#define TENSORPROD(x, y) kf_tensor_prod(g, x, y)
#define ONEHOT(x, dim) kf_one_hot(g, x, dim)
#define ARGEXTREME(x, op) kf_arg_extreme(g, x, op)
#define SPHERICAL(x, order) kf_make(g, KF_SPHERICAL, (const kf_node *[]){x}, (const int64_t[]){order})
#define COMPLEX(name, ...) kf_complex_##name(g, __VA_ARGS__)
#define CLAMP(x, low, high) clamp(g, x, low, high)
#define MOD(x, n, offset) kf_mod(g, x, n, offset)

static const kf_node *if_true(kf_graph *g, const kf_node *condition, const kf_node *a, const kf_node *b)
{
    return kf_make(g, KF_IFELSE, (const kf_node *[]){SUB(condition, INT(1)), a, b}, NULL);
}

/* x < low ? low : x > high ? high : x, as for numbers in C: NaN stays NaN. */
static const kf_node *clamp(kf_graph *g, const kf_node *x, const kf_node *low, const kf_node *high)
{
    return if_true(g, LESS(x, low), low, if_true(g, LESS(high, x), high, x));
}

const kf_node *kf_mod(kf_graph *g, const kf_node *f, const kf_node *n, const kf_node *offset)
{
    return SUB(f, MULT(n, FLOOR(DIV(SUB(f, offset), n))));
}

static const struct composite {
    const char *name;
    int arity, params;
} composites[] = {
#define KF_COMPOSITE(name, arity, params, expression) {name, arity, params},
#include "ops.def"
};

static const kf_node *make_composite(kf_graph *g, int index, const kf_node *const *args, const int64_t *params)
{
    const kf_node *a = args[0], *b = args[1], *c = args[2];
    const int64_t n = params[0], m = params[1];
    int k = 0;
#define KF_COMPOSITE(name, arity, parameters, expression)                                                              \
    if (k++ == index)                                                                                                  \
        return expression;
#include "ops.def"
    (void)a, (void)b, (void)c, (void)n, (void)m;
    return NULL;
}

#undef INT
#undef NUM
#undef INDEX
#undef RAT
#undef DOT
#undef SUM
#undef SUB
#undef SQUARE
#undef SQRT
#undef RSQRT
#undef FLOOR
#undef MULT
#undef DIV
#undef LESS
#undef SPHERICAL
#undef CLAMP
#undef COMPLEX
#undef MOD
#undef WEIGHTED
#undef MATVEC
#undef VECMAT
#undef TENSORPROD
#undef ONEHOT
#undef ARGEXTREME

/*
 * Nodes that no text may name: variables and constants have a syntax of their own, reductions a grammar of their own.
 */
static bool has_public_name(int op)
{
    return op != KF_VAR && op != KF_REDUCE;
}

bool kf_find_name(const char *text, size_t length, kf_name *name)
{
    for (int k = 0; k < KF_OP_COUNT; k++) {
        if (has_public_name(k) && strlen(kf_info((kf_op)k)->name) == length &&
            memcmp(kf_info((kf_op)k)->name, text, length) == 0) {
            *name = (kf_name){k, kf_info((kf_op)k)->arity, kf_info((kf_op)k)->params};
            return true;
        }
    }
    for (size_t k = 0; k < KB_COUNT(composites); k++) {
        if (strlen(composites[k].name) == length && memcmp(composites[k].name, text, length) == 0) {
            *name = (kf_name){-1 - (int)k, composites[k].arity, composites[k].params};
            return true;
        }
    }
    return false;
}

void kf_name_error(kf_graph *g, const char *name, size_t length)
{
    static const char reduction[] = "Reduction";
    const char *text = g->error.text;
    const size_t word = strcspn(text, ": "), n = sizeof reduction - 1;
    if (g->error.status == KCL_OK || g->error.status == KCL_ERROR_NO_MEMORY)
        return;
    /* "Add: ...", "Sum_Reduction over j: ..." */
    const bool named = text[word] == ':' || (word >= n && memcmp(text + word - n, reduction, n) == 0);
    kb_fail(&g->error, g->error.status, "%.*s%s%s", (int)KB_MIN(length, 64), name, named ? "" : ": ",
            text + (named ? word : 0));
}

const kf_node *kf_make_name(kf_graph *g, const kf_name *name, const kf_node *const *args, const int64_t *params)
{
    if (name->op == KF_CONST)
        return kf_rat(g, params[0], params[1]);
    if (name->op >= 0)
        return kf_make(g, (kf_op)name->op, args, params);
    const kf_node *all_args[KF_MAX_ARGS] = {0};
    int64_t all_params[KF_MAX_PARAMS] = {0};
    for (int k = 0; k < name->arity; k++) {
        all_args[k] = args[k];
        if (!args[k])
            return kf_refuse(g, KCL_ERROR_ARGUMENT, "%s: operand %d is missing", composites[-1 - name->op].name, k + 1);
    }
    for (int k = 0; k < name->params; k++)
        all_params[k] = params[k];
    const bool sound = g->error.status == KCL_OK;
    const char *text = composites[-1 - name->op].name;
    const kf_node *made = make_composite(g, -1 - name->op, all_args, all_params);
    if (!made && sound)
        kf_name_error(g, text, strlen(text));
    return made;
}

void kf_each_name(void (*visit)(void *user, const char *text), void *user)
{
    for (int k = 0; k < KF_OP_COUNT; k++)
        if (has_public_name(k))
            visit(user, kf_info((kf_op)k)->name);
    for (size_t k = 0; k < KB_COUNT(composites); k++)
        visit(user, composites[k].name);
}
