#!/bin/sh
# SPDX-License-Identifier: MIT
# tool.sh TOOL: every command of the keopscl tool, its exit codes and its messages. Prints TAP. Needs no OpenCL: the
# device is the interpreter unless KEOPSCL_DEVICE names another. Expected numbers are computed here, with awk.
LC_ALL=C
KEOPSCL_DEVICE=${KEOPSCL_DEVICE:-host}
export LC_ALL KEOPSCL_DEVICE
unset KEOPSCL_CACHE KEOPSCL_LOG KEOPSCL_THREADS KEOPSCL_DUMP_DIR
tool=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
page=$(cd "$(dirname "$0")/../../docs" && pwd)/tool.md
readme=$(cd "$(dirname "$0")/../.." && pwd)/README.md
temporary=$(mktemp -d) || exit 1
trap 'rm -rf "$temporary"' EXIT
mkdir "$temporary/bin" "$temporary/work" && ln -s "$tool" "$temporary/bin/keopscl" && cd "$temporary/work" || exit 1
PATH=$temporary/bin:$PATH
KEOPSCL_CACHE_DIR=$temporary/cache
export PATH KEOPSCL_CACHE_DIR

count=0
report() { # STATUS NAME: what the last command printed is shown where a test fails
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count $2"
    else
        echo "not ok $count $2"
        sed 's/^/# out: /' out | head -20
        sed 's/^/# err: /' err | head -20
    fi
}

does() { # NAME COMMAND...: the command ends with 0 and says nothing on standard error; its output is in `out`
    name=$1
    shift
    "$@" >out 2>err
    [ $? -eq 0 ] && [ ! -s err ]
    report $? "$name"
}

fails() { # NAME CODE TEXTS COMMAND...: code, one line on standard error that opens with "keopscl" and has all the TEXTS
    name=$1 code=$2 texts=$3
    shift 3
    "$@" >out 2>err
    [ $? -eq "$code" ] && [ "$(wc -l <err)" -eq 1 ] && has_texts "$texts"
    report $? "$name"
}

fails_with_caret() { # NAME TEXTS COLUMN COMMAND...: code 2; the formula follows with a caret below its COLUMN
    name=$1 texts=$2 column=$3
    shift 3
    "$@" >out 2>err
    [ $? -eq 2 ] && has_texts "$texts" &&
        awk -v formula="$formula" -v column="$column" '
            (at = index($0, formula)) > 0 && !start { start = at; next }
            start && /^ *\^ *$/ { found = index($0, "^") - start + 1 == column }
            END { exit !found }' err
    report $? "$name"
}

has_texts() { # TEXTS, separated by "|"
    head -n 1 err | grep -q '^keopscl' || return 1
    old=$IFS
    IFS='|'
    for text in $1; do
        IFS=$old
        grep -q -F -e "$text" err || return 1
    done
    IFS=$old
}

equals() { # NAME EXPECTED TOLERANCE: `out` holds the numbers of EXPECTED, in its rows
    printf '%s\n' "$2" >expected
    awk -v tolerance="$3" '
        NR == FNR { wanted[NR] = $0; rows = NR; next }
        {
            n = split(wanted[FNR], w)
            if (n != NF) wrong = 1
            for (k = 1; k <= NF; k++) { d = $k - w[k]; if (!(d <= tolerance && -d <= tolerance)) wrong = 1 }
            seen = FNR
        }
        END { exit wrong || seen != rows }' expected out
    report $? "$1"
}

contains() { # NAME TEXT: `out` holds the text
    grep -q -F -e "$2" out
    report $? "$1"
}

# ---- Help, and words that are wrong ---------------------------------------------------------------------------------

does '--version' keopscl --version
grep -q -E '^keopscl [0-9]+\.[0-9]+\.[0-9]+$' out
report $? '--version prints a version'

for command in '' run solve grad emit check bench devices doctor cache; do
    does "$command --help" keopscl $command --help
    awk 'length > 80 { wide = 1 } END { exit wide || NR > 24 || NR < 5 }' out
    report $? "$command --help fits a screen"
    sed '1,/^Example:$/d' out >example
    [ -s example ]
    report $? "$command --help has an example"
    does "the example of $command --help works" sh -e example
    [ -s out ]
    report $? "the example of $command --help prints something"
done

fails 'no command' 2 'a command is missing' keopscl
fails 'unknown command' 2 "no command 'sum'|run, solve, grad, emit, check, bench, devices, doctor, cache" keopscl sum
fails 'unknown option' 2 'no option --frobnicate|keopscl run --help' keopscl run F --frobnicate 3
fails 'option of another command' 2 'no option --seed' keopscl run F --seed 3
fails 'option without its value' 2 '--dtype needs a value: f32 or f64' keopscl run F --dtype
fails 'value for a flag' 2 '--json takes no value' keopscl devices --json=yes
fails 'missing word' 2 'FORMULA is missing' keopscl run
fails 'missing second word' 2 'VAR is missing' keopscl grad F
fails 'surplus word' 2 "'b' is one word too many" keopscl run a b
fails 'unknown type' 2 "--dtype 'f16'|f32 and f64" keopscl run F --dtype f16

# ---- docs/tool.md ----------------------------------------------------------------------------------------------------

for block in 1 2 3 4 5 6; do
    awk -v block=$block '/^```sh/ { seen++; on = seen == block; next } /^```/ { on = 0 } on' "$page" >example
    [ -s example ]
    report $? "docs/tool.md has example $block"
    does "example $block of docs/tool.md works" sh -e example
    if [ $block -eq 1 ]; then
        printed=$(awk '/^```sh/ { on = 1 } on && /^```$/ { fences++; next } fences == 2; fences == 3 { exit }' "$page")
        equals 'and prints what it says' "$printed" 1e-14
    fi
done

# ---- run ------------------------------------------------------------------------------------------------------------

printf '0 0\n1 0\n0 2\n' >points.txt
printf '# targets\nu,v\n0.5,0.25\n-1,3\n' >targets.csv
printf '1\n-2\n' >weights.txt
gauss='Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)'
points='--arg x=Vi:points.txt --arg y=Vj:targets.csv --arg b=Vj:weights.txt --arg g=Pm:0.5'
# sum_j exp(-0.5 |x_i - y_j|^2) b_j over the two targets
kernels='{ k = exp(-0.5 * (($1 - 0.5) ^ 2 + ($2 - 0.25) ^ 2)); l = exp(-0.5 * (($1 + 1) ^ 2 + ($2 - 3) ^ 2)) }'
expected=$(awk "$kernels"'{ printf "%.17g\n", k - 2 * l }' points.txt)

