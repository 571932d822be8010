/* SPDX-License-Identifier: MIT */
/* api/label.h: names of arrays for errors. Every call makes names, and printf would take longer than all its checks. */
#ifndef KA_LABEL_H
#define KA_LABEL_H

#include "base.h"

/* A name that is put together; it ends in "..." once it is full. */
typedef struct ka_name {
    char *text;
    size_t size, length;
} ka_name;

void ka_put_text(ka_name *name, const char *text);
void ka_put_number(ka_name *name, int64_t number);

#endif
