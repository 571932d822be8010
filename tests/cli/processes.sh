#!/bin/sh
# SPDX-License-Identifier: MIT
# processes.sh TOOL: processes that share a kernel cache on disk, at once and after others that were killed while they
# wrote. Prints TAP. Needs an OpenCL CPU. With KEOPSCL_LONG_TESTS=1: 8 processes with 50 new formulas each, 50 that are killed.
LC_ALL=C
export LC_ALL
unset KEOPSCL_CACHE KEOPSCL_LOG KEOPSCL_DUMP_DIR
tool=$1
processes=3 formulas=3 killed=4
if [ "$KEOPSCL_LONG_TESTS" = 1 ]; then
    processes=8 formulas=50 killed=50
fi
temporary=$(mktemp -d) || exit 1
trap 'rm -rf "$temporary"' EXIT
KEOPSCL_CACHE_DIR=$temporary/cache
export KEOPSCL_CACHE_DIR

if ! "$tool" check 'Sum_Reduction(x*y,0)' --arg 'x=Vi(1)' --arg 'y=Vj(1)' --m 2 --n 2 --device cpu >"$temporary/first" 2>&1; then
    sed 's/^/# /' "$temporary/first"
    echo "1..0 # SKIP no OpenCL CPU"
    exit 0
fi
count=0
report() { # STATUS NAME
    count=$((count + 1))
    [ "$1" -eq 0 ] && echo "ok $count $2" || echo "not ok $count $2"
}

formula() { # NUMBER: its own kernel
    echo "Sum_Reduction(Exp(-SqDist(x,y)*$1)*Sin($1*b),0)"
}

check() { # NUMBER: the device against the interpreter
    "$tool" check "$(formula "$1")" --arg 'x=Vi(3)' --arg 'y=Vj(3)' --arg 'b=Vj(1)' --m 40 --n 30 --device cpu
}

process() { # NUMBER
    k=0
    while [ $k -lt $formulas ]; do
        check "$1.$k" || return 1
        k=$((k + 1))
    done
}

# PoCL names what it compiles for the sizes of a launch by these sizes and "goffs0". Other drivers keep nothing there.
specialised() { # SETTING: a new kernel, with the variable as the user has it
    (
        POCL_CACHE_DIR=$temporary/pocl$1
        export POCL_CACHE_DIR
        [ -z "$1" ] || export POCL_WORK_GROUP_SPECIALIZATION="$1"
        mkdir "$POCL_CACHE_DIR" && KEOPSCL_CACHE=off check "0.5" >"$temporary/specialised" 2>&1 || exit 2
        [ -n "$(find "$POCL_CACHE_DIR" -name '*goffs0*')" ]
    )
}
if "$tool" devices --json | grep -qiE 'pocl|portable computing language'; then
    specialised ''
    [ $? -eq 1 ]
    report $? "PoCL compiles a kernel once"
    specialised 1
    report $? "PoCL does as the user's own setting says"

    # Where no folder is named PoCL keeps the kernels. Processes that need the same kernel at once take turns all the same.
    (
        unset KEOPSCL_CACHE_DIR POCL_CACHE_DIR POCL_KERNEL_CACHE
        XDG_CACHE_HOME=$temporary/caches
        export XDG_CACHE_HOME
        p=0 running= failed=0
        while [ $p -lt 4 ]; do
            KEOPSCL_LOG=1 check 8 >"$temporary/alone$p" 2>&1 &
            running="$running $!"
            p=$((p + 1))
        done
        for p in $running; do
            wait "$p" || failed=1
        done
        [ $failed -eq 0 ] && [ -z "$(ls "$XDG_CACHE_HOME/keopscl")" ] && [ -n "$(find "$XDG_CACHE_HOME/pocl" -name 'sweep.so')" ]
    )
    report $? "processes share what PoCL keeps where no folder is named"
fi

# All processes need the same kernel at once: one builds the kernel, the others read its entry. On a machine that takes
# longer than they wait, they report so and build the kernel too.
p=0 running=
while [ $p -lt 8 ]; do
    KEOPSCL_LOG=1 check 7 >"$temporary/same$p" 2>&1 &
    running="$running $!"
    p=$((p + 1))
