// The npm package `ws` as a client of the example websocket_echo.
// Usage: node client.mjs ws://HOST:PORT/echo, or wss://, with NODE_EXTRA_CA_CERTS
import assert from "node:assert/strict";
import { once } from "node:events";
import WebSocket from "ws";

const url = process.argv[2];

async function open(options) {
  const socket = new WebSocket(url, options);
  await once(socket, "open");
  return socket;
}

async function echoed(socket, data, options) {
  socket.send(data, options);
  const [message, isBinary] = await once(socket, "message");
  return isBinary ? message : message.toString();
}

async function messages() {
  const socket = await open();
  for (const text of ["hello", "", "grüße", "x".repeat(125), "y".repeat(65_536)]) {
    assert.equal(await echoed(socket, text), text);
  }
  for (const length of [0, 1, 126, 65_535, 1_000_000]) {
    const bytes = Buffer.alloc(length, length % 251);
    assert.deepEqual(await echoed(socket, bytes), bytes);
  }
  await end(socket);
}

async function fragments() {
  const socket = await open();
  socket.send("one, ", { fin: false });
  socket.send("two, ", { fin: false });
  assert.equal(await echoed(socket, "three"), "one, two, three");
  await end(socket);
}

async function pings() {
  const socket = await open();
  socket.ping("there?");
  const [data] = await once(socket, "pong");
  assert.equal(data.toString(), "there?");
  await end(socket);
}

async function refusedHandshakes() {
  const socket = new WebSocket(new URL("/none", url));
  const [, response] = await once(socket, "unexpected-response");
  assert.equal(response.statusCode, 404);
  response.destroy();
  const withoutUpgrade = await fetch(url.replace(/^ws/, "http"));
  assert.equal(withoutUpgrade.status, 426);
}

async function many() {
  const sockets = await Promise.all(Array.from({ length: 50 }, () => open()));
  const texts = await Promise.all(sockets.map((socket, n) => echoed(socket, `message ${n}`)));
  texts.forEach((text, n) => assert.equal(text, `message ${n}`));
  await Promise.all(sockets.map(end));
}

async function end(socket) {
  socket.close(1000, "enough");
  const [code, reason] = await once(socket, "close");
  assert.deepEqual([code, reason.toString()], [1000, "enough"]);
}

const scheme = new URL(url).protocol.slice(0, -1);
for (const part of [messages, fragments, pings, refusedHandshakes, many]) {
  await part();
  console.log(`${scheme}: ${part.name} ok`);
}
