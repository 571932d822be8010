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
"""

# kcl_operator_apply on `arrays`, results first, with the memory at `addresses`: filling the fields of each array in
# Python takes longer than a small computation.
APPLY = """
static kcl_status keopscl_apply(const kcl_operator *op, kcl_context *context, const kcl_array *arrays,
                                void *const *addresses, int out_count, int arg_count)
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
        for (size_t k = 0; k < count; k++) {
            copies[k] = arrays[k];
            copies[k].data = addresses[k];
            pointers[k] = &copies[k];
        }
        status = kcl_operator_apply(op, context, pointers, out_count, pointers + out_count, arg_count);
    }
    if (count > FEW) {
        free(copies);
        free(pointers);
    }
    return status;
}
"""


# What includes all others, and the headers of those who use a driver themselves.
INCLUDES = "#include <keopscl/keopscl.h>\n#include <keopscl/opencl.h>\n"


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
        + APPLY.split("{")[0].replace("static ", "")
        + ";\n"
        + "".join(f"#define {name} ...\n" for name in CONSTANTS)
    )
    ffi.set_source(MODULE, "#include <stdlib.h>\n" + INCLUDES + APPLY)
    ffi.emit_c_code(output)
    with open(depfile, "w") as file:
        file.write(f"{output}: {' '.join(headers(include))}\n")


main()
