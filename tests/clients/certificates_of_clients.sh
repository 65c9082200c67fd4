#!/usr/bin/env bash
# curl against the server at $BASE, which requires certificates of its clients. $TLS is the folder
# of certificates. run.sh describes the output.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

accepted() {
    same 200 "$(fetch "$@" --cert "$TLS/client.pem" --key "$TLS/client.key" -o /dev/null \
        -w '%{http_code}' "$BASE/get")"
}

# refused OPTION...: the alert arrives after the handshake in TLS 1.3.
refused() {
    if curl -sS --max-time 20 "$@" "$BASE/get" > "$work/refused" 2>&1; then
        echo "it was accepted"
        return 1
    fi
    grep -qi alert "$work/refused"
}

for tls in 1.2 1.3; do
    check "curl: a certificate that is signed, by TLS $tls" accepted --tls-max "$tls"
    check "curl: no certificate, by TLS $tls" refused --tls-max "$tls"
    check "curl: a certificate of a stranger, by TLS $tls" refused --tls-max "$tls" \
        --cert "$TLS/stranger.pem" --key "$TLS/stranger.key"
done
check "curl: HTTP/1.1 with a certificate" accepted --http1.1
