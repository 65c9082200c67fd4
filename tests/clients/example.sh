# Sourced by scripts that run clients against an example. Sets `work` to a temporary folder, which is
# removed at the end together with the example.

work="$(mktemp -d)"
server=
address=

finish() {
    if [[ -n "$server" ]]; then kill "$server" 2> /dev/null || true; fi
    rm -rf "$work"
}
trap finish EXIT

# need PACKAGE TOOL...: fails if a tool is missing, and names the Debian package.
need() {
    local package="$1" tool
    shift
    for tool in "$@"; do
        if ! command -v "$tool" > /dev/null; then
            echo "$tool is missing: apt-get install $package" >&2
            exit 1
        fi
    done
}

# start_example NAME ARGUMENT...: builds and starts an example that prints where it listens. Sets
# `server` to its process and `address` to its host and port; its log is in "$work/log".
start_example() {
    local name="$1"
    shift
    cargo build --quiet --all-features --example "$name"
    "${CARGO_TARGET_DIR:-target}/debug/examples/$name" "$@" > "$work/listening" 2> "$work/log" &
    server=$!
    for _ in {1..100}; do
        if [[ -s "$work/listening" ]]; then break; fi
        sleep 0.1
    done
    address="$(grep -oE '[0-9.]+:[0-9]+' "$work/listening" || true)"
    if [[ -z "$address" ]]; then
        echo "the example did not print its address:" >&2
        cat "$work/log" >&2
        exit 1
    fi
}
