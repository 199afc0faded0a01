// Listens on 8080 whatever PORT says, as most real connectors do.
const http = require('node:http');

const greeting = process.env.GREETING || 'Hello';

const server = http.createServer((request, response) => {
  console.log(JSON.stringify({ severity: 'INFO', message: `${request.method} ${request.url}` }));
  response.setHeader('Content-Type', 'application/json');
  if (new URL(request.url, 'http://localhost').pathname !== '/service') {
    response.statusCode = 404;
    response.end(JSON.stringify({ error: 'nothing is here' }));
    return;
  }
  const secret = process.env.API_KEY ? 'given' : 'absent';
  response.end(JSON.stringify({ greeting, secret, method: request.method }));
});

server.listen(8080, () => console.log('listening on 8080'));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
