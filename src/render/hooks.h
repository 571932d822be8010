/* SPDX-License-Identifier: MIT */
/* render/hooks.h: what a program has of its reductions. */
#ifndef KT_HOOKS_H
#define KT_HOOKS_H

#include "plan.h"

/* The macros by which skeletons call the hooks of all terms. */
void kt_put_reductions(kb_str *out, const kp_plan *plan);

enum { KT_REDUCTION_FILES = 16 }; /* there are fewer in cl/reduce */

/* The files of cl/ that the reductions of a plan have, each once; NULL behind the last one. */
void kt_reduction_files(const kp_plan *plan, const char *files[KT_REDUCTION_FILES + 1]);

#endif
