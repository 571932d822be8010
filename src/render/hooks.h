/* SPDX-License-Identifier: MIT */
/* render/hooks.h: what the reductions of a program bring. */
#ifndef KT_HOOKS_H
#define KT_HOOKS_H

#include "plan.h"

/* The macros by which skeletons call the hooks of all terms. */
void kt_put_reductions(kb_str *out, const kp_plan *plan);

/* The names of the hooks that KCL_STEP of cl/reduce.cl makes of a term, a form and a kind: no text holds them. */
void kt_put_step_names(kb_str *out, const kp_plan *plan);

#endif
