# SPDX-License-Identifier: MIT
"""The build backend: meson-python, whose source archives get the sources of the library, and whose wheels are for all
versions of Python from the first one that the stable ABI is asked for.

In a checkout subprojects/keopscl is a link to the folder of the library. An archive holds the files themselves.
"""

import gzip
import io
import os
import subprocess
import sys
import tarfile

import mesonpy
from mesonpy import (
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

LIBRARY = os.path.join("subprojects", "keopscl")

OLDEST = "cp39"  # as limited_api in meson.build

# What the library is built from.
PARTS = ("LICENSE", "cl", "include", "meson.build", "meson_options.txt", "scripts/version.sh", "src", "subprojects")


def library_files():
    """The files of the library as (name in the library's folder, path)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *PARTS],
        cwd=LIBRARY,
        check=True,
        stdout=subprocess.PIPE,
        universal_newlines=True,
    ).stdout
    return [(name, os.path.join(LIBRARY, name)) for name in listed.split("\0") if name]


def build_sdist(sdist_directory, config_settings=None):
    """meson-python's archive, in which the link to the library is replaced by its files."""
    name = mesonpy.build_sdist(sdist_directory, config_settings)
    if not os.path.islink(LIBRARY):
        return name
    path = os.path.join(sdist_directory, name)
    with open(path, "rb") as file:
        archive = io.BytesIO(gzip.decompress(file.read()))
    with tarfile.open(fileobj=archive) as old, tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as new:
        root = old.getnames()[0].split("/")[0]
        link = f"{root}/{LIBRARY}"
        for member in old:
            if member.name != link:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
        for name_in_library, source in library_files():
            new.add(source, f"{link}/{name_in_library}", recursive=False)
    return name


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """meson-python's wheel, which names the version of the Python that builds it, for all versions from 3.9."""
    name = mesonpy.build_wheel(wheel_directory, config_settings, metadata_directory)
    if "-abi3-" not in name:
        return name
    retagged = subprocess.run(
        [
            sys.executable,
            "-m",
            "wheel",
            "tags",
            "--python-tag",
            OLDEST,
            "--remove",
            os.path.join(wheel_directory, name),
        ],
        check=True,
        stdout=subprocess.PIPE,
        universal_newlines=True,
    ).stdout
    return retagged.split()[-1]
