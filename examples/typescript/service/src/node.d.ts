// The little of Node that this service uses: so it needs no package of types.
declare module 'node:http' {
  interface Request {
    method?: string;
    url?: string;
  }
  interface Response {
    statusCode: number;
    setHeader(name: string, value: string): void;
    end(text: string): void;
  }
  interface Server {
    listen(port: number, then: () => void): void;
  }
  export function createServer(handle: (request: Request, response: Response) => void): Server;
}
declare const process: { env: Record<string, string | undefined> };
declare const console: { log(text: string): void };
