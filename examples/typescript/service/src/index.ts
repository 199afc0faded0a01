import { createServer } from 'node:http';
import { answerTo } from './answer';

const port = Number(process.env.PORT ?? '8080');

createServer((request, response) => {
  const answer = answerTo(request.method ?? 'GET', request.url ?? '/');
  response.statusCode = answer.status;
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(answer.body));
}).listen(port, () => console.log(`listening on ${port}`));
