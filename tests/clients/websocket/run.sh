#!/usr/bin/env bash
# Runs the npm package `ws` against the example websocket_echo. Needs cargo, node and npm. Installs
# the package into a temporary folder.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/../../.."

for tool in node npm; do
    if ! command -v "$tool" > /dev/null; then
        echo "$tool is missing: apt-get install nodejs npm" >&2
        exit 1
    fi
done

work="$(mktemp -d)"
server=
finish() {
    if [[ -n "$server" ]]; then kill "$server" 2> /dev/null || true; fi
    rm -rf "$work"
}
trap finish EXIT

cargo build --quiet --example websocket_echo
"${CARGO_TARGET_DIR:-target}/debug/examples/websocket_echo" --listen 127.0.0.1:0 \
    > "$work/listening" 2> "$work/log" &
server=$!

cp "$here/client.mjs" "$work/"
(cd "$work" && npm install --silent --no-audit --no-fund --no-save ws@8 > /dev/null)

for _ in {1..100}; do
    if [[ -s "$work/listening" ]]; then break; fi
    sleep 0.1
done
address="$(sed -n 's#^listening on http://\([^ ]*\).*#\1#p' "$work/listening")"
if [[ -z "$address" ]]; then
    echo "the example did not print its address:" >&2
    cat "$work/log" >&2
    exit 1
fi

if ! timeout 60 node "$work/client.mjs" "ws://$address/echo"; then
    cat "$work/log" >&2
    exit 1
fi
