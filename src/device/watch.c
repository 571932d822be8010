/* SPDX-License-Identifier: MIT */
/* device/watch.c: calls that tell how far they are, and can be cancelled. */
#include "internal.h"

static const double piece = 1.0 / KD_PIECES_PER_SECOND;   /* seconds, of work that is given to the device at once */
static const double between = 0.5 / KD_PIECES_PER_SECOND; /* two calls of the progress function, at least */

kcl_status kcl_context_set_progress(kcl_context *c, kcl_progress_fn progress, void *user)
{
    const kcl_status status = kd_enter(c);
    if (status < 0)
        return status;
    c->progress = progress;
    c->progress_user = user;
    return KCL_OK;
}

kcl_status kcl_context_set_cancellable(kcl_context *c, int cancellable)
{
    const kcl_status status = kd_enter(c);
    if (status < 0)
        return status;
    c->cancellable = cancellable != 0;
    atomic_store(&c->cancel, 0);
    return KCL_OK;
}

void kcl_context_cancel(kcl_context *c)
{
    if (c)
        atomic_store(&c->cancel, 1);
}

bool kd_is_watched(const kcl_context *c)
{
    return c->progress || c->cancellable;
}

const atomic_int *kd_cancel_flag(const kcl_context *c)
{
    return &c->cancel;
}

/* The cancel is consumed: it ends one call. */
static kcl_status check_flag(kcl_context *c)
{
    if (!atomic_load_explicit(&c->cancel, memory_order_relaxed) || !atomic_exchange(&c->cancel, 0))
        return KCL_OK;
    return kb_fail(&c->error, KCL_ERROR_CANCELLED, "the call was cancelled (kcl_context_cancel)");
}

kcl_status kd_begin_call(kcl_context *c)
{
    if (c->is_whole)
        return check_flag(c);
    c->told_at = kb_seconds();
    c->was_told = false;
    return check_flag(c);
}

kcl_status kd_check(kcl_context *c, double fraction)
{
    if (check_flag(c) < 0)
        return KCL_ERROR_CANCELLED;
    const double now = c->progress ? kb_seconds() : 0;
    if (!c->progress || now - c->told_at < between)
        return KCL_OK;
    c->told_at = now;
    c->was_told = true;
    fraction = KB_MIN(KB_MAX(c->is_whole ? c->fraction : fraction, 0), 1);
    const int answer = c->progress(c->progress_user, fraction);
    if (!answer)
        return check_flag(c);
    return kb_fail(&c->error, KCL_ERROR_CANCELLED,
                   "the call was cancelled: the progress function returned %d when some %.0f %% were done", answer,
                   100 * fraction);
}

void kd_end_call(kcl_context *c, kcl_status status)
{
    if (!c->is_whole && c->progress && c->was_told && status >= 0)
        c->progress(c->progress_user, 1);
}

kcl_status kd_begin_whole(kcl_context *c)
{
    const kcl_status status = kd_is_watched(c) ? kd_begin_call(c) : KCL_OK;
    c->is_whole = true;
    c->fraction = 0;
    return status;
}

void kd_set_fraction(kcl_context *c, double fraction)
{
    c->fraction = KB_MAX(c->fraction, fraction);
}

void kd_end_whole(kcl_context *c, kcl_status status)
{
    c->is_whole = false;
    kd_end_call(c, status);
}

kcl_status kd_pace(kcl_context *c, double seconds)
{
    c->in_flight += seconds;
    return c->in_flight > piece ? kd_wait(c) : KCL_OK;
}
