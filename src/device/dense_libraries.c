/* SPDX-License-Identifier: MIT */
/* device/dense_libraries.c: the libraries of dense algebra, opened at run time. */
#include "dense_internal.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The names of Debian and Fedora first; of Fedora's OpenBLAS the one with threads. */
const kd_library kd_library_blas = {
    .what = "a library with CBLAS",
    .variable = "KEOPSCL_BLAS",
    .advice = "Debian, Ubuntu: libopenblas0; pip: keopscl[blas]",
    .names = {"libopenblasp.so.0", "libopenblas.so.0", "libopenblas.so", "libblas.so.3"},
};
const kd_library kd_library_lapack = {
    .what = "LAPACK",
    .variable = "KEOPSCL_BLAS",
    .advice = "Debian, Ubuntu: libopenblas0; pip: keopscl[blas]",
    .names = {"liblapack.so.3"},
};
const kd_library kd_library_clblast = {
    .what = "CLBlast",
    .variable = "KEOPSCL_CLBLAST",
    .advice = "Debian, Ubuntu: libclblast1",
    .names = {"libclblast.so.1", "libclblast.so"},
};
/* A process that has loaded PyTorch finds PyTorch's by the name. */
const kd_library kd_library_cublas = {
    .what = "cuBLAS",
    .variable = "KEOPSCL_CUBLAS",
    .advice = "it is a part of CUDA's toolkit and of pip's nvidia-cublas, which PyTorch brings",
    .names = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"},
};

void *kd_library_open(const kd_library *l, char name[KD_PATH], char *why, size_t size)
{
    const char *given = getenv(l->variable);
    const bool is_given = given && *given;
    if (is_given && strcmp(given, "none") == 0) {
        snprintf(why, size, "%s=none: %s is not to be used", l->variable, l->what);
        return NULL;
    }
    char first[300] = ""; /* the reason why the first name is not there serves for all */
    for (size_t k = 0; k < (is_given ? 1 : KB_COUNT(l->names)) && (is_given || l->names[k]); k++) {
        const char *wanted = is_given ? given : l->names[k];
        void *library = dlopen(wanted, RTLD_LAZY | RTLD_LOCAL);
        if (library) {
            snprintf(name, KD_PATH, "%s", wanted);
            *why = 0;
            return library;
        }
        const char *reason = dlerror();
        if (!*first)
            snprintf(first, sizeof first, "%s", reason ? reason : wanted);
    }
    snprintf(why, size, "%s is not there (%s%s%s); %s", l->what, is_given ? l->variable : "", is_given ? ": " : "",
             first, l->advice);
    return NULL;
}

/* The function of a library, by its name or by the name that SciPy's OpenBLAS gives to it. */
static void *find(void *library, const char *name)
{
    char prefixed[64];
    void *address = dlsym(library, name);
    snprintf(prefixed, sizeof prefixed, "scipy_%s", name);
    return address ? address : dlsym(library, prefixed);
}

/* Sets a pointer to a function: see set_function in loader.c. */
#define SET(field, address) memcpy(&(field), &(void *){address}, sizeof(field))

/* Whether the library counts in 64 bits under the names of functions that count in 32. */
static bool counts_in_64_bits(void *library)
{
    const char *(*config)(void);
    SET(config, find(library, "openblas_get_config"));
    return config && strstr(config(), "USE64BITINT");
}

static bool find_cblas(kd_blas *b, void *library)
{
    bool all = true;
#define KD_BLAS_CALL(name, field, result, parameters)                                                                  \
    SET(b->field, find(library, #name));                                                                               \
    all &= b->field != NULL;
#define KD_LAPACK_CALL(name, field, result, parameters)
#include "dense_calls.def"
    return all;
}

static bool find_lapack(kd_blas *b, void *library)
{
    bool all = true;
#define KD_LAPACK_CALL(name, field, result, parameters)                                                                \
    SET(b->field, find(library, #name));                                                                               \
    all &= b->field != NULL;
#include "dense_calls.def"
    return all;
}

void kd_blas_open(kd_blas *b)
{
    char other[KD_PATH];
    *b = (kd_blas){.has_cblas = false};
    void *library = kd_library_open(&kd_library_blas, b->name, b->why, sizeof b->why);
    if (!library)
        return;
    if (counts_in_64_bits(library)) {
        snprintf(b->why, sizeof b->why, "%.300s has integers of 64 bits; %s", b->name, kd_library_blas.advice);
        return;
    }
    b->has_cblas = find_cblas(b, library);
    if (!b->has_cblas)
        snprintf(b->why, sizeof b->why, "%.300s has no CBLAS; %s", b->name, kd_library_blas.advice);
    SET(b->get_threads, find(library, "openblas_get_num_threads"));
    SET(b->set_threads, find(library, "openblas_set_num_threads"));
    b->has_lapack = find_lapack(b, library);
    const char *given = getenv(kd_library_blas.variable);
    if (b->has_lapack || (given && *given))
        return;
    library = kd_library_open(&kd_library_lapack, other, b->why, sizeof b->why);
    b->has_lapack = library && find_lapack(b, library);
}

bool kd_clblast_open(kd_clblast *clblast, char *why, size_t size)
{
    char name[KD_PATH];
    void *library = kd_library_open(&kd_library_clblast, name, why, size);
    if (!library)
        return false;
#define KD_CLBLAST_CALL(symbol, field, result, parameters)                                                             \
    SET(clblast->field, dlsym(library, #symbol));                                                                      \
    if (!clblast->field)                                                                                               \
        snprintf(why, size, "%.300s lacks the function " #symbol, name);
#include "dense_calls.def"
    return !*why;
}

bool kd_cublas_open(kd_cublas *cublas, char *why, size_t size)
{
    char name[KD_PATH];
    void *library = kd_library_open(&kd_library_cublas, name, why, size);
    if (!library)
        return false;
#define KD_CUBLAS_CALL(symbol, field, result, parameters)                                                              \
    SET(cublas->field, dlsym(library, #symbol));                                                                       \
    if (!cublas->field)                                                                                                \
        snprintf(why, size, "%.300s lacks the function " #symbol, name);
#include "dense_calls.def"
    return !*why;
}

void kd_dense_report(kb_str *out)
{
    kd_blas blas;
    kd_clblast clblast;
    kd_cublas cublas;
    char why[512];
    kb_str_put(out, "Dense algebra, for preconditioners\n");
    kd_blas_open(&blas);
    if (blas.has_cblas)
        kb_str_putf(out, "  on CPUs: %s, %s\n", blas.name,
                    blas.has_lapack ? "with LAPACK" : "without LAPACK: there are no eigenvalues");
    else
        kb_str_putf(out, "  on CPUs: %s\n  Without it plain loops compute, which is slow.\n", blas.why);
    if (kd_clblast_open(&clblast, why, sizeof why))
        kb_str_put(out, "  on GPUs: CLBlast loads\n");
    else
        kb_str_putf(out, "  on GPUs: %s\n  Without it the matrices are copied to the host, which is slow.\n", why);
    if (kd_cublas_open(&cublas, why, sizeof why))
        kb_str_put(out, "  on CUDA: cuBLAS loads\n");
    else
        kb_str_putf(out, "  on CUDA: %s\n  Without it the matrices are copied to the host, which is slow.\n", why);
}
