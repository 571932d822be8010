/* SPDX-License-Identifier: MIT */
/* tests/api/values.h: numbers as the arrays of a test have them, in float64 or float32, and as its loops do. */
#ifndef VALUES_H
#define VALUES_H

#include "either.h"

enum { MOST = 160 };
typedef struct values {
    double exact[MOST];
    float rounded[MOST];
} values;
#define VALUES(...)                                                                                                    \
    {                                                                                                                  \
        {__VA_ARGS__},                                                                                                 \
        {                                                                                                              \
            0                                                                                                          \
        }                                                                                                              \
    }

extern kcl_dtype dtype; /* of the arrays */

void choose_type(int round); /* rounds of a test: in float64, then in float32 */

/* A dense array of the values. */
kcl_array described(values *v, int axes, const int64_t *shape);

/* After values were set: both kinds hold the same numbers. */
void round_values(values *v);

kcl_expr *rows_of(values *v, bool columns, int64_t rows, int64_t dim);
void fill(values *v, int count, double low, double high);
void evaluate(kcl_expr *e, values *out, int64_t rows, int64_t dim);

void near(double got, double wanted, double tolerance, const char *what, int k);
double tolerance(void);

kcl_expr *number(double value);

#endif
