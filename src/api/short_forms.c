/* SPDX-License-Identifier: MIT */
/* api/short_forms.c: a reduction and its evaluation in one. */
#include "expr.h"

#define SHORT(name)                                                                                                    \
    kcl_status kcl_##name(kcl_expr *f, kcl_axes over, const kcl_array *out)                                            \
    {                                                                                                                  \
        return kcl_eval1(ka_as("kcl_" #name, 1, &f, kcl_reduce_##name(f, over)), out);                                 \
    }
#define SHORT_K(name)                                                                                                  \
    kcl_status kcl_##name(kcl_expr *f, int k, kcl_axes over, const kcl_array *out)                                     \
    {                                                                                                                  \
        return kcl_eval1(ka_as("kcl_" #name, 1, &f, kcl_reduce_##name(f, k, over)), out);                              \
    }
#define SHORT_WEIGHTED(name)                                                                                           \
    kcl_status kcl_##name(kcl_expr *f, kcl_expr *weight, kcl_axes over, const kcl_array *out)                          \
    {                                                                                                                  \
        return kcl_eval1(ka_as("kcl_" #name, 2, (kcl_expr *[]){f, weight}, kcl_reduce_##name(f, weight, over)), out);  \
    }
#define SHORT_PAIR(name)                                                                                               \
    kcl_status kcl_##name(kcl_expr *f, kcl_axes over, const kcl_array *values, const kcl_array *indices)               \
    {                                                                                                                  \
        kcl_expr *both[2];                                                                                             \
        both[0] = ka_as("kcl_" #name, 1, &f, kcl_reduce_##name(f, over, &both[1]));                                    \
        return kcl_eval(2, both, (const kcl_array *const[]){values, indices});                                         \
    }
#define SHORT_PAIR_K(name)                                                                                             \
    kcl_status kcl_##name(kcl_expr *f, int k, kcl_axes over, const kcl_array *values, const kcl_array *indices)        \
    {                                                                                                                  \
        kcl_expr *both[2];                                                                                             \
        both[0] = ka_as("kcl_" #name, 1, &f, kcl_reduce_##name(f, k, over, &both[1]));                                 \
        return kcl_eval(2, both, (const kcl_array *const[]){values, indices});                                         \
    }

SHORT(sum)
SHORT(mean)
SHORT(logsumexp)
SHORT(min)
SHORT(max)
SHORT(argmin)
SHORT(argmax)
SHORT_PAIR(min_argmin)
SHORT_PAIR(max_argmax)
SHORT_K(kmin)
SHORT_K(kmax)
SHORT_K(mean_kmin)
SHORT_K(mean_kmax)
SHORT_K(argkmin)
SHORT_K(argkmax)
SHORT_PAIR_K(kmin_argkmin)
SHORT_PAIR_K(kmax_argkmax)
SHORT_WEIGHTED(logsumexp_weight)
SHORT_WEIGHTED(sumsoftmaxweight)
