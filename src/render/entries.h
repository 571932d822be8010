/* SPDX-License-Identifier: MIT */
/* render/entries.h: the kernels of programs for CPUs, which call the functions that do the work. */
#ifndef KT_ENTRIES_H
#define KT_ENTRIES_H

#include "render.h"

/* Appends the kernels to the source of a program whose skeletons see KCL_ENTRIES: cl/common.cl tells why. */
void kt_put_entries(kt_program *program);

#endif
