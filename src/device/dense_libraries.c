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

bool kd_library_open(const kd_library *l, kd_accept *accept, void *user, char name[KD_PATH], char *why, size_t size)
{
    char reason[300] = "", refused[300] = ""; /* why a library does not serve tells more than why there is none */
    const char *given = getenv(l->variable);
    const bool is_given = given && *given;
    bool is_there = false;
    if (is_given && strcmp(given, "none") == 0) {
        snprintf(why, size, "%s=none: %s is not to be used", l->variable, l->what);
        return false;
    }
    /* Libraries that the process has loaded, such as PyTorch's, come first. */
    for (int pass = is_given ? 1 : 0; pass < 2; pass++)
        for (size_t k = 0; k < (is_given ? 1 : KB_COUNT(l->names)) && (is_given || l->names[k]) && !is_there; k++) {
            snprintf(name, KD_PATH, "%s", is_given ? given : l->names[k]);
            void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL | (pass ? 0 : RTLD_NOLOAD));
            is_there = library && accept(user, library, name, refused, sizeof refused);
            const char *error = library ? NULL : dlerror();
            if (error && pass && !*reason)
                snprintf(reason, sizeof reason, "%s", error);
        }
    *why = 0;
    if (!is_there)
        snprintf(why, size, "%s is not to be had (%s%s%s); %s", l->what, is_given ? l->variable : "",
                 is_given ? ": " : "", *refused ? refused : reason, l->advice);
    return is_there;
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

static bool accept_cblas(void *user, void *library, const char *name, char *why, size_t size)
{
    kd_blas *b = user;
    b->has_cblas = !counts_in_64_bits(library);
    if (!b->has_cblas)
        snprintf(why, size, "%.200s has integers of 64 bits", name);
#define KD_BLAS_CALL(symbol, field, result, parameters)                                                                \
    SET(b->field, find(library, #symbol));                                                                             \
    if (!b->field && b->has_cblas) {                                                                                   \
        snprintf(why, size, "%.200s lacks the function " #symbol, name);                                               \
        b->has_cblas = false;                                                                                          \
    }
#define KD_LAPACK_CALL(symbol, field, result, parameters)
#include "dense_calls.def"
    SET(b->get_threads, find(library, "openblas_get_num_threads"));
    SET(b->set_threads, find(library, "openblas_set_num_threads"));
    b->library = library;
    return b->has_cblas;
}

static bool accept_lapack(void *user, void *library, const char *name, char *why, size_t size)
{
    kd_blas *b = user;
    b->has_lapack = true;
#define KD_LAPACK_CALL(symbol, field, result, parameters)                                                              \
    SET(b->field, find(library, #symbol));                                                                             \
    if (!b->field) {                                                                                                   \
        snprintf(why, size, "%.200s lacks the function " #symbol, name);                                               \
        b->has_lapack = false;                                                                                         \
    }
#include "dense_calls.def"
    return b->has_lapack;
}

void kd_blas_open(kd_blas *b)
{
    char other[KD_PATH];
    const char *given = getenv(kd_library_blas.variable);
    *b = (kd_blas){.has_cblas = false};
    b->has_cblas = kd_library_open(&kd_library_blas, accept_cblas, b, b->name, b->why, sizeof b->why);
    if (b->has_cblas && !accept_lapack(b, b->library, b->name, b->why, sizeof b->why) && !(given && *given))
        b->has_lapack = kd_library_open(&kd_library_lapack, accept_lapack, b, other, b->why, sizeof b->why);
}

bool kd_clblast_accept(void *user, void *library, const char *name, char *why, size_t size)
{
    kd_clblast *clblast = user;
    bool all = true;
#define KD_CLBLAST_CALL(symbol, field, result, parameters)                                                             \
    SET(clblast->field, dlsym(library, #symbol));                                                                      \
    if (!clblast->field) {                                                                                             \
        snprintf(why, size, "%.200s lacks the function " #symbol, name);                                               \
        all = false;                                                                                                   \
    }
#include "dense_calls.def"
    return all;
}

bool kd_cublas_accept(void *user, void *library, const char *name, char *why, size_t size)
{
    kd_cublas *cublas = user;
    bool all = true;
#define KD_CUBLAS_CALL(symbol, field, result, parameters)                                                              \
    SET(cublas->field, dlsym(library, #symbol));                                                                       \
    if (!cublas->field) {                                                                                              \
        snprintf(why, size, "%.200s lacks the function " #symbol, name);                                               \
        all = false;                                                                                                   \
    }
#include "dense_calls.def"
    return all;
}

void kd_dense_report(kb_str *out)
{
    kd_blas blas;
    kd_clblast clblast;
    kd_cublas cublas;
    char why[768], name[KD_PATH];
    kb_str_put(out, "Dense algebra, for preconditioners\n");
    kd_blas_open(&blas);
    if (blas.has_cblas)
        kb_str_putf(out, "  on CPUs: %s, %s%s\n", blas.name,
                    blas.has_lapack ? "with LAPACK" : "without eigenvalues: ", blas.has_lapack ? "" : blas.why);
    else
        kb_str_putf(out, "  on CPUs: %s\n  Without it plain loops compute, which is slow.\n", blas.why);
    if (kd_library_open(&kd_library_clblast, kd_clblast_accept, &clblast, name, why, sizeof why))
        kb_str_putf(out, "  on GPUs: %s\n", name);
    else
        kb_str_putf(out, "  on GPUs: %s\n  Without it the matrices are copied to the host, which is slow.\n", why);
    if (kd_library_open(&kd_library_cublas, kd_cublas_accept, &cublas, name, why, sizeof why))
        kb_str_putf(out, "  on CUDA: %s\n", name);
    else
        kb_str_putf(out, "  on CUDA: %s\n  Without it the matrices are copied to the host, which is slow.\n", why);
}
