// A job application: tells in its log that it was called, and how many of its calls are under way;
// answers with the status ANSWER after WAIT milliseconds, having used MEMORY mebibytes.
const http = require("node:http");

let calls = 0;
let number = 0;

http
  .createServer((request, response) => {
    let body = "";
    calls += 1;
    number += 1;
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      const { method, url, headers } = request;
      console.log(JSON.stringify({ message: "called", calls, method, url, headers, body }));
      const said = `run ${number}`;
      Buffer.alloc(Number(process.env.MEMORY ?? 0) * 2 ** 20, 1);
      setTimeout(() => {
        calls -= 1;
        response.writeHead(Number(process.env.ANSWER ?? 200)).end(said);
      }, Number(process.env.WAIT ?? 0));
    });
  })
  .listen(process.env.PORT ?? 8080);
