#!/bin/sh
# A stranger installs the library in a home directory and builds README's program against it, then uses the project as
# a Meson subproject. stranger.sh SOURCE_ROOT. Prints TAP. C++ parts are skipped without a C++ compiler.
root=$(cd "$1" && pwd) || exit 1
temporary=$(mktemp -d) || exit 1
trap 'rm -rf "$temporary"' EXIT
HOME=$temporary/home
export HOME
unset DESTDIR PKG_CONFIG_PATH LD_LIBRARY_PATH CFLAGS CXXFLAGS LDFLAGS
mkdir -p "$HOME" "$temporary/program" "$temporary/project/subprojects"

count=0
check() { # NAME COMMAND...: the command's output is shown where it fails
    count=$((count + 1))
    name=$1
    shift
    if "$@" >"$temporary/log" 2>&1; then
        echo "ok $count $name"
    else
        echo "not ok $count $name"
        sed 's/^/# /' "$temporary/log"
    fi
}
skip() {
    count=$((count + 1))
    echo "ok $count $1 # SKIP $2"
}

# README's first C block, the text block after it, and its lines of shell.
block() { # LANGUAGE: prints the first fenced block of README in it
    awk -v fence="\`\`\`$1" '$0 == fence { on = 1; next } on && /^```/ { exit } on' "$root/README.md"
}
readme_line() { # PATTERN: the one line of README's shell blocks that matches
    awk '/^```sh/ { on = 1; next } /^```/ { on = 0 } on' "$root/README.md" | grep -E -m 1 "$1"
}
block c >"$temporary/program/p.c"
block text >"$temporary/expected"
cp "$temporary/program/p.c" "$temporary/program/p.cc"
cp "$temporary/program/p.c" "$temporary/project/p.c"

