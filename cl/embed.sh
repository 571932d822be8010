#!/bin/sh
# Writes C arrays that hold the given .cl files: embed.sh OUTPUT FILE...
# An array of byte values, because string literals of any length are not portable. A line #include "x" is replaced by file
# x of the same folder.
output=$1
shift
{
    echo '/* Generated from the files in cl/ by cl/embed.sh. */'
    for file in "$@"; do
        name=$(basename "$file" .cl)
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
} > "$output"
