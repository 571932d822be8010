/* SPDX-License-Identifier: MIT */
/*
 * solve/cg.c: conjugate gradients with iterative refinement.
 *
 * A pass solves A d = r for the residual r of x, with conjugate gradients, and adds d to x. The residual that conjugate
 * gradients carry along drifts away from the true one by rounding, so a pass never tells that a system is solved: the
 * residual of x does, which is computed anew between passes.
 */
#include "method.h"

#include <float.h>
#include <math.h>

typedef struct system_state {
    kcl_solve_result *result;
    double goal;         /* of the norm of the residual */
    double norm;         /* of the residual at the start of the pass */
    double best;         /* norm of the residual of x before the last correction */
    double scale;        /* with which d is added to x */
    double rz;           /* inner product of r and z */
    double claimed;      /* what the pass has reduced the residual to, by its own account */
    double floor;        /* what a pass can reduce a residual to, as far as is known */
    double wanted;       /* what this pass shall reduce it to */
    int vain;            /* passes one after another that did not help */
    double least;        /* of the pass, the last residual that was half of the one before, by its own account */
    int64_t begun, fell; /* products before the pass, and when it came to `least` */
    bool is_done, runs;
    bool is_lost;    /* the pass met a NaN or an infinity */
    bool broke;      /* the last direction of the pass has no positive curvature */
    bool is_clear;   /* and by more than rounding explains */
    bool has_curved; /* some direction has positive curvature by more than rounding explains */
} system_state;

typedef struct solver {
    const ks_problem *problem;
    system_state *systems;
    double *numbers, *norm; /* by system: handed to operations */
    bool is_finest;         /* the iterations have the highest precision */
    double roundoff;        /* of the iterations */
    kb_error *err;
} solver;

static void finish(system_state *s, kcl_solve_reason reason)
{
    s->result->reason = reason;
    s->is_done = true;
    s->runs = false;
}

/* Whether a pass has brought the residual down by less than a factor of two. */
static bool was_in_vain(const system_state *s)
{
    return !(s->norm < 0.5 * s->best);
}

/* What a direction without positive curvature says of the matrix, in the highest precision. */
static kcl_solve_reason curvature(const system_state *s)
{
    return s->has_curved ? KCL_SOLVE_INDEFINITE : KCL_SOLVE_NOT_POSITIVE_DEFINITE;
}

/* Looks at the true residuals after a pass. Returns whether a system is left that a finer arithmetic may help. */
static bool judge(solver *v, bool is_first, bool *is_worse)
{
    const ks_problem *p = v->problem;
    bool is_stuck = false;
    for (size_t k = 0; k < p->count; k++) {
        system_state *s = &v->systems[k];
        v->numbers[k] = 0;
        if (s->is_done)
            continue;
        s->norm = v->norm[k];
        if (!isfinite(s->norm) && is_first) {
            s->result->residual = s->norm;
            finish(s, KCL_SOLVE_NOT_FINITE);
            continue;
        }
        if (!is_first && !(s->norm <= s->best)) {
            v->numbers[k] = s->scale;
            *is_worse = true;
        }
        if (!is_first && isfinite(s->norm) && s->norm / s->best > 4 * s->claimed)
            s->floor = KB_MAX(s->floor, KB_MIN(0.25, s->norm / s->best));
        s->vain = is_first || !was_in_vain(s) ? 0 : s->vain + 1;
        s->norm = v->numbers[k] != 0 ? s->best : s->norm;
        s->result->residual = s->norm;
        if (s->norm <= s->goal && !s->is_clear)
            finish(s, KCL_SOLVE_CONVERGED);
        else if (s->broke && v->is_finest && (s->is_clear || s->vain))
            finish(s, curvature(s));
        else if (s->result->iterations >= p->max_iterations)
            finish(s, KCL_SOLVE_LIMIT);
        else if (v->is_finest && s->vain && s->is_lost)
            finish(s, KCL_SOLVE_NOT_FINITE);
        else if (v->is_finest && s->vain > 1)
            finish(s, isfinite(v->norm[k]) ? KCL_SOLVE_NOT_REACHED : KCL_SOLVE_NOT_FINITE);
        else
            is_stuck = is_stuck || (!v->is_finest && (s->vain || s->is_clear));
    }
    return is_stuck;
}