does 'run on text tables' keopscl run "$gauss" $points
equals 'Gaussian sum in float32' "$expected" 1e-6
does 'run in float64' keopscl run "$gauss" $points --dtype f64
equals 'Gaussian sum in float64' "$expected" 1e-15
does '--option=value' keopscl run "$gauss" $points --dtype=f64
equals 'the same' "$expected" 1e-15
does 'number without a role' keopscl run "$gauss" --arg x=Vi:points.txt --arg y=Vj:targets.csv \
    --arg b=Vj:weights.txt --arg g=0.5
equals 'is a parameter' "$expected" 1e-6

does 'result as .npy' keopscl run "$gauss" $points --dtype f64 --out sum.npy
[ ! -s out ]
report $? 'nothing is printed with --out'
[ "$(dd if=sum.npy bs=1 skip=1 count=5 2>/dev/null)" = NUMPY ] && [ "$(wc -c <sum.npy)" -eq $((128 + 3 * 8)) ]
report $? 'the .npy file has a header and three float64 numbers'
does 'a .npy file is read' keopscl run 'Sum_Reduction(a*c,0)' --arg a=Vi:sum.npy --arg c=Pm:1
equals 'float64 files are computed in float64' "$expected" 1e-15
does 'result as a text table' keopscl run "$gauss" $points --dtype f64 --out sum.txt
cp sum.txt out
equals 'the text table reads back the same' "$expected" 1e-15
does 'standard output by name' keopscl run "$gauss" $points --out -
equals 'is the table' "$expected" 1e-6
does 'standard input' sh -c "keopscl run '$gauss' --arg x=Vi:- --arg y=Vj:targets.csv \
    --arg b=Vj:weights.txt --arg g=0.5 <points.txt"
equals 'is read' "$expected" 1e-6
does 'standard input as .npy' sh -c "keopscl run 'Sum_Reduction(a*c,0)' --arg a=Vi:- --arg c=1 <sum.npy"
equals 'is read as NumPy file' "$expected" 1e-15

does 'sum over i' keopscl run 'Sum_Reduction(Exp(-g*SqDist(x,y)),1)' --arg x=Vi:points.txt \
    --arg y=Vj:targets.csv --arg g=0.5
equals 'has one row per j' "$(awk "$kernels"'{ a += k; b += l } END { printf "%.17g\n%.17g\n", a, b }' points.txt)" 1e-6
does 'sum over both' keopscl run 'Sum_Reduction(x*g,2)' --arg x=Vi:points.txt --arg g=Pm:2,-3
equals 'is one row, with a vector parameter' '2 -6' 1e-6
echo '2 -3' >vector.txt
does 'parameter from a file' keopscl run 'Sum_Reduction(x*g,2)' --arg x=Vi:points.txt --arg g=Pm:vector.txt
equals 'is the same' '2 -6' 1e-6
printf '2\n-3\n' >vector.txt
does 'parameter from a column' keopscl run 'Sum_Reduction(x*g,2)' --arg x=Vi:points.txt --arg g=Pm:vector.txt
equals 'is the same too' '2 -6' 1e-6

# Through the interpreter, whatever KEOPSCL_DEVICE says.
printf '0 0\n1 0\n0 2\n1 0\n' >corners.txt
nearest='ArgMin_Reduction(SqDist(x,y),0)'
does 'indices' keopscl run "$nearest" --arg x=Vi:corners.txt --arg y=Vj:corners.txt --device host
equals 'are whole numbers, the smaller of two' '0
1
2
1' 0
grep -q '[.e]' out
[ $? -eq 1 ]
report $? 'and written as such'
does 'indices of pairs and of rows' keopscl run "ArgMin_Reduction(-SqDist(x,y),2); ArgMin_Reduction(x*y,1)" \
    --arg x=Vi:corners.txt --arg y=Vj:corners.txt --device host
equals 'are i N + j, and i' '6

0 0
0 0
0 0
0 0' 0
does 'indices as .npy' keopscl run "$nearest" --arg x=Vi:corners.txt --arg y=Vj:corners.txt --device host --json \
    --out nearest.npy
contains 'have their type' '{"shape":[4,1],"dtype":"i64"}'
grep -q "'descr': '[<>]i8'" nearest.npy && [ "$(wc -c <nearest.npy)" -eq $((128 + 4 * 8)) ]
report $? 'are int64'
keopscl run 'Sum_Reduction(x*c,1)' --arg x=Vj:corners.txt --arg c=1 --dtype f64 --device host --out corners.npy
rows='Sum_Reduction(Gather(x,k)*c,0)'
does 'rows chosen by a file of integers' keopscl run "$rows" --arg x=Vj:corners.npy --arg k=Vi:nearest.npy --arg c=0.25 \
    --device host
equals 'are those of the numbers, once for each of 4 columns' '0 0
1 0
0 2
1 0' 0
does 'the same as JSON' keopscl run "$rows" --arg x=Vj:corners.npy --arg k=Vi:nearest.npy --arg c=0.25 --device host --json
contains 'float64 as the other file' '"dtype":"f64"'
does 'an index that is a number too' keopscl run 'Sum_Reduction(Gather(x,k)+k,0)' --arg x=Vj:corners.npy \
    --arg k=Vi:nearest.npy --device host --json
contains 'is one number more among the others' '"dtype":"f32"'
does 'a file of indices is read' keopscl run 'Sum_Reduction(a*c,0)' --arg a=Vi:nearest.npy --arg c=1 --device host
equals 'as numbers' '0
1
2
1' 0
does 'log of a sum of exponentials' keopscl run 'LogSumExp_Reduction(g-SqDist(x,y),0)' --arg x=Vi:corners.txt \
    --arg y=Vj:corners.txt --arg g=-1000 --dtype f64 --device host
equals 'far below the exponent of doubles' "$(awk 'BEGIN {
    printf "%.15g\n", -1000 + log(1 + 2 * exp(-1) + exp(-4))
    printf "%.15g\n", -1000 + log(2 + exp(-1) + exp(-5))
    printf "%.15g\n", -1000 + log(1 + exp(-4) + 2 * exp(-5))
    printf "%.15g\n", -1000 + log(2 + exp(-1) + exp(-5)) }')" 1e-12
