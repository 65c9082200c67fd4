// Node's fetch and http.Agent against the server at $BASE. run.sh describes the output.

import assert from "node:assert/strict";
import diagnostics from "node:diagnostics_channel";
import plainHttp from "node:http";
import https from "node:https";
import { Readable } from "node:stream";
import { check } from "./check.mjs";

const base = process.env.BASE;
const http = base.startsWith("https:") ? https : plainHttp;
const plain = { "content-type": "text/plain" };

/** Sends a request. Resolves to the status, the body, and whether the connection was reused. */
function send(agent, method, path, { headers = {}, parts = [], onContinue } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(`${base}${path}`, { agent, method, headers });
    request.on("error", reject);
    request.on("response", async (response) => {
      try {
        const chunks = await response.toArray();
        const body = Buffer.concat(chunks).toString();
        resolve({ status: response.statusCode, body, reused: request.reusedSocket });
      } catch (error) {
        reject(error);
      }
    });
    const sendBody = () => Readable.from(parts).pipe(request);
    if (onContinue) {
      request.flushHeaders();
      request.on("continue", () => {
        onContinue();
        sendBody();
      });
    } else {
      sendBody();
    }
  });
}

let connected = 0;
diagnostics.subscribe("undici:client:connected", () => (connected += 1));

await check("fetch reuses its connection", async () => {
  for (let turn = 0; turn < 20; turn += 1) {
    const response = await fetch(`${base}/get?turn=${turn}`);
    assert.deepEqual((await response.json()).args, { turn: [String(turn)] });
  }
  assert.ok(connected <= 2, `${connected} connections`);
});

await check("fetch posts JSON", async () => {
  const response = await fetch(`${base}/post`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ a: [1, "é"] }),
  });
  assert.deepEqual((await response.json()).json, { a: [1, "é"] });
});

await check("fetch posts a stream", async () => {
  const body = Readable.toWeb(Readable.from(Array(50).fill(Buffer.alloc(9_999, "x"))));
  const options = { method: "PUT", headers: plain, body, duplex: "half" };
  const response = await fetch(`${base}/put`, options);
  assert.equal((await response.json()).data, "x".repeat(499_950));
});

await check("fetch reads a stream", async () => {
  const response = await fetch(`${base}/jsonl?count=5&duration=100ms`);
  const text = await response.text();
  assert.equal(text.trim().split("\n").map((line) => JSON.parse(line)).length, 5);
});

await check("fetch: HEAD, 204, 404 and 413", async () => {
  const head = await fetch(`${base}/bytes/1000`, { method: "HEAD" });
  assert.equal(head.headers.get("content-length"), "1000");
  assert.equal((await fetch(`${base}/status/204`)).status, 204);
  assert.equal((await fetch(`${base}/nothing`)).status, 404);
  const refused = await fetch(`${base}/post`, { method: "POST", body: Buffer.alloc(1_200_000) });
  assert.equal(refused.status, 413);
});

await check("fetch times out, and sends again", async () => {
  for (let turn = 0; turn < 10; turn += 1) {
    const signal = AbortSignal.timeout(20);
    await assert.rejects(fetch(`${base}/delay/9`, { signal }));
  }
  assert.equal((await fetch(`${base}/get`)).status, 200);
});

await check("100 delays at once", async () => {
  const sent = Array.from({ length: 100 }, (_, n) => fetch(`${base}/delay/0.1?n=${n}`));
  for (const [n, response] of (await Promise.all(sent)).entries()) {
    assert.deepEqual((await response.json()).args, { n: [String(n)] });
  }
});

await check("http.Agent reuses its connection", async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const seen = [];
  for (const path of ["/get", "/stream/3", "/status/404", "/delay/0.01", "/bytes/70000"]) {
    seen.push((await send(agent, "GET", path)).reused);
  }
  const parts = ["abc", "x".repeat(70_000)];
  const posted = await send(agent, "POST", "/post", { headers: plain, parts });
  assert.equal(JSON.parse(posted.body).data, parts.join(""));
  assert.deepEqual([...seen, posted.reused], [false, true, true, true, true, true]);
  agent.destroy();
});

await check("http.request with Expect: 100-continue", async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (const reused of [false, true]) {
    let continued = false;
    const response = await send(agent, "POST", "/post", {
      headers: { ...plain, expect: "100-continue", "content-length": "5" },
      parts: ["hello"],
      onContinue: () => (continued = true),
    });
    assert.equal(JSON.parse(response.body).data, "hello");
    assert.deepEqual([continued, response.reused], [true, reused]);
  }
  agent.destroy();
});

process.exit();
