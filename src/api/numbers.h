/* SPDX-License-Identifier: MIT */
/* api/numbers.h: real numbers of either type in memory of the host. */
#ifndef KA_NUMBERS_H
#define KA_NUMBERS_H

#include <keopscl/array.h>

static inline double ka_number_at(const void *data, kcl_dtype dtype, int64_t at)
{
    return dtype == KCL_F32 ? (double)((const float *)data)[at] : ((const double *)data)[at];
}

static inline void ka_put_number(void *data, kcl_dtype dtype, int64_t at, double number)
{
    if (dtype == KCL_F32)
        ((float *)data)[at] = (float)number;
    else
        ((double *)data)[at] = number;
}

#endif
