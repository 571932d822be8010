#!/usr/bin/env bash
# Sets up, builds, and runs every test: all suites, those that use devices a second time from a warm kernel cache, and
# all but the package suite once more under the address and undefined-behaviour sanitizers.
#
#   scripts/test.sh [--long]      --long: the full product of sizes, types and schedules, not a sample
#
# The last line is "N passed, N failed", with ", N skipped" where a device or tool is missing.
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

python3 scripts/summary.py "${logs[@]}"
