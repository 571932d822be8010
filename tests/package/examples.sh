#!/bin/sh
# SPDX-License-Identifier: MIT
# The example programs on their own data, on made data whose answer is known, and on files that are not what they should
# be. examples.sh DATA_FOLDER PROGRAM... Prints TAP. Uses the default device, and the interpreter.
LC_ALL=C
export LC_ALL
absolute() { # FILE
    echo "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
}
data=$(absolute "$1")
shift
density='' digits='' em='' kmeans='' lazy_tensor='' loss='' mean_shift='' shooting='' sinkhorn=''
for program in "$@"; do
    eval "$(basename "$program")=\$(absolute \"\$program\")"
done
temporary=$(mktemp -d) || exit 1
trap 'rm -rf "$temporary"' EXIT
KEOPSCL_CACHE_DIR=$temporary/cache
export KEOPSCL_CACHE_DIR
cd "$temporary" || exit 1

count=0
check() { # NAME COMMAND...: what the last example printed is shown where it fails
    count=$((count + 1))
    name=$1
    shift
    if "$@"; then
        echo "ok $count $name"
    else
        echo "not ok $count $name"
        sed 's/^/# /' out err
    fi
}
works() { # PROGRAM ARGUMENT...: exit status 0, nothing on standard error
    "$@" >out 2>err && [ ! -s err ]
}
fails() { # TEXT PROGRAM ARGUMENT...: exit status 1, one line on standard error that has the text
    text=$1
    shift
    "$@" >out 2>err
    [ $? -eq 1 ] && [ "$(wc -l <err)" -eq 1 ] && grep -qF "$text" err
}
prints() { # TEXT
    grep -qF "$1" out
}
picture() { # NAME WIDTH HEIGHT: a PNG of this size, or a PPM
    if [ -f "$1.png" ]; then
        [ "$(od -An -tu1 -j16 -N8 "$1.png" | awk '{ print 256 * $3 + $4, 256 * $7 + $8 }')" = "$2 $3" ]
    else
        [ "$(head -n 2 "$1.ppm" | tr '\n' ' ')" = "P6 $2 $3 " ]
    fi
}

check 'digits: the data as shipped, all neighbours those of a loop' works "$digits" "$data/digits.txt" read
check 'digits: tells how many images were compared' \
    prints '1797 images of 8 x 8 grey values, 1000 references and 797 queries'
check 'digits: says that the neighbours are right' prints 'all 797 indices are those of a loop in whole numbers'
accuracy=$(grep '^accuracy' out)
check 'digits: most are read right' \
    awk '$1 == "accuracy" { found = $2 > 0.9 * $4 && $4 == 797 } END { exit !found }' out
check 'digits: the interpreter finds neighbours as well' works env KEOPSCL_DEVICE=host "$digits" "$data/digits.txt"
check 'digits: and reads the same' prints "${accuracy:-accuracy on the default device}"

# Digit k is dark at pixel k. References are as dark as can be, queries half as dark; of 60, three fives are called 7.
awk 'BEGIN {
    print "# made"
    for (i = 0; i < 1060; i++) {
        k = i % 10
        line = ""
        for (p = 0; p < 64; p++)
            line = line (p != k ? "0" : i < 1000 ? "g" : "8")
        print (k == 5 && i >= 1000 && i < 1030 ? 7 : k), line
    }
}' >made.txt
check 'digits: made images' works "$digits" made.txt made
check 'digits: counts what is right' prints 'accuracy    57 of 60 right: 95.0 %'
check 'digits: tells the hardest digit' prints 'hardest     7, of which 6 of 9 were read right, 3 as 5'
check 'digits: draws the three that are wrong' picture made 840 64

head -n 1000 made.txt >few.txt
check 'digits: too few images' fails 'digits: few.txt holds 999 images' "$digits" few.txt
sed '7s/g/h/' made.txt >strange.txt
check 'digits: a line that is no image' fails 'digits: strange.txt, line 7: expected a label' "$digits" strange.txt
check 'digits: no file' fails 'digits: nowhere.txt: No such file' "$digits" nowhere.txt
check 'digits: a picture that cannot be written' fails 'cannot write nowhere/picture' "$digits" made.txt nowhere/picture

head -n 12 "$data/airports.csv" >some.csv
check 'density: some airports, sums those of a loop' works "$density" some.csv map
check 'density: draws two maps' picture map 720 720
sed '3s/,/;/' some.csv >strange.csv
check 'density: a line that is no point' fails 'density: strange.csv, line 3: expected longitude' "$density" strange.csv

