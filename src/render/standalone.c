/* SPDX-License-Identifier: MIT */
/* render/standalone.c: programs that no plan makes: copies, squares, rows by an index. */
#include "library.h"
#include "render.h"

void kt_render_copy(kb_str *out, size_t element_size)
{
    const char *const type = element_size == 1   ? "uchar"
                             : element_size == 2 ? "ushort"
                             : element_size == 4 ? "uint"
                             : element_size == 8 ? "ulong"
                                                 : "ulong2";
    kb_str_putf(out, "#define KCL_ELEMENT %s\n", type);
    kt_put_library(out, (const char *const[]){"copy"}, 1, "copy");
}

static void put_with_type(kb_str *out, kcl_dtype dtype, const char *file, const char *kernels)
{
    if (dtype == KCL_F64)
        kb_str_put(out, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n");
    kb_str_putf(out, "#define KCL_REAL %s\n", dtype == KCL_F64 ? "double" : "float");
    kt_put_library(out, &file, 1, kernels);
}

void kt_render_squares(kb_str *out, kcl_dtype dtype, bool has_f64)
{
    if (dtype == KCL_F64)
        kb_str_put(out, "#define KCL_REAL_F64\n");
    else if (has_f64)
        kb_str_put(out, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n");
    kb_str_putf(out, "#define KCL_WIDE %s\n", has_f64 ? "double" : "float");
    put_with_type(out, dtype, "squares", "centre squares");
}

void kt_render_indexed(kb_str *out, kcl_dtype dtype)
{
    put_with_type(out, dtype, "indexed", "gather whole take scatter");
}
