#!/usr/bin/env bash
# Our client, by examples/fetch.rs, against the server at $BASE, which may be a proxy or one of another
# project. run.sh describes the output.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
fetch="$FETCH"

# get OPTION... PATH...: requests paths.
get() {
    local arguments=()
    for argument in "$@"; do
        if [[ "$argument" == /* && ! -f "$argument" ]]; then argument="$BASE$argument"; fi
        arguments+=("$argument")
    done
    timeout 60 "$fetch" "${arguments[@]}" > "$work/fetched"
}

# lines EXPECTED PATTERN: compares the number of lines.
lines() {
    same "$1" "$(grep -c "$2" "$work/fetched" || true)"
}

version() {
    get /get && lines 1 '^HTTP/2.0 200 OK, '
}

only_http1() {
    get --http1 /get /get && lines 2 '^HTTP/1.1 200 OK, '
}

many() {
    local paths=()
    for _ in {1..20}; do paths+=(/delay/0.1); done
    get "${paths[@]}" && lines 20 '^HTTP/2.0 200 OK, ' && lines 1 '^opened 1 connection$'
}

large() {
    get '/bytes/1000000?seed=1' /bytes/100000 && lines 1 ', 1000000 bytes: ' &&
        lines 1 ', 100000 bytes: '
}

upload() {
    tildes 900000
    # The response has it in base64: three tildes are four characters.
    get --body --upload "$work/body" /put
    same 300000 "$(grep -o 'fn5[+-]' "$work/fetched" | wc -l)"
}

statuses() {
    get /status/204 /status/404 /status/500 && lines 1 ' 204 .*, 0 bytes: ' &&
        lines 1 ' 404 ' && lines 1 ' 500 '
}

streamed() {
    get --body /stream/5 && lines 5 '"url"'
}

check "our client: HTTP/2" version
check "our client: HTTP/1.1" only_http1
check "our client: 20 requests on one connection" many
check "our client: large bodies" large
check "our client: an upload" upload
check "our client: statuses" statuses
check "our client: a streamed body" streamed
