/* SPDX-License-Identifier: MIT */
/* interp_support.h: variables with random values, and their evaluation, for tests of the interpreter. */
#ifndef TEST_INTERP_SUPPORT_H
#define TEST_INTERP_SUPPORT_H

#include "failing.h"
#include "interp.h"
#include "make.h"
#include "reductions.h"
#include "table.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <tgmath.h>

enum { MOST_VARS = 8 };

/* Data of variable `index` of a test: `rows` rows of `dim` doubles. */
typedef struct table {
    double *data[MOST_VARS];
    int64_t dim[MOST_VARS], rows[MOST_VARS];
    kf_source source[MOST_VARS];
    int count;
} table;

static kf_graph g;
static kb_error err;
static table vars;
static uint64_t seed;

static inline double draw(double low, double high)
{
    seed = kb_hash_combine(seed, 1);
    return low + (high - low) * ((double)(seed >> 11) * 0x1p-53);
}

static inline void setup(void)
{
    kf_graph_init(&g, NULL);
    memset(&vars, 0, sizeof vars);
    seed = 1;
}

static inline void teardown(void)
{
    for (int k = 0; k < vars.count; k++)
        free(vars.data[k]);
    kf_graph_finish(&g);
}

/* A new variable with `rows` rows of random values. */
static inline const kf_node *variable(kf_role role, int64_t dim, int64_t rows, double low, double high)
{
    int k = vars.count++;
    ck_assert_int_lt(k, MOST_VARS);
    vars.dim[k] = dim;
    vars.rows[k] = role == KF_ROLE_P ? 1 : rows;
    vars.data[k] = malloc((size_t)(vars.rows[k] * dim) * sizeof(double));
    for (int64_t n = 0; n < vars.rows[k] * dim; n++)
        vars.data[k][n] = draw(low, high);
    vars.source[k] = (kf_source){vars.data[k], KCL_F64, dim * (int64_t)sizeof(double), sizeof(double)};
    return kf_var(&g, k, dim, role);
}

/* Component k of variable f at (i, j); a variable of one component repeats it. */
static inline double at(const kf_node *f, int64_t i, int64_t j, int64_t k)
{
    int64_t v = f->param[0], row = f->param[2] == KF_ROLE_I ? i : f->param[2] == KF_ROLE_J ? j : 0;
    return vars.data[v][row * vars.dim[v] + (vars.dim[v] == 1 ? 0 : k)];
}

static inline kf_interp *compiled(size_t count, const kf_node *const *roots)
{
    kf_interp *interp = NULL;
    for (size_t k = 0; k < count; k++)
        ck_assert_msg(roots[k] != NULL, "%s", g.error.text);
    ck_assert_msg(kf_interp_create(&interp, &g, count, roots, &err) == KCL_OK, "%s", err.text);
    return interp;
}

static inline kf_frame *framed(const kf_interp *interp)
{
    kf_frame *frame = NULL;
    ck_assert_msg(kf_frame_create(&frame, interp, &err) == KCL_OK, "%s", err.text);
    return frame;
}

/* out[((r * rows + i) * cols + j) * dim + k] for roots of one dimension. */
static inline void evaluate(size_t count, const kf_node *const *roots, const kf_source *sources, int64_t rows,
                            int64_t cols, double *out)
{
    kf_interp *interp = compiled(count, roots);
    kf_frame *frame = framed(interp);
    kf_frame_launch(frame, sources);
    for (int64_t i = 0; i < rows; i++) {
        kf_frame_row(frame, i, NULL);
        for (int64_t j = 0; j < cols; j += kf_frame_columns(frame)) {
            int n = (int)KB_MIN(kf_frame_columns(frame), cols - j), stride;
            kf_frame_block(frame, j, n);
            for (size_t r = 0; r < count; r++) {
                int64_t dim = roots[r]->dim;
                for (int64_t k = 0; k < dim; k++) {
                    const double *value = kf_frame_value(frame, r, k, &stride);
                    for (int c = 0; c < n; c++)
                        out[((((int64_t)r * rows + i) * cols) + j + c) * dim + k] = value[c * stride];
                }
            }
        }
    }
    kf_frame_destroy(&frame);
    kf_interp_destroy(&interp);
    ck_assert_ptr_null(frame);
    ck_assert_ptr_null(interp);
}

static inline void expect_close(const char *what, double got, long double want, double tolerance, int64_t i, int64_t j,
                                int64_t k)
{
    ck_assert_msg(fabs(got - want) <= tolerance * fabs(want) || (double)want == got,
                  "%s at (%d, %d)[%d]: %.17g, not %.17Lg", what, (int)i, (int)j, (int)k, got, want);
}

#endif
