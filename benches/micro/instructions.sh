#!/usr/bin/env bash
# Counts the user-space instructions of an iteration under callgrind: the difference between a run
# with few and one with many iterations. The result does not depend on the load of the machine.
#
#   ./instructions.sh tasks "spawn and join" "yield, alone"
#   RUNTIMES="brigade tokio" FEW=10 MANY=110 ./instructions.sh tasks "yield, in 1,000 tasks"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if (($# < 2)); then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
bench="$1"
shift
few="${FEW:-1000}"
many="${MANY:-11000}"
runtimes="${RUNTIMES:-brigade tokio smol monoio}"

executable="$(cargo bench --quiet --bench "$bench" --no-run --message-format json |
    sed -n "s/.*\"name\":\"$bench\".*\"executable\":\"\([^\"]*\)\".*/\1/p" | tail -1)"
out="$(mktemp)"
trap 'rm -f "$out"' EXIT

# Prints the instructions of one run: MEASUREMENT ITERATIONS.
instructions() {
    MICRO_ITERATIONS="$2" valgrind --tool=callgrind --callgrind-out-file="$out" \
        "$executable" --bench --test "$1" > /dev/null 2>&1
    sed -n 's/^summary: //p' "$out"
}

for name in "$@"; do
    for runtime in $runtimes; do
        # Criterion's filter is a regular expression.
        one="^$name/$runtime\$"
        before="$(instructions "$one" "$few")"
        after="$(instructions "$one" "$many")"
        printf '%-52s %-14s %7d instructions\n' "$name" "$runtime" \
            "$(((after - before) / (many - few)))"
    done
done
