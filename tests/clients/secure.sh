# Sourced by run.sh: the clients and proxies that speak TLS or HTTP/2.

# or_skip TOOL NAME COMMAND...: runs a client if its tool is there.
or_skip() {
    if has "$1"; then
        client "${@:2}"
    else
        echo "skipped $2: $1 could not be installed" | report
    fi
}

# Compares the fingerprint that the server has printed with that of its certificate.
self_signed() {
    local of_server of_openssl
    of_server="$(grep -o '\([0-9A-F]\{2\}:\)\{31\}[0-9A-F]\{2\}' "$printed" || true)"
    of_openssl="$(openssl s_client -connect "${base#https://}" < /dev/null 2> /dev/null |
        openssl x509 -noout -fingerprint -sha256 | cut -d = -f 2)"
    if [[ -n "$of_server" && "$of_server" == "$of_openssl" ]]; then
        echo "ok openssl: the fingerprint of --tls-self-signed" | report
    else
        echo "failed openssl: the fingerprints are '$of_server' and '$of_openssl'" | report
    fi
}

server_options=(--h2c)
start_server
client http2-plain bash "$here/http2.sh"
(
    cd "$here/httpwg"
    export CARGO_TARGET_DIR="$target/httpwg"
    cargo fmt --check
    cargo clippy -q --all-targets -- -D warnings
    cargo test -q --no-run
)
CARGO_TARGET_DIR="$target/httpwg" client httpwg bash "$here/httpwg/run.sh"
stop_all

mkdir "$TLS"
bash "$here/certificates.sh" "$TLS"
export CURL_CA_BUNDLE="$TLS/authority.pem" SSL_CERT_FILE="$TLS/authority.pem"
export NODE_EXTRA_CA_CERTS="$TLS/authority.pem"
server_options=(--loops 2 --tls-cert "$TLS/served.pem" --tls-key "$TLS/served.key")
start_server
client tls bash "$here/tls.sh"
client http2 bash "$here/http2.sh"
ours fetch
client http.client-tls python3 "$here/http_client.py"
client python-tls python3 "$here/python_tls.py"
or_skip node node-tls node "$here/node.mjs"
or_skip node node-http2 node "$here/node_http2.mjs"
or_skip "$kept/go_client" go-http2 "$kept/go_client"
or_skip chromium chromium bash "$here/chromium.sh"
stop_all

if has node; then
    printed="$work/node-server"
    node "$here/node_server.mjs" > "$printed" 2>&1 &
    started+=($!)
    until_true grep -q listening "$printed"
    base="$(grep -o 'https://[0-9.:]*' "$printed")"
    ours node-server
    stop_all
else
    echo "skipped node-server: node could not be installed" | report
fi

front=https
if has nginx; then
    proxy nginx-tls "$here/nginx_tls.conf" nginx -p "$work/nginx-tls" \
        -e "$work/nginx-tls/errors" -c "$work/nginx-tls/config"
else
    echo "skipped nginx-tls: it could not be installed" | report
fi
if has haproxy; then
    through=(bash "$here/http2.sh")
    proxy haproxy-http2 "$here/haproxy_http2.cfg" haproxy -db -f "$work/haproxy-http2/config"
else
    echo "skipped haproxy-http2: it could not be installed" | report
fi

server_options+=(--tls-client-ca "$TLS/authority.pem")
start_server
client certificates bash "$here/certificates_of_clients.sh"
stop_all

server_options=(--tls-self-signed)
start_server
self_signed
stop_all
unset CURL_CA_BUNDLE SSL_CERT_FILE NODE_EXTRA_CA_CERTS
