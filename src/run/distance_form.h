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
    bool is_decided; /* by the device, between both forms: is_expanded says nothing */
    char why[96];    /* "differences (bound 3.1e+04 > 12)"; "" where there is nothing to choose */
    /* What the plan's own parameters are, in the number type of the launch: centres, margins. */
    const void *parameter[KP_MAX_DISTANCES + 1];
    size_t size[KP_MAX_DISTANCES + 1]; /* bytes */
    /* By distance, where the device has found them: the centre, and the sizes that the decision takes. Else NULL. */
    kd_buffer *centre[KP_MAX_DISTANCES], *sizes[KP_MAX_DISTANCES];
} kx_choice;

/* Rows of an array, each component times a factor: a view of 1 number, of one a component, or NULL for 1. */
typedef struct kx_side {
    const kx_view *view, *factor;
} kx_side;

/* What is asked about arrays that the device works on. */
typedef struct kx_device_eyes {
    void *user;
    /* Rows 0, step, 2 step, ... of a view in the device's memory, `count` of them, to dense host memory. Waits. */
    kcl_status (*read)(void *user, const kx_view *view, int64_t step, int64_t count, void *to);
    /* max |a - centre|^2 over the rows of a side, with a centre in the host's memory and the view's type. Waits. */
    kcl_status (*largest)(void *user, const kx_side *side, const void *centre, double *most);
    /*
     * Starts what finds the centre of two arrays, and with `measures` max |a - c|^2 and max |b - c|^2 in *sizes. The caller
     * gives the buffers back, also after a failure.
     */
    kcl_status (*measure)(void *user, const kx_side sides[2], kd_buffer **centre, kd_buffer **sizes, bool measures);
    /* Starts what computes a formula of parameters, in the launch's type. The caller gives the buffer back. */
    kcl_status (*evaluate)(void *user, const kp_expansion *expansion, const kf_node *node, kd_buffer **value);
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
    bool decides; /* the device may decide: where arrays are in the device's memory the host does not wait for them */
} kx_question;

/* What is known of two arrays. The numbers that the host has seen lie in the arena. */
typedef struct kx_sight kx_sight;
struct kx_sight {
    kx_sight *next;
    const kx_view *row, *col;
    bool is_plain; /* the operands of the distance have no factors */
    const double *centre;
    double size;
    kd_buffer *centre_there, *sizes_there; /* where the device has looked; else NULL */
};

/* Looks at arrays once an evaluation: a zeroed one holds what was seen, till kx_forget_seen gives the buffers back. */
typedef struct kx_seen {
    kx_sight *first;
} kx_seen;

void kx_forget_seen(kx_seen *seen, kcl_context *context);

kcl_status kx_choose_form(kx_choice *choice, const kx_question *question, kx_seen *seen, kb_arena *arena,
                          kb_error *err);

/* For tests: the bound for a slope and a distance of `dim` components with `size` = max |a - c|^2 + max |b - c|^2. */
double kx_form_bound(double slope, int32_t dim, double size);

/*
 * The margin of a screened ArgMin (docs/accuracy.md) with values v: margin[0] + margin[1] |smallest v|, where the slope
 * multiplies distances as above.
 */
void kx_form_margin(double slope, int32_t dim, double size, kcl_dtype dtype, double margin[2]);

#endif
