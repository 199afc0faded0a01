// Answers at /api only, and connect.yaml says /service.
require('node:http')
  .createServer((request, response) => {
    response.setHeader('Content-Type', 'application/json');
    response.statusCode = request.url === '/api' ? 200 : 404;
    response.end(JSON.stringify({ path: request.url }));
  })
  .listen(8080);
