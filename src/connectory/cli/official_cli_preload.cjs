// Makes the unchanged official CLI and SDK of commercetools talk to another server of the same
// interface. The CLI takes the address of Connect from CTP_CLI_CONNECT_API_URL, but fetches its
// tokens from https://auth.{region}.commercetools.com whatever that says. Loaded by
// NODE_OPTIONS=--require, this sends what is meant for that host, and for the
// https://connect.{region}.commercetools.com of SDK users, to CTP_CLI_CONNECT_API_URL. It touches
// nothing else, and nothing at all while that variable is empty.
//
// It hooks the two doors that HTTP clients on Node go through: the global fetch, which the CLI
// and the SDK's client use, and node:https, which node-fetch, axios and others use.
"use strict";

const http = require("node:http");
const https = require("node:https");
const { urlToHttpOptions } = require("node:url");

const SERVER = (process.env.CTP_CLI_CONNECT_API_URL ?? "").replace(/\/+$/, "");
const HOSTED = /^https:\/\/(auth|connect)\.[a-z0-9-]+\.(gcp|aws)\.commercetools\.com$/;

/** The address at our server for one of the hosted platform; null for any other. */
function moved(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null; // whoever is asked for it says what is wrong with it
  }
  return HOSTED.test(url.origin) ? new URL(SERVER + url.pathname + url.search) : null;
}

function redirectFetch() {
  const { fetch } = globalThis;
  if (fetch === undefined) return; // switched off
  globalThis.fetch = async function (input, init) {
    const address = moved(input?.url ?? input); // a Request has its address in `url`
    if (address === null) return fetch.apply(this, arguments);
    return fetch(input.url === undefined ? address : new Request(address, input), init);
  };
}

function redirectHttps() {
  for (const name of ["request", "get"]) {
    const original = https[name];
    https[name] = function (...given) {
      const [options, ...callback] = merged(given);
      const host = options.hostname ?? options.host;
      const port = options.port ?? options.defaultPort ?? https.globalAgent.defaultPort;
      const address = moved(`https://${host}:${port}${options.path ?? "/"}`);
      if (address === null) return original.apply(this, given);

      const isPlain = address.protocol === "http:";
      const door = isPlain ? http[name] : original;
      const ours = {
        ...options,
        ...urlToHttpOptions(address),
        port: address.port, // where it is empty, that of the scheme
        defaultPort: undefined,
        servername: undefined,
        agent: isPlain ? undefined : options.agent, // one for TLS refuses what is plain
      };
      return door(ours, ...callback);
    };
  }
}

/** (url, options?, callback?) or (options, callback?) as options and callback, as Node reads it. */
function merged(given) {
  const rest = [...given];
  const options = {};
  if (typeof rest[0] === "string") Object.assign(options, urlToHttpOptions(new URL(rest.shift())));
  else if (rest[0] instanceof URL) Object.assign(options, urlToHttpOptions(rest.shift()));
  if (typeof rest[0] !== "function") Object.assign(options, rest.shift());
  return [options, ...rest];
}

if (SERVER !== "") {
  redirectFetch();
  redirectHttps();
}
