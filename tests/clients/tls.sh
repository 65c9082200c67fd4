#!/usr/bin/env bash
# curl and openssl against the server at $BASE, which speaks TLS. $TLS is the folder of its
# certificates (certificates.sh), and $SERVER its process. run.sh describes the output.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
address="${BASE#https://}"

# handshake OPTION...: connects, and prints what openssl has found out.
handshake() {
    openssl s_client -connect "$address" -CAfile "$TLS/authority.pem" "$@" < /dev/null 2>&1
}

# weakest OPTION...: like `handshake`, without openssl's own limits.
weakest() {
    handshake "$@" -cipher 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'
}

version() {
    same "$2" "$(fetch "$1" -o /dev/null -w '%{http_version}' "$BASE/get")"
}

tls_version() {
    fetch -v "${@:2}" "$BASE/get" > /dev/null 2> "$work/trace"
    grep -q "SSL connection using $1 /" "$work/trace"
}

upload() {
    tildes 900000
    same 900000 "$(fetch "$@" -H 'Content-Type: text/plain' --data-binary "@$work/body" \
        "$BASE/post" | count_tildes)"
}

download() {
    fetch "$@" "$BASE/bytes/1000000?seed=1" > "$work/one"
    fetch --limit-rate 4M "$@" "$BASE/bytes/1000000?seed=1" > "$work/two"
    same 1000000 "$(wc -c < "$work/one" | tr -d ' ')" && cmp "$work/one" "$work/two"
}

reused() {
    same "1 0 0 " "$(fetch "$@" -o "$work/1" -o "$work/2" -o "$work/3" -w '%{num_connects} ' \
        "$BASE/get" "$BASE/stream/5" "$BASE/bytes/70000")"
}

stranger() {
    local status=0
    curl -sS --cacert "$TLS/stranger.pem" "$BASE/get" || status=$?
    # 60: the certificate is not trusted.
    same 60 "$status" && fetch "$BASE/get" > /dev/null
}

unasked_certificate() {
    fetch -f --cert "$TLS/client.pem" --key "$TLS/client.key" "$BASE/get" > /dev/null
}

plain_http() {
    fetch -i "http://$address/get" > "$work/plain"
    grep -q '^HTTP/1.1 400' "$work/plain" && grep -qi '^content-type: text/plain' "$work/plain"
}

refused_version() {
    weakest "$1" > "$work/handshake" || true
    grep -q 'Cipher is (NONE)' "$work/handshake" && grep -q 'alert' "$work/handshake"
}

accepted_version() {
    handshake "-$1" -verify_return_error > "$work/handshake"
    grep -q "^New, $2, Cipher is " "$work/handshake" &&
        grep -q '^Verification: OK' "$work/handshake"
}

# The certificates have keys for ECDSA. All suites that openssl knows are offered, one at a time.
ciphers() {
    local cipher
    for cipher in $(openssl ciphers -s -tls1_2 'ALL:COMPLEMENTOFALL:@SECLEVEL=0' | tr ':' ' '); do
        if [[ "$cipher" == TLS_* ]]; then continue; fi
        if handshake -tls1_2 -cipher "$cipher:@SECLEVEL=0" > "$work/handshake"; then
            echo "$cipher"
        fi
    done | sort | tr '\n' ' ' > "$work/ciphers"
    same "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 \
ECDHE-ECDSA-CHACHA20-POLY1305 " "$(cat "$work/ciphers")"
}

# session OPTION...: sends a request, so that the ticket has arrived when the connection ends.
session() {
    printf 'GET /get HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
        timeout 20 openssl s_client -connect "$address" -ign_eof "$@" > "$work/session" 2>&1
}

# The connections go to all loops in turn.
resumed() {
    rm -f "$work/ticket"
    session "$1" -sess_out "$work/ticket"
    grep -q '^New, ' "$work/session" || return
    for _ in 1 2 3 4 5; do
        session "$1" -sess_in "$work/ticket"
        grep -q '^Reused, ' "$work/session" || { grep Cipher "$work/session"; return 1; }
        grep -q '^HTTP/1.1 200' "$work/session" || return
    done
}

# The first line makes openssl ask for it.
renegotiation() {
    timeout 10 openssl s_client -connect "$address" -tls1_2 > "$work/handshake" 2>&1 \
        < <(echo R; exec sleep 10) || true
    grep -q 'no renegotiation\|alert' "$work/handshake"
}

protocol() {
    handshake -alpn "$1" > "$work/handshake" || true
    grep -q "$2" "$work/handshake"
}

check "--http1.1" version --http1.1 1.1
check "--http2" version --http2 2
check "--tls-max 1.2" tls_version TLSv1.2 --tls-max 1.2
check "--tlsv1.3" tls_version TLSv1.3 --tlsv1.3
for http in 1.1 2; do
    for tls in 1.2 1.3; do
        check "POST of 900 kB by HTTP $http and TLS $tls" upload "--http$http" --tls-max "$tls"
        check "a million bytes by HTTP $http and TLS $tls" download "--http$http" --tls-max "$tls"
    done
    check "three URLs on one connection by HTTP $http" reused "--http$http"
done
check "an authority that has not signed the certificate" stranger
check "a client certificate that nobody has asked for" unasked_certificate
check "plain HTTP gets a 400" plain_http
check "TLS 1.0 is refused" refused_version -tls1
check "TLS 1.1 is refused" refused_version -tls1_1
check "TLS 1.2 is accepted" accepted_version tls1_2 TLSv1.2
check "TLS 1.3 is accepted" accepted_version tls1_3 TLSv1.3
check "no weak cipher suites" ciphers
check "sessions of TLS 1.2 are resumed on all loops" resumed -tls1_2
check "sessions of TLS 1.3 are resumed on all loops" resumed -tls1_3
check "renegotiation is refused" renegotiation
check "ALPN h2" protocol h2 '^ALPN protocol: h2'
check "ALPN http/1.1" protocol http/1.1 '^ALPN protocol: http/1.1'
check "ALPN without a common protocol" protocol foo 'alert no application protocol'
