// Node.js and its package `ws`: a WebSocket that sends back what it receives.
const http = require("node:http");
const { WebSocketServer } = require("ws");

const listen = process.argv[process.argv.indexOf("--listen") + 1];
const [host, port] = listen.split(":");

const server = http.createServer((_request, response) => {
  const body = "Hello, World!";
  response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": body.length });
  response.end(body);
});
const sockets = new WebSocketServer({ server, path: "/ws", perMessageDeflate: false });
sockets.on("connection", (socket) => {
  socket.on("message", (message, isBinary) => socket.send(message, { binary: isBinary }));
});
server.listen({ host, port: Number(port), backlog: 4096 }, () => {
  console.log(`listening on http://${listen} (libuv)`);
});
