#!/usr/bin/env bash
# Sets up, builds, and does the library's main job on real data: where the world's airports are (a kernel density) and
# how high they lie (a kernel regression), both in one sweep over all pairs; and which digits were written by hand, by
# their nearest neighbours. KEOPSCL_DEVICE chooses the device.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build

echo
echo "== Where airports are, and how high =="
echo
build/examples/density examples/data/airports.csv build/airports

mapfile -t formula < <(build/examples/density --formula)
args=()
for alias in "${formula[@]:1}"; do
    args+=(--arg "$alias")
done
echo
echo "The kernel that this formula becomes: keopscl emit '${formula[0]}' ${args[*]}"
echo "(its own part; the fixed skeleton that follows it is left out here)"
echo
build/src/cli/keopscl emit "${formula[0]}" "${args[@]}" | sed '/SPDX-License-Identifier/,$d'

echo
echo "== Handwritten digits, by nearest neighbours =="
echo
build/examples/digits examples/data/digits.txt build/digits
