/* SPDX-License-Identifier: MIT */
/* api/evaluate.h: formulas on the data of a scope evaluated. */
#ifndef KA_EVALUATE_H
#define KA_EVALUATE_H

#include "scope.h"

/* What is to be computed. */
typedef struct ka_wanted {
    size_t count;
    kf_graph *graph; /* of the nodes; receives more of them */
    const kf_node *const *nodes;
    const kg_batch *batches;      /* by node; NULL: the batch axes that the scope knows */
    const kcl_array *const *outs; /* by node */
    const double *alpha, *beta;   /* by node; NULL: all 1, all 0 */
    size_t more_count;            /* data beyond the data of the scope: variables number them after the scope's */
    kcl_data *const *more;        /* each with its name */
} ka_wanted;

/* kcl_eval_scaled without its checks of expressions. Errors are the context's. */
kcl_status ka_evaluate(kcl_scope *scope, const ka_wanted *wanted);

/* What a variable is bound to, of the scope or of `more`. NULL: it is bound to no array, as the error tells. */
kcl_data *ka_data_of(const kcl_scope *scope, const kf_node *var, size_t more_count, kcl_data *const *more,
                     kb_error *err);

#endif
