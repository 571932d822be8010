# SPDX-License-Identifier: MIT
"""Writes the C source of keopscl._native, the binding of the public headers by cffi.

native.py OUTPUT DEPFILE INCLUDE_FOLDER NATIVE_FOLDER COMPILER...

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

# Descriptions of memory that calls in a context have used, by address: most calls use the same memory again, and a new
# description costs a microsecond in a call of some.
MEMORIES = """
enum { KEOPSCL_PLACES = 128 };
typedef struct keopscl_memories {
    unsigned call;
    struct keopscl_known {
        kcl_memory *memory;
        const void *address;
        size_t bytes;
        unsigned call; /* the last one that used it */
    } known[KEOPSCL_PLACES];
} keopscl_memories;

/* keopscl_on_card, with a description that is known or becomes so. *own: the caller gives the description back. */
static kcl_status keopscl_remember(kcl_context *context, keopscl_memories *memories, kcl_array *array, int *own)
{
    const uintptr_t address = (uintptr_t)array->data;
    struct keopscl_known *known = &memories->known[(address >> 4 ^ address >> 9 ^ address >> 16) % KEOPSCL_PLACES];
    int64_t bytes = array->dtype == KCL_F32 ? 4 : 8;
    *own = 0;
    for (int k = 0; k < array->ndim; k++)
        bytes += array->shape[k] ? (array->shape[k] - 1) * array->stride[k] : 0;
    if (known->memory && known->address == array->data && known->bytes == (size_t)bytes) {
        array->memory = known->memory;
        array->data = NULL;
        array->offset = 0;
        known->call = memories->call;
        return KCL_OK;
    }
    *own = 1;
    kcl_status status = keopscl_on_card(context, array);
    if (status < 0 || !array->memory || (known->memory && known->call == memories->call))
        return status;
    kcl_memory_release(&known->memory);
    *known = (struct keopscl_known){array->memory, (const void *)address, (size_t)bytes, memories->call};
    *own = 0;
    return status;
}
"""

# Before the context is destroyed.
FORGET = """
static void keopscl_forget(keopscl_memories *memories)
{
    for (int k = 0; k < KEOPSCL_PLACES; k++)
        kcl_memory_release(&memories->known[k].memory);
}
"""

# kcl_operator_apply on `arrays`, results first, with the memory at `addresses`: of the host, or, with `memories`, of
# the context's CUDA device. Filling the fields of each array in Python takes longer than a small computation.
APPLY = """
static kcl_status keopscl_apply(const kcl_operator *op, kcl_context *context, const kcl_array *arrays,
                                void *const *addresses, int out_count, int arg_count,
                                keopscl_memories *memories)
{
    enum { FEW = 32 };
    kcl_array few[FEW], *copies = few;
    const kcl_array *few_pointers[FEW] = {0}, **pointers = few_pointers;
    int few_own[FEW] = {0}, *own = few_own;
    const size_t count = (size_t)out_count + (size_t)arg_count;
    if (count > FEW) {
        copies = malloc(count * sizeof *copies);
        pointers = malloc(count * sizeof *pointers);
        own = calloc(count, sizeof *own);
    }
    if (memories)
        memories->call++;
    kcl_status status = KCL_ERROR_NO_MEMORY;
    if (copies && pointers && own) {
        size_t ready = 0;
        status = KCL_OK;
        while (status >= 0 && ready < count) {
            copies[ready] = arrays[ready];
            copies[ready].data = addresses[ready];
            pointers[ready] = &copies[ready];
            if (memories)
                status = keopscl_remember(context, memories, &copies[ready], &own[ready]);
            ready++;
        }
        if (status >= 0)
            status = kcl_operator_apply(op, context, pointers, out_count, pointers + out_count, arg_count);
        for (size_t k = 0; memories && k < ready; k++)
            if (own[k])
                kcl_memory_release(&copies[k].memory);
    }
    if (count > FEW) {
        free(copies);
        free(pointers);
        free(own);
    }
    return status;
}
"""


# C of the binding's own, which uses the functions above, in this order.
SOURCES = ("tensors.c", "places.c", "prepared.c")

# What Python sees of it.
PREPARED = """
int keopscl_prepare(uintptr_t dictionary);
enum { KEOPSCL_MOST_TENSORS = ..., KEOPSCL_MOST_ARRAYS = ... };
extern int keopscl_raised;
extern int64_t keopscl_calls;
"""

TYPES = """
typedef struct keopscl_memories { ...; } keopscl_memories;
"""

HELPERS = (ON_CARD, MEMORIES, FORGET, APPLY)

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


def declaration(helper):
    """The declaration of a function that is defined in a text."""
    return helper.split("{")[0].replace("static ", "") + ";\n"


def main():
    output, depfile, include, native, compiler = *sys.argv[1:5], sys.argv[5:]
    ffi = cffi.FFI()
    ffi.cdef(
        declarations(include, compiler)
        + CALLBACKS
        + TYPES
        + PREPARED
        + "".join(declaration(helper) for helper in HELPERS if helper is not MEMORIES)
        + "".join(f"#define {name} ...\n" for name in CONSTANTS)
    )
    sources = [os.path.join(native, name) for name in SOURCES]
    texts = []
    for source in sources:
        with open(source) as file:
            texts.append(file.read())
    system = "#include <stdlib.h>\n#include <string.h>\n"
    ffi.set_source(MODULE, system + INCLUDES + "".join(HELPERS) + "".join(texts))
    ffi.emit_c_code(output)
    with open(depfile, "w") as file:
        file.write(f"{output}: {' '.join([*sources, *headers(include)])}\n")


main()
