#!/usr/bin/env bash
# Runs clients against the example websocket_echo: the npm package `ws`, also over TLS, the Python
# package `websockets` over TLS, and then the Autobahn test suite. Needs cargo, openssl, Python,
# node and npm. The npm package is installed into a temporary folder, those of Python are kept in
# target/clients. The suite needs Python 2.7: the variable PYTHON2, a command of that name, or a
# version that pyenv has. It is skipped without one.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/../../.."

source tests/clients/example.sh
need "nodejs npm" node npm
need "openssl python3" openssl python3
target="$(realpath "${CARGO_TARGET_DIR:-target}")"
options=(--listen 127.0.0.1:0 --max-message-size $((16 * 1024 * 1024)))
cp "$here/client.mjs" "$work/"
(cd "$work" && npm install --silent --no-audit --no-fund --no-save ws@8 > /dev/null)

# client COMMAND...: runs a client, and shows the log of the server if it fails.
client() {
    timeout 60 "$@" || { cat "$work/log" >&2; exit 1; }
}

mkdir "$work/tls"
bash tests/clients/certificates.sh "$work/tls"
start_example websocket_echo "${options[@]}" \
    --tls-cert "$work/tls/served.pem" --tls-key "$work/tls/served.key"
url="wss://localhost:${address##*:}/echo"
NODE_EXTRA_CA_CERTS="$work/tls/authority.pem" client node "$work/client.mjs" "$url"
venv="$target/clients/websockets"
if ! "$venv/bin/python" -c 'import websockets' 2> /dev/null; then
    rm -rf "$venv"
    { python3 -m venv "$venv" && "$venv/bin/pip" install -q 'websockets>=14'; } \
        > "$work/pip.log" 2>&1 || tail -n 3 "$work/pip.log" >&2
fi
if "$venv/bin/python" -c 'import websockets' 2> /dev/null; then
    SSL_CERT_FILE="$work/tls/authority.pem" client "$venv/bin/python" "$here/client.py" "$url"
else
    echo "websockets: skipped, it could not be installed"
fi
kill "$server"
wait "$server" || true
rm "$work/listening"

start_example websocket_echo "${options[@]}"
client node "$work/client.mjs" "ws://$address/echo"

python2="${PYTHON2:-$(command -v python2.7 || true)}"
if ! "$python2" -c '' 2> /dev/null; then
    python2="$(ls -d ~/.pyenv/versions/2.7*/bin/python 2> /dev/null | tail -n 1 || true)"
fi
if [[ -z "$python2" ]]; then
    echo "autobahn: skipped, there is no Python 2.7"
    exit 0
fi
export PYTHONUSERBASE="$target/clients/autobahn"
if ! "$python2" -c 'import autobahntestsuite' 2> /dev/null; then
    "$python2" -m pip install -q --user autobahntestsuite==0.8.2 2> "$work/pip.log" || {
        echo "autobahn: skipped, it could not be installed"
        exit 0
    }
fi
# 12 and 13 are about permessage-deflate, which is not implemented.
cat > "$work/spec.json" << EOF
{"outdir": "$work/reports", "servers": [{"agent": "brigade", "url": "ws://$address/echo"}],
 "cases": ["*"], "exclude-cases": ["12.*", "13.*"], "exclude-agent-cases": {}}
EOF
timeout 600 "$python2" -c 'from autobahntestsuite.wstest import run; run()' \
    -m fuzzingclient -s "$work/spec.json" > "$work/autobahn.log" 2>&1 ||
    { tail "$work/autobahn.log" >&2; exit 1; }
python3 "$here/autobahn.py" "$work/reports/index.json"