does 'nearest points' keopscl run 'KMin_ArgKMin_Reduction(SqDist(x,y),3,0)' --arg x=Vi:corners.txt \
    --arg y=Vj:corners.txt --device host
equals 'their distances, then their numbers' '0 1 1
0 0 1
0 4 5
0 0 1

0 1 3
1 3 0
2 0 1
1 3 0' 0
formula='LogSumExpWeight_Reduction(x*y,y,0)'
fails_with_caret 'weights for a vector' 'LogSumExpWeight_Reduction: the exponent has dimension 2, it must be 1' 1 \
    keopscl run "$formula" --arg x=Vi:corners.txt --arg y=Vj:corners.txt
formula='ArgMin_Reduction(x*g,0)'
fails_with_caret 'index without a choice' 'ArgMin_Reduction over j: the formula depends on i, there is nothing' 1 \
    keopscl run "$formula" --arg x=Vi:corners.txt --arg g=1
fails 'gradient of an index' 2 'ArgMin_Reduction is a whole number' \
    keopscl grad "$nearest" x --arg x='Vi(2)' --arg y='Vj(2)'

both='Sum_Reduction(x*g,0); Sum_Reduction(x*g,2)'
does 'two results' keopscl run "$both" --arg x=Vi:points.txt --arg g=2
equals 'are separated by an empty line' '0 0
2 0
0 4

