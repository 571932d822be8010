/* SPDX-License-Identifier: MIT */
/* lazy/batch.c: batch axes: broadcast, and merged for a launch. */
#include "batch.h"

#include <string.h>

int kl_batch_join(kl_batch *batch, const kl_batch *other)
{
    while (batch->count < other->count)
        batch->size[batch->count++] = 1;
    for (int k = 0; k < other->count; k++) {
        if (batch->size[k] == 1)
            batch->size[k] = other->size[k];
        else if (other->size[k] != 1 && other->size[k] != batch->size[k])
            return k;
    }
    return -1;
}

kl_batch kl_reduced_batch(const kl_batch *batch, unsigned axes)
{
    kl_batch left = *batch;
    for (int k = 0; k < left.count; k++)
        if (axes & KF_BATCH_AXIS(k))
            left.size[k] = 1;
    return left;
}

int64_t kl_batch_count(const kl_batch *batch)
{
    int64_t count = 1;
    for (int k = 0; k < batch->count; k++)
        if (kb_mul_overflows(count, batch->size[k], &count))
            return INT64_MAX;
    return count;
}

void kl_dense_strides(const kl_batch *batch, int64_t size, int64_t stride[KF_MAX_BATCH])
{
    for (int k = 0; k < KF_MAX_BATCH; k++) {
        int64_t here = kl_batch_size(batch, k);
        stride[k] = here == 1 ? 0 : size;
        size *= here;
    }
}

static bool follows(int64_t stride, int64_t step, int64_t count)
{
    int64_t length;
    return !kb_mul_overflows(step, count, &length) && stride == length;
}

/* Whether batches along axis `at` are more of `rows` on the axis of `role`. */
static bool are_rows(int at, kf_role role, int64_t rows, size_t count, const kl_operand *operands)
{
    for (size_t k = 0; k < count; k++) {
        const kl_operand *o = &operands[k];
        if (o->role == role ? rows < 2 || !follows(o->stride[at], o->row_stride, rows) : o->stride[at] != 0)
            return false;
    }
    return true;
}

static void remove_axis(kl_axes *axes, int at, int count, size_t operand_count, kl_operand *operands)
{
    for (int k = at; k + 1 < count; k++) {
        axes->size[k] = axes->size[k + 1];
        for (size_t m = 0; m < operand_count; m++)
            operands[m].stride[k] = operands[m].stride[k + 1];
    }
    for (size_t m = 0; m < operand_count; m++)
        operands[m].stride[count - 1] = 0;
}

static bool is_one_axis(const kl_axes *axes, int at, size_t count, const kl_operand *operands)
{
    for (size_t k = 0; k < count; k++)
        if (!follows(operands[k].stride[at + 1], operands[k].stride[at], axes->size[at]))
            return false;
    return true;
}

void kl_merge_axes(kl_axes *axes, const kl_batch *batch, unsigned reduced, unsigned reduced_batches, unsigned numbered,
                   size_t count, kl_operand *operands, int64_t *rows, int64_t *cols)
{
    int from[KF_MAX_BATCH], total = 0;
    *axes = (kl_axes){.batches = 1, .each_count = 1};
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
        to_rows = to_rows && !(numbered & KF_AXIS_I);
        to_cols = to_cols && !(numbered & KF_AXIS_J);
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
