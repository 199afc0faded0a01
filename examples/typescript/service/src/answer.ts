export interface Answer {
  status: number;
  body: Record<string, string>;
}

export function answerTo(method: string, url: string): Answer {
  const path = url.split('?')[0];
  if (path !== '/service') {
    return { status: 404, body: { error: 'nothing is here' } };
  }
  return { status: 200, body: { language: 'TypeScript', method } };
}
