// Hears of what happens in the shop: messages of the platform, in the envelope of Pub/Sub's push.
const http = require('node:http');

const server = http.createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    try {
      const { message } = JSON.parse(Buffer.concat(parts));
      const told = JSON.parse(Buffer.from(message.data, 'base64'));
      const what = told.type ?? told.notificationType;
      console.log(JSON.stringify({ severity: 'INFO', message: `heard of ${what}` }));
      response.writeHead(204).end();
    } catch (error) {
      console.error(`not a message: ${error.message}`);
      response.writeHead(400).end();
    }
  });
});

server.listen(process.env.PORT ?? 8080, () => console.log('ready to listen'));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
