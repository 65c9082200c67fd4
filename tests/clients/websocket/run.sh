#!/usr/bin/env bash
# Runs the npm package `ws` and the Autobahn test suite against the example websocket_echo. Needs
# cargo, node and npm, whose package is installed into a temporary folder. The suite needs Python
# 2.7: the variable PYTHON2, a command of that name, or a version that pyenv has. It is skipped
# without one. Its packages are kept in target/clients.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/../../.."

source tests/clients/example.sh
need "nodejs npm" node npm
start_example websocket_echo --listen 127.0.0.1:0 --max-message-size $((16 * 1024 * 1024))
cp "$here/client.mjs" "$work/"
(cd "$work" && npm install --silent --no-audit --no-fund --no-save ws@8 > /dev/null)

if ! timeout 60 node "$work/client.mjs" "ws://$address/echo"; then
    cat "$work/log" >&2
    exit 1
fi

python2="${PYTHON2:-$(command -v python2.7 || true)}"
if ! "$python2" -c '' 2> /dev/null; then
    python2="$(ls -d ~/.pyenv/versions/2.7*/bin/python 2> /dev/null | tail -n 1 || true)"
fi
if [[ -z "$python2" ]]; then
    echo "autobahn: skipped, there is no Python 2.7"
    exit 0
fi
target="$(realpath "${CARGO_TARGET_DIR:-target}")"
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
