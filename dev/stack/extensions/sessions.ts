/// <reference path="../../types/pg.d.ts" />
/**
 * Database sessions of the background workers, on node-postgres. Its promise: when the server ends a session, crashes or
 * restarts, the statement under way fails and the next one opens a new session. A statement that never comes back would stop
 * deliveries and schedules for good.
 */
import { type Answer, Client, Pool } from "pg";

/** What a statement returned. */
export interface StatementResult {
  rows: Record<string, unknown>[];
  /** Rows that the last statement affected. */
  count: number;
}

/** One session, for as long as the caller uses it. */
export interface Session {
  /** Runs a statement, or several without parameters. Throws the error of Postgres, or of the connection. */
  query(text: string, values?: unknown[]): Promise<StatementResult>;
}

/** A pool of sessions under one `application_name`. Sessions are opened as needed and replaced when they end. */
export class Sessions implements AsyncDisposable {
  readonly #pool: Pool;

  constructor(url: string, applicationName: string, max = 1) {
    this.#pool = new Pool({
      connectionString: url,
      application_name: applicationName,
      max,
      // Kept open: a session costs more than most statements.
      idleTimeoutMillis: 0,
    });
    // The end of a session is an error event of its client, and of the pool while it is idle. The statement under way
    // reports it, or the next one opens another session.
    this.#pool.on("error", () => {});
    this.#pool.on("connect", (client) => client.on("error", () => {}));
  }

  /** Runs one statement. Throws the error of Postgres, or of the connection. */
  async query(text: string, values?: unknown[]): Promise<StatementResult> {
    return await this.use((session) => session.query(text, values));
  }

  /** Lends one session. It is closed, not reused, when `work` throws. */
  async use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    let failed = true;
    try {
      const result = await work({
        query: async (text, values) =>
          resultOf(await client.query(text, values)),
      });
      failed = false;
      return result;
    } finally {
      client.release(failed);
    }
  }

  /** Runs `work` in a transaction: committed when it resolves; rolled back, with its session closed, when it throws. */
  async transaction<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return await this.use(async (session) => {
      await session.query("begin");
      const result = await work(session);
      await session.query("commit");
      return result;
    });
  }

  /** Closes every session once it is idle. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end();
  }
}

function resultOf(result: Answer): StatementResult {
  const last = Array.isArray(result) ? result.at(-1) : result;
  return { rows: last?.rows ?? [], count: last?.rowCount ?? 0 };
}

/** Listens on one channel, and again after the session has ended. */
export class Listener implements AsyncDisposable {
  readonly #open: () => Client;
  readonly #channel: string;
  readonly #onNotification: () => void;
  #client: Client | undefined;
  #connecting: Promise<void> | undefined;

  /** `channel` is trusted: it is written into the statement. */
  constructor(
    url: string,
    applicationName: string,
    channel: string,
    onNotification: () => void,
  ) {
    this.#open = () =>
      new Client({
        connectionString: url,
        application_name: applicationName,
      });
    this.#channel = channel;
    this.#onNotification = onNotification;
  }

  /**
   * Resolves once the session listens; does nothing if it does already. Called at every poll, it listens again after a
   * restart of the server, and what was notified in between is found by the poll itself.
   *
   * @throws the error of the connection.
   */
  async ensure(): Promise<void> {
    if (this.#client !== undefined) return;
    this.#connecting ??= this.#connect().finally(() =>
      this.#connecting = undefined
    );
    await this.#connecting;
  }

  async #connect(): Promise<void> {
    const client = this.#open();
    const forget = () => {
      if (this.#client === client) this.#client = undefined;
    };
    client.on("error", forget);
    client.on("end", forget);
    client.on("notification", () => this.#onNotification());
    await client.connect();
    try {
      await client.query(`listen ${this.#channel}`);
      this.#client = client;
    } catch (error) {
      await client.end();
      throw error;
    }
  }

  /** Ends the session. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connecting?.catch(() => {});
    await this.#client?.end();
  }
}
