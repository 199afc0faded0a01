// Listens only after a while, as an application does that loads much at its start.
const http = require('node:http');

const seconds = Number(process.env.START_SECONDS ?? '3');
console.log(`starting, which takes ${seconds} s`);
setTimeout(() => {
  http
    .createServer((request, response) => {
      response.statusCode = request.url === '/service' ? 200 : 404;
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ startedAfter: seconds }));
    })
    .listen(8080, () => console.log('listening on 8080'));
}, seconds * 1000);
