#!/usr/bin/env bash
# Chromium against the server at $BASE, which speaks TLS. run.sh describes the output.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
base="https://localhost:${BASE##*:}"

# browse URL: prints the document after its scripts have run. The browser's log is in `net`.
browse() {
    timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --ignore-certificate-errors \
        --user-data-dir="$work/profile" --virtual-time-budget=20000 --log-net-log="$work/net" \
        --dump-dom "$1" > "$work/document" 2> "$work/browser.log"
    cat "$work/document"
}

is_http2() {
    grep -q '"next_proto":"h2"' "$work/net" && ! grep -q '"next_proto":"http/1.1"' "$work/net"
}

page() {
    browse "$base/" | grep -q '<h1>httpbin_delay</h1>' && is_http2
}

requests() {
    cat > "$work/page.html" << EOF
<!DOCTYPE html>
<body>waiting</body>
<script type="module">
const body = "x".repeat(900_000);
const headers = { "content-type": "text/plain" };
const all = Array.from({ length: 60 }, (_, n) => fetch("$base/delay/0.1?n=" + n));
const delays = await Promise.all((await Promise.all(all)).map((one) => one.json()));
const post = await (await fetch("$base/post", { method: "POST", headers, body })).json();
const bytes = await (await fetch("$base/bytes/1000000")).arrayBuffer();
document.body.textContent = [
  delays.filter((one, n) => one.args.n[0] === String(n)).length,
  post.data === body,
  bytes.byteLength,
].join(" ");
</script>
EOF
    browse "file://$work/page.html" | grep -q '60 true 1000000' && is_http2
}

check "a page over HTTP/2" page
check "60 requests at once, an upload and a download" requests
if command -v node > /dev/null; then
    node "$(dirname "${BASH_SOURCE[0]}")/chromium.mjs" "$work/profile-of-node"
else
    echo "skipped the protocols that Chromium reports: node could not be installed"
fi
