#!/bin/sh
# What may include what, beyond the include folders that the build hands out. layers.sh SOURCE_ROOT. Prints TAP.
cd "$1" || exit 1
count=0
check() { # NAME OFFENDING_LINES
    count=$((count + 1))
    if [ -z "$2" ]; then
        echo "ok $count $1"
    else
        echo "not ok $count $1"
        printf '%s\n' "$2" | sed 's/^/# /'
    fi
}

check 'OpenCL headers are included in src/device only' \
    "$(grep -rnE --include='*.[ch]' '# *include *[<"]CL/' src include examples | grep -v '^src/device/')"
check 'public headers include public and standard headers only' \
    "$(grep -nE '# *include' include/keopscl/*.h | grep -vE '<(keopscl/[a-z]+\.h|std(def|int)\.h|initializer_list)>')"
check 'no public header includes cuda.h or opencl.h, which are for programs that call those drivers themselves' \
    "$(grep -nE '# *include *<keopscl/(cuda|opencl)\.h>' include/keopscl/*.h)"
# The tool finds headers of its own folder first, whatever their names are.
private=$(find src -name '*.h' ! -path 'src/cli/*' | sed 's|.*/||; s|\.h$||' |
    grep -vxF "$(cd src/cli && ls *.h | sed 's|\.h$||')" | paste -sd '|' -)
check 'the tool and the examples include public headers only' \
    "$(grep -rnE --include='*.[ch]' "# *include *[<\"]($private)\.h" src/cli examples)"
# From bottom to top, as src/meson.build has them.
check 'no layer includes a private header of a layer above it' \
    "$(below=''
    for layer in $(sed -n "s/^subdir('\(.*\)')$/\1/p" src/meson.build); do
        for header in src/"$layer"/*.h; do
            for lower in $below; do
                grep -nE "# *include \"${header##*/}\"" src/"$lower"/*.[ch]
            done
        done
        below="$below $layer"
    done)"
check 'keopscl.h includes every other public header' \
    "$(for header in include/keopscl/*.h; do
        name=${header##*/}
        case $name in keopscl.h | cuda.h | opencl.h) continue ;; esac
        grep -q "# *include <keopscl/$name>" include/keopscl/keopscl.h || echo "$name is missing"
    done)"
check 'headers that files of src/formula share are included in src/formula only' \
    "$(grep -rnE --include='*.[ch]' '# *include *"(intern|partial|rules|instructions|parse)\.h"' src |
        grep -v '^src/formula/')"
echo "1..$count"
