/* SPDX-License-Identifier: MIT */
/*
 * formula/parse_tensors.c: TensorDot and Kron, whose arguments are lists: [2,3] or (2,3), as in Python, or Ind(2,3), as
 * in older KeOps.
 */
#include "parse.h"
#include "tensor.h"

/* A list of whole numbers, at most as many as tensors have axes. */
static bool read_list(kf_parser *p, const kf_call *c, int k, const char *what, kf_shape *list)
{
    if (!kf_next_argument(p, c, k))
        return false;
    size_t at = p->at;
    const kf_word ind = kf_read_word(p);
    const char open = kf_peek(p), close = ind.length ? ')' : kf_tuple_close(p);
    if (!close && open == '(' && !ind.length)
        return kf_fault(p, KCL_ERROR_SYNTAX, at,
                        "%s is expected, not a number in parentheses; one number is [3] or (3,)", what);
    if (!close || (ind.length && (!kf_is_word(&ind, "Ind") || open != '('))) {
        p->at = at;
        return kf_expected(p, what);
    }
    p->at++;
    *list = (kf_shape){.rank = 0};
    while (kf_peek(p) != close) {
        if (list->rank && kf_ahead(p, 0) != ',')
            return kf_expected(p, close == ']' ? "',' or ']'" : "',' or ')'");
        p->at += list->rank > 0;
        if (list->rank && kf_peek(p) == close)
            break;
        if (list->rank == KF_MAX_RANK)
            return kf_fault(p, KCL_ERROR_SYNTAX, at, "a list has more than %d numbers", KF_MAX_RANK);
        if (!kf_read_whole(p, "a whole number", &list->size[list->rank]))
            return false;
        list->rank++;
    }
    p->at++;
    return true;
}

/* Reads two formulas and their sizes. A single number instead of a list is the size of a vector. */
static kf_step read_operands(kf_parser *p, kf_call *c, kf_tensor tensors[2])
{
    if (c->count == 0 && !kf_open_call(p, c))
        return KF_FAILED;
    if (c->count > 0 && !kf_need_formula(p, kf_argument(p, c, c->count - 1)))
        return KF_FAILED;
    if (c->count < 2)
        return kf_want_formula(p, c, c->count);
    for (int k = 0; k < 2; k++) {
        tensors[k].node = kf_argument(p, c, k)->node;
        if (!read_list(p, c, 2 + k, "a list of sizes, as [2,3],", &tensors[k].shape))
            return KF_FAILED;
        if (!tensors[k].shape.rank) /* a formula of one component: a tensor without axes */
            tensors[k].shape = (kf_shape){1, {1}};
    }
    return KF_DONE;
}

kf_step kf_read_tensordot(kf_parser *p, kf_call *c, kf_operand *out)
{
    kf_tensor tensors[2];
    kf_shape axes[2], perm, shape;
    c->most = 7;
    c->needs = "two formulas, a list of sizes and of axes to sum over for each, and perhaps a permutation";
    const kf_step step = read_operands(p, c, tensors);
    if (step != KF_DONE)
        return step;
    for (int k = 0; k < 2; k++)
        if (!read_list(p, c, 4 + k, "a list of axes, as [0,1] or [],", &axes[k]))
            return KF_FAILED;
    const bool permuted = kf_has_more(p);
    if (permuted && !read_list(p, c, 6, "a permutation, as [1,0],", &perm))
        return KF_FAILED;
    if (!kf_close_call(p, c))
        return KF_FAILED;
    if (axes[0].rank != axes[1].rank)
        return kf_fault(p, KCL_ERROR_SYNTAX, c->name.at,
                        "TensorDot: %d axes of the first are summed over, and %d of the second: they must be as many",
                        axes[0].rank, axes[1].rank),
               KF_FAILED;
    const int left = tensors[0].shape.rank + tensors[1].shape.rank - 2 * axes[0].rank;
    if (permuted && perm.rank != KB_MAX(left, 0))
        return kf_fault(p, KCL_ERROR_SYNTAX, c->name.at,
                        "TensorDot: the permutation has %d numbers, for the %d axes of the product", perm.rank,
                        KB_MAX(left, 0)),
               KF_FAILED;
    out->node = kf_tensordot(p->g, "TensorDot", &tensors[0], &tensors[1], axes[0].rank, axes[0].size, axes[1].size,
                             permuted ? perm.size : NULL, &shape);
    return out->node || kf_fault_name(p, &c->name) ? KF_DONE : KF_FAILED;
}

kf_step kf_read_kron(kf_parser *p, kf_call *c, kf_operand *out)
{
    kf_tensor tensors[2];
    kf_shape shape;
    c->most = 4;
    c->needs = "two formulas, and a list of sizes for each";
    const kf_step step = read_operands(p, c, tensors);
    if (step != KF_DONE)
        return step;
    if (!kf_close_call(p, c))
        return KF_FAILED;
    out->node = kf_kron(p->g, "Kron", &tensors[0], &tensors[1], &shape);
    return out->node || kf_fault_name(p, &c->name) ? KF_DONE : KF_FAILED;
}
