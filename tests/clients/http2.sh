#!/usr/bin/env bash
# curl, nghttp and h2load against the server at $BASE, which speaks HTTP/2: over TLS, or by prior
# knowledge. With $THROUGH it is a proxy. run.sh describes the output.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
if [[ "$BASE" == https:* ]]; then by=--http2; else by=--http2-prior-knowledge; fi
plain='content-type: text/plain'

# send OPTION... PATH: prints the frames of an exchange, without the bodies.
send() {
    timeout 20 nghttp -nv "${@:1:$#-1}" "$BASE${*: -1}"
}

version() {
    same "2 200" "$(fetch "$by" -o /dev/null -w '%{http_version} %{http_code}' "$BASE/get")"
}

reused() {
    same "1 0 0 0 " "$(fetch "$by" -o "$work/1" -o "$work/2" -o "$work/3" -o "$work/4" \
        -w '%{num_connects} ' "$BASE/get" "$BASE/stream/5" "$BASE/status/404" "$BASE/bytes/70000")"
    same 70000 "$(wc -c < "$work/4" | tr -d ' ')"
}

head_only() {
    fetch "$by" -I "$BASE/bytes/1000" > "$work/head"
    grep -q '^HTTP/2 200' "$work/head" && grep -qi '^content-length: 1000' "$work/head"
}

without_body() {
    send /status/204 > "$work/frames"
    grep -q ':status: 204' "$work/frames" &&
        grep -A 1 'recv HEADERS' "$work/frames" | grep -q END_STREAM
}

upload() {
    tildes 900000
    same 900000 "$(fetch "$by" -H "$plain" "$@" "$BASE/put" < "$work/body" | count_tildes)"
}

expect_continue() {
    tildes 900000
    same 900000 "$(fetch "$by" -v --expect100-timeout 15 -H 'Expect: 100-continue' -H "$plain" \
        -X PUT --data-binary "@$work/body" "$BASE/put" 2> "$work/trace" | count_tildes)"
    grep -q '^< HTTP/2 100' "$work/trace"
}

same_bytes() {
    fetch "$by" "$BASE/bytes/1000000?seed=1" > "$work/one"
    fetch "$by" --limit-rate 4M "$BASE/bytes/1000000?seed=1" > "$work/two"
    same 1000000 "$(wc -c < "$work/one" | tr -d ' ')" && cmp "$work/one" "$work/two"
}

small_window() {
    timeout 20 nghttp -w 10 -W 10 "$BASE/bytes/300000" > "$work/one"
    same 300000 "$(wc -c < "$work/one" | tr -d ' ')"
}

many() {
    send -m 100 /delay/0.1 > "$work/frames"
    same 100 "$(grep -c ':status: 200' "$work/frames")"
}

large_header() {
    send -H "x-large: $(head -c 12000 /dev/zero | tr '\0' 'x')" /get > "$work/frames"
    grep -q ':status: 200' "$work/frames"
}

# nghttp adds headers of 24 KB.
continuation() {
    send --continuation /get > "$work/frames"
    grep -q 'send HEADERS frame <length=18' "$work/frames" &&
        grep -q ':status: 431' "$work/frames" && ! grep -q 'recv GOAWAY' "$work/frames"
}

trailers() {
    tildes 30000
    timeout 20 nghttp -v -H "$plain" --trailer 'x-sum: 3' -d "$work/body" "$BASE/post" \
        > "$work/frames"
    grep -q ':status: 200' "$work/frames" && same 30000 "$(count_tildes < "$work/frames")"
}

# RFC 9113 section 8.1: a response, and then a reset without an error.
early_response() {
    tildes 3000000
    send -d "$work/body" /post > "$work/frames"
    grep -q ':status: 413' "$work/frames" &&
        grep -A 1 'recv RST_STREAM' "$work/frames" | grep -q NO_ERROR
}

# load OPTION...: 1,000 requests on 8 connections, 16 at once on each.
load() {
    timeout 60 h2load -n 1000 -c 8 -m 16 "$@" > "$work/load"
    grep -q '^requests: .* 1000 succeeded, 0 failed, 0 errored, 0 timeout' "$work/load" &&
        grep -q '^status codes: 1000 2xx' "$work/load"
}

load_with_bodies() {
    tildes 30000
    load -d "$work/body" -H "$plain" "$BASE/post"
}

check "curl: GET" version
# Version 7.88.1, which Debian 12 has, fails without TLS: https://github.com/curl/curl/issues/10634
if [[ "$by" == --http2 ]]; then check "curl: four URLs on one connection" reused; fi
check "curl: HEAD" head_only
check "curl: PUT of 900 kB" upload -X PUT --data-binary @-
check "curl: PUT of unknown length" upload -T -
check "curl: Expect: 100-continue" expect_continue
check "curl: a million bytes, also to a slow reader" same_bytes
if ! command -v nghttp > /dev/null || ! command -v h2load > /dev/null; then
    echo "skipped nghttp and h2load: they could not be installed"
    exit 0
fi
check "nghttp: a response without a body" without_body
check "nghttp: a window of a kilobyte" small_window
check "nghttp: 100 delays on one connection" many
check "nghttp: a header of 12 kB" large_header
check "nghttp: trailers" trailers
if [[ -z "${THROUGH:-}" ]]; then # which HAProxy decides itself
    check "nghttp: CONTINUATION with too many headers" continuation
    check "nghttp: a response before the end of the request" early_response
fi
check "h2load: 1,000 requests" load "$BASE/get"
check "h2load: 1,000 bodies of 30 kB" load_with_bodies
