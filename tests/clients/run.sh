#!/usr/bin/env bash
# Runs independent clients and proxies against httpbin_delay, and our client against independent
# servers.
#
# Each client prints one line per check: `ok NAME`, `failed NAME: REASON` or `skipped NAME: REASON`.
# Installs missing clients with apt-get, and skips those that cannot be installed. The Python
# packages are kept in target/clients. The last line has the totals. Exits with status 0 if no
# check failed.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/../.."
source tests/tools.sh

target="${CARGO_TARGET_DIR:-$PWD/target}"
kept="$target/clients"
work="$(mktemp -d)"
results="$work/results"
started=()
server_options=()
through=()
front=http
mkdir -p "$kept"
touch "$results"
export PYTHONDONTWRITEBYTECODE=1
# The folder of the certificates.
export TLS="$work/tls"

# Ends the processes that were started.
stop_all() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2> /dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2> /dev/null || true; done
    started=()
}
trap 'stop_all; rm -rf "$work"' EXIT

# Prints the lines of standard input, and adds them to the results.
report() {
    tee -a "$results"
}

# ours NAME: runs our client, after the build of the example `fetch`.
ours() {
    FETCH="$target/debug/examples/fetch" client "$1" bash "$here/fetch.sh"
}

# Starts httpbin_delay with `server_options`. Sets `server` to its process, `base` to its URL,
# `socket` to its Unix socket, `printed` to the file of its output and `log` to that of its log.
start_server() {
    printed="$(mktemp -p "$work" server.XXXX)"
    log="$printed.log"
    socket="$printed.sock"
    "$target/debug/examples/httpbin_delay" --listen 127.0.0.1:0 --unix "$socket" --no-pin \
        "${server_options[@]}" > "$printed" 2> "$log" &
    server=$!
    started+=("$server")
    until_true grep -q listening "$printed"
    base="$(grep -o 'https\?://[0-9.:]*' "$printed")"
}

# client NAME COMMAND...: runs a client with the server's URL in BASE, its Unix socket in SOCKET, its
# process in SERVER and the file of its log in LOG. Reports a failure if the client exits with an
# error without reporting one.
client() {
    local name="$1" status=0
    shift
    printf '== %s\n' "$name"
    BASE="$base" SOCKET="$socket" SERVER="$server" LOG="$log" timeout 180 "$@" 2> "$work/stderr" |
        sed "s/^\(ok\|failed\|skipped\) /&$name: /" | report || status=$?
    if ((status != 0)) && ! grep -q "^failed $name" "$results"; then
        echo "failed $name: it exited with status $status" | report
        cat "$work/stderr" >&2
    fi
}

# proxy NAME CONFIG COMMAND...: sends over 1,000 requests through a proxy, which speaks the scheme
# `front` and must reuse its connections to the server. The command `through` is run as well.
proxy() {
    local name="$1" config="$2" port
    shift 2
    start_server
    port="$(free_port)"
    mkdir -p "$work/$name"
    sed "s|@PORT@|$port|; s|@SERVER@|${base#*://}|; s|@WORK@|$work/$name|g; s|@TLS@|$TLS|g" \
        "$config" > "$work/$name/config"
    "$@" > "$work/$name/out" 2>&1 &
    started+=($!)
    base="$front://127.0.0.1:$port"
    if ! until_true curl -fs "$base/get"; then
        echo "failed $name: no response: $(tail -n 3 "$work/$name/out")" | report
        return
    fi
    client "$name" python3 "$here/through_proxy.py"
    if ((${#through[@]})); then THROUGH="$name" client "$name" "${through[@]}"; fi
    if [[ "$front" == https ]]; then ours "$name"; fi
    stop_all
    count_connections "$name"
}

# Checks in the log of the server, which has ended, that it served 1,000 requests or more on at
# most 100 connections.
count_connections() {
    local counts
    counts="$(awk '/event loop [0-9]+ served/ { for (i = 1; i < NF; i++) {
        if ($(i + 1) ~ /^connections/) c += $i
        if ($(i + 1) ~ /^requests/) r += $i } } END { print c + 0, r + 0 }' "$log")"
    if ((${counts% *} > 0 && ${counts% *} <= 100 && ${counts#* } >= 1000)); then
        echo "ok $1: reused its connections (${counts% *} for ${counts#* } requests)" | report
    else
        echo "failed $1: reused its connections: connections and requests were $counts" | report
    fi
}

missing=()
for pair in curl:curl python3:python3 node:nodejs go:golang-go nginx:nginx haproxy:haproxy \
    redis-cli:redis-tools openssl:openssl nghttp:nghttp2-client chromium:chromium; do
    has "${pair%:*}" || missing+=("${pair#*:}")
done
# What cannot be installed is skipped.
if ((${#missing[@]})); then
    install_packages "${missing[@]}" > "$work/apt.log" 2>&1 ||
        printf 'apt-get could not install %s\n' "${missing[*]}" >&2
fi
if ! [[ -x "$kept/venv/bin/python" ]] || ! "$kept/venv/bin/python" -c 'import aiohttp'; then
    rm -rf "$kept/venv"
    { python3 -m venv "$kept/venv" && "$kept/venv/bin/pip" install -q aiohttp; } \
        > "$work/pip.log" 2>&1 || tail -n 3 "$work/pip.log" >&2
fi 2> /dev/null
cargo build -q --features tls-self-signed,http2 --example httpbin_delay --example fetch

for tool in curl python3 openssl; do
    has "$tool" || { echo "failed $tool: all other checks need it" | report; exit 1; }
done
start_server
client curl bash "$here/curl.sh"
client http.client python3 "$here/http_client.py"
if "$kept/venv/bin/python" -c 'import aiohttp' 2> /dev/null; then
    client aiohttp "$kept/venv/bin/python" "$here/aiohttp_client.py"
else
    echo "skipped aiohttp: it could not be installed" | report
fi
if has node; then
    client node node "$here/node.mjs"
else
    echo "skipped node: it could not be installed" | report
fi
if has go && GO111MODULE=off go build -o "$kept/go_client" "$here/go_client.go"; then
    client go "$kept/go_client"
else
    echo "skipped go: it could not be installed" | report
fi
stop_all

if has nginx; then
    proxy nginx "$here/nginx.conf" nginx -p "$work/nginx" -e "$work/nginx/errors" \
        -c "$work/nginx/config"
else
    echo "skipped nginx: it could not be installed" | report
fi
if has haproxy; then
    proxy haproxy "$here/haproxy.cfg" haproxy -db -f "$work/haproxy/config"
else
    echo "skipped haproxy: it could not be installed" | report
fi

source "$here/secure.sh"

for clients in websocket redis; do
    printf '== %s\n' "$clients"
    if "$here/$clients/run.sh"; then
        echo "ok $clients: its own checks" | report
    else
        echo "failed $clients: its own checks" | report
    fi
done

passed="$(grep -c '^ok ' "$results" || true)"
failed="$(grep -c '^failed ' "$results" || true)"
skipped="$(grep -c '^skipped ' "$results" || true)"
summary="$passed passed, $failed failed"
if ((skipped)); then summary+=", $skipped skipped"; fi
echo "$summary"
((failed == 0))
