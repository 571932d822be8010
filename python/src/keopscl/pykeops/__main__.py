# SPDX-License-Identifier: MIT
"""python -m keopscl.pykeops script.py [ARGUMENT...], or -m MODULE [ARGUMENT...]: runs a program that imports
pykeops.
"""

from __future__ import annotations

import os
import runpy
import sys

from ._install import install_as_pykeops

USAGE = (
    "usage: python -m keopscl.pykeops SCRIPT.py [ARGUMENT...]\n       python -m keopscl.pykeops -m MODULE [ARGUMENT...]"
)


def main() -> None:
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help") or arguments == ["-m"]:
        print(USAGE, file=sys.stdout if arguments[:1] in (["-h"], ["--help"]) else sys.stderr)
        sys.exit(0 if arguments and arguments != ["-m"] else 2)
    install_as_pykeops()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
        runpy.run_path(arguments[0], run_name="__main__")


main()
