#!/bin/sh
# Every public header compiles alone, as C11 and as C++17, without a warning. headers.sh INCLUDE_DIR. Prints TAP.
temporary=$(mktemp -d) || exit 1
trap 'rm -rf "$temporary"' EXIT
flags="-Wall -Wextra -Wpedantic -Werror -fsyntax-only -I$1"
count=0
for header in "$1"/keopscl/*.h; do
    name=keopscl/${header##*/}
    for language in c++17 c11; do
        count=$((count + 1))
        case $language in
        c11) compiler="${CC:-cc} -std=c11" file=$temporary/a.c ;;
        *) compiler="${CXX:-c++} -std=c++17" file=$temporary/a.cc ;;
        esac
        if [ $language = c++17 ] && ! command -v "${CXX:-c++}" >/dev/null; then
            echo "ok $count $name as $language # SKIP no C++ compiler"
            continue
        fi
        # Twice: the include guard is part of the test.
        printf '#include <%s>\n#include <%s>\n' "$name" "$name" >"$file"
        if $compiler $flags "$file" >"$temporary/log" 2>&1; then
            echo "ok $count $name as $language"
        else
            echo "not ok $count $name as $language"
            sed 's/^/# /' "$temporary/log"
        fi
    done
done
# What headers define as macros is only compiled where it is used.
for language in c++17 c11; do
    count=$((count + 1))
    case $language in
    c11) compiler="${CC:-cc} -std=c11" file=$temporary/use.c ;;
    *) compiler="${CXX:-c++} -std=c++17" file=$temporary/use.cc ;;
    esac
    if [ $language = c++17 ] && ! command -v "${CXX:-c++}" >/dev/null; then
        echo "ok $count arrays inside a call as $language # SKIP no C++ compiler"
        continue
    fi
    cat >"$file" <<'END'
#include <keopscl/keopscl.h>
kcl_status nearest(kcl_scope *scope, const float *x, const double *y, int64_t *index, int64_t m, int d);
kcl_status nearest(kcl_scope *scope, const float *x, const double *y, int64_t *index, int64_t m, int d)
{
    kcl_expr *f = kcl_sqdist(kcl_vi(scope, kcl_f32(x, m, d)), kcl_vj(scope, kcl_f64(y, m, d)));
    kcl_status status = kcl_argmin(f, KCL_OVER_J, kcl_i64(index, m));
    return status < 0 ? status : kcl_eval1(kcl_reduce_argmin(f, KCL_OVER_I), kcl_i64(index, 1, m, 1));
}
END
    if $compiler $flags "$file" >"$temporary/log" 2>&1; then
        echo "ok $count arrays inside a call as $language"
    else
        echo "not ok $count arrays inside a call as $language"
        sed 's/^/# /' "$temporary/log"
    fi
done
echo "1..$count"
