/**
 * Makes postgres.js 3.4.9 survive what a storm does to its connections. The embedded REST layer stands on it, in this
 * process; the hosted one does not.
 *
 * Small writes are put off with setImmediate, and a connection that closes in between forgets that it never wrote and
 * never writes again; what is written between the end of a socket and the next one (a rollback, usually) goes to null,
 * which nobody can catch and ends the process (issues 1066, 1154, 1208 of porsager/postgres). So: here no write is put
 * off, and the library learns of the end of a socket a moment after its queries have failed.
 */
import { Socket } from "node:net";

const TELL_AFTER_MS = 20;

/** So that it can be told from every other error. */
class ConnectionGone extends Error {}

// Of a connection that ends while it learns the types of the server nobody awaits the answer.
globalThis.addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof ConnectionGone) event.preventDefault();
});

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

const emit: (this: Socket, event: string, ...args: unknown[]) => boolean =
  Socket.prototype.emit;
const told = new WeakSet<Socket>();

function emitCloseLater(
  this: Socket,
  event: string,
  ...args: unknown[]
): boolean {
  const isTheirs = event === "close" &&
    this.listeners("close").some(({ name }) => name === "closed");
  if (!isTheirs || told.has(this)) return emit.call(this, event, ...args);
  told.add(this);
  if (this.listenerCount("error") > 0) {
    emit.call(this, "error", new ConnectionGone("the connection is closed"));
  }
  setTimeout(() => this.emit("close", ...args), TELL_AFTER_MS);
  return true;
}

Object.defineProperty(Socket.prototype, "emit", { value: emitCloseLater });