check 'lazy_tensor: reduced sizes, errors below 1e-6 of the sum of |terms|' works "$lazy_tensor" 7 3 130 70 10
check 'lazy_tensor: tells how many results were compared' prints '400 of 1470 vectors compared with double'
check 'lazy_tensor: NaN where x is negative, all else unchanged' prints 'each where it must be; other batches have'
check 'lazy_tensor: the interpreter as well' works env KEOPSCL_DEVICE=host "$lazy_tensor" 3 2 40 50 5
check 'lazy_tensor: sizes of 1' works "$lazy_tensor" 1 1 90 3 4
check 'lazy_tensor: no size' fails '"0" is no size' "$lazy_tensor" 7 3 0 70 10
check 'lazy_tensor: too few components' fails 'D is 2' "$lazy_tensor" 7 3 10 70 2

check 'loss: gradients in all variables are those of differences' works "$loss" 50 20
check 'loss: tells by how much' prints 'gradients   differ from differences of the loss by'
check 'loss: goes down by more than half' \
    awk '$1 == "loss" { found = $6 < 0.5 * $2 && $6 > 0 } END { exit !found }' out
check 'loss: the interpreter as well' works env KEOPSCL_DEVICE=host "$loss" 20 3
check 'loss: no number' fails '"many" is no number from 1' "$loss" many 3
check 'loss: a number too few' fails 'usage: loss' "$loss" 3
# Each of these compares its results with loops in double and with what was planted, and fails where a later step than
# the first one makes programs.
steady() { # The interpreter has none.
    matches '^programs +[1-9][0-9]*, all made in the first step$' || prints 'interpreter (keopscl)'
}
matches() { # EXPRESSION, which a line of the output matches
    grep -qE "$1" out
}
check 'mean_shift: finds what was planted, and draws it' works "$mean_shift" 2000 shifted
check 'mean_shift: later steps make no program' steady
check 'mean_shift: says what it found' matches '^points +[0-9]+ of 2000 are with the mode of their cluster$'
check 'mean_shift: draws' picture shifted 640 640
check 'mean_shift: the interpreter as well' works env KEOPSCL_DEVICE=host "$mean_shift" 300
check 'mean_shift: too few points to find it' fails 'mean_shift: ' env KEOPSCL_DEVICE=host "$mean_shift" 30
check 'mean_shift: no number' fails '"0" is no number from 1' "$mean_shift" 0

check 'kmeans: finds what was planted, and draws it' works "$kmeans" 20000 means
check 'kmeans: later steps make no program' steady
check 'kmeans: says what it found' matches '^points +[0-9]+ of 20000 are with the centre of their cluster$'
check 'kmeans: draws' picture means 720 560
check 'kmeans: the interpreter as well' works env KEOPSCL_DEVICE=host "$kmeans" 1200
check 'kmeans: too few points to begin with' fails '20 points are too few, 120 are needed' "$kmeans" 20
check 'kmeans: a picture that cannot be written' fails 'cannot write nowhere/picture' \
    env KEOPSCL_DEVICE=host "$kmeans" 1200 nowhere/picture

check 'em: finds what was planted, and draws it' works "$em" 4000 mixed
check 'em: later steps make no program' steady
check 'em: the likelihood never fell' matches '^converged +after [0-9]+ steps, .* it never fell$'
check 'em: and is above that of what was planted' \
    awk '$1 == "converged" { fitted = $8 + 0 } $1 == "likelihood" { drawn = $6 + 0 }
        END { exit !(fitted >= drawn && drawn < 0) }' out
check 'em: draws' picture mixed 720 600
check 'em: the interpreter as well' works env KEOPSCL_DEVICE=host "$em" 1000
check 'em: too few points to find it' fails 'em: ' env KEOPSCL_DEVICE=host "$em" 30

check 'shooting: value and gradient are those of loops, the motion keeps what it must' works "$shooting" 60 shot
check 'shooting: later evaluations make no program' steady
check 'shooting: E goes down to a hundredth' \
    awk '$1 == "E" { found = $6 < 0.01 * $2 && $6 > 0 } END { exit !found }' out
check 'shooting: draws' picture shot 720 720
check 'shooting: the interpreter as well' works env KEOPSCL_DEVICE=host "$shooting" 30
check 'shooting: no number' fails '"0" is no number from 1' "$shooting" 0

check 'sinkhorn: sums, cost and images are what they must be' works "$sinkhorn" 800 moved
check 'sinkhorn: later steps make no program' steady
check 'sinkhorn: the cost is between its bounds' \
    awk '$1 == "cost" { found = $2 >= $5 && $2 <= $5 + $9 && $9 > 0 } END { exit !found }' out
check 'sinkhorn: draws' picture moved 800 528
check 'sinkhorn: the interpreter as well' works env KEOPSCL_DEVICE=host "$sinkhorn" 60
check 'sinkhorn: an argument too many' fails 'usage: sinkhorn [POINTS [PICTURE]]' "$sinkhorn" 60 a b
echo "1..$count"
