/* SPDX-License-Identifier: MIT */
/* run/axes.c: batch axes merged for a launch. */
#include "axes.h"

#include <string.h>

static bool follows(int64_t stride, int64_t step, int64_t count)
{
    int64_t length;
    return !kb_mul_overflows(step, count, &length) && stride == length;
}

/* Whether batches along axis `at` are more of `rows` on the axis of `role`. */
static bool are_rows(int at, kf_role role, int64_t rows, size_t count, const kx_operand *operands)
{
    for (size_t k = 0; k < count; k++) {
        const kx_operand *o = &operands[k];
        if (o->role == role ? rows < 2 || !follows(o->stride[at], o->row_stride, rows) : o->stride[at] != 0)
            return false;
    }
    return true;
}

static void remove_axis(kx_axes *axes, int at, int count, size_t operand_count, kx_operand *operands)
{
    for (int k = at; k + 1 < count; k++) {
        axes->size[k] = axes->size[k + 1];
        for (size_t m = 0; m < operand_count; m++)
            operands[m].stride[k] = operands[m].stride[k + 1];
    }
    for (size_t m = 0; m < operand_count; m++)
        operands[m].stride[count - 1] = 0;
}

static bool is_one_axis(const kx_axes *axes, int at, size_t count, const kx_operand *operands)
{
    for (size_t k = 0; k < count; k++)
        if (!follows(operands[k].stride[at + 1], operands[k].stride[at], axes->size[at]))
            return false;
    return true;
}

void kx_merge_axes(kx_axes *axes, const kg_batch *batch, unsigned reduced, unsigned reduced_batches, unsigned fixed,
                   size_t count, kx_operand *operands, int64_t *rows, int64_t *cols)
{
    int from[KF_MAX_BATCH], total = 0;
    *axes = (kx_axes){.batches = 1, .each_count = 1};
    for (int pass = 0; pass < 2; pass++) {
        for (int k = 0; k < batch->count; k++) {
            if (batch->size[k] == 1 || !!(reduced_batches & KF_BATCH_AXIS(k)) != pass)
                continue;
            axes->size[total] = batch->size[k];
            from[total++] = k;
            (*(pass ? &axes->each : &axes->outer))++;
        }
    }
    for (size_t m = 0; m < count; m++) {
        int64_t stride[KF_MAX_BATCH] = {0};
        for (int k = 0; k < total; k++)
            stride[k] = operands[m].stride[from[k]];
        memcpy(operands[m].stride, stride, sizeof stride);
    }
    for (int pass = 0; pass < 2; pass++) {
        int first = pass ? axes->outer : 0, *here = pass ? &axes->each : &axes->outer;
        bool to_rows = pass ? reduced & KF_AXIS_I : !(reduced & KF_AXIS_I), to_cols = pass && reduced & KF_AXIS_J;
        to_rows = to_rows && !(fixed & KF_AXIS_I);
        to_cols = to_cols && !(fixed & KF_AXIS_J);
        while (*here) {
            bool is_rows = to_rows && are_rows(first, KF_ROLE_I, *rows, count, operands);
            bool is_cols = !is_rows && to_cols && are_rows(first, KF_ROLE_J, *cols, count, operands);
            int64_t *of = is_rows ? rows : cols;
            if ((!is_rows && !is_cols) || kb_mul_overflows(*of, axes->size[first], of))
                break;
            remove_axis(axes, first, total--, count, operands);
            (*here)--;
        }
        for (int k = first; k + 1 < first + *here;) {
            int64_t size;
            if (!is_one_axis(axes, k, count, operands) || kb_mul_overflows(axes->size[k], axes->size[k + 1], &size)) {
                k++;
                continue;
            }
            axes->size[k] = size;
            remove_axis(axes, k + 1, total--, count, operands);
            (*here)--;
        }
    }
    for (int k = 0; k < total; k++) {
        int64_t *product = k < axes->outer ? &axes->batches : &axes->each_count;
        if (kb_mul_overflows(*product, axes->size[k], product))
            *product = INT64_MAX;
    }
}