readme_has_a_program() {
    lines=$(grep -cv '^ *$' "$temporary/program/p.c")
    echo "README's program has $lines lines, its output $(wc -l <"$temporary/expected")"
    [ "$lines" -ge 10 ] && [ "$lines" -le 30 ] && [ -s "$temporary/expected" ]
}
configure() {
    # As in README, but with the build folder outside the source and nothing but the library.
    meson setup "$temporary/build" "$root" --prefix="$HOME/.local" --libdir=lib -Dcli=disabled -Dtests=disabled \
        -Dexamples=disabled
}
install() {
    meson install -C "$temporary/build"
}
run() { # PROGRAM: prints what README says
    "$1" >"$temporary/output" && diff "$temporary/expected" "$temporary/output"
}
as_in_readme() {
    cd "$temporary/program" || return 1
    eval "$(readme_line '^export PKG_CONFIG_PATH=')" && eval "$(readme_line '^export LD_LIBRARY_PATH=')" &&
        eval "$(readme_line '^cc p\.c ')" && run ./p
}
with_compiler() { # COMPILER STANDARD FILE
    cd "$temporary/program" || return 1
    eval "$(readme_line '^export PKG_CONFIG_PATH=')" && eval "$(readme_line '^export LD_LIBRARY_PATH=')"
    # shellcheck disable=SC2046
    "$1" "-std=$2" -Wall -Wextra -Wpedantic -Werror "$3" -o q $(pkg-config --cflags --libs keopscl) && run ./q
}
statically() {
    cd "$temporary/program" || return 1
    # shellcheck disable=SC2046
    cc p.c -o s "$HOME/.local/lib/libkeopscl.a" $(PKG_CONFIG_PATH=$HOME/.local/lib/pkgconfig pkg-config --cflags keopscl) \
        $(PKG_CONFIG_PATH=$HOME/.local/lib/pkgconfig pkg-config --static --libs keopscl |
            tr ' ' '\n' | grep -vE '^-L|^-lkeopscl$') && run ./s
}
exported_names() {
    nm -D --defined-only "$HOME/.local/lib/libkeopscl.so" | awk '{ print $3 }' | sed 's/@.*//' | sort >"$temporary/names"
    grep -v '^kcl_' "$temporary/names" && return 1
    # What the headers declare is there, and nothing else.
    grep -hoE '^KCL_API [^(]*\(' "$root"/include/keopscl/*.h | sed -E 's/.*[ *]([a-z0-9_]+)\($/\1/' | sort -u \
        >"$temporary/declared"
    [ -s "$temporary/declared" ] && diff "$temporary/declared" "$temporary/names"
}
# A project that says nothing but that it depends on keopscl.
project=$temporary/project
configure_project() { # FOLDER OPTION...
    folder=$project/$1
    shift
    meson setup "$folder" "$project" --force-fallback-for=keopscl "$@"
}
targets() { # FOLDER: a line for each target of the subproject: its type, its name, whether it is installed
    meson introspect "$project/$1" --targets | python3 -c 'import json, sys
for t in json.load(sys.stdin):
    if t["subproject"] == "keopscl":
        print(t["type"], t["name"], "installed" if t["installed"] else "-")' | sort
}
subproject() {
    ln -s "$root" "$project/subprojects/keopscl"
    cat >"$project/meson.build" <<TXT
project('stranger', 'c', default_options: ['c_std=c11', 'buildtype=release'])
keopscl = dependency('keopscl', fallback: 'keopscl')
executable('p', 'p.c', dependencies: keopscl)
TXT
    configure_project build
}
library_alone() { # one kind of library, from the layers and the text of kernels
    targets build >"$temporary/targets"
    cat "$temporary/targets"
    grep -v '^static library k[a-z] -$' "$temporary/targets" >"$temporary/others"
    printf 'custom cl_embedded -\nstatic library keopscl -\n' | diff - "$temporary/others"
}
steps() { # every source once, the archives, and the program: two steps each is more than that
    sources=$(find "$root/src" -name '*.c' ! -path '*/cli/*' | wc -l)
    count_of_steps=$(ninja -C "$project/build" -n | grep -c '^\[')
    echo "$count_of_steps steps for $sources sources"
    [ "$count_of_steps" -le $((sources + 15)) ] && ninja -C "$project/build" && run "$project/build/p"
}
installs_nothing() {
    DESTDIR=$temporary/destination meson install -C "$project/build" --no-rebuild && [ ! -e "$temporary/destination" ]
}
installs_the_shared_one() { # and with it what programs are built against
    configure_project shared -Dkeopscl:default_library=shared && targets shared >"$temporary/targets" &&
        cat "$temporary/targets" && grep -q '^shared library keopscl installed$' "$temporary/targets" &&
        [ "$(grep -c ' installed$' "$temporary/targets")" -eq 1 ] && meson introspect "$project/shared" --installed |
        grep -q 'keopscl\.pc'
}
turned_on() {
    configure_project tool -Dkeopscl:cli=enabled -Dkeopscl:tests=enabled -Dkeopscl:examples=enabled &&
        targets tool >"$temporary/targets" && for program in keopscl density test_cli_npy; do
            grep "^executable $program " "$temporary/targets" || return 1
        done
}

check 'README shows a program of about 20 lines and its output' readme_has_a_program
check 'configure for an install in the home directory' configure
check 'install in the home directory' install
check "README's compiler line builds README's program" as_in_readme
check 'the program as C11, without a warning' with_compiler "${CC:-cc}" c11 p.c
if command -v "${CXX:-c++}" >/dev/null; then
    check 'the program as C++17, without a warning' with_compiler "${CXX:-c++}" c++17 p.cc
else
    skip 'the program as C++17' 'no C++ compiler'
fi
check 'the program with the static library' statically
check 'the shared library exports what the headers declare, all named kcl_' exported_names
check 'the project as a Meson subproject' subproject
check 'a subproject is one static library' library_alone
check 'which is built in a step for each source, and a program with it' steps
check 'it installs nothing' installs_nothing
check 'the shared library is there when it is asked for, and installed' installs_the_shared_one
check 'the tool, tests and examples when they are' turned_on
echo "1..$count"