2 4' 0
does 'two files' keopscl run "$both" --arg x=Vi:points.txt --arg g=2 --out one.txt --out two.npy
[ "$(cat one.txt)" = '0 0
2 0
0 4' ] && [ "$(wc -c <two.npy)" -eq $((128 + 2 * 4)) ]
report $? 'hold one result each'
fails 'one --out for two results' 2 'has 2 results|--out is given 1 time' keopscl run "$both" --arg x=Vi:points.txt \
    --arg g=2 --out one.txt
fails 'two --out for one result' 2 'has 1 result,|--out is given 2 times' keopscl run "$gauss" $points --out a --out b
fails 'the same --out twice' 2 '--out a is given twice' keopscl run "$gauss" $points --out a --out a
fails '--json and a table on standard output' 2 '--json and --out -' keopscl run "$gauss" $points --json --out -

does 'run --json' keopscl run "$both" --arg x=Vi:points.txt --arg g=2 --json --out one.npy --out two.npy
wanted='^\{"device":"[^"]+","m":3,"n":1,"dtype":"f32","seconds":[0-9.e-]+,'
wanted=$wanted'"results":\[\{"shape":\[3,2\],"dtype":"f32"\},\{"shape":\[2\],"dtype":"f32"\}\]\}$'
grep -q -E "$wanted" out
report $? 'names device, sizes, type, seconds and shapes'
does 'run --json without --out' keopscl run "$gauss" $points --json --dtype f64
[ "$(wc -l <out)" -eq 1 ]
report $? 'prints the object alone'
contains 'and the type' '"dtype":"f64"'

# ---- run: bad input -------------------------------------------------------------------------------------------------

fails 'missing file' 1 "argument 'x', none.npy: cannot be opened: No such file" keopscl run "$gauss" --arg x=Vi:none.npy
head -c 140 sum.npy >cut.npy
fails 'truncated file' 1 "argument 'a', cut.npy: the .npy file is truncated|needs 24 bytes and has 12" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:cut.npy
fails 'a folder' 1 "argument 'a', .: cannot be read: Is a directory" keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:.
sed "s/'shape': (3, 1)/'shape': (3,-1)/" sum.npy >negative.npy
fails 'negative size in a file' 1 "argument 'a', negative.npy|axis 1 a negative size" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:negative.npy
sed "s/(3, 1), }                  /(4611686018427387904, 4), }/" sum.npy >huge.npy
fails 'sizes that overflow in a file' 1 "argument 'a', huge.npy|overflow" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:huge.npy
sed 's/<f8/<c8/' sum.npy >complex.npy
fails 'type of a file' 1 "complex.npy: dtype <c8 is not supported; float32, float64, int32 and int64 are" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:complex.npy
printf '1 2\n3 4\n5\n' >ragged.txt
fails 'ragged table' 1 "ragged.txt: line 3 has 1 numbers, the rows before it have 2" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:ragged.txt
printf '1 2\n3 four\n' >words.txt
fails 'a word in a table' 1 "words.txt: line 2, column 2: 'four' is not a number" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:words.txt
printf '1\n#N/A\n3\n' >missing.txt
fails 'a missing value' 1 "argument 'a', missing.txt: line 2, column 1: '#N/A' is a missing value; --missing nan reads NaN" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:missing.txt
fails 'a missing value, said twice' 1 "missing.txt: line 2, column 1" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:missing.txt --missing error
does 'a missing value as NaN' keopscl run 'Sum_Reduction(a*c,0)' --arg a=Vi:missing.txt --arg c=2 --missing nan
[ "$(cat out)" = '2
nan
6' ]
report $? 'has its row'
fails 'a rule for missing values that is not there' 2 "--missing 'zero': missing values are 'error' or 'nan'" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:missing.txt --missing zero
printf 'NA\n1\n2\n' >first.txt
fails 'a missing value in the first line' 1 "first.txt: line 1, column 1: 'NA' is a missing value" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:first.txt
printf '1\r2\r3\r' >cr.txt
does 'lines ended by CR' keopscl run 'Sum_Reduction(a*c,0)' --arg a=Vi:cr.txt --arg c=1
equals 'are rows' '1
2
3' 0
keopscl run "$both" --arg x=Vi:points.txt --arg g=2 >two.txt
fails 'two results in one text' 1 "two.txt: line 4 is empty and rows follow: a missing row, or another table" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:two.txt
# A column that is 3 in row 2^24 + 1, whose number float32 does not hold, and 0 elsewhere.
{
    printf '\223NUMPY\001\000v\000'
    printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (16777218,), }"
    head -c $((4 * 16777217)) /dev/zero
    printf '\000\000\100\100'
} >high.npy
printf 'k\n16777217\n' >row.txt
echo 1 >one.txt
rows='Sum_Reduction(Gather(x,k)*c,0)'
does 'an index from a text table' keopscl run "$rows" --arg x=Vj:high.npy --arg k=Vi:row.txt --arg c=1 --device host
equals 'is int64, and finds its row, once for each column' 50331654 4
does 'an index on the command line' keopscl run "$rows" --arg x=Vj:high.npy --arg k=16777217 --arg c=Vi:one.txt --device host
equals 'does as well' 50331654 4
rm high.npy
fails 'an integer on the command line that no float64 holds' 1 \
    "argument 'c', 9007199254740993: row 1, column 1: float64 does not hold the integer 9007199254740993" \
    keopscl run 'Sum_Reduction(a*c,0)' --arg a=Vi:cr.txt --arg c=9007199254740993
printf '9007199254740993\n' >long.txt
fails 'an integer that no float64 holds' 1 \
    "argument 'a', long.txt: row 1, column 1: float64 does not hold the integer 9007199254740993" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:long.txt --dtype f64
echo '1e300' >large.txt
fails 'a number too large for float32' 1 "argument 'a', large.txt: 1e+300 is too large for float32; use --dtype f64" \
    keopscl run 'Sum_Reduction(a,0)' --arg a=Vi:large.txt
fails 'a matrix as parameter' 1 "argument 'g', points.txt: a parameter is one row|the file has 3 rows of 2" \
    keopscl run 'Sum_Reduction(x*g,0)' --arg x=Vi:points.txt --arg g=Pm:points.txt
fails 'empty standard input' 1 "argument 'x', standard input: the file is empty" \
    sh -c "keopscl run 'Sum_Reduction(x,0)' --arg x=Vi:- </dev/null"
fails 'standard input twice' 2 "arguments 'x' and 'y' cannot both be read from standard input" \
    keopscl run "$gauss" --arg x=Vi:- --arg y=Vj:-
fails 'unknown role' 2 "argument 'x': the role 'Vk' is unknown; roles are Vi, Vj and Pm" keopscl run F --arg x=Vk:a.npy
fails 'no role' 2 "argument 'x': the role 'points.txt' is unknown" keopscl run F --arg x=points.txt
fails 'missing value' 2 "argument 'x' has no value" keopscl run F --arg x=
fails 'missing value behind a role' 2 "argument 'x' has no value behind 'x=Vi:'" keopscl run F --arg x=Vi:
fails 'missing name' 2 '--arg =Vi:a: a name' keopscl run F --arg =Vi:a
fails 'name given twice' 2 "argument 'x' is given twice" keopscl run F --arg x=Vi:a --arg x=Vj:b
fails 'number as variable' 2 "argument 'g': a number is a parameter, g=Pm:0.5" keopscl run F --arg g=Vi:0.5
fails 'dimensions where values are wanted' 2 "argument 'x': this command wants x=Vi:FILE" keopscl run F --arg 'x=Vi(3)'
fails 'values where dimensions are wanted' 2 "argument 'x': this command wants x=Vi(DIM)" keopscl emit F --arg x=Vi:a
fails 'parameter that is not used' 2 "the formula does not use parameter 'z'" \
    keopscl run 'Sum_Reduction(Exp(x),0)' --arg x=Vi:points.txt --arg z=Pm:1
does 'rows that are not named tell a length' keopscl run 'Sum_Reduction(1,0); Sum_Reduction(g,1)' \
    --arg x=Vi:points.txt --arg y=Vj:targets.csv --arg g=Pm:0.5 --dtype f64
equals 'a sum of as many terms' "$(printf '2\n2\n2\n\n1.5\n1.5')" 0
printf '0\n0.6931471805599453\n' >logs.txt # of 1 and 2, whose sum is weighed by the number of the row, from 1
does 'a weight without an argument' keopscl run 'LogSumExpWeight_Reduction(s,IndexI+1,0)' --arg x=Vi:points.txt \
    --arg s=Vj:logs.txt --dtype f64
equals 'of as many rows' "$(printf '1.0986122886681098\n1.791759469228055\n2.1972245773362196')" 1e-12
does 'an index of a variable that is computed' keopscl run 'Sum_Reduction(x*Var(2-1,1,2),0)' --arg x=Vi:logs.txt \
    --arg g=Pm:2 --dtype f64
fails 'lengths that disagree' 1 "b|2|3" \
    keopscl run "$gauss" --arg x=Vi:points.txt --arg y=Vj:targets.csv --arg b=Vj:points.txt --arg g=1
fails 'device that is not there' 1 'no such device|host' keopscl run "$gauss" $points --device 'no such device'
fails 'device in the environment that is not there' 1 'no such device|host' \
    env KEOPSCL_DEVICE='no such device' keopscl run "$gauss" $points
fails 'output in a folder that is not there' 1 'none/a.npy: cannot be written: No such file' \
    keopscl run "$gauss" $points --out none/a.npy

formula='Sum_Reduction(Exp(-g*SqDist(x,w)),0)'
fails_with_caret 'unknown name' 'keopscl run: |w' 31 keopscl run "$formula" --arg x=Vi:points.txt --arg g=1
formula='Sum_Reduction(Frob(x),0)'
fails_with_caret 'unknown operator' 'Frob' 15 keopscl run "$formula" --arg x=Vi:points.txt
formula='Sum_Reduction(x+,0)'
fails_with_caret 'syntax error' 'keopscl emit: ' 17 keopscl emit "$formula" --arg 'x=Vi(3)'
formula='Sum_Reduction(x+y,0)'
printf '1 2 3\n' >three.txt
keopscl run "$formula" --arg x=Vi:points.txt --arg y=Vj:three.txt >out 2>err
[ $? -eq 2 ] && has_texts 'keopscl run: |2|3'
report $? 'wrong dimension'
keopscl emit 'Sum_Reduction(x+Var(0,2,0),0)' --arg 'x=Vi(3)' >out 2>err
[ $? -eq 2 ] && has_texts 'keopscl emit: |3|2'
report $? 'alias with two dimensions'
keopscl run 'Sum_Reduction(x+Var(1,2,1),0)' --arg x=Vi:points.txt >out 2>err
[ $? -eq 1 ] && has_texts 'keopscl run: |1'
report $? 'missing argument'
deep=$(awk 'BEGIN { for (k = 0; k < 50000; k++) printf "("; printf "x"; for (k = 0; k < 50000; k++) printf ")" }')
keopscl emit "Sum_Reduction($deep,0)" --arg 'x=Vi(3)' >out 2>err
[ $? -eq 2 ] && has_texts 'keopscl emit: '
report $? 'deep nesting'
fails 'negative size' 2 '--m -5: a size cannot be negative' keopscl check F --m -5
fails 'overflowing size' 2 '--n 99999999999999999999 is too large' keopscl check F --n 99999999999999999999
fails 'size that is no number' 2 "--m '1k' is not a whole number" keopscl bench --m 1k
fails 'size beyond memory' 1 'more than memory can hold' \
    keopscl check 'Sum_Reduction(x,0)' --arg 'x=Vi(3)' --m 9223372036854775807
fails 'seed that is no number' 2 "--seed 'x'" keopscl check F --seed x

if [ -w /dev/full ]; then
    for command in 'devices' 'doctor' '--help' 'bench --case gauss_sum --m 10 --n 10'; do
        sh -c "keopscl $command >/dev/full" >out 2>err
        [ $? -eq 1 ] && has_texts 'No space left on device'
        report $? "full disk: $command"
    done
    fails 'full disk: --out' 1 '/dev/full: cannot be written: No space left' \
        keopscl run "$gauss" $points --out /dev/full
    sh -c "keopscl run 'Sum_Reduction(a*c,0)' --arg a=Vi:cr.txt --arg c=1 >/dev/full" >out 2>err
    [ $? -eq 1 ] && has_texts 'standard output cannot be written: No space left on device'
    report $? 'full disk: standard output of run'
    mkdir apart
    fails 'full disk: the second of two results' 1 '/dev/full: cannot be written: No space left' \
        keopscl run "$both" --arg x=Vi:points.txt --arg g=2 --out apart/one.txt --out /dev/full
    [ -z "$(ls -A apart)" ]
    report $? 'leaves no file of the first'
    fails 'full disk: the second on standard output' 1 'standard output cannot be written: No space left' sh -c \
        "keopscl run '$both' --arg x=Vi:points.txt --arg g=2 --out apart/one.txt --out - >/dev/full"
    [ -z "$(ls -A apart)" ]
    report $? 'leaves none either'
fi

# A limit on the size of files stands for a full disk.
mkdir full
awk 'BEGIN { for (k = 0; k < 20000; k++) print k + 0.5 }' >many.txt
cp many.txt full/same.txt
for name in new.txt new.npy same.txt; do
    fails "full disk: $name" 1 "full/$name: cannot be written: File too large" sh -c \
        "ulimit -f 8; exec keopscl run 'Sum_Reduction(a*c,0)' --arg a=Vi:many.txt --arg c=1 --out full/$name"
done
[ "$(ls -A full)" = same.txt ] && cmp -s full/same.txt many.txt
report $? 'leaves no file but that which was there before'
does 'output onto an input' keopscl run 'Sum_Reduction(a*c,0)' --arg a=Vi:full/same.txt --arg c=2 --out full/same.txt
awk '$1 != 2 * (NR - 1) + 1 { wrong = 1 } END { exit wrong || NR != 20000 }' full/same.txt && [ "$(ls -A full)" = same.txt ]
report $? 'replaces it'
if [ -e /dev/stdout ]; then
    echo 'kept' >full/log.txt
    sh -c "keopscl run '$both' --arg x=Vi:points.txt --arg g=2 --out full/log.txt --out /dev/stdout >>full/log.txt" 2>err
    [ "$(tr '\n' ' ' <full/log.txt)" = 'kept 0 0 2 0 0 4 2 4 ' ]
    report $? 'standard output by other names is appended to, as the shell asks for'
    rm full/log.txt
fi
ln -s same.txt full/link.txt
fails 'the same file by two names' 2 '--out full/same.txt and --out full/link.txt are one file' \
    keopscl run "$both" --arg x=Vi:points.txt --arg g=2 --out full/same.txt --out full/link.txt
fails 'the same new file by two names' 2 '--out full/a.txt and --out ./full/a.txt are one file' \
    keopscl run "$both" --arg x=Vi:points.txt --arg g=2 --out full/a.txt --out ./full/a.txt
[ "$(ls -A full | tr '\n' ' ')" = 'link.txt same.txt ' ]
report $? 'nothing is written then'
{
    sleep 1 # until the reader has gone
    keopscl run "$gauss" $points 2>err
    echo $? >closed
} | true
: >out
[ "$(cat closed)" -eq 1 ] && has_texts 'Broken pipe'
report $? 'closed pipe'

# ---- solve ----------------------------------------------------------------------------------------------------------

# (alpha Id + K) a = b of three points and two columns, by Gauss-Jordan elimination.
printf '1 10\n2 0\n3 -5\n' >sides.txt
printf '0.5\n0.25\n2\n' >noise.txt
gauss_jordan='
    BEGIN { split("0 1 0", u); split("0 0 2", v); split("1 2 3", b); split("10 0 -5", c); split("0.5 0.25 2", noise)
        for (i = 1; i <= 3; i++) {
            for (j = 1; j <= 3; j++) m[i, j] = exp(-0.5 * ((u[i] - u[j]) ^ 2 + (v[i] - v[j]) ^ 2)) + (i == j) * alpha
            m[i, i] += noisy * noise[i]; m[i, 4] = b[i]; m[i, 5] = c[i]
        }
        for (k = 1; k <= 3; k++) {
            p = m[k, k]
            for (j = 1; j <= 5; j++) m[k, j] /= p
            for (i = 1; i <= 3; i++) {
                q = m[i, k]
                for (j = 1; j <= 5 && i != k; j++) m[i, j] -= q * m[k, j]
            }
        }
        for (i = 1; i <= 3; i++) printf "%.17g %.17g\n", m[i, 4], m[i, 5]
    }'
system='--arg x=Vi:points.txt --arg y=Vj:points.txt --arg b=Vj:sides.txt --arg g=0.5'
expected=$(awk -v alpha=0.1 "$gauss_jordan")
does 'solve' keopscl solve "$gauss" b $system --alpha 0.1
equals 'is the solution of the dense system' "$expected" 1e-3
does 'solve in float64' keopscl solve "$gauss" b $system --alpha 0.1 --dtype f64 --tol 1e-13 --out solution.txt
cp solution.txt out
equals 'has the digits asked for' "$expected" 1e-11
does 'solve with --start' keopscl solve "$gauss" b $system --alpha 0.1 --dtype f64 --tol 1e-12 --start solution.txt --json
wanted='^\{"device":"[^"]+","n":3,"dtype":"f64","seconds":[0-9.e-]+,"systems":\['
wanted=$wanted'(\{"reason":"KCL_SOLVE_CONVERGED","iterations":0,"residual":[0-9.e-]+,"norm":[0-9.e-]+\},?){2}\],'
wanted=$wanted'"results":\[\{"shape":\[3,2\],"dtype":"f64"\}\]\}$'
grep -q -E "$wanted" out
report $? 'needs no product, and --json tells'
does 'solve with --noise' keopscl solve "$gauss" b $system --alpha 0.1 --noise noise.txt --dtype f64 --tol 1e-12 --check
equals 'adds it to the diagonal' "$(awk -v alpha=0.1 -v noisy=1 "$gauss_jordan")" 1e-10
does 'solve with --noise alone' keopscl solve "$gauss" b $system --noise noise.txt --dtype f64 --tol 1e-12
equals 'adds nothing else' "$(awk -v noisy=1 "$gauss_jordan")" 1e-10
does 'solve with --absolute' keopscl solve "$gauss" b $system --alpha 0.1 --absolute 100 --json
contains 'which |b| is within' '"iterations":0,'
does 'solve of a formula that mixes columns' keopscl solve 'Sum_Reduction(g*x*(y|b),0)' b $system --alpha 1 --json
[ "$(grep -o reason out | wc -l)" -eq 1 ]
report $? 'is one system'
fails 'solve that ends at the limit' 1 'keopscl solve: system 0 of 2 (KCL_SOLVE_LIMIT)|after 1 products' \
    keopscl solve "$gauss" b $system --alpha 0.1 --max-iterations 1 --out best.npy
does 'the best that was found' keopscl run 'Sum_Reduction(a*c,0)' --arg a=Vi:best.npy --arg c=1
[ "$(wc -l <out)" -eq 3 ]
report $? 'is written'
fails 'solve of what has negative curvature' 1 'KCL_SOLVE_NOT_POSITIVE_DEFINITE' \
    keopscl solve 'Sum_Reduction(-Exp(-g*SqDist(x,y))*b,0)' b $system
fails 'solve of distances' 1 'KCL_SOLVE_INDEFINITE' \
    keopscl solve 'Sum_Reduction(g*Norm2(x-y)*b,0)' b $system --json
[ "$(grep -o KCL_SOLVE_INDEFINITE out | wc -l)" -eq 2 ]
report $? '--json tells the reason as well'
fails 'solve --check' 1 'KCL_SOLVE_NOT_SYMMETRIC' \
    keopscl solve 'Sum_Reduction(Exp(-g*SqDist(x,2*y))*b,0)' b $system --check
for option in --alpha --tol --absolute; do
    for value in -1 nan inf 1x ''; do
        fails "solve $option '$value'" 2 "$option '$value': it must be a number" keopscl solve "$gauss" b $system $option "$value"
    done
done
fails 'solve --tol 0' 2 "--tol '0': it must be a number, above 0" keopscl solve "$gauss" b $system --tol 0
fails 'solve --max-iterations 0' 2 '--max-iterations 0' keopscl solve "$gauss" b $system --max-iterations 0
fails 'solve for what is not there' 2 'no argument "z"' keopscl solve "$gauss" z $system
fails 'solve for what is not linear' 2 'not linear' keopscl solve 'Sum_Reduction(Exp(-g*SqDist(x,y)*b),0)' b $system
fails 'solve for rows of i' 2 'a row for each j' keopscl solve "$gauss" x $system
fails 'solve with a noise of other length' 1 'the noise has shape (2)|3 rows' keopscl solve "$gauss" b $system \
    --noise weights.txt
fails 'solve with a start of other shape' 1 'the start has shape (2, 1), the solution (3, 2)' \
    keopscl solve "$gauss" b $system --start weights.txt
fails 'solve with a noise that is not there' 1 '--noise, none.txt: cannot be opened' \
    keopscl solve "$gauss" b $system --noise none.txt
fails 'solve with standard input twice' 2 '--noise and --start cannot both be read from standard input' \
    keopscl solve "$gauss" b $system --noise - --start -
fails 'solve with an argument on standard input too' 2 "argument 'b' and --start cannot both be read" keopscl solve "$gauss" b \
    --arg x=Vi:points.txt --arg y=Vj:points.txt --arg b=Vj:- --arg g=0.5 --start -
fails 'solve with lengths that disagree' 1 'square' keopscl solve "$gauss" b --arg x=Vi:points.txt --arg y=Vj:targets.csv \
    --arg b=Vj:weights.txt --arg g=1
fails 'solve with two outputs' 2 '--out is given 2 times' keopscl solve "$gauss" b $system --out a --out b
fails 'solve with --json and a table on standard output' 2 '--json and --out -' \
    keopscl solve "$gauss" b $system --json --out -

# ---- emit, grad -----------------------------------------------------------------------------------------------------

dims='--arg x=Vi(2) --arg y=Vj(2) --arg b=Vj(1) --arg g=Pm(1)'
does 'emit' keopscl emit "$gauss" $dims
contains 'prints a kernel' 'kernel'
contains 'tells which argument is which' ' * a0: g, a1: x, a2: y, a3: b'
mv out first
does 'emit --device cpu' keopscl emit "$gauss" $dims --device cpu
cmp -s out first
report $? 'is the default, and the same text again'
does 'emit as in README' keopscl emit 'Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)' --arg 'x=Vi(3)' --arg 'y=Vj(3)' \
    --arg 'b=Vj(1)' --arg 'g=Pm(1)' --n 1000
grep -qF "keopscl emit 'Sum_Reduction(Exp(-g*SqDist(x,y))*b,0)' --arg 'x=Vi(3)' --arg 'y=Vj(3)' --arg 'b=Vj(1)'" "$readme"
report $? 'is what README asks for'
awk '$0 == "/*" && fence { on = 1 } /^```/ { on = 0 } on { print } { fence = $0 == "```c" }' "$readme" >shown
[ -s shown ] && head -n "$(wc -l <shown)" out | cmp -s - shown
report $? 'README shows the kernel'
does 'emit in float64' keopscl emit "$gauss" $dims --dtype f64 --m 10 --n 20
contains 'has doubles' double
does 'emit --device gpu' keopscl emit "$gauss" $dims --device gpu
contains 'has work-groups' 'KCL_GROUP 256'
does 'emit --schedule' keopscl emit "$gauss" $dims --device gpu --schedule contraction
contains 'is the one asked for' 'KCL_ROW_OPERANDS'
fails 'emit --schedule, not known' 2 'schedule "diagonal" is not known: write "lanes"' \
    keopscl emit "$gauss" $dims --schedule diagonal
does 'emit --math' keopscl emit "$gauss" $dims --math fast
contains 'tells of it' ' * with fast elementary functions'
fails 'emit --math, not known' 2 'math "quick" is not known: write "precise" or "fast"' \
    keopscl emit "$gauss" $dims --math quick
fails 'emit for a device that is not there' 1 'no such device' keopscl emit "$gauss" $dims --device 'no such device'

does 'grad' keopscl grad "$gauss" x $dims
[ "$(wc -l <out)" -eq 2 ]
report $? 'prints two lines'
cotangent=$(sed -n '2s/^# cotangent: \([A-Za-z_][A-Za-z_0-9]*\) = Vi(1)$/\1/p' out)
[ -n "$cotangent" ]
report $? 'names the cotangent, its role and its dimension'
derivative=$(head -n 1 out)
printf '1\n2\n-1\n' >cotangents.txt
does 'the derivative can be run' keopscl run "$derivative" $points --arg "${cotangent:-e}=Vi:cotangents.txt" --dtype f64
# sum_j -2 g (x_i - y_j) exp(-g |x_i - y_j|^2) b_j e_i with g = 0.5
equals 'and is the gradient' "$(awk 'BEGIN { e[1] = 1; e[2] = 2; e[3] = -1 }
    '"$kernels"'
    {
        l *= -2
        printf "%.17g %.17g\n", -e[NR] * (k * ($1 - 0.5) + l * ($1 + 1)), -e[NR] * (k * ($2 - 0.25) + l * ($2 - 3))
    }' points.txt)" 1e-14
nested=x
for level in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
    nested="Normalize($nested)"
done
fails 'grad of a text without end' 2 'too long as a text' keopscl grad "Sum_Reduction($nested,1)" x --arg x='Vi(2)'
fails 'grad in an unknown variable' 2 "z" keopscl grad "$gauss" z $dims

# ---- check, bench ---------------------------------------------------------------------------------------------------

does 'check' keopscl check "$gauss" $dims --m 37 --n 41 --seed 7
contains 'prints the seed' 'm 37, n 41, dtype f32, seed 7'
awk '/^error / { found = $2 >= 0 && $2 < 1e-6 && $0 ~ /limit 1e-05$/ } END { exit !found }' out
report $? 'prints a small error'
does 'check in float64' keopscl check "$gauss" $dims --m 37 --n 41 --dtype f64
contains 'has its own limit' 'limit 1e-12'
does 'check with no rows' keopscl check "$gauss" $dims --m 0 --n 41
does 'check without columns' keopscl check "$gauss" $dims --m 37 --n 0
does 'check without an argument of the rows' keopscl check 'Sum_Reduction(Cos(y),0)' --arg 'y=Vj(2)' --n 41
contains 'which is one' 'm 1, n 41,'
does 'check without an argument of the columns' keopscl check 'Sum_Reduction(Cos(x),1); ArgMin_Reduction(x,1)' \
    --arg 'x=Vi(2)' --m 37
contains 'which is one as well' 'm 37, n 1,'
does 'check of a parameter alone' keopscl check 'Sum_Reduction(g,0); Sum_Reduction(g,2)' --arg 'g=Pm(3)'
contains 'of one row and column' 'm 1, n 1,'
does 'check of rows that are not named' keopscl check 'Sum_Reduction(Cos(y),0)' --arg 'y=Vj(2)' --arg 'x=Vi(1)' --m 7
contains 'of their length' 'm 7, n 1000,'
does 'check of infinities and NaN' keopscl check 'Sum_Reduction(Log(x-x)*y,0); Sum_Reduction(Log(-x)*y,0)' \
    --arg 'x=Vi(1)' --arg 'y=Vj(1)' --m 5 --n 5
if keopscl devices | grep -q -E '^.? *[0-9]+:[0-9]+ +cpu '; then
    # The product is rounded to float32, and so known to a hundredth only, before its sine is taken.
    fails 'check of what float32 cannot do' 1 'result 0, row |the device gives|the interpreter|seed 1' \
        keopscl check 'Sum_Reduction(Sin(1000000*x*y),0)' --arg 'x=Vi(1)' --arg 'y=Vj(1)' --m 20 --n 20 --device cpu
else
    count=$((count + 1))
    echo "ok $count check of what float32 cannot do # SKIP no OpenCL CPU device"
fi

for tag in 0 1 2; do
    does "check of all reductions, tag $tag" keopscl check "ArgMin_Reduction(SqDist(x,y),$tag); \
LogSumExp_Reduction(-g*SqDist(x,y),$tag); Sum_Reduction(Exp(-g*SqDist(x,y)),$tag); ArgMin_Reduction(x*y,$tag)" \
        --arg x='Vi(3)' --arg y='Vj(3)' --arg g='Pm(1)' --m 300 --n 203 --device host
done
# float32 rounds both products to the same number where doubles differ: another index, and no error.
does 'check of indices where rounding decides' keopscl check 'ArgMin_Reduction(1000000+x*y,0)' \
    --arg x='Vi(1)' --arg y='Vj(1)' --m 40 --n 50
does 'check of indices without columns' keopscl check "$nearest" --arg x='Vi(2)' --arg y='Vj(2)' --m 5 --n 0 --device host

does 'bench' keopscl bench --m 30 --n 20 --d 2
awk '
    BEGIN { split("gauss_sum gauss_grad logsumexp argmin argkmin wide split", name) }
    {
        number = "[0-9.]+(e[-+]?[0-9]+)?"
        wanted = "^\\{\"case\":\"" name[NR] "\",\"d\":2,\"m\":30,\"n\":20,\"dtype\":\"f32\",\"device\":\"[^\"]+\"," \
            "\"seconds\":" number ",\"gpairs\":" number ",\"first_seconds\":" number "\\}$"
        if ($0 !~ wanted) wrong = 1
    }
    END { exit wrong || NR != 7 }' out
report $? 'prints an object for each case'
does 'bench of one case' keopscl bench --case wide --m 30 --n 20 --dtype f64 --json
[ "$(wc -l <out)" -eq 1 ] && grep -q '"case":"wide","d":3,"m":30,"n":20,"dtype":"f64"' out
report $? 'prints one object'
fails 'bench of a case that is not there' 2 "no case 'median'|gauss_sum, gauss_grad, logsumexp, argmin, argkmin, wide and split" \
    keopscl bench --case median
fails 'bench without dimension' 2 '--d 0' keopscl bench --d 0

# ---- devices, doctor, cache -----------------------------------------------------------------------------------------

does 'devices' keopscl devices
tail -n 1 out | grep -q -E '^[* ] host +host '
report $? 'lists the interpreter last'
[ "$(grep -c '^\*' out)" -eq 1 ]
report $? 'marks the default'
does 'devices --json' keopscl devices --json
head -n 1 out | grep -q '^\[{"id":"' && tail -n 1 out | grep -q '"type":"host".*}\]$' &&
    [ "$(grep -c '"default":true' out)" -eq 1 ]
report $? 'is an array'
does 'doctor' keopscl doctor
grep -q -i opencl out
report $? 'tells about OpenCL'

# Values of a formula, without a reduction.
printf '0 1\n1 1\n' >places.txt
printf '0 0\n1 0\n0 2\n' >three.txt
does 'run --dense' keopscl run 'SqDist(x,y)*g' --dense --arg x=Vi:places.txt --arg y=Vj:three.txt --arg g=0.5
equals 'is the matrix' '0.5 1 0.5
1 0.5 1' 0
does 'run --dense of vectors' keopscl run 'x-y' --dense --arg x=Vi:places.txt --arg y=Vj:three.txt --out values.npy
does 'run --dense reads them back' keopscl run 'v' --dense --arg v=Vi:values.npy
equals 'has the components of each j' '0 1 -1 1 0 -1
1 1 0 1 1 -1' 0
does 'run --dense --json' keopscl run 'x|y' --dense --json --arg x=Vi:places.txt --arg y=Vj:three.txt
contains 'tells the shape' '"m":2,"n":3,"dtype":"f32"'
contains 'tells the results' '"results":[{"shape":[2,3],"dtype":"f32"}]'
formula='x-z'
fails_with_caret 'run --dense of an unknown name' "unknown name 'z'" 3 keopscl run "$formula" --dense --arg x=Vi:places.txt
fails 'run --dense of numbers alone' 2 'IndexJ|length' keopscl run 'x-IndexJ' --dense --arg x=Vi:places.txt
fails 'run --dense with a parameter too many' 2 "does not use parameter 'p'" keopscl run 'x' --dense --arg x=Vi:places.txt \
    --arg p=1
fails 'run --dense with two outputs' 2 '--dense gives one result' keopscl run 'x' --dense --arg x=Vi:places.txt \
    --out a.npy --out b.npy
fails 'run --dense with lengths that disagree' 1 '2 rows|has 3' keopscl run 'x+z' --dense --arg x=Vi:places.txt \
    --arg z=Vi:three.txt

# Computations that would take minutes are interrupted, and end in time; so does what is no computation.
awk 'BEGIN { for (i = 0; i < 500000; i++) print i % 1000, i % 777 }' >many.txt
awk 'BEGIN { for (i = 0; i < 500000; i++) print i % 10 }' >column.txt
interrupted() { # NAME TEXT COMMAND...: the command gets SIGINT after 3 seconds, and ends before another 3 are over
    name=$1 text=$2 begin=$(date +%s)
    shift 2
    fails "$name" 130 "$text" timeout --preserve-status -k 20 -s INT 3 "$@"
    [ $(($(date +%s) - begin)) -le 6 ]
    report $? 'ends at once'
}
interrupted 'an interrupted run' 'keopscl run: interrupted' keopscl run 'Sum_Reduction(Exp(-SqDist(x,y)),0)' \
    --arg x=Vi:many.txt --arg y=Vj:many.txt --out sums.npy
[ ! -e sums.npy ]
report $? 'writes no result'
interrupted 'an interrupted solve' 'keopscl solve: interrupted' keopscl solve 'Sum_Reduction(Exp(-SqDist(x,y))*b,0)' b \
    --arg x=Vi:many.txt --arg y=Vj:many.txt --arg b=Vj:column.txt --alpha 1 --out sums.npy
[ ! -e sums.npy ]
report $? 'writes no solution'
interrupted 'an interrupted benchmark' 'keopscl bench: interrupted' keopscl bench --case argkmin --m 200000 --n 200000
mkfifo pipe
sleep 10 >pipe &
interrupted 'an interrupted wait for input' 'keopscl: interrupted' keopscl run 'Sum_Reduction(Exp(-SqDist(x,y)),0)' \
    --arg x=Vi:pipe --arg y=Vj:many.txt

does 'cache stats' keopscl cache stats
contains 'names the folder' "folder $KEOPSCL_CACHE_DIR"
mkdir -p "$KEOPSCL_CACHE_DIR" && echo precious >"$KEOPSCL_CACHE_DIR/letter.txt"
does 'cache clear' keopscl cache clear
contains 'says how much' 'removed '
[ "$(cat "$KEOPSCL_CACHE_DIR/letter.txt")" = precious ]
report $? 'leaves other files alone'
does 'cache stats after it' keopscl cache stats
contains 'has no kernels' 'kernels 0'
does 'cache that is off' env KEOPSCL_CACHE=off keopscl cache stats
contains 'says so' 'the cache is off'
fails 'a cache folder that is no absolute path' 2 'KEOPSCL_CACHE_DIR is not valid' env KEOPSCL_CACHE_DIR=off \
    keopscl cache stats
does 'doctor with such a folder' env KEOPSCL_CACHE_DIR=off keopscl doctor
contains 'says what it takes' 'KEOPSCL_CACHE_DIR="off" is not valid: it takes an absolute path; KEOPSCL_CACHE=off'
fails 'unknown word for cache' 2 "'empty' is neither stats nor clear" keopscl cache empty
fails 'cache without a word' 2 'stats|clear' keopscl cache

echo "1..$count"
