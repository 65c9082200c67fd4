// Node's http2 against the server at $BASE. run.sh describes the output.

import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { check } from "./check.mjs";

const { NGHTTP2_CANCEL } = http2.constants;
const base = process.env.BASE;
const plain = { "content-type": "text/plain" };

/** Calls `run` with a session, and closes it. */
async function within(run) {
  const session = http2.connect(base);
  const failed = new Promise((_, reject) => session.on("error", reject));
  try {
    await Promise.race([run(session), failed]);
  } finally {
    session.close();
  }
}

/** Sends a request. Resolves to the status, the headers and the body of the response. */
function send(session, headers, { parts = [], trailers } = {}) {
  return new Promise((resolve, reject) => {
    const options = { endStream: false, waitForTrailers: trailers !== undefined };
    const stream = session.request(headers, options);
    let head;
    const chunks = [];
    stream.on("response", (received) => (head = received));
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.on("data", (chunk) => chunks.push(chunk));
    stream.on("error", reject);
    // Node may never emit `close` if the stream is reset without an error while it is written.
    stream.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      resolve({ status: head?.[":status"], headers: head, body });
    });
    for (const part of parts) stream.write(part);
    stream.end();
  });
}

await check("different responses in one session", () =>
  within(async (session) => {
    const paths = { "/get": 200, "/stream/3": 200, "/status/404": 404, "/bytes/70000": 200 };
    for (const [path, status] of Object.entries(paths)) {
      assert.equal((await send(session, { ":path": path })).status, status);
    }
    const head = await send(session, { ":method": "HEAD", ":path": "/bytes/1000" });
    assert.deepEqual([head.headers["content-length"], head.body], ["1000", ""]);
  }),
);

await check("POST of 900 kB with trailers", () =>
  within(async (session) => {
    const parts = Array(9).fill("x".repeat(100_000));
    const headers = { ":method": "POST", ":path": "/post", ...plain };
    const response = await send(session, headers, { parts, trailers: { "x-sum": "9" } });
    assert.equal(JSON.parse(response.body).data, parts.join(""));
  }),
);

await check("100 delays at once", () =>
  within(async (session) => {
    const sent = Array.from({ length: 100 }, (_, n) =>
      send(session, { ":path": `/delay/0.1?n=${n}` }),
    );
    for (const [n, response] of (await Promise.all(sent)).entries()) {
      assert.deepEqual(JSON.parse(response.body).args, { n: [String(n)] });
    }
  }),
);

await check("streams that are cancelled", () =>
  within(async (session) => {
    for (let turn = 0; turn < 10; turn += 1) {
      const stream = session.request({ ":path": "/delay/9" });
      stream.resume();
      if (stream.pending) await new Promise((resolve) => stream.on("ready", resolve));
      await new Promise((resolve) => stream.close(NGHTTP2_CANCEL, resolve));
    }
    assert.equal((await send(session, { ":path": "/get" })).status, 200);
  }),
);

await check("413 before the end of the request", () =>
  within(async (session) => {
    const headers = { ":method": "POST", ":path": "/post", ...plain };
    const parts = Array(30).fill("x".repeat(100_000));
    assert.equal((await send(session, headers, { parts })).status, 413);
    assert.equal((await send(session, { ":path": "/get" })).status, 200);
  }),
);

await check("Expect: 100-continue with a body", () =>
  within(async (session) => {
    const headers = { ":method": "POST", ":path": "/post", expect: "100-continue", ...plain };
    const stream = session.request({ ...headers, "content-length": "5" }, { endStream: false });
    await once(stream, "continue");
    stream.end("hello");
    const chunks = await stream.toArray();
    assert.equal(JSON.parse(Buffer.concat(chunks).toString()).data, "hello");
  }),
);

await check("Expect: 100-continue and 413 or 401 before the body", () =>
  within(async (session) => {
    const requests = [["/post", 5_000_000, 413], ["/status/401", 900_000, 401]];
    for (const [path, length, status] of requests) {
      const headers = { ":method": "POST", ":path": path, expect: "100-continue", ...plain };
      const options = { endStream: false };
      const stream = session.request({ ...headers, "content-length": length }, options);
      const [head] = await once(stream, "response");
      assert.equal(head[":status"], status);
      stream.close();
    }
  }),
);

await check("settings and ping", () =>
  within(async (session) => {
    const settings = await new Promise((resolve) => session.on("remoteSettings", resolve));
    assert.ok(settings.maxConcurrentStreams >= 100);
    await new Promise((resolve, reject) =>
      session.ping((error) => (error ? reject(error) : resolve())),
    );
  }),
);

process.exit();
