#!/usr/bin/env bash
# Sets up, builds, and runs every test: all suites, those that use devices a second time from a warm kernel cache, and
# all but the package suite once more under the address and undefined-behaviour sanitizers; then those of the Python
# package, its own (in Python's development mode, and again under the address sanitizer) and those of pykeops.
#
#   scripts/test.sh [--long]      --long: the full product of sizes, types and schedules, not a sample; suites of devices
#                                 on a simulated CUDA driver; PyTorch of PyPI as well; results of pykeops itself
#
# The last line is "N passed, N failed", with ", N skipped" where a device, a tool or the network is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
long=false
case ${1-} in
--long) long=true ;;
?*)
    echo "usage: scripts/test.sh [--long]" >&2
    exit 2
    ;;
esac

scripts/setup.sh build -Dlong_tests=$long -Dtests=enabled
scripts/setup.sh build-asan -Dlong_tests=false -Dtests=enabled -Dexamples=disabled -Dbuildtype=debugoptimized \
    -Db_sanitize=address,undefined -Dc_args=-fno-sanitize-recover=undefined

# Kernels of this run only: the first run is cold, whatever the user's cache holds.
KEOPSCL_CACHE_DIR=$(mktemp -d)
export KEOPSCL_CACHE_DIR
trap 'rm -rf "$KEOPSCL_CACHE_DIR"' EXIT

logs=()
run() { # NAME BUILD_FOLDER ARGUMENT...
    local name=$1 folder=$2 log=$2/meson-logs/$1.json
    shift 2
    echo
    echo "== $name =="
    rm -f "$log"
    meson test -C "$folder" --no-rebuild --print-errorlogs --logbase "$name" "$@" || true # the summary decides
    logs+=("$log")
}
run cold-cache build
# What the cache holds does not depend on the sample: long tests are long once.
[ $long = false ] || scripts/setup.sh build -Dlong_tests=false
run warm-cache build --suite device --suite cli --no-suite math
# Drivers are not ours to clean up after.
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
run sanitizers build-asan --no-suite package --timeout-multiplier 4

skip() { # NAME REASON
    local log=build/meson-logs/$1.json
    echo "$1: skipped: $2"
    printf '{"name": "%s", "result": "SKIP"}\n' "$2" >"$log"
    logs+=("$log")
}
run_pytest() { # NAME ENVIRONMENT FOLDER_OF_TESTS ARGUMENT...
    local name=$1 env=$2 folder=$3 log=$PWD/build/meson-logs/$1.xml code=0
    shift 3
    echo
    echo "== $name =="
    rm -f "$log"
    (cd "$folder" && "$env/bin/python" -X dev -W ignore::DeprecationWarning -m pytest -p no:cacheprovider -q -rs \
        --tb=short --junitxml="$log" "$@") || code=$?
    # Where pytest fails without a test that fails there is no log, which the summary counts as a failure.
    [ $code = 0 ] || grep -qs '<failure\|<error' "$log" || rm -f "$log"
    logs+=("$log")
}
run_python() { # PREFIX ENVIRONMENT: all tests of the package that is installed in an environment
    local prefix=$1 env=$2
    run_pytest "$prefix" "$env" python -c pyproject.toml tests --ignore=tests/foreign
    KEOPSCL_FAKE_CUDA=$PWD/build/tests/device/fake_cuda/libcuda.so.1 run_pytest "$prefix-cuda" "$env" python \
        -c pyproject.toml tests/pytorch/test_torch_cuda.py tests/pytorch/test_torch_cuda_func.py \
        tests/pytorch/test_torch_prepared.py
    "$env/bin/python" python/tests/foreign/fetch.py build/foreign || {
        [ $? != 77 ] || { skip "$prefix-foreign" "PyPI cannot be reached" && return; }
        logs+=("build/meson-logs/$prefix-foreign.xml") && return
    }
    local foreign=$PWD/build/foreign tests=$PWD/python/tests/foreign
    local -x KEOPSCL_FOREIGN=$foreign KEOPSCL_FOREIGN_SKIPS=$tests/suite.txt KEOPS_CACHE_FOLDER=$foreign/cache
    local -x PYTHONPATH=$tests:$foreign/keopscore
    local device
    for device in host cpu; do
        KEOPSCL_DEVICE=$device run_pytest "$prefix-pykeops-$device" "$env" "$foreign/suite" -c /dev/null --rootdir . \
            --noconftest -p standin
    done
    PYTHONPATH='' run_pytest "$prefix-programs" "$env" "$tests" -c /dev/null --rootdir . --noconftest .
}

rm -f build/meson-logs/python*
code=0
scripts/setup.sh --python || code=$?
env=$PWD/build/python/env
if [ $code = 77 ]; then
    skip python "PyPI cannot be reached"
elif [ $code != 0 ]; then
    logs+=(build/meson-logs/python.xml)
else
    run_python python "$env"
    if [ -e build/python/jax.txt ]; then
        skip python-jax "$(cat build/python/jax.txt)"
    else
        run_pytest python-jax "$PWD/build/python/jax" python -c pyproject.toml tests/test_{jax,jax_runtime,jax_transforms,gallery}.py \
            -k jax
    fi
    # The sanitizer finds the functions that throw exceptions, as PyTorch does, where libstdc++ is loaded early as well.
    LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libstdc++.so) ASAN_OPTIONS=detect_leaks=0 \
        PYTHONPATH=$PWD/build/python/asan run_pytest python-sanitizer "$env" python -c pyproject.toml tests --ignore=tests/foreign \
        --ignore=tests/test_typing.py
fi
if [ $code = 0 ] && [ $long = true ]; then
    # Results of pykeops itself, which compiles each formula, and PyTorch of PyPI, which is large.
    foreign=$PWD/build/foreign
    if "$env/bin/python" -m pip install -q --no-deps --require-hashes -r python/tests/foreign/requirements.txt \
        --target "$foreign/pykeops" && "$env/bin/python" -m pip install -q pybind11 --target "$foreign/pykeops"; then
        KEOPSCL_FOREIGN=$foreign KEOPSCL_FOREIGN_PYKEOPS=$foreign/pykeops KEOPS_CACHE_FOLDER=$foreign/cache \
            run_pytest python-results "$env" python/tests/foreign -c /dev/null --rootdir . --noconftest -k results \
            test_scripts.py
    else
        skip python-results "pykeops cannot be installed"
    fi
    large=$PWD/build/python/torch
    if [ "$(df --output=avail -BG . | tail -n 1 | tr -dc 0-9)" -lt 8 ]; then
        skip python-torch "PyTorch of PyPI needs 8 GB"
    elif python3 -m venv "$large" && "$large/bin/python" -m pip install -q torch numpy scipy matplotlib pytest mypy \
        build/python/wheel/keopscl-*.whl &&
        "$large/bin/python" -m pip install -q --no-deps -r python/tests/requirements.txt; then
        run_python python-torch "$large"
    else
        skip python-torch "PyTorch of PyPI cannot be installed"
    fi
fi

python3 scripts/summary.py "${logs[@]}"
