/**
 * Makes postgres.js 3.4.9 survive the end of its sessions: a crash of Postgres, a restart, `pg_terminate_backend`. Without
 * it, a statement can be lost, or an exception that nobody can catch ends this process. The rig reads the database through
 * the library while the server crashes. To be imported before the first connection, for its effect.
 *
 * The library defers small writes with setImmediate. A connection that closes in between loses the pending write and
 * never writes again; a write between the end of a socket and the next one (usually a rollback) goes to null, outside of
 * any promise; and after a socket error, a statement that was sent meanwhile is never rejected (issues 1066, 1154 and
 * 1208 of porsager/postgres). So this module defers no write, reports the end of a socket to the library only after its
 * queries have failed, rejects queries on a connection without a socket, and never sends their unsent data before the
 * startup message of the next socket.
 */
import { Socket } from "node:net";

const REPORT_AFTER_MS = 20;

/** A class, so that it differs from every other error. */
class ConnectionGone extends Error {}

/** Codes of Postgres and of the network while a server goes down and comes back. */
const LOST = new Set([
  "57P01",
  "57P02",
  "57P03",
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
]);

/** Whether an error only means that the session ended, or that Postgres is not back yet. */
export function isSessionLost(reason: unknown): boolean {
  return reason instanceof ConnectionGone ||
    reason instanceof Error && "code" in reason &&
      typeof reason.code === "string" && LOST.has(reason.code);
}

// Nobody awaits a connection's internal queries: the server's types, and listening again after a restart.
globalThis.addEventListener("unhandledrejection", (event) => {
  if (isSessionLost(event.reason)) event.preventDefault();
});

const putOff = globalThis.setImmediate;

let hasJustFailed = false;

function setImmediateUnlessWrite(
  work: (...args: unknown[]) => void,
  ...args: unknown[]
): unknown {
  if (work.name !== "nextWrite") return putOff(work, ...args);
  try {
    work();
  } catch (error) {
    // The first failure fails the query; the library then writes once more, outside of any catch.
    if (!hasJustFailed) {
      hasJustFailed = true;
      queueMicrotask(() => hasJustFailed = false);
      throw error;
    }
  }
  // What the library takes for "nothing is put off".
  return null;
}

Object.defineProperty(globalThis, "setImmediate", {
  value: setImmediateUnlessWrite,
  writable: true,
  configurable: true,
});

function isTheirSocket(socket: Socket): boolean {
  return socket.listeners("close").some(({ name }) => name === "closed");
}

const emit: (this: Socket, event: string, ...args: unknown[]) => boolean =
  Socket.prototype.emit;
const reported = new WeakSet<Socket>();

function emitCloseLater(
  this: Socket,
  event: string,
  ...args: unknown[]
): boolean {
  const isTheirs = event === "close" && isTheirSocket(this);
  if (!isTheirs || reported.has(this)) return emit.call(this, event, ...args);
  reported.add(this);
  if (this.listenerCount("error") > 0) {
    emit.call(this, "error", new ConnectionGone("the connection is closed"));
  }
  // As a close without an error: only then the library rejects what was sent in between.
  setTimeout(() => this.emit("close", false), REPORT_AFTER_MS);
  return true;
}

Object.defineProperty(Socket.prototype, "emit", {
  value: emitCloseLater,
  writable: true,
  configurable: true,
});

const { write } = Socket.prototype;
const greeted = new WeakSet<Socket>();
/** Version 3.0 of the protocol, as sent in the first message of a connection. */
const PROTOCOL = 196608;

function writeGreetingFirst(this: Socket, ...args: unknown[]): boolean {
  const [data, ...rest] = args;
  const isFirst = !greeted.has(this) && isTheirSocket(this) &&
    data instanceof Uint8Array;
  if (!isFirst) return Reflect.apply(write, this, args);
  greeted.add(this);
  return Reflect.apply(write, this, [data.subarray(greetingIn(data)), ...rest]);
}

/** Where the first message begins: its length, which reaches to the end, and the version of the protocol. */
function greetingIn(data: Uint8Array): number {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (let at = 0; at + 8 <= data.length; at++) {
    const isGreeting = view.getUint32(at) === data.length - at &&
      view.getUint32(at + 4) === PROTOCOL;
    if (isGreeting) return at;
  }
  return 0;
}

Object.defineProperty(Socket.prototype, "write", {
  value: writeGreetingFirst,
  writable: true,
  configurable: true,
});