done
failed=0
for p in $running; do
    wait "$p" || failed=1
done
built=$(cat "$temporary"/same* | grep -c 'program sweep: built in')
late=$(cat "$temporary"/same* | grep -c 'it is built here as well')
[ $failed -eq 0 ] && [ $((built - late)) -eq 1 ]
report $? "8 processes that need one kernel build it once"
[ $((built - late)) -eq 1 ] || sed 's/^/# /' "$temporary"/same*

p=0 running=
while [ $p -lt $processes ]; do
    process $((p + 1)) >"$temporary/out$p" 2>&1 &
    running="$running $!"
    p=$((p + 1))
done
failed=0
for p in $running; do
    wait "$p" || failed=1
done
report $failed "$processes processes with $formulas new formulas each share a cache"
[ $failed -eq 0 ] || sed 's/^/# /' "$temporary"/out*
kernels() {
    "$tool" cache stats | awk '$1 == "kernels" { print $2 }'
}
[ "$(kernels)" -eq $((processes * formulas + 2)) ]
report $? "all their kernels are there"

# From before the build to behind the writing of the kernel.
k=0 failed=0
while [ $k -lt $killed ]; do
    check "0.$k" >"$temporary/killed" 2>&1 &
    sleep "0.$((k % 10))"
    kill -9 $! 2>"$temporary/ignored"
    wait $! 2>"$temporary/ignored"
    check "0.$k" >"$temporary/after" 2>&1 || failed=1
    k=$((k + 1))
done
report $failed "$killed processes that were killed leave no harm"
[ $failed -eq 0 ] || sed 's/^/# /' "$temporary/after"
"$tool" cache clear >"$temporary/cleared" 2>&1 && [ "$(kernels)" -eq 0 ] && [ -z "$(ls "$KEOPSCL_CACHE_DIR")" ]
report $? "clearing the cache leaves nothing, not even what they had begun to write"
# The driver's own cache: without a cache PoCL has no device, and gives no reason.
if "$tool" devices --json | grep -q '"platform":"Portable Computing Language"'; then
    for variable in HOME XDG_CACHE_HOME POCL_CACHE_DIR; do
        env -u POCL_CACHE_DIR -u XDG_CACHE_HOME "$variable=$temporary/first" "$tool" check "$(formula 1)" --arg 'x=Vi(3)' \
            --arg 'y=Vj(3)' --arg 'b=Vj(1)' --m 2 --n 2 --device cpu >"$temporary/out" 2>&1
        code=$?
        env -u POCL_CACHE_DIR -u XDG_CACHE_HOME "$variable=$temporary/first" "$tool" doctor >"$temporary/report" 2>&1
        [ $code -eq 1 ] && grep -q "$temporary/first.*($variable).*cannot be written.*POCL_CACHE_DIR" "$temporary/out" &&
            grep -q "$temporary/first.*($variable).*cannot be written.*POCL_CACHE_DIR" "$temporary/report"
        report $? "a driver without its cache ($variable) is told from one without devices"
    done
fi

# A pipe under the name of an entry, or of a temporary file, is not waited for.
check 5 >"$temporary/out" 2>&1
entry=$(ls "$KEOPSCL_CACHE_DIR"/keopscl-*.bin | head -n 1)
rm "$entry" && mkfifo "$entry" "$KEOPSCL_CACHE_DIR/keopscl-tmp-AbCdEf"
failed=0
for call in 'check 5' '"$tool" doctor' '"$tool" cache stats' '"$tool" cache clear'; do
    eval "$call" >"$temporary/out" 2>&1 &
    waited=0
    while kill -0 $! 2>"$temporary/ignored" && [ $waited -lt 120 ]; do
        sleep 0.5
        waited=$((waited + 1))
    done
    if [ $waited -eq 120 ]; then
        kill -9 $!
        failed=1
    fi
    wait $! 2>"$temporary/ignored" || failed=1
done
[ $failed -eq 0 ] && [ -p "$entry" ]
report $? "pipes in the cache are neither waited for nor removed"
echo "1..$count"
