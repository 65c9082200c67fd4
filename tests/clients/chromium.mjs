// Chromium's own account of the protocols that it spoke with the server at $BASE, by its DevTools
// protocol. run.sh describes the output. Usage: node chromium.mjs FOLDER, for its profile.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { check } from "./check.mjs";

const base = process.env.BASE.replace("127.0.0.1", "localhost");
const browser = spawn(
  "chromium",
  [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--ignore-certificate-errors", "--remote-debugging-pipe",
    `--user-data-dir=${process.argv[2]}`,
  ],
  { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
);

// Messages in both directions end with a zero byte.
const waiting = new Map();
let received = "";
browser.stdio[4].setEncoding("utf8").on("data", (text) => {
  const messages = (received + text).split("\0");
  received = messages.pop();
  for (const message of messages.map(JSON.parse)) {
    if ("id" in message) waiting.get(message.id)(message);
    else waiting.get(message.method)?.(message);
  }
});

/** Sends a command. Resolves to its result. */
async function command(method, params = {}, sessionId = undefined) {
  const id = waiting.size + 1;
  const answer = new Promise((resolve) => waiting.set(id, resolve));
  browser.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  const { result, error } = await answer;
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}

/** Opens a page. Resolves to its response and to a function that runs a function in it. */
async function open(url) {
  const { targetId } = await command("Target.createTarget", { url: "about:blank" });
  const attached = await command("Target.attachToTarget", { targetId, flatten: true });
  const of = (method, params) => command(method, params, attached.sessionId);
  await of("Page.enable");
  await of("Network.enable");
  const responded = new Promise((resolve) => waiting.set("Network.responseReceived", resolve));
  const loaded = new Promise((resolve) => waiting.set("Page.loadEventFired", resolve));
  const { errorText } = await of("Page.navigate", { url });
  assert.equal(errorText, undefined);
  await loaded;
  const evaluate = async (run) => {
    const parameters = { expression: `(${run})()`, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await of("Runtime.evaluate", parameters);
    assert.equal(exceptionDetails, undefined, exceptionDetails?.exception?.description);
    return result.value;
  };
  return { response: (await responded).params.response, evaluate };
}

await check("the protocol of a page, of requests and of an upload", async () => {
  const { evaluate } = await open(`${base}/`);
  const protocols = await evaluate(async () => {
    const body = "x".repeat(300_000);
    const all = ["/get", "/stream/3", "/bytes/100000"].map((path) => fetch(path));
    all.push(fetch("/post", { method: "POST", body, headers: { "content-type": "text/plain" } }));
    await Promise.all((await Promise.all(all)).map((response) => response.arrayBuffer()));
    const entries = ["navigation", "resource"].flatMap((type) =>
      performance.getEntriesByType(type),
    );
    return entries.filter((one) => !one.name.endsWith(".ico")).map((one) => one.nextHopProtocol);
  });
  assert.deepEqual(protocols, Array(5).fill("h2"));
});

await check("a post-quantum key exchange, on processors that the server has one for", async () => {
  const { response } = await open(`${base}/get`);
  const features = (await readFile("/proc/cpuinfo", "utf8")).split(/\s+/);
  const isFit = ["adx", "avx2"].every((one) => features.includes(one)) || features.includes("pmull");
  const { protocol, keyExchangeGroup } = response.securityDetails;
  assert.deepEqual([protocol, keyExchangeGroup], ["TLS 1.3", isFit ? "X25519MLKEM768" : "X25519"]);
});

browser.kill();
process.exit();
