/* SPDX-License-Identifier: MIT */
/* device/dense_internal.h: what the files of dense algebra share. */
#ifndef KD_DENSE_INTERNAL_H
#define KD_DENSE_INTERNAL_H

#include "dense.h"
#include "internal.h"

/*
 * CBLAS and LAPACK. Of LAPACK the Fortran interface is called, not LAPACKE, because every library with LAPACK has it:
 * Debian's OpenBLAS is without LAPACKE. Integers have 32 bits. Texts hand their length over as a last argument.
 */
typedef struct kd_blas {
#define KD_BLAS_CALL(name, field, result, parameters) result(*field) parameters;
#include "dense_calls.def"
    int (*get_threads)(void); /* OpenBLAS; NULL: not to be had */
    void (*set_threads)(int threads);
    void *library;
    bool has_cblas, has_lapack;
    char name[KD_PATH]; /* of the library with CBLAS */
    char why[512];      /* there is no CBLAS, or no LAPACK */
} kd_blas;

typedef struct cublasContext *kd_cublas_handle;

/* CLBlast and cuBLAS, by their C interfaces. */
typedef struct kd_clblast {
#define KD_CLBLAST_CALL(name, field, result, parameters) result(*field) parameters;
#include "dense_calls.def"
} kd_clblast;

typedef struct kd_cublas {
#define KD_CUBLAS_CALL(name, field, result, parameters) result(*field) parameters;
#include "dense_calls.def"
} kd_cublas;

/* The numbers that CBLAS and CLBlast share. */
enum { KD_ROW_MAJOR = 101, KD_PLAIN = 111, KD_TRANSPOSED = 112, KD_UPPER = 121, KD_LOWER = 122, KD_NON_UNIT = 131 };
enum { KD_LEFT = 141, KD_RIGHT = 142 };

/* What a context keeps for dense algebra. */
struct kd_dense {
    kd_dense_way way;
    kd_blas blas;
    kd_clblast clblast;
    kd_cublas cublas;
    bool has_clblast, has_cublas;
    kd_cublas_handle handle; /* of cuBLAS */
    char why[768];           /* the library of the device is not to be had */
    char text[2048];
};

/* Where the elements of a matrix begin. */
typedef struct kd_elements {
    kd_buffer *buffer;
    void *host;
    size_t offset, stride;
} kd_elements;

static inline kd_elements kd_elements_of(const kd_matrix *m)
{
    return (kd_elements){m->buffer, m->buffer ? NULL : m->host, m->offset, m->stride};
}

/* op(A) has m rows and k columns, op(B) k rows and n columns. */
typedef struct kd_product {
    kcl_dtype dtype;
    bool transpose_a, transpose_b;
    size_t m, n, k;
    double alpha, beta;
    kd_elements a, b, c;
} kd_product;

/* X = X op(T)^-1, with X of n rows and `order` columns. T has the type of X. */
typedef struct kd_division {
    kcl_dtype dtype;
    size_t n, order;
    bool is_lower, transpose;
    kd_elements x, t;
} kd_division;

/* ---- dense_libraries.c ------------------------------------------------------------------------------------------- */

/* A library by its names, or by a variable that goes before: it names a path, or "none" for no library. */
typedef struct kd_library {
    const char *what, *variable, *advice;
    const char *names[4];
} kd_library;
extern const kd_library kd_library_blas, kd_library_lapack, kd_library_clblast, kd_library_cublas;

/* Whether an opened library serves, whose functions are put into `user`; else the text tells why not. */
typedef bool kd_accept(void *user, void *library, const char *name, char *why, size_t size);
kd_accept kd_clblast_accept; /* `user` is a kd_clblast */
kd_accept kd_cublas_accept;  /* `user` is a kd_cublas */

/*
 * Opens the first library that serves, and never closes it; *name is its name. False: there is none, and the text tells
 * why, and what to install.
 */
bool kd_library_open(const kd_library *library, kd_accept *accept, void *user, char name[KD_PATH], char *why,
                     size_t size);

void kd_blas_open(kd_blas *blas);

/* ---- dense_host.c ------------------------------------------------------------------------------------------------ */

/* The address of element `index`. */
static inline void *kd_at(void *base, kcl_dtype dtype, size_t index)
{
    return (char *)base + index * kb_dtype_size(dtype);
}

enum {
    KD_TILE = 64,              /* rows, columns and products of a step of the plain loops */
    KD_GRAM_ROWS = 512,        /* whose products are added in float32 */
    KD_SPLIT = 4 * 1024 * 1024 /* most elements of an operand in a piece */
};

/* On host memory: places have `host`. */
kcl_status kd_host_gemm(kcl_context *context, const kd_product *p);
kcl_status kd_host_trsm(kcl_context *context, const kd_division *d);

/* C = alpha A' A + beta C for `rows` rows of `order` columns at A; both triangles of C are written. */
kcl_status kd_host_gram(kcl_context *context, kcl_dtype dtype, double alpha, size_t rows, size_t order,
                        const kd_elements *a, double beta, double *c, size_t stride);

/* C = alpha S + beta C for the lower triangles of C and of S, a matrix of the type without gaps. */
void kd_add_lower(kcl_dtype dtype, double alpha, size_t order, const void *s, double beta, double *c, size_t stride);
void kd_copy_to_upper(size_t order, double *c, size_t stride);

/* ---- dense_gpu.c ------------------------------------------------------------------------------------------------- */

/* On device memory, by CLBlast or cuBLAS: a command of the submission. Sizes are not 0, and those of a piece. */
kcl_status kd_gpu_gemm(kcl_context *context, const kd_product *p);
kcl_status kd_gpu_trsm(kcl_context *context, const kd_division *d);

/* Opens the library of the device, and makes the handle of cuBLAS, which kd_gpu_end ends. */
bool kd_gpu_open(kcl_context *context, struct kd_dense *dense);
void kd_gpu_end(kcl_context *context, struct kd_dense *dense);

/* ---- dense_ways.c ------------------------------------------------------------------------------------------------ */

/* On device memory, as the context does it; sizes are not 0 but for a sum, which may be of no terms. */
kcl_status kd_device_gemm(kcl_context *context, const kd_product *p, kd_dense_way way);
kcl_status kd_device_gram(kcl_context *context, kd_dense_way way, kcl_dtype dtype, double alpha, const kd_matrix *a,
                          double beta, double *c, size_t stride);

/* The triangle is in host memory. */
kcl_status kd_device_trsm(kcl_context *context, const kd_division *d, kd_dense_way way);

/* ---- dense.c ----------------------------------------------------------------------------------------------------- */

/* The context's state, with its libraries opened. */
kcl_status kd_dense_get(kcl_context *context, struct kd_dense **dense);

#endif
