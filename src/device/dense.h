/* SPDX-License-Identifier: MIT */
/*
 * device/dense.h: algebra of dense matrices, for preconditioners.
 *
 * Matrices are row-major. Their libraries are opened when a context first needs them, and never linked: on devices
 * that work in place and on the interpreter a library with CBLAS and LAPACK (OpenBLAS and its like), on OpenCL's other
 * devices CLBlast, on CUDA cuBLAS. Without the library of a device its matrices go to the host in pieces and back,
 * which a log line tells; without CBLAS plain loops compute. So every function but kd_syevd works everywhere.
 *
 * Calls on device memory are commands of the submission, in order with launches: what goes wrong ends the submission,
 * and kd_finish or kd_submit is due (see kd_launch). Errors: KCL_ERROR_ARGUMENT (sizes that do not fit, named with
 * both sizes), KCL_ERROR_TYPE (float64 on a device without it), KCL_ERROR_NO_MEMORY, KCL_ERROR_DEVICE_MEMORY,
 * KCL_ERROR_OPENCL.
 *
 * Threads: as many as the library takes by itself, at most kd_threads(context). Contexts of several threads may
 * compute at the same time.
 */
#ifndef KD_DENSE_H
#define KD_DENSE_H

#include "device.h"

/*
 * Element (i, j) is at offset + i * stride + j, in elements. The memory is of the device (`buffer`), or of the host
 * (`buffer` NULL; for the interpreter, and on all devices for matrices that are small). The matrices of one call are
 * all of the device or all of the host. No columns or no rows: no memory is needed.
 */
typedef struct kd_matrix {
    kd_buffer *buffer;
    void *host;
    size_t offset;
    size_t rows, columns;
    size_t stride; /* `columns` or more */
} kd_matrix;

/*
 * C = alpha op(A) op(B) + beta C, where op transposes if asked to. C overlaps neither A nor B. With beta 0 what C held
 * does not matter (it may be NaN). Sums are rounded to the type of the matrices: see kd_gram for sums over many rows.
 */
kcl_status kd_gemm(kcl_context *context, kcl_dtype dtype, bool transpose_a, bool transpose_b, double alpha,
                   const kd_matrix *a, const kd_matrix *b, double beta, const kd_matrix *c);

/*
 * C = alpha A' A + beta C, the Gram matrix of the columns of A. C is in host memory, in double, with rows of `stride`
 * numbers; its lower triangle is read, and both triangles are written. The result is there when the function returns.
 *
 * Of float32 factors the products of 512 rows at a time are added in float32, and their sums in double: the error of an
 * element is less than 1e-6 of the product of the norms of its two columns, however many rows there are.
 */
kcl_status kd_gram(kcl_context *context, kcl_dtype dtype, double alpha, const kd_matrix *a, double beta, double *c,
                   size_t stride);

/*
 * X = X op(T)^-1 with a triangle T of the order of X's columns, in double in host memory, which is rounded to the type
 * of X and may be changed once the function returns. The other triangle is not read. A zero on the diagonal gives
 * infinities and NaN.
 */
kcl_status kd_trsm(kcl_context *context, kcl_dtype dtype, const kd_matrix *x, const double *t, size_t stride,
                   bool is_lower, bool transpose);

/* ---- Small matrices, in double in host memory -------------------------------------------------------------------- */

/*
 * Cholesky's factorisation A = L L' of order n: reads the lower triangle of A and puts L there, whose other triangle is
 * not touched. *failed: 0, or the order of the first leading minor that is not positive (NaN is not), and then A has
 * undefined contents. KCL_OK in both cases.
 */
kcl_status kd_potrf(kcl_context *context, size_t n, double *a, size_t stride, size_t *failed);

/* B = (L L')^-1 B for a matrix B of n rows and `columns` columns; L as kd_potrf makes it. */
kcl_status kd_potrs(kcl_context *context, size_t n, const double *l, size_t l_stride, size_t columns, double *b,
                    size_t b_stride);

/* B = op(T)^-1 B for a triangle T of order n. */
kcl_status kd_trsm_left(kcl_context *context, size_t n, const double *t, size_t t_stride, bool is_lower, bool transpose,
                        size_t columns, double *b, size_t b_stride);

/*
 * Eigenvalues of a symmetric matrix of order n in ascending order; reads the lower triangle of A. With `vectors` row i
 * of A becomes the i-th eigenvector, of norm 1, else A has undefined contents. KCL_ERROR_UNSUPPORTED without LAPACK:
 * the text tells what to install; KCL_ERROR_ARGUMENT: A has infinities or NaN.
 */
kcl_status kd_syevd(kcl_context *context, size_t n, double *a, size_t stride, double *values, bool vectors);

/* ---- Which library ----------------------------------------------------------------------------------------------- */

typedef enum kd_dense_way {
    KD_DENSE_DEFAULT,  /* the first of the others that is to be had, for matrices of the device */
    KD_DENSE_CUBLAS,   /* on CUDA */
    KD_DENSE_CLBLAST,  /* OpenCL */
    KD_DENSE_IN_PLACE, /* on the host, where kernels work on memory of the host */
    KD_DENSE_COPIED,   /* on the host, on copies of pieces: any device */
} kd_dense_way;

/* How matrices of the device are worked on from now on. KCL_ERROR_UNSUPPORTED: not so; the text tells why. */
kcl_status kd_dense_use(kcl_context *context, kd_dense_way way);

typedef struct kd_dense_info {
    kd_dense_way way; /* not KD_DENSE_DEFAULT */
    bool is_fast;     /* a library works where the matrices are */
    bool has_blas;    /* a library works on matrices of the host */
    bool has_lapack;  /* kd_syevd is there */
    const char *text; /* a sentence for logs: the libraries, or what to install; valid as long as the context */
} kd_dense_info;

/* Opens the libraries if that was not done. */
kcl_status kd_dense_describe(kcl_context *context, kd_dense_info *info);

/*
 * Bytes that a call takes beside its operands, at most: `order` is the largest order of Gram matrices and triangles.
 * What libraries keep for themselves is told as far as it is known: cuBLAS has a workspace, CPU libraries some 32 MiB
 * a thread of address space.
 */
typedef struct kd_dense_bytes {
    uint64_t host, device;
} kd_dense_bytes;
kcl_status kd_dense_most_bytes(kcl_context *context, kcl_dtype dtype, size_t order, kd_dense_bytes *bytes);

#endif
