const http = require("node:http");

http
  .createServer((request, response) => {
    request.resume();
    request.on("end", () => response.writeHead(204).end());
  })
  .listen(8080);
