// A real one deletes the API Extension here.
const { CONNECT_SERVICE_URL: url, EXTENSION_KEY: key } = process.env;
if (!url) throw new Error("CONNECT_SERVICE_URL is not set");

console.log(`extension ${key} is to call ${url} no more`);
