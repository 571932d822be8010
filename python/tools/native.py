# SPDX-License-Identifier: MIT
"""Writes the C source of keopscl._native, the binding of the public headers by cffi.

native.py OUTPUT DEPFILE INCLUDE_FOLDER COMPILER...

The compiler expands the macros of the headers.
"""

import os
import re
import subprocess
import sys
import tempfile

import cffi

MODULE = "keopscl._native"

# cffi knows the types of these headers without a declaration.
SYSTEM_HEADERS = ("stddef.h", "stdint.h")

# Constants that are macros, whose values the compiler inserts.
CONSTANTS = ("KCL_MAX_AXES", "KCL_MAX_INNER", "KCL_REST", "KCL_VERSION_MAJOR", "KCL_VERSION_MINOR")

# Functions in Python that the library calls.
CALLBACKS = """
extern "Python" void keopscl_write(void *user, const char *text, size_t length);
extern "Python" int keopscl_progress(void *user, double fraction);
extern "Python" void *keopscl_allocate(void *user, size_t bytes);
extern "Python" void keopscl_release(void *user, void *pointer);
"""

# An array whose `data` is an address on the CUDA device of the context: the memory from the first to the last element
# becomes the array's memory, which kcl_array_free gives back. An array without elements has no memory.
ON_CARD = """
static kcl_status keopscl_on_card(kcl_context *context, kcl_array *array)
{
    int64_t bytes = array->dtype == KCL_F32 ? 4 : 8;
    void *const address = array->data;
    array->data = NULL;
    array->memory = NULL;
    array->offset = 0;
    for (int k = 0; k < array->ndim; k++) {
        if (array->shape[k] == 0)
            return KCL_OK;
        bytes += (array->shape[k] - 1) * array->stride[k];
    }
    return kcl_cuda_memory(context, address, (size_t)bytes, &array->memory);
}
"""

# kcl_operator_apply on `arrays`, results first, with the memory at `addresses`, of the host or of the context's CUDA
# device: filling the fields of each array in Python takes longer than a small computation.
APPLY = """
static kcl_status keopscl_apply(const kcl_operator *op, kcl_context *context, const kcl_array *arrays,
                                void *const *addresses, int out_count, int arg_count, int on_card)
{
    enum { FEW = 32 };
    kcl_array few[FEW], *copies = few;
    const kcl_array *few_pointers[FEW] = {0}, **pointers = few_pointers;
    const size_t count = (size_t)out_count + (size_t)arg_count;
    if (count > FEW) {
        copies = malloc(count * sizeof *copies);
        pointers = malloc(count * sizeof *pointers);
    }
    kcl_status status = KCL_ERROR_NO_MEMORY;
    if (copies && pointers) {
        size_t ready = 0;
        status = KCL_OK;
        while (status >= 0 && ready < count) {
            copies[ready] = arrays[ready];
            copies[ready].data = addresses[ready];
            pointers[ready] = &copies[ready];
            if (on_card)
                status = keopscl_on_card(context, &copies[ready]);
            ready++;
        }
        if (status >= 0)
            status = kcl_operator_apply(op, context, pointers, out_count, pointers + out_count, arg_count);
        for (size_t k = 0; on_card && k < ready; k++)
            kcl_memory_release(&copies[k].memory);
    }
    if (count > FEW) {
        free(copies);
        free(pointers);
    }
    return status;
}
"""


# The same with addresses as numbers.
APPLY_AT = """
static kcl_status keopscl_apply_at(const kcl_operator *op, kcl_context *context, const kcl_array *arrays,
                                   const uintptr_t *addresses, int out_count, int arg_count, int on_card)
{
    return keopscl_apply(op, context, arrays, (void *const *)addresses, out_count, arg_count, on_card);
}
"""

HELPERS = (ON_CARD, APPLY, APPLY_AT)

# What includes all others, and the headers of those who use a driver themselves.
INCLUDES = "".join(f"#include <keopscl/{name}.h>\n" for name in ("keopscl", "cuda", "opencl"))


def headers(include):
    folder = os.path.join(include, "keopscl")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".h")]


def declarations(include, compiler):
    """The declarations of the headers as the compiler sees them, without function bodies."""
    with tempfile.TemporaryDirectory() as folder:
        for name in SYSTEM_HEADERS:
            open(os.path.join(folder, name), "w").close()
        source = os.path.join(folder, "headers.c")
        with open(source, "w") as file:
            file.write(INCLUDES)
        text = subprocess.run(
            [
                *compiler,
                "-E",
                "-P",
                "-nostdinc",
                "-DINT32_MAX=2147483647",
                "-I",
                folder,
                "-I",
                include,
                source,
            ],
            check=True,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        ).stdout
    return re.sub(r"static inline [^{}]*\{[^{}]*\}", "", text)


def main():
    output, depfile, include, compiler = *sys.argv[1:4], sys.argv[4:]
    ffi = cffi.FFI()
    ffi.cdef(
        declarations(include, compiler)
        + CALLBACKS
        + "".join(helper.split("{")[0].replace("static ", "") + ";\n" for helper in HELPERS)
        + "".join(f"#define {name} ...\n" for name in CONSTANTS)
    )
    ffi.set_source(MODULE, "#include <stdlib.h>\n" + INCLUDES + "".join(HELPERS))
    ffi.emit_c_code(output)
    with open(depfile, "w") as file:
        file.write(f"{output}: {' '.join(headers(include))}\n")


main()
