const http = require('node:http');
const isNumber = require('is-number');

http
  .createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    response.setHeader('Content-Type', 'application/json');
    if (url.pathname !== '/service') {
      response.statusCode = 404;
      response.end('{}');
      return;
    }
    const text = url.searchParams.get('text') ?? '';
    response.end(JSON.stringify({ text, isNumber: isNumber(text) }));
  })
  .listen(process.env.PORT ?? 8080);
