#!/usr/bin/env bash
# Runs the npm package `ws` against the example websocket_echo. Needs cargo, node and npm. Installs
# the package into a temporary folder.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/../../.."

source tests/clients/example.sh
need "nodejs npm" node npm
start_example websocket_echo --listen 127.0.0.1:0
cp "$here/client.mjs" "$work/"
(cd "$work" && npm install --silent --no-audit --no-fund --no-save ws@8 > /dev/null)

if ! timeout 60 node "$work/client.mjs" "ws://$address/echo"; then
    cat "$work/log" >&2
    exit 1
fi
