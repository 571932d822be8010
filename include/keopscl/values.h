/* SPDX-License-Identifier: MIT */
/*
 * keopscl/values.h: values K_ij of an expression, written out: the whole matrix, rows, columns, blocks, single entries.
 *
 *     kcl_expr *K = kcl_exp(kcl_neg(kcl_sqdist(x, y)));                          // M rows, N columns
 *     kcl_dense(K, kcl_f32(all, M, N));
 *     kcl_rows(K, kcl_range(0, 10, 2), kcl_f32(rows, 5, N));                     // rows 0, 2, 4, 6, 8
 *     kcl_columns(K, kcl_list(kcl_i64(chosen, 3)), kcl_f32(columns, M, 3));      // the columns that an array numbers
 *     kcl_entries(K, kcl_list(kcl_i64(i, 7)), kcl_list(kcl_i64(j, 7)), kcl_f32(entries, 7));
 *
 * The values are those that reductions of the expression read, to rounding: computed on the context's device, in the
 * arrays' number type, with the scope's elementary functions. Nothing but the values asked for is computed, and the
 * only memory that grows with rows times columns is the caller's array.
 */
#ifndef KEOPSCL_VALUES_H
#define KEOPSCL_VALUES_H

#include <keopscl/scope.h>

KCL_BEGIN

/* How kcl_indices tells numbers. */
typedef enum kcl_indices_kind {
    KCL_INDICES_ALL = 0,   /* all there are */
    KCL_INDICES_RANGE = 1, /* start, start + step, ... before stop */
    KCL_INDICES_LIST = 2,  /* the elements of an array */
} kcl_indices_kind;

/* Numbers of rows or of columns, counted from 0. All zero: all of them. */
typedef struct kcl_indices {
    kcl_indices_kind kind;
    int64_t start, stop, step;
    const kcl_array *list; /* borrowed till the call returns */
} kcl_indices;

/* All rows, or all columns. */
KCL_API kcl_indices kcl_all(void);

/*
 * start, start + step, ... before `stop`; a negative step goes backwards, and ends before it reaches `stop`, which may
 * be -1 then. Numbers do not count from the end. There may be none; `step` is not 0.
 */
KCL_API kcl_indices kcl_range(int64_t start, int64_t stop, int64_t step);

/*
 * The elements of an array of int64 of one axis, in any order and any number of times. The array may be in the memory
 * of the device, where it is read first, which waits.
 */
KCL_API kcl_indices kcl_list(const kcl_array *list);

/*
 * Values of an expression, which may have both axes, i and j, one of them or none (an axis that it lacks has one row or
 * column), batch axes, reductions and indices inside.
 *
 *   kcl_dense     K_ij of all i and j: shape (M, N, D)
 *   kcl_block     K_ij of chosen i and chosen j: (rows, columns, D), row and column numbers in the order that is given
 *   kcl_rows      chosen i, all j; kcl_columns: all i, chosen j
 *   kcl_entries   K_ij of pairs, i the k-th of `rows` and j the k-th of `columns`, which are as many: (pairs, D)
 *   kcl_diagonal  K_ii of all i, where there are as many rows as columns: (M, D)
 *
 * The expression's batch axes stand in front; all batches have the same row and column numbers. Axes of size 1 may be
 * added or left out anywhere, D = 1 too. The output has the number type of the arrays; kcl_dense of an index
 * (kcl_reduce_argmin and its like) is int64, as kcl_eval has it. Overlaps of output and inputs, device arrays and
 * waiting are as for kcl_eval (keopscl/evaluation.h).
 *
 * Errors, with the sentence in the context, and before anything is written: KCL_ERROR_ARGUMENT for a number that is not
 * there (the sentence has the number, its place in the list and how many rows or columns there are), a step of 0, lists
 * of different lengths; KCL_ERROR_TYPE for a list that is not int64; KCL_ERROR_SHAPE for an output or a list of another
 * shape, and for an expression of which nothing tells the length of an axis; KCL_ERROR_LENGTH where arrays of one axis
 * differ in length, and for the diagonal of a matrix that is not square; further those of kcl_eval.
 */
KCL_API kcl_status kcl_dense(kcl_expr *f, const kcl_array *out);
KCL_API kcl_status kcl_block(kcl_expr *f, kcl_indices rows, kcl_indices columns, const kcl_array *out);
KCL_API kcl_status kcl_rows(kcl_expr *f, kcl_indices rows, const kcl_array *out);
KCL_API kcl_status kcl_columns(kcl_expr *f, kcl_indices columns, const kcl_array *out);
KCL_API kcl_status kcl_entries(kcl_expr *f, kcl_indices rows, kcl_indices columns, const kcl_array *out);
KCL_API kcl_status kcl_diagonal(kcl_expr *f, const kcl_array *out);

KCL_END

#endif
