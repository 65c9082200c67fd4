#!/usr/bin/env bash
# curl against the server at $BASE. run.sh describes the output.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

get() {
    fetch -f "$BASE/get?a=1" | grep -q '/get?a=1"'
}

http_1_0() {
    fetch --http1.0 -i "$BASE/get" > "$work/old"
    grep -q '^HTTP/1.1 200' "$work/old" && ! grep -qi '^transfer-encoding' "$work/old"
}

http_1_0_keep_alive() {
    same "1 0 " "$(fetch --http1.0 -H 'Connection: keep-alive' -o "$work/1" -o "$work/2" \
        -w '%{num_connects} ' "$BASE/get" "$BASE/get")"
}

http_1_0_streamed() {
    same 20 "$(fetch --http1.0 "$BASE/stream/20" | wc -l | tr -d ' ')"
}

chunked_upload() {
    same 300000 "$(head -c 300000 /dev/zero | tr '\0' '~' |
        fetch -T - -H 'Content-Type: text/plain' "$BASE/put" | count_tildes)"
}

expect_continue() {
    tildes 900000
    same 900000 "$(fetch -v --expect100-timeout 15 -H 'Expect: 100-continue' \
        -H 'Content-Type: text/plain' --data-binary "@$work/body" "$BASE/post" \
        2> "$work/trace" | count_tildes)"
    grep -q '^< HTTP/1.1 100 Continue' "$work/trace"
}

expect_refused() {
    head -c 3000000 /dev/zero > "$work/body"
    same "413 0" "$(fetch -o /dev/null -w '%{http_code} %{size_upload}' --expect100-timeout 15 \
        -H 'Expect: 100-continue' --data-binary "@$work/body" "$BASE/post")"
}

refused_while_sending() {
    head -c 3000000 /dev/zero > "$work/body"
    for _ in 1 2 3 4 5; do
        same 413 "$(fetch -o /dev/null -w '%{http_code}' -H 'Expect:' \
            --data-binary "@$work/body" "$BASE/post")" || return
    done
}

head_only() {
    fetch -I "$BASE/bytes/1000" > "$work/head"
    grep -q '^HTTP/1.1 200' "$work/head" && grep -qi '^content-length: 1000' "$work/head"
}

reused_connection() {
    same "1 0 0 0 " "$(fetch -o "$work/1" -o "$work/2" -o "$work/3" -o "$work/4" \
        -w '%{num_connects} ' "$BASE/get" "$BASE/stream/5" "$BASE/status/404" "$BASE/bytes/70000")"
    same 70000 "$(wc -c < "$work/4" | tr -d ' ')"
}

reused_after_uploads() {
    same "1 0 " "$(fetch -d a=1 -o "$work/1" -o "$work/2" -w '%{num_connects} ' \
        "$BASE/post" "$BASE/delay/0.01")"
    grep -q '"a"' "$work/1"
}

closed_by_request() {
    same "1 1 " "$(fetch -H 'Connection: close' -o "$work/1" -o "$work/2" \
        -w '%{num_connects} ' "$BASE/get" "$BASE/get")"
}

part() {
    same 206:klmno "$(fetch -r 10-14 -w '%{stderr}%{http_code}' "$BASE/range/100" \
        2> "$work/code" > "$work/part"; cat "$work/code"; printf ':'; cat "$work/part")"
}

same_bytes() {
    fetch "$BASE/bytes/1000000?seed=1" > "$work/one"
    fetch --limit-rate 4M "$BASE/stream-bytes/1000000?seed=1&chunk_size=1000" > "$work/two"
    same 1000000 "$(wc -c < "$work/one" | tr -d ' ')"
    same 1000000 "$(wc -c < "$work/two" | tr -d ' ')"
}

multipart() {
    echo content > "$work/file"
    fetch -F field=value -F "upload=@$work/file" "$BASE/post" > "$work/form"
    grep -q '"value"' "$work/form" && grep -q 'content' "$work/form"
}

unix_socket() {
    fetch -f --unix-socket "$SOCKET" "http://unix/get?a=1" "http://unix/bytes/1000000" \
        -o "$work/get" -o "$work/bytes" -w '%{num_connects}\n' > "$work/connects"
    grep -q 'unix/get?a=1"' "$work/get" && grep -q '"unix:"' "$work/get" &&
        same 1000000 "$(wc -c < "$work/bytes" | tr -d ' ')" &&
        same "1 0" "$(tr '\n' ' ' < "$work/connects" | sed 's/ $//')"
}

in_parallel() {
    same 60 "$(fetch -Z --parallel-max 60 -o /dev/null -w '%{http_code}\n' \
        "$BASE/delay/0.[1-3]?[1-20]" | grep -c '^200')"
}

check "GET" get
check "--http1.0" http_1_0
check "--http1.0 with keep-alive" http_1_0_keep_alive
check "--http1.0 and a response of unknown length" http_1_0_streamed
check "-T - sends a chunked body" chunked_upload
check "Expect: 100-continue with a large body" expect_continue
check "Expect: 100-continue and 413 before the body" expect_refused
check "413 arrives while the body is being sent" refused_while_sending
check "HEAD" head_only
check "four URLs on one connection" reused_connection
check "uploads keep the connection open" reused_after_uploads
check "Connection: close" closed_by_request
check "-r gets a part" part
check "a million bytes, whole, and in chunks to a slow reader" same_bytes
check "-F sends a form with a file" multipart
check "--unix-socket" unix_socket
check "60 delays in parallel" in_parallel
