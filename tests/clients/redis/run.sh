#!/usr/bin/env bash
# Runs redis-cli and redis-benchmark against the example resp. Needs cargo and the Debian package
# redis-tools. Prints what failed, and exits with status 0 if nothing did.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/../../.."

source tests/clients/example.sh
need redis-tools redis-cli redis-benchmark
start_example resp --listen 127.0.0.1:0 --loops 2
port="${address#*:}"

# expect REPLY WORD...: runs a command with redis-cli, and compares the reply.
expect() {
    local expected="$1" reply
    shift
    reply="$(timeout 20 redis-cli -p "$port" "$@" 2>&1)"
    if [[ "$reply" != "$expected" ]]; then
        echo "redis-cli $*: expected '$expected', got '$reply'" >&2
        exit 1
    fi
}

expect PONG ping
expect hello ping hello
expect OK set greeting "hello, world"
expect "hello, world" get greeting
expect "" get nothing
expect 1 incr counter
expect 2 incr counter
expect "ERR value is not an integer or out of range" incr greeting
expect "ERR unknown command 'flushall'" flushall
expect 2 del greeting counter nothing

# Mass insertion: 10,000 commands in one stream.
for ((n = 0; n < 10000; n++)); do printf 'set key-%d value-%d\r\n' "$n" "$n"; done \
    | timeout 60 redis-cli -p "$port" --pipe > "$work/pipe" 2>&1
if ! grep -q 'errors: 0, replies: 10000' "$work/pipe"; then
    echo "redis-cli --pipe:" >&2
    cat "$work/pipe" >&2
    exit 1
fi
expect value-9999 get key-9999

timeout 120 redis-benchmark -p "$port" -t ping_mbulk,set,get,incr -n 20000 -c 20 -P 16 -r 1000 --csv \
    > "$work/benchmark" 2> "$work/errors"
for test in PING_MBULK SET GET INCR; do
    if ! grep -q "^\"$test\"" "$work/benchmark"; then
        echo "redis-benchmark printed no figures of $test:" >&2
        cat "$work/benchmark" "$work/errors" >&2
        exit 1
    fi
done

kill -TERM "$server"
if ! wait "$server"; then
    echo "the example did not end well:" >&2
    cat "$work/log" >&2
    exit 1
fi
server=
