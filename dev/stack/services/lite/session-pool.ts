/**
 * The sessions on which the embedded REST runs transactions: one postgres.js client each. The library's pool reuses a
 * session after the server has ended it, and every later statement on it hangs.
 */
import type { PostgresJSDialectConfig } from "kysely-postgres-js";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import postgres from "postgres";
import { Pool } from "tarn";
import {
  isSessionEnd,
  LONG_ANSWER_MS,
  SessionLost,
} from "../../extensions/sessions.ts";

type Reserve = Extract<
  PostgresJSDialectConfig["postgres"],
  { reserve: unknown }
>["reserve"];
type ReservedSession = Awaited<ReturnType<Reserve>>;

/** Options of a postgres.js client for what is sent and read. */
export type SessionOptions = Pick<
  postgres.Options<Record<string, postgres.PostgresType>>,
  "connection" | "onnotice" | "types"
>;

/** Time for a request to wait for a free session, and for the server while it restarts. */
const ACQUIRE_TIMEOUT_MS = 30_000;
/** How long the end of a pool waits for the callers that still wait for a session. */
const DRAIN_MS = 2_000;

// While it connects, the library queries the server's array types and does not await the result.
globalThis.addEventListener("unhandledrejection", (event) => {
  if (isSessionEnd(event.reason)) event.preventDefault();
});

type Values = Parameters<postgres.ReservedSql["unsafe"]>[1];

/** Whether a change of the schema has changed the columns of a prepared statement. Postgres has executed nothing of it. */
function isStale(error: unknown): boolean {
  return error instanceof postgres.PostgresError && error.code === "0A000" &&
    error.routine === "RevalidateCachedQuery";
}

/** A client with one session on one socket, reserved for its whole life. */
class SingleSession {
  readonly #sql: postgres.Sql;
  readonly #answerMs: number;
  readonly #ended = Promise.withResolvers<never>();
  #reserved: postgres.ReservedSql | undefined;
  #isConnected = false;
  /** How the newest transaction began, and how many statements the session has run since. */
  #transaction = { opening: "", statements: 0 };
  isEnded = false;

  private constructor(
    url: string,
    options: SessionOptions,
    answerMs: number,
  ) {
    this.#answerMs = answerMs;
    this.#ended.promise.catch(() => {});
    const { hostname, port } = new URL(url);
    const ofOneSocket = {
      ...options,
      max: 1,
      max_lifetime: null,
      onclose: () => this.#end(),
      // An option of the library that its types lack.
      socket: () => this.#connect(hostname, Number(port)),
    };
    this.#sql = postgres(url, ofOneSocket);
  }

  /**
   * Connects once. The library connects again when a socket closes before its session is open, and can lose the first
   * message: the server then waits a minute for it.
   */
  async #connect(host: string, port: number): Promise<Socket> {
    if (this.#isConnected) throw sessionEnded();
    this.#isConnected = true;
    const socket = connect({ host, port });
    await once(socket, "connect");
    socket.once("close", () => this.#end());
    return socket;
  }

  /** Rejects with the error of Postgres when it cannot connect. */
  static async open(
    url: string,
    options: SessionOptions,
    answerMs: number,
  ): Promise<SingleSession> {
    const session = new SingleSession(url, options, answerMs);
    try {
      session.#reserved = await Promise.race([
        session.#sql.reserve(),
        session.#ended.promise,
      ]);
      // After one more query the library knows the server's array types.
      await session.run("select 1");
    } catch (error) {
      await session.close();
      throw error;
    }
    return session;
  }

  #end(): void {
    this.isEnded = true;
    this.#ended.reject(sessionEnded());
  }

  /**
   * Runs a statement, or several without parameters. A statement with parameters is prepared once in this session, so that
   * it is one round trip from then on. Calls may be made before the answer of earlier ones: they run in order, without
   * waiting for the answers.
   *
   * Rejects with the error of Postgres, and when the session ends before the answer or no answer arrives, which ends the
   * session.
   */
  async run(text: string, parameters: Values = []) {
    if (/^begin\b/.test(text)) {
      this.#transaction = { opening: text, statements: 0 };
      return await this.#send(text);
    }
    const { opening, statements } = this.#transaction;
    this.#transaction.statements += 1;
    try {
      return await this.#send(text, parameters);
    } catch (error) {
      // The driver prepares the statement again. Only the first statement of a transaction can be repeated.
      if (!isStale(error) || opening === "" || statements > 0) throw error;
      await this.#send("rollback");
      await this.#send(opening);
      return await this.#send(text, parameters);
    }
  }

  async #send(text: string, parameters: Values = []) {
    if (this.isEnded || this.#reserved === undefined) {
      return await this.#ended.promise;
    }
    const late = setTimeout(() => this.#abandon(), this.#answerMs);
    try {
      return await Promise.race([
        this.#reserved.unsafe(text, parameters, {
          prepare: parameters.length > 0,
        }),
        this.#ended.promise,
      ]);
    } finally {
      clearTimeout(late);
    }
  }

  /** Closes the socket as well, so that the server rolls back and releases the locks. */
  #abandon(): void {
    this.#end();
    this.close().catch(() => {});
  }

  async close(): Promise<void> {
    await this.#sql.end({ timeout: 0 });
  }
}

function sessionEnded(): SessionLost {
  return new SessionLost("the server ended the session");
}

/** What the Kysely dialect of postgres.js needs of a pool. */
export class SessionPool {
  readonly #pool: Pool<SingleSession>;

  /**
   * Opens up to `max` sessions as they are needed.
   *
   * @param answerMs time for the answer to a statement, in milliseconds.
   */
  constructor(
    url: string,
    max: number,
    options: SessionOptions,
    answerMs = LONG_ANSWER_MS,
  ) {
    this.#pool = new Pool({
      create: () => SingleSession.open(url, options, answerMs),
      validate: (session) => !session.isEnded,
      destroy: (session) => session.close(),
      min: 0,
      max,
      acquireTimeoutMillis: ACQUIRE_TIMEOUT_MS,
      idleTimeoutMillis: 10 * 60_000,
    });
  }

  /** Lends a session until its `release`. Rejects with the error of Postgres when none can be opened. */
  async reserve(): Promise<ReservedSession> {
    const session = await this.#pool.acquire().promise;
    return {
      unsafe: (text, parameters) => session.run(text, parameters),
      release: () => void this.#pool.release(session),
    };
  }

  /** Ends all sessions, once the callers that wait for one have had theirs; those in use when they are released. */
  async end(): Promise<void> {
    const deadline = performance.now() + DRAIN_MS;
    while (
      this.#pool.numPendingAcquires() > 0 && performance.now() < deadline
    ) await new Promise((resolve) => setTimeout(resolve, 10));
    await this.#pool.destroy();
  }
}
