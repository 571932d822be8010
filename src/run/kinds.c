/* SPDX-License-Identifier: MIT */
/* run/kinds.c: the kinds of steps, as a table. */
#include "backend.h"

static kcl_status run_sweep(kx_run *r, size_t step)
{
    return r->backend->sweep(r, step);
}

static kcl_status run_gather(kx_run *r, size_t index)
{
    const kg_step *step = &r->program->steps[index];
    kx_gather work = {
        .kind = step->kind, .chosen = step->chosen, .values = *kx_input(r, step, 0), .out = *kx_output(r, step, 0)};
    if (step->kind != KG_WHOLE) {
        work.index = *kx_input(r, step, 1);
        for (int k = 0; k < 2; k++)
            work.length[k] = kx_rows_of(r->program, r->slots, step->chosen.extent[k]);
        if (r->temp_terms)
            work.terms = r->temp_terms[step->inputs[1].index];
    }
    return r->backend->gather(r, &work);
}

static void keep_batches(const kx_run *r, const kg_step *step, kg_batch *batch)
{
    (void)r;
    (void)step;
    (void)batch;
}

/* A table has the batch axes that the index numbers. */
static void find_table(const kx_run *r, const kg_step *step, kg_batch *batch)
{
    const kg_batch *terms = &r->temp_terms[step->inputs[1].index];
    for (int k = 0; k < KF_MAX_BATCH; k++) {
        if (!(step->chosen.batches & KF_BATCH_AXIS(k)))
            continue;
        while (batch->count <= k)
            batch->size[batch->count++] = 1;
        batch->size[k] = kg_batch_size(terms, k);
    }
}

const kx_kind kx_kinds[KG_STEP_KINDS] = {
    [KG_SWEEP] = {run_sweep, keep_batches, NULL},
    [KG_GATHER] = {run_gather, keep_batches, "rows chosen by an index (gather)"},
    [KG_SCATTER] = {run_gather, find_table, "sums of the rows that have an index (scatter)"},
    [KG_WHOLE] = {run_gather, keep_batches, "a formula as an index (whole)"},
};
