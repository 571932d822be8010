/* SPDX-License-Identifier: MIT */
/*
 * keopscl/keopscl.h: sums, minima and other reductions of matrices K_ij = F(x_i, y_j, p) that are too large to store.
 *
 * Guide
 * -----
 *
 *     #include <keopscl/keopscl.h>
 *
 *     kcl_context *ctx;
 *     if (kcl_context_create(&ctx, NULL) < 0) {              // the device that KEOPSCL_DEVICE names
 *         fprintf(stderr, "%s\n", kcl_context_error(ctx));   // a failed context tells why
 *         kcl_context_destroy(&ctx);
 *         return 1;
 *     }
 *     kcl_scope *s = kcl_scope_create(ctx);                  // owns every expression below
 *
 *     kcl_expr *x = kcl_vi(s, kcl_f32(xdata, M, 3));         // one row per i
 *     kcl_expr *y = kcl_vj(s, kcl_f32(ydata, N, 3));         // one row per j
 *     kcl_expr *b = kcl_vj(s, kcl_f32(bdata, N, 1));
 *     kcl_expr *g = kcl_scalar(s, 0.5);                      // changing it compiles nothing
 *     kcl_expr *K = kcl_exp(kcl_neg(kcl_mul(g, kcl_sqdist(x, y))));
 *
 *     kcl_expr *a = kcl_reduce_sum(kcl_mul(K, b), KCL_OVER_J);      // a_i = sum_j exp(-g |x_i - y_j|^2) b_j
 *     if (kcl_eval1(a, kcl_f32(adata, M, 1)) < 0)                   // one check for the whole chain
 *         fprintf(stderr, "%s\n", kcl_context_error(ctx));
 *
 *     kcl_expr *E = kcl_reduce_sum(kcl_square(a), KCL_OVER_I);      // reductions enter further formulas,
 *     kcl_eval1(kcl_grad(E, x), kcl_f32(gdata, M, 3));              // and are differentiated
 *
 *     kcl_scope_destroy(&s);
 *     kcl_context_destroy(&ctx);
 *
 * Arrays may be kept in the device's memory (memory.h): then nothing is copied, and calls need not wait.
 *
 * Three ways in: expressions as above (scope.h explains them), formula strings in KeOps' language (kcl_formula,
 * kcl_operator_create), and operators, compiled once and applied to new arrays many times (operator.h).
 *
 * Threads: functions of a context, or of something that belongs to one (scopes, expressions, memory), are called by one
 * thread at a time; operators are shared freely. What belongs to neither (kcl_device_list, kcl_doctor, the disk cache,
 * descriptions of arrays, the making of operators) may be called by any thread at any time, and kcl_context_cancel too.
 *
 * The library never exits, prints (unless logging is asked for) or keeps state outside its objects.
 *
 * Stack: 64 KiB of the calling thread's stack are enough for every call on the interpreter, however long or deep a
 * formula is, and for what the library itself does on OpenCL devices. The driver's need comes on top there: compilers
 * run in the calling thread and want the usual megabytes.
 */
#ifndef KEOPSCL_KEOPSCL_H
#define KEOPSCL_KEOPSCL_H

#include <keopscl/array.h>
#include <keopscl/context.h>
#include <keopscl/derivatives.h>
#include <keopscl/elementwise.h>
#include <keopscl/evaluation.h>
#include <keopscl/expr.h>
#include <keopscl/memory.h>
#include <keopscl/operator.h>
#include <keopscl/reductions.h>
#include <keopscl/scope.h>
#include <keopscl/solve.h>
#include <keopscl/status.h>
#include <keopscl/values.h>
#include <keopscl/variables.h>
#include <keopscl/vectors.h>

#endif
