/* SPDX-License-Identifier: MIT */
/* run/pieces.c: launches of one kernel that divide its work. */
#include "pieces.h"

#include <math.h>

enum { MOST_BATCHES = 65535 }; /* of a launch: work-groups along the last axis, where drivers are narrow */

static const double longest = 1.0 / KD_PIECES_PER_SECOND; /* of a piece, seconds */

/*
 * The first piece of a kernel whose speed is not known takes so many seconds at a speed that kernels exceed some ten
 * times or more: `slowest` seconds a unit of work, on one compute unit.
 */
static const double first_piece = 0.01, slowest = 1e-9;

static kcl_status launch_part(kcl_context *context, const kx_kernel_call *call, const int64_t first[3],
                              const int64_t count[3])
{
    kcl_status status = KCL_OK;
    for (int axis = 0; axis < 2; axis++)
        if (call->first[axis])
            *call->first[axis] = first[axis];
    for (int64_t batch = 0; status == KCL_OK && batch < count[2]; batch += MOST_BATCHES) {
        if (call->first[2])
            *call->first[2] = first[2] + batch;
        status = kd_launch(context, call->kernel, call->arg_count, call->args,
                           (size_t[]){(size_t)count[0] * call->group, (size_t)count[1],
                                      (size_t)KB_MIN(count[2] - batch, MOST_BATCHES)},
                           (size_t[]){call->group, 1, 1});
    }
    return status;
}

kcl_status kx_launch(kcl_context *context, const kx_kernel_call *call)
{
    return launch_part(context, call, (const int64_t[3]){0}, call->count);
}

/* The axis along which the work has most pieces; -1: it cannot be divided. */
static int axis_of(const kx_kernel_call *call)
{
    int best = -1;
    for (int axis = 0; axis < 3; axis++)
        if (call->first[axis] && call->count[axis] > (best < 0 ? 1 : call->count[best]))
            best = axis;
    return best;
}

/* As many work-groups, or a few less, as keep all of the device busy: no less than all of its compute units. */
static int64_t whole_rounds(kcl_context *context, int64_t count, const kx_kernel_call *call, int axis)
{
    const int64_t units = KB_MAX(kd_caps(context)->compute_units, 1);
    const int64_t others =
        KB_MAX(call->count[0] * call->count[1] * KB_MIN(call->count[2], MOST_BATCHES) / call->count[axis], 1);
    const int64_t least = (units + others - 1) / others, round = KB_MAX(4 * units / others, 1);
    return count > round ? count - count % round : KB_MAX(count, least);
}

/*
 * How much of the work that is left the next piece has: one of equal parts, of all that takes so many seconds. A last piece
 * of a few rows would cost as much as any other.
 */
static int64_t next_piece(int64_t left, double seconds)
{
    return (int64_t)ceil((double)left / KB_MAX(round(seconds / longest), 1));
}

kcl_status kx_launch_in_pieces(kx_run *r, const kx_kernel_call *call, double pairs, kx_pace *pace)
{
    kcl_context *context = r->context;
    const int axis = axis_of(call);
    const double work = pairs * pace->weight;
    const double guess =
        work * (pace->seconds > 0 ? pace->seconds : slowest / KB_MAX(kd_caps(context)->compute_units, 1));
    const double soon = pace->seconds > 0 ? longest : first_piece;
    if (guess <= soon || axis < 0) {
        const kcl_status status = kx_launch(context, call);
        return status == KCL_OK ? kd_pace(context, guess) : status;
    }
    int64_t first[3] = {0}, count[3] = {call->count[0], call->count[1], call->count[2]};
    const int64_t all = call->count[axis];
    int64_t next = pace->seconds > 0 ? next_piece(all, guess) : (int64_t)KB_MAX((double)all * (soon / guess), 1);
    kcl_status status = kd_wait(context);
    while (status == KCL_OK && first[axis] < all) {
        count[axis] = KB_MIN(whole_rounds(context, next, call, axis), all - first[axis]);
        const double start = kb_seconds();
        status = launch_part(context, call, first, count);
        if (status == KCL_OK)
            status = kd_wait(context);
        const double seconds = KB_MAX(kb_seconds() - start, 1e-6);
        first[axis] += count[axis];
        if (status == KCL_OK)
            status = kx_tell(r, (double)first[axis] / (double)all);
        /* A short piece takes most of its time to begin: the speed is no less than it tells. */
        const double measured = seconds * (double)all / ((double)count[axis] * work);
        if (seconds > longest / 20 || pace->seconds <= 0 || measured < pace->seconds)
            pace->seconds = measured;
        const int64_t left = all - first[axis];
        next = KB_MIN(next_piece(left, seconds * (double)left / (double)count[axis]), 8 * count[axis]);
    }
    return status;
}
