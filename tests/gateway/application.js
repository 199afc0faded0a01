// What an application may do, by path.
const http = require("http");
const crypto = require("crypto");

const answers = {
  "/echo": (request, response) => {
    response.setHeader("Content-Type", "application/json");
    const hash = crypto.createHash("sha256");
    let size = 0;
    request.on("data", (data) => { hash.update(data); size += data.length; });
    request.on("end", () => response.end(JSON.stringify({
      method: request.method, url: request.url, headers: request.headers,
      raw: request.rawHeaders, size, digest: hash.digest("hex"), pid: process.pid,
      socket: request.socket.remotePort,
    })));
  },
  // Every piece of the request comes back at once.
  "/mirror": (request, response) => { response.flushHeaders(); request.pipe(response); },
  "/events": (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    let number = 0;
    const timer = setInterval(() => response.write(`data: ${number++}\n\n`), 20);
    request.on("close", () => { clearInterval(timer); answers.closed = true; });
  },
  "/closed": (request, response) => response.end(String(answers.closed || false)),
  "/big": (request, response) => {
    const piece = Buffer.alloc(65536, "x");
    let left = 1600;
    response.setHeader("Content-Length", left * piece.length);
    const more = () => {
      while (left > 0) { left -= 1; if (!response.write(piece)) { response.once("drain", more); return; } }
      response.end();
    };
    more();
  },
  "/none": (request, response) => { response.statusCode = 204; response.end(); },
  "/unchanged": (request, response) => {
    response.writeHead(304, { ETag: '"a"' }); response.end();
  },
  "/sized": (request, response) => { response.setHeader("Content-Length", 5); response.end("hello"); },
  "/hop": (request, response) => {
    response.writeHead(200, { "Keep-Alive": "timeout=9", "Proxy-Connection": "x", "X-Kept": "1",
      "X-Correlation-ID": "theirs", "Set-Cookie": "a=b" });
    response.end("ok");
  },
  "/slow": () => {},
  "/refuse-body": (request, response) => { response.statusCode = 413; response.end("too much"); },
  "/dies": () => process.exit(7),
  "/dies-midway": (request, response) => {
    response.setHeader("Content-Length", 1000);
    response.write("half", () => setTimeout(() => process.exit(7), 20));
  },
  "/dies-in-chunks": (request, response) => {
    response.write("half", () => setTimeout(() => process.exit(7), 20));
  },
  "/nonsense": (request) => request.socket.end("NOT HTTP AT ALL\r\n\r\n"),
  "/no-length": (request) => request.socket.end("HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nuntil the end"),
  "/both": (request) => request.socket.end(
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
  "/switches": (request) => request.socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
  "/hints": (request, response) => {
    response.writeEarlyHints({ link: "</a.css>; rel=preload" });
    response.end("ok");
  },
  "/end-soon": (request, response) => {
    response.on("finish", () => setTimeout(() => request.socket.destroy(), 5));
    response.end("bye");
  },
};

const server = http.createServer((request, response) => {
  const answer = answers[request.url.split("?")[0]];
  if (answer) answer(request, response);
  else { response.statusCode = 404; response.end("no such path"); }
});
server.on("upgrade", (request, socket, head) => {
  const accept = crypto.createHash("sha1")
    .update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
    .digest("base64");
  if (request.url === "/refused") { socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"); return; }
  socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${accept}\r\n\r\nhello`);
  if (head.length) socket.write(head);
  socket.on("data", (data) => socket.write(data));
  socket.on("end", () => socket.end("goodbye"));
});
server.listen(process.env.LISTEN, "127.0.0.1");
