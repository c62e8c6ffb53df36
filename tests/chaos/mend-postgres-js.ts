/**
 * Makes postgres.js 3.4.9 survive what a storm does to its connections. It puts small writes off with setImmediate; when
 * the backend goes in between, it writes to a socket that is gone, which nobody can catch, and a connection that forgot
 * such a write never writes again (issues 1066, 1154, 1208 of porsager/postgres). The embedded REST layer stands on it,
 * in this process; the hosted one does not. Here such writes are not put off.
 */
const putOff = globalThis.setImmediate;

function setImmediateUnlessWrite(
  work: (...args: unknown[]) => void,
  ...args: unknown[]
): unknown {
  if (work.name !== "nextWrite") return putOff(work, ...args);
  work();
  // What the library takes for "nothing is put off".
  return null;
}

Object.defineProperty(globalThis, "setImmediate", {
  value: setImmediateUnlessWrite,
});
