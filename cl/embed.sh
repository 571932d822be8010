#!/bin/sh
# Writes C arrays that hold the given .cl files: embed.sh OUTPUT FILE...
# An array of byte values, because string literals of any length are not portable. A line #include "x" is replaced by file
# x of the same folder. The array of reduce/sum.cl is kt_cl_reduce_sum; kt_cl_reductions lists all of reduce/ by name.
output=$1
shift
reductions=
{
    echo '/* Generated from the files in cl/ by cl/embed.sh. */'
    for file in "$@"; do
        name=$(basename "$file" .cl)
        if [ "$(basename "$(dirname "$file")")" = reduce ]; then
            reductions="$reductions $name"
            name=reduce_$name
        fi
        echo "const unsigned char kt_cl_$name[] = {"
        awk -v folder="$(dirname "$file")" '
            /^#include "/ {
                split($0, part, "\"")
                while ((getline line < (folder "/" part[2])) > 0)
                    print line
                close(folder "/" part[2])
                next
            }
            { print }' "$file" | od -An -v -tu1 | sed 's/\([0-9][0-9]*\)/\1,/g'
        echo '0};'
    done
    echo 'const struct kt_file { const char *name; const unsigned char *text; } kt_cl_reductions[] = {'
    for name in $reductions; do
        echo "    {\"$name\", kt_cl_reduce_$name},"
    done
    echo '    {0, 0}};'
} > "$output"
