// The demo's connector: says hello, and logs who was greeted. Node's own modules are all it needs.
const http = require('node:http');

const greeting = process.env.GREETING ?? 'Hello';

const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  if (pathname !== '/hello') {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end('{"message":"nothing is here; /hello is"}\n');
    return;
  }
  const name = searchParams.get('name') ?? 'world';
  if (greeting === 'ouch') {
    console.log(JSON.stringify({ severity: 'ERROR', message: `cannot greet ${name}` }));
    response.writeHead(500, { 'content-type': 'application/json' });
    response.end('{"message":"ouch"}\n');
    return;
  }
  console.log(JSON.stringify({ severity: 'INFO', message: `greeting ${name}` }));
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify({ message: `${greeting}, ${name}!` })}\n`);
});

server.listen(process.env.PORT ?? 8080, () => console.log('ready to greet'));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
