/** Committed changes of the database, read from its write-ahead log by logical replication. */
import postgres from "postgres";
import type { LogBook } from "../../console/log-book.ts";
import { PgOutputReader, toPostgresTime, type WrittenRow } from "./pgoutput.ts";

const PUBLICATIONS = "supabase_realtime_messages_publication,supabase_realtime";

const X_LOG_DATA = 0x77; // "w"
const KEEPALIVE = 0x6b; // "k"
const STATUS_UPDATE = 0x72; // "r"
/** Kind, start and end in the log, and the time of sending. */
const DATA_HEADER_BYTES = 25;

const INITIAL_RETRY_MS = 100;
const MAX_RETRY_MS = 2000;

/**
 * Follows the log from now on and calls back for each committed row, in the order of commits. The slot is temporary:
 * commits while the connection is lost are missed, as with the hosted server. A lost connection is reopened until the
 * feed is disposed.
 */
export class DatabaseFeed implements AsyncDisposable {
  readonly #adminUrl: string;
  readonly #logs: LogBook;
  readonly #onRow: (row: WrittenRow) => void;
  #connection: postgres.Sql | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #retryMs = INITIAL_RETRY_MS;
  #isOver = false;

  private constructor(
    adminUrl: string,
    logs: LogBook,
    onRow: (row: WrittenRow) => void,
  ) {
    this.#adminUrl = adminUrl;
    this.#logs = logs;
    this.#onRow = onRow;
  }

  /** Resolves once it follows commits. Rejects when the database cannot be reached now. */
  static async start(
    adminUrl: string,
    logs: LogBook,
    onRow: (row: WrittenRow) => void,
  ): Promise<DatabaseFeed> {
    const feed = new DatabaseFeed(adminUrl, logs, onRow);
    await feed.#connect();
    return feed;
  }

  async #connect(): Promise<void> {
    const sql = postgres(this.#adminUrl, {
      max: 1,
      fetch_types: false,
      idle_timeout: 0,
      max_lifetime: null,
      connection: { application_name: "realtime", replication: "database" },
      onnotice: () => {},
    });
    this.#connection = sql;
    try {
      const slot = `stack_realtime_${crypto.randomUUID().slice(0, 8)}`;
      await sql.unsafe(
        `CREATE_REPLICATION_SLOT ${slot} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT`,
      );
      const stream = await sql.unsafe(
        `START_REPLICATION SLOT ${slot} LOGICAL 0/0 (proto_version '1', publication_names '${PUBLICATIONS}')`,
      ).writable();
      const reader = new PgOutputReader();
      stream.on("data", (frame: Uint8Array) => {
        if (frame[0] === KEEPALIVE) {
          stream.write(statusUpdate(frame.subarray(1, 9)));
        }
        if (frame[0] !== X_LOG_DATA) return;
        const row = reader.read(frame.subarray(DATA_HEADER_BYTES));
        if (row !== undefined) this.#onRow(row);
      });
      const lost = () => this.#reconnect(sql);
      stream.on("close", lost);
      stream.on("error", lost);
      this.#retryMs = INITIAL_RETRY_MS;
    } catch (error) {
      this.#connection = undefined;
      await sql.end({ timeout: 0 }).catch(() => {});
      throw error;
    }
  }

  /** `close` and `error` may both fire; only those of the current connection count. */
  #reconnect(lost: postgres.Sql): void {
    if (this.#isOver || this.#connection !== lost) return;
    this.#connection = undefined;
    lost.end({ timeout: 0 }).catch(() => {});
    this.#logs.add("realtime", "stderr", "the connection to the log is lost");
    this.#scheduleRetry();
  }

  #scheduleRetry(): void {
    this.#retry = setTimeout(() => {
      this.#connect().catch(() => {
        this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
        if (!this.#isOver) this.#scheduleRetry();
      });
    }, this.#retryMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    clearTimeout(this.#retry);
    await this.#connection?.end({ timeout: 0 }).catch(() => {});
  }
}

/** Confirms a position. The server closes a connection that confirms nothing for a minute. */
function statusUpdate(position: Uint8Array): Uint8Array {
  const update = new Uint8Array(34);
  update[0] = STATUS_UPDATE;
  for (const at of [1, 9, 17]) update.set(position, at);
  new DataView(update.buffer).setBigInt64(25, toPostgresTime(Date.now()));
  return update;
}
