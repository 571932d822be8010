/* SPDX-License-Identifier: MIT */
/* render/hooks.h: the reductions of a program, which follow cl/reduce.cl. */
#ifndef KT_HOOKS_H
#define KT_HOOKS_H

#include "plan.h"

/* The macros by which skeletons call the hooks of all terms, and the files of the reductions, each once. */
void kt_put_reductions(kb_str *out, const kp_plan *plan);

#endif
