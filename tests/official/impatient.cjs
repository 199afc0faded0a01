// The official CLI waits 30 or 60 s before it asks again whether something is done. Loaded before
// it, this makes these waits short, and nothing else.
"use strict";

const wait = globalThis.setTimeout;
globalThis.setTimeout = (callback, milliseconds, ...rest) =>
  wait(callback, [30_000, 60_000].includes(milliseconds) ? 250 : milliseconds, ...rest);
