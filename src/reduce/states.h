/* SPDX-License-Identifier: MIT */
/* reduce/states.h: the functions of the host that rows of sweep_reductions.def name, a file for each kind of state. */
#ifndef KR_STATES_H
#define KR_STATES_H

#include "reduction.h"

/* What kr_reduction explains, for functions whose names begin with `f`. */
#define KR_FUNCTIONS(f)                                                                                                \
    int64_t f##_state_size(int64_t dim, int64_t param);                                                                \
    void f##_init(double *state, int64_t dim, int64_t param);                                                          \
    void f##_step(double *state, int64_t dim, int64_t param, const kr_block *block);                                   \
    void f##_merge(double *state, const double *other, int64_t dim, int64_t param);                                    \
    void f##_finish(const double *state, int64_t dim, int64_t param, double *result);

KR_FUNCTIONS(kr_sum)       /* sum.c */
KR_FUNCTIONS(kr_logsumexp) /* logsumexp.c */
KR_FUNCTIONS(kr_expsums)
KR_FUNCTIONS(kr_min) /* min.c */
void kr_meankmin_finish(const double *state, int64_t dim, int64_t param, double *result);

#endif
