const http = require('node:http');
const { greet } = require('greetings');

http
  .createServer((request, response) => {
    response.setHeader('Content-Type', 'application/json');
    response.statusCode = request.url === '/job' ? 200 : 404;
    response.end(JSON.stringify({ greeting: greet('job') }));
  })
  .listen(8080);
