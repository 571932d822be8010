#!/usr/bin/env bash
# Installs what is missing (Debian, Ubuntu), then configures and builds.
#
#   scripts/setup.sh [BUILD_FOLDER [MESON_OPTION...]]      default: build
#   scripts/setup.sh --python                              what the tests of the Python package need, into build/python
#
# With --python the package is built and installed into an environment of its own, beside NumPy, SciPy, PyTorch and
# matplotlib of the system; the exit code 77 says that PyPI cannot be reached, which has the tools that build it.
# Installing takes root, or sudo without a password; otherwise the packages to ask for are printed and nothing changes.
set -euo pipefail
cd "$(dirname "$0")/.."
python=false
if [ "${1-}" = --python ]; then
    python=true
    shift
fi
build=${1:-build}
shift $(($# > 0))

packages=()
need() { packages+=("$@"); }
wishes=()
wish() { wishes+=("$@"); }
have() { command -v "$1" >/dev/null 2>&1; }

meson_is_new_enough() {
    have meson && [ "$(printf '%s\n' 1.0.0 "$(meson --version)" | sort -V | head -n 1)" = 1.0.0 ]
}
has_header() { # HEADER: without a compiler the header is asked for too, apt-get knows whether it is there
    have gcc && printf '#include <%s>\n' "$1" | gcc -x c -E - >/dev/null 2>&1
}
has_library() { # PATTERN of the names of a shared library
    PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep -qE "^[[:space:]]*$1"
}
has_pocl() {
    local icd
    for icd in "${OCL_ICD_VENDORS:-/etc/OpenCL/vendors}"/*pocl*; do [ ! -e "$icd" ] || return 0; done
    return 1
}

# Debian's packages of Python are for its own Python, which need not be the first in PATH.
python3=/usr/bin/python3
[ -x $python3 ] || python3=python3
has_module() { "$python3" -c "import $1" >/dev/null 2>&1; }

have gcc || need gcc
has_header stdlib.h || need libc6-dev
have g++ || need g++
has_header CL/cl.h || need opencl-headers
has_pocl || need pocl-opencl-icd
# Dense algebra: what is installed but not in the linker's cache (a folder of LD_LIBRARY_PATH) is asked for again.
has_library 'libopenblasp?\.so' || need libopenblas0-pthread
has_library 'libclblast\.so' || need libclblast1
if [ $python = true ]; then
    has_module ensurepip || need python3-venv
    "$python3" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
        need python3-dev
    for module in numpy scipy matplotlib pytest; do
        has_module $module || need python3-$module
    done
    # Tests of these are skipped, and say so, where the system has no such package.
    has_module torch || wish python3-torch
    has_module pyopencl || wish python3-pyopencl
    has_module sphinx_gallery || wish python3-sphinx-gallery python3-sphinx
else
    meson_is_new_enough || need meson
    have ninja || need ninja-build
    have pkg-config || need pkg-config
    pkg-config --exists OpenCL 2>/dev/null || need ocl-icd-libopencl1 ocl-icd-opencl-dev
    has_header check.h || need check
    has_header png.h || need libpng-dev
fi

grant() { # takes up the wishes that apt knows
    local package
    for package in "${wishes[@]}"; do
        if have apt-cache && apt-cache show "$package" >/dev/null 2>&1; then need "$package"; fi
    done
    wishes=()
}
[ ${#packages[@]} -gt 0 ] || grant

if [ ${#packages[@]} -gt 0 ]; then
    if ! have apt-get; then
        echo "setup.sh: missing, by the names of Debian's packages: ${packages[*]}" >&2
        echo "setup.sh: this system has no apt-get: install them with its own package manager, then run this again" >&2
        exit 1
    fi
    sudo=()
    if [ "$(id -u)" != 0 ]; then
        sudo=(sudo -n)
        if ! sudo -n true 2>/dev/null; then
            echo "setup.sh: these packages are missing; ask for" >&2
            echo "    apt-get install ${packages[*]}" >&2
            exit 1
        fi
    fi
    echo "setup.sh: installing ${packages[*]}"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    grant # after the update, for apt knows no package before the first one
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}" \
        >/dev/null
    if [ $python = false ] && ! meson_is_new_enough; then
        echo "setup.sh: meson $(meson --version) is too old, 1.0.0 is needed: pipx install meson" >&2
        exit 1
    fi
fi

if [ $python = true ]; then
    exec scripts/python.sh "$python3" build/python
fi

# A build folder of another checkout, or one that this meson cannot read, is made anew.
configured=0
[ -f "$build/build.ninja" ] && grep -qsF "\"source\": \"$PWD\"" "$build/meson-info/meson-info.json" && configured=1
if [ $configured = 1 ] && [ $# -gt 0 ]; then
    meson setup --reconfigure "$build" "$@" >"$build/setup.log" 2>&1 || configured=0
fi
if [ $configured = 0 ]; then
    [ ! -d "$build/meson-info" ] || rm -rf "$build"
    meson setup "$build" "$@"
fi
ninja -C "$build"