/* Iterations cannot have a higher precision: systems that a pass did not help end here. */
static void give_up(solver *v)
{
    for (size_t k = 0; k < v->problem->count; k++) {
        system_state *s = &v->systems[k];
        if (!s->is_done && s->is_clear)
            finish(s, curvature(s));
        else if (!s->is_done && s->vain)
            finish(s, s->is_lost ? KCL_SOLVE_NOT_FINITE : KCL_SOLVE_NOT_REACHED);
    }
}

static void become_finest(solver *v)
{
    v->is_finest = true;
    v->roundoff = DBL_EPSILON;
    for (size_t k = 0; k < v->problem->count; k++) {
        system_state *s = &v->systems[k];
        s->vain = 0;
        s->is_clear = s->broke = s->is_lost = s->has_curved = false;
        s->floor = 16 * DBL_EPSILON;
    }
}

static kcl_status start_pass(solver *v)
{
    const ks_problem *p = v->problem;
    const ks_operations *o = p->operations;
    for (size_t k = 0; k < p->count; k++) {
        system_state *s = &v->systems[k];
        s->runs = !s->is_done;
        s->broke = s->is_clear = s->is_lost = false;
        s->claimed = s->least = 1;
        s->begun = s->fell = s->result->iterations;
        s->wanted = KB_MAX(0.5 * s->goal / s->norm, s->floor);
        v->numbers[k] = s->runs ? s->norm : 0;
    }
    if (o->begin(p->user, v->numbers) < 0 || o->precondition(p->user, v->numbers) < 0)
        return v->err->status;
    for (size_t k = 0; k < p->count; k++) {
        v->systems[k].rz = v->numbers[k];
        v->numbers[k] = 0;
    }
    return o->turn(p->user, v->numbers);
}

/*
 * Whether a pass brings nothing any more: for as many products as it took to get here, and a quarter of the limit or 500,
 * its residual has not become half of what it was. Where rounding hides the small eigenvalues of the matrix, residuals stay
 * as they are for ever. In the highest precision there is nothing to save the products for.
 */
static bool is_lame(const solver *v, system_state *s)
{
    const int64_t now = s->result->iterations, patience = KB_MIN(500, v->problem->max_iterations / 4);
    if (s->claimed < 0.5 * s->least) {
        s->least = s->claimed;
        s->fell = now;
    }
    return !v->is_finest && now - s->fell > s->fell - s->begun + patience;
}

/* The digits that the residuals have lost so far, by the digits that they shall lose; of the system that lags most. */
static void tell(const solver *v)
{
    double least = 1;
    if (!v->problem->operations->tell)
        return;
    for (size_t k = 0; k < v->problem->count; k++) {
        const system_state *s = &v->systems[k];
        const double done = log(s->result->norm / (s->claimed * s->norm)) / log(s->result->norm / s->goal);
        if (s->runs && done < least)
            least = done;
    }
    v->problem->operations->tell(v->problem->user, least);
}

static bool any_runs(const solver *v)
{
    for (size_t k = 0; k < v->problem->count; k++)
        if (v->systems[k].runs)
            return true;
    return false;
}

