#!/usr/bin/env bash
# Builds the Python package, and installs it into an environment that sees the system's packages.
#
#   scripts/python.sh PYTHON FOLDER      FOLDER/env: the environment; FOLDER/asan: the package for the address sanitizer
#
# Ends with the exit code 77 where PyPI, which has the tools that build the package, cannot be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
python3=$1 folder=$2
env=$folder/env
mkdir -p "$folder"

# An environment of another checkout is made anew.
if ! "$env/bin/python" -c 'import pip' 2>/dev/null || ! grep -qsF "$PWD/" "$env/bin/pip"; then
    rm -rf "$env"
fi
[ -d "$env" ] || "$python3" -m venv --system-site-packages "$env"

run_pip() { # ARGUMENT...: an error of pip, told apart from a network that is not there
    local log=$folder/pip.log
    if ! "$env/bin/python" -m pip --quiet --disable-pip-version-check "$@" >"$log" 2>&1; then
        cat "$log" >&2
        ! grep -q 'NewConnectionError\|ConnectTimeoutError\|ReadTimeoutError\|Temporary failure in name' "$log" || exit 77
        exit 1
    fi
}

rm -rf "$folder/wheel" "$folder/asan"
run_pip install mypy
run_pip install --no-deps --require-hashes -r python/tests/requirements.txt
run_pip wheel --no-deps --wheel-dir "$folder/wheel" ./python
run_pip install --no-deps --force-reinstall "$folder"/wheel/keopscl-*.whl
run_pip install --no-deps --target "$folder/asan" --config-settings=setup-args=-Db_sanitize=address ./python
