import * as dotenv from 'dotenv';
dotenv.config();

import { createApplicationLogger } from '@commercetools-backend/loggers';
import bodyParser from 'body-parser';
import express, { Express } from 'express';
import { router } from './routes';

const PORT = Number(process.env.PORT ?? 8080);
const logger = createApplicationLogger({ level: 'info', json: true });
const app: Express = express();

app.disable('x-powered-by');
app.use(bodyParser.json());
app.use(bodyParser.urlencoded({ extended: true }));
app.use('/service', router);
app.use('*', (_request, response) => {
  response.status(404).json({ message: 'Path not found.' });
});

app.listen(PORT, () => logger.info(`service listens on port ${PORT}`));
