/* SPDX-License-Identifier: MIT */
/*
 * run/distance_form.h: differences or the expanded form of squared distances (plan/expand.h), decided by the data of a launch.
 *
 * The bound and where its numbers come from: docs/accuracy.md.
 */
#ifndef KX_DISTANCE_FORM_H
#define KX_DISTANCE_FORM_H

#include "run.h"

typedef struct kx_choice {
    bool is_expanded;
    char why[96]; /* "differences (bound 3.1e+04 > 12)"; "" where there is nothing to choose */
    /* is_expanded: what the plan's own parameters are, in the number type of the launch: centres, margins. */
    const void *parameter[KP_MAX_DISTANCES + 1];
    size_t size[KP_MAX_DISTANCES + 1]; /* bytes */
} kx_choice;

/* What is asked about device arrays. */
typedef struct kx_device_eyes {
    void *user;
    /* Rows 0, step, 2 step, ... of a view, `count` of them, to dense host memory. */
    kcl_status (*read)(void *user, const kx_view *view, int64_t step, int64_t count, void *to);
    /* max |factor x - centre|^2 over the rows, with one factor and one centre a component, of the view's type. */
    kcl_status (*largest)(void *user, const kx_view *view, const void *factor, const void *centre, double *most);
} kx_device_eyes;

typedef struct kx_question {
    const kr_sweep *sweep;
    const kp_expansion *expansion; /* of the sweep; NULL: there is none */
    const kx_view *const *views;   /* by variable; NULL: a result of an earlier sweep, which nobody looks at */
    const kx_device_eyes *eyes;    /* for views in device memory */
    int64_t rows, cols;
    kcl_dtype dtype;
    const kp_caps *caps;
    kg_form form; /* asked for */
    bool screens; /* kp_screens: candidates of an ArgMin may be found with the expanded form */
    int threads;
    bool has_batches; /* which nobody looks at: differences */
} kx_question;

/* Looks at arrays once an evaluation: a zeroed one holds what was seen. Centres live in the arena. */
typedef struct kx_seen {
    size_t count;
    struct {
        const kx_view *row, *col;
        const double *centre;
        double size;
    } pair[8];
} kx_seen;

kcl_status kx_choose_form(kx_choice *choice, const kx_question *question, kx_seen *seen, kb_arena *arena,
                          kb_error *err);

/*
 * For tests: the bound, in units of roundoff (2^-24, 2^-53), for a slope and a distance of `dim` components with
 * `size` = max |a - c|^2 + max |b - c|^2, and the limit up to which the expanded form is used.
 */
double kx_form_bound(double slope, int32_t dim, double size);
#define KX_FORM_LIMIT 10.0

/*
 * The margin of a screened ArgMin (docs/accuracy.md) with values v: margin[0] + margin[1] |smallest v|, where the slope
 * multiplies distances as above.
 */
void kx_form_margin(double slope, int32_t dim, double size, kcl_dtype dtype, double margin[2]);

#endif
