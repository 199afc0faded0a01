'use strict';
// Loaded by Node before a program that shares this machine's network with others: whatever would
// listen on port 8080 listens on the loopback port that CONNECTORY_LISTEN_PORT names.
const net = require('node:net');

const FROM = 8080;
const HOST = '127.0.0.1';
const to = Number(process.env.CONNECTORY_LISTEN_PORT);
const listen = net.Server.prototype.listen;

const isFrom = (port) =>
  (typeof port === 'number' || (typeof port === 'string' && port.trim() !== '')) &&
  Number(port) === FROM;

// listen(port[, host][, backlog][, callback]) and listen(options[, callback]); paths, handles and
// descriptors are left alone. Workers of a cluster come by here too, each in its own process.
const moved = (args) => {
  const [first, second, ...others] = args;
  if (first !== null && typeof first === 'object') {
    if (!isFrom(first.port) || first.path !== undefined) return args;
    const options = { ...first, port: to, host: HOST };
    delete options.ipv6Only;
    return [options, ...args.slice(1)];
  }
  if (!isFrom(first)) return args;
  if (typeof second === 'string' || second === undefined || second === null) {
    return [to, HOST, ...others];
  }
  return [to, HOST, second, ...others];
};

if (to > 0) {
  net.Server.prototype.listen = function (...args) {
    return listen.apply(this, moved(args));
  };
}
