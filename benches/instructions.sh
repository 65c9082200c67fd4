#!/usr/bin/env bash
# Counts the user-space instructions of a request to examples/hello and to benches/instructions.rs,
# under callgrind: the difference between two loads of one connection, so that the start does not
# count. The result does not depend on the load of the machine. Needs valgrind and python3; takes
# about four minutes once built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cargo build --quiet --release --example hello --example instructions
examples="${CARGO_TARGET_DIR:-target}/release/examples"

# Sends $2 requests for $4 to port $1, $3 in a write, and waits for the responses.
load() {
    python3 - "$@" << 'PYTHON'
import socket, sys

port, requests, depth = map(int, sys.argv[1:4])
client = socket.create_connection(("127.0.0.1", port), timeout=60)
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
batch = f"GET {sys.argv[4]} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * depth
for _ in range(requests // depth):
    client.sendall(batch)
    received = b""
    while received.count(b"Hello, World!") < depth:
        received += client.recv(65536)
PYTHON
}

# Prints the instructions of the example $3 that handles $1 requests for $4, $2 in a write.
count() {
    local log="$work/log" port=""
    : > "$log"
    valgrind --tool=callgrind --callgrind-out-file="$work/out" \
        "$examples/$3" --listen 127.0.0.1:0 --loops 1 > "$log" 2>&1 &
    local server=$!
    for _ in $(seq 300); do
        port="$(sed -n 's/^listening on .*:\([0-9]*\) .*/\1/p' "$log")"
        if [[ -n "$port" ]]; then break; fi
        sleep 0.1
    done
    load "$port" "$1" "$2" "$4"
    kill -TERM "$server"
    wait "$server"
    sed -n 's/.*Collected : //p' "$log"
}

cases=("hello /" "instructions /request" "instructions /by-hand/7" "instructions /extracted/7")
for case in "${cases[@]}"; do
    read -r example path <<< "$case"
    for depth in 1 16; do
        few="$(count 8000 "$depth" "$example" "$path")"
        many="$(count 24000 "$depth" "$example" "$path")"
        echo "$example $path, $depth in a write: $(((many - few) / 16000)) instructions a request"
    done
done
