const http = require("node:http");

http
  .createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ extension: process.env.EXTENSION_KEY }));
  })
  .listen(8080);
