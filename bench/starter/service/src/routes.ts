import { createApiBuilderFromCtpClient } from '@commercetools/platform-sdk';
import { ClientBuilder } from '@commercetools/sdk-client-v2';
import { Router } from 'express';
import validator from 'validator';

const key = process.env.CTP_PROJECT_KEY ?? 'shop';

/** Made as every request makes one; it calls nothing until it is told to. */
function root() {
  const client = new ClientBuilder().withProjectKey(key).withUserAgentMiddleware().build();
  return createApiBuilderFromCtpClient(client).withProjectKey({ projectKey: key });
}

export const router = Router();

router.get('/', (_request, response) => {
  response.json({ project: validator.escape(key), carts: root().carts().get().clientRequest().uri });
});

router.post('/', (request, response) => {
  const action: string | undefined = request.body?.action;
  if (action !== 'Create' && action !== 'Update') {
    response.status(400).json({ errors: [{ code: 'InvalidInput', message: 'Unknown action' }] });
    return;
  }
  response.json({ actions: [] });
});
