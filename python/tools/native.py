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
CALLBACKS = 'extern "Python" void keopscl_write(void *user, const char *text, size_t length);\n'


def headers(include):
    folder = os.path.join(include, "keopscl")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".h")]


def declarations(include, compiler):
    """The declarations of keopscl.h as the compiler sees them, without function bodies."""
    with tempfile.TemporaryDirectory() as folder:
        for name in SYSTEM_HEADERS:
            open(os.path.join(folder, name), "w").close()
        text = subprocess.run(
            [*compiler, "-E", "-P", "-nostdinc", "-DINT32_MAX=2147483647", "-I", folder, "-I", include,
             os.path.join(include, "keopscl", "keopscl.h")],
            check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout
    return re.sub(r"static inline [^{}]*\{[^{}]*\}", "", text)


def main():
    output, depfile, include, compiler = *sys.argv[1:4], sys.argv[4:]
    ffi = cffi.FFI()
    ffi.cdef(declarations(include, compiler) + CALLBACKS + "".join(f"#define {name} ...\n" for name in CONSTANTS))
    ffi.set_source(MODULE, "#include <keopscl/keopscl.h>")
    ffi.emit_c_code(output)
    with open(depfile, "w") as file:
        file.write(f"{output}: {' '.join(headers(include))}\n")


main()
