/// <reference path="../../types/pg.d.ts" />
/**
 * Database sessions of the background workers, on node-postgres. When the server ends a session, crashes or restarts, or
 * an answer does not arrive, the current statement fails and the next one opens a new session. No statement hangs,
 * because that would stop deliveries and schedules permanently.
 */
import {
  type Answer,
  Client,
  type ClientConfig,
  DatabaseError,
  Pool,
} from "pg";

export { DatabaseError };

/** What a statement returned. */
export interface StatementResult {
  rows: Record<string, unknown>[];
  /** Rows that the last statement affected. */
  count: number;
}

/** One session, for as long as the caller uses it. */
export interface Session {
  /** Runs a statement, or several without parameters. Throws `DatabaseError` or `SessionLost`. */
  query(text: string, values?: unknown[]): Promise<StatementResult>;
}

/** The session ended before the answer, or none could be opened; `cause` is what the driver reported. */
export class SessionLost extends Error {
  override readonly name = "SessionLost";
}

/** Time to open a session, or to wait for a free one. */
const CONNECT_MS = 30_000;
/** Time for an answer. */
const ANSWER_MS = 30_000;
/** Time for an answer to a statement of a user, which the server ends after 120 s. */
export const LONG_ANSWER_MS = 130_000;

/** How many sessions a pool opens, and how long it waits, in milliseconds. */
export interface SessionsOptions {
  /** @default 1 */
  max?: number;
  /** To open a session, or for a free one. @default 30000 */
  connectMs?: number;
  /** For the answer to a statement. @default 30000 */
  answerMs?: number;
}

/** A pool of sessions under one `application_name`. Sessions are opened as needed and replaced when they end. */
export class Sessions implements AsyncDisposable {
  readonly #pool: Pool;

  constructor(
    url: string,
    applicationName: string,
    {
      max = 1,
      connectMs = CONNECT_MS,
      answerMs = ANSWER_MS,
    }: SessionsOptions = {},
  ) {
    this.#pool = new Pool({
      connectionString: url,
      application_name: applicationName,
      max,
      connectionTimeoutMillis: connectMs,
      query_timeout: answerMs,
      // Kept open: a session costs more than most statements.
      idleTimeoutMillis: 0,
    });
    // The end of a session is an error event of its client, and of the pool while it is idle. It needs no handling: the
    // current statement fails, or the next one opens another session.
    this.#pool.on("error", () => {});
    this.#pool.on("connect", (client) => client.on("error", () => {}));
  }

  /** Runs one statement. Throws `DatabaseError` when Postgres refuses it, `SessionLost` when it did not answer. */
  async query(text: string, values?: unknown[]): Promise<StatementResult> {
    return await this.use((session) => session.query(text, values));
  }

  /** Lends one session. It is closed, not reused, when `work` throws. */
  async use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const client = await orLost(this.#pool.connect());
    let failed = true;
    try {
      const result = await work({
        query: async (text, values) =>
          resultOf(await orLost(client.query(text, values))),
      });
      failed = false;
      return result;
    } finally {
      client.release(failed);
    }
  }

  /**
   * Runs `work` in a transaction: committed when it resolves; rolled back, with its session closed, when it throws.
   *
   * @param first a statement without parameters that is sent together with `begin`; `work` gets its result.
   */
  async transaction<T>(
    work: (session: Session, first: StatementResult) => Promise<T>,
    first = "",
  ): Promise<T> {
    return await this.use(async (session) => {
      const begun = await session.query(`begin; ${first}`);
      const result = await work(session, begun);
      await session.query("commit");
      return result;
    });
  }

  /** Closes every session once it is idle. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end();
  }
}

/**
 * Whether the code of an error says that a session ended, or that the server accepts none now: SQLSTATE class 57P, and
 * codes of the network and of postgres.js. node-postgres reports some ends without a code.
 */
export function isSessionEnd(error: unknown): boolean {
  return error instanceof Error && "code" in error &&
    /^(57P|CONNECTION_|CONNECT_TIMEOUT|ECONN|EPIPE)/.test(String(error.code));
}

/** Passes on what Postgres refused. Every other error of the driver means that the session is lost. */
async function orLost<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const isRefused = error instanceof DatabaseError && !isSessionEnd(error);
    if (isRefused || !(error instanceof Error)) throw error;
    throw new SessionLost(error.message, { cause: error });
  }
}

function resultOf(result: Answer): StatementResult {
  const last = Array.isArray(result) ? result.at(-1) : result;
  return { rows: last?.rows ?? [], count: last?.rowCount ?? 0 };
}

/** How often a listener whose session has ended tries to listen again. */
const RECONNECT_MS = 500;

/** Listens on one channel, and again after its session has ended. */
export class Listener implements AsyncDisposable {
  readonly #config: ClientConfig;
  readonly #channel: string;
  readonly #onNotification: () => void;
  readonly #timer: ReturnType<typeof setInterval>;
  #client: Client | undefined;
  #connecting: Promise<void> | undefined;

  private constructor(
    config: ClientConfig,
    channel: string,
    onNotification: () => void,
  ) {
    this.#config = config;
    this.#channel = channel;
    this.#onNotification = onNotification;
    this.#timer = setInterval(() => this.#reconnect(), RECONNECT_MS);
  }

  /**
   * Resolves once it listens. `onNotification` is also called each time it listens again, for what it may have missed.
   *
   * @param channel trusted: it is written into the statement.
   * @throws the error of Postgres, or of the connection, when it cannot listen now.
   */
  static async start(
    url: string,
    applicationName: string,
    channel: string,
    onNotification: () => void,
  ): Promise<Listener> {
    const listener = new Listener(
      {
        connectionString: url,
        application_name: applicationName,
        connectionTimeoutMillis: CONNECT_MS,
        query_timeout: ANSWER_MS,
      },
      channel,
      onNotification,
    );
    try {
      await listener.#listen();
    } catch (error) {
      await listener[Symbol.asyncDispose]();
      throw error;
    }
    return listener;
  }

  #reconnect(): void {
    if (this.#client !== undefined || this.#connecting !== undefined) return;
    this.#connecting = this.#listen()
      .then(() => this.#onNotification(), () => {})
      .finally(() => this.#connecting = undefined);
  }

  async #listen(): Promise<void> {
    const client = new Client(this.#config);
    const forget = () => {
      if (this.#client === client) this.#client = undefined;
    };
    client.on("error", forget);
    client.on("end", forget);
    client.on("notification", () => this.#onNotification());
    await client.connect();
    this.#client = client;
    try {
      await client.query(`listen ${this.#channel}`);
    } catch (error) {
      forget();
      await client.end();
      throw error;
    }
  }

  /** Ends the session. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#connecting;
    await this.#client?.end();
  }
}
