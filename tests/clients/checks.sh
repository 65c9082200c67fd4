# Sourced by the clients in bash. Sets `work` to a temporary folder, which is removed at the end.

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# check NAME COMMAND...: runs a check, which passes if the command succeeds.
check() {
    local name="$1"
    shift
    if "$@" > "$work/output" 2>&1; then
        echo "ok $name"
    else
        echo "failed $name: $(tail -n 2 "$work/output" | tr '\n' ' ')"
    fi
}

# same EXPECTED ACTUAL: fails unless both are equal.
same() {
    [[ "$1" == "$2" ]] || { echo "expected '$1', got '$2'"; return 1; }
}

fetch() {
    curl -sS --max-time 20 "$@"
}

# tildes COUNT: makes the file `body`.
tildes() {
    head -c "$1" /dev/zero | tr '\0' '~' > "$work/body"
}

count_tildes() {
    tr -cd '~' | wc -c | tr -d ' '
}