/* One iteration of all systems that run. Steps of the others are 0, so nothing of them changes. */
static kcl_status iterate(solver *v)
{
    const ks_problem *p = v->problem;
    const ks_operations *o = p->operations;
    kcl_status status = o->apply(p->user, v->numbers, v->norm);
    if (status < 0)
        return status;
    for (size_t k = 0; k < p->count; k++) {
        system_state *s = &v->systems[k];
        const double pq = v->numbers[k];
        v->numbers[k] = 0;
        if (!s->runs)
            continue;
        s->result->iterations++;
        /* Rounding turns the sign where p and q are nearly orthogonal. */
        const bool is_clear = fabs(pq) > sqrt(v->roundoff) * 100 * v->norm[k];
        s->is_lost = !isfinite(pq) || !isfinite(s->rz);
        s->broke = !s->is_lost && !(pq > 0);
        s->is_clear = s->broke && is_clear;
        s->has_curved = s->has_curved || (!s->broke && !s->is_lost && is_clear);
        if (s->broke || s->is_lost)
            s->runs = false;
        else
            v->numbers[k] = s->rz / pq;
    }
    status = o->advance(p->user, v->numbers, v->norm);
    if (status < 0)
        return status;
    for (size_t k = 0; k < p->count; k++) {
        system_state *s = &v->systems[k];
        if (!s->runs)
            continue;
        s->claimed = sqrt(v->norm[k]);
        s->is_lost = !isfinite(s->claimed);
        if (!(s->claimed > s->wanted) || s->is_lost || s->result->iterations >= p->max_iterations || is_lame(v, s))
            s->runs = false;
    }
    if (!any_runs(v))
        return KCL_OK;
    tell(v);
    status = o->precondition(p->user, v->numbers);
    if (status < 0)
        return status;
    for (size_t k = 0; k < p->count; k++) {
        system_state *s = &v->systems[k];
        const double rz = v->numbers[k];
        v->numbers[k] = s->runs && isfinite(rz / s->rz) ? rz / s->rz : 0;
        s->rz = rz;
    }
    return o->turn(p->user, v->numbers);
}

/* After a pass: with which scale the correction of each system counts. */
static void end_pass(solver *v)
{
    for (size_t k = 0; k < v->problem->count; k++) {
        system_state *s = &v->systems[k];
        s->best = s->norm;
        s->scale = v->numbers[k] = s->is_done || !isfinite(s->claimed) ? 0 : s->norm;
    }
}

static bool all_done(const solver *v)
{
    for (size_t k = 0; k < v->problem->count; k++)
        if (!v->systems[k].is_done)
            return false;
    return true;
}

static kcl_status run(solver *v)
{
    const ks_problem *p = v->problem;
    const ks_operations *o = p->operations;
    for (bool is_first = true;; is_first = false) {
        bool is_worse = false;
        if (o->correct(p->user, is_first ? NULL : v->numbers, v->norm) < 0)
            return v->err->status;
        const bool is_stuck = judge(v, is_first, &is_worse);
        if (is_worse && o->undo(p->user, v->numbers) < 0)
            return v->err->status;
        if (is_stuck) {
            if (!o->refine)
                give_up(v);
            else if (o->refine(p->user) < 0)
                return v->err->status;
            else
                become_finest(v);
        }
        if (all_done(v))
            return KCL_OK;
        if (is_worse && o->correct(p->user, NULL, v->norm) < 0)
            return v->err->status;
        if (start_pass(v) < 0)
            return v->err->status;
        while (any_runs(v))
            if (iterate(v) < 0)
                return v->err->status;
        end_pass(v);
    }
}

kcl_status ks_solve(const ks_problem *p, kcl_solve_result *results, kb_error *err)
{
    solver v = {.problem = p, .is_finest = p->is_finest, .roundoff = p->unit_roundoff, .err = err};
    v.systems = kb_calloc(p->allocator, p->count + 1, sizeof *v.systems);
    v.numbers = kb_calloc(p->allocator, p->count + 1, sizeof *v.numbers);
    v.norm = kb_calloc(p->allocator, p->count + 1, sizeof *v.norm);
    kcl_status status = KCL_OK;
    if (!v.systems || !v.numbers || !v.norm)
        status = kb_no_memory(err);
    for (size_t k = 0; status == KCL_OK && k < p->count; k++) {
        results[k] = (kcl_solve_result){.norm = p->norm[k]};
        v.systems[k] = (system_state){.result = &results[k], .goal = p->goal[k], .floor = 16 * p->unit_roundoff};
    }
    if (status == KCL_OK)
        status = run(&v);
    kb_free(p->allocator, v.systems);
    kb_free(p->allocator, v.numbers);
    kb_free(p->allocator, v.norm);
    return status;
}
