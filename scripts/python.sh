#!/usr/bin/env bash
# Builds the Python package, and installs it into an environment that sees the system's packages.
#
#   scripts/python.sh PYTHON FOLDER      FOLDER/env: the environment; FOLDER/asan: the package for the address sanitizer;
#                                        FOLDER/jax: an environment with JAX, or FOLDER/jax.txt, which tells why not
#
# Ends with the exit code 77 where PyPI, which has the tools that build the package, cannot be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
python3=$1 folder=$2
env=$folder/env
mkdir -p "$folder"

make_env() { # FOLDER [OPTION...]: an environment; of another checkout it is made anew
    local env=$1
    if ! "$env/bin/python" -c 'import pip' 2>/dev/null || ! grep -qsF "$PWD/" "$env/bin/pip"; then
        rm -rf "$env"
    fi
    [ -d "$env" ] || "$python3" -m venv "${@:2}" "$env"
}
make_env "$env" --system-site-packages

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

# JAX needs a newer NumPy than the system's packages were built with, so JAX has an environment of its own. It takes less
# than a minute, 150 MB from PyPI and 700 MB of the disk.
rm -f "$folder/jax.txt"
if [ "$(df --output=avail -BG "$folder" | tail -n 1 | tr -dc 0-9)" -lt 2 ]; then
    echo "JAX needs 2 GB" >"$folder/jax.txt"
elif ! "$python3" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "JAX needs Python 3.10" >"$folder/jax.txt"
else
    make_env "$folder/jax"
    env=$folder/jax
    (run_pip install matplotlib pytest "$(echo "$folder"/wheel/keopscl-*.whl)[jax]" &&
        run_pip install --no-deps --force-reinstall "$folder"/wheel/keopscl-*.whl) || {
        [ $? = 77 ] || exit 1
        echo "JAX cannot be loaded from PyPI" >"$folder/jax.txt"
    }
fi
