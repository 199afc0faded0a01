require('node:http')
  .createServer((request, response) => {
    response.statusCode = request.url === '/service' ? 200 : 404;
    response.setHeader('Content-Type', 'application/json');
    response.end('{"served":"without its updater"}');
  })
  .listen(8080);
