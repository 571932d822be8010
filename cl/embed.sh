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
            function copy(path, line, part) {
                while ((getline line < path) > 0) {
                    if (line ~ /^#include "/) {
                        split(line, part, "\"")
                        copy(folder "/" part[2])
                    } else
                        print line
                }
                close(path)
            }
            BEGIN { copy(ARGV[1]) }' "$file" | od -An -v -tu1 | sed 's/\([0-9][0-9]*\)/\1,/g'
        echo '0};'
    done
    echo 'const struct kt_file { const char *name; const unsigned char *text; } kt_cl_reductions[] = {'
    for name in $reductions; do
        echo "    {\"$name\", kt_cl_reduce_$name},"
    done
    echo '    {0, 0}};'
} > "$output"
