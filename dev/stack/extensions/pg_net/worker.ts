/**
 * The background worker of pg_net: sends the requests in `net.http_request_queue` after commit and writes
 * `net._http_response`. Like the original (`src/worker.c`), it handles a batch in one transaction, sends its requests
 * at the same time, waits for the slowest before the next batch, and retries nothing.
 */
import { z } from "zod";
import type { LogBook } from "../../console/log-book.ts";
import { Listener, Sessions } from "../sessions.ts";
import { deliver, requestRow } from "./delivery.ts";

/** The application name that net.check_worker_is_up() looks for. */
const NAME = "pg_net worker";
const batchSize = 200;
const timeToLive = "6 hours";
const pollMs = 1000;

const TAKE_BATCH = `delete from net.http_request_queue q
  using (
    select id from net.http_request_queue order by id limit ${batchSize}
  ) batch
  where q.id = batch.id
  returning q.id, q.method, q.url, q.headers, q.body, q.timeout_milliseconds`;

/** The running worker. */
export class NetWorker {
  readonly #sessions: Sessions;
  #listener: Listener | undefined;
  readonly #logs: LogBook;
  readonly #stopping = new AbortController();
  #isPaused = false;
  #isWanted = false;
  #isCleaningDue = true;
  #running: Promise<void> | undefined;
  #poll: ReturnType<typeof setInterval>;

  private constructor(adminUrl: string, logs: LogBook) {
    this.#sessions = new Sessions(adminUrl, NAME);
    this.#logs = logs;
    this.#poll = setInterval(() => {
      this.#isCleaningDue = true;
      this.#wake();
    }, pollMs);
  }

  /** Connects to the database of `adminUrl` and starts the worker. */
  static async start(adminUrl: string, logs: LogBook): Promise<NetWorker> {
    const worker = new NetWorker(adminUrl, logs);
    try {
      worker.#listener = await Listener.start(
        adminUrl,
        NAME,
        "pg_net_wake",
        () => worker.#wake(),
      );
    } catch (error) {
      await worker.stop();
      throw error;
    }
    worker.#wake();
    return worker;
  }

  /** Stops after the current batch. Requests that are queued meanwhile wait. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.#running;
  }

  /** Resumes delivery. */
  resume(): void {
    this.#isPaused = false;
    this.#wake();
  }

  /** Ends the worker. The current batch is rolled back, so the next start sends its requests again. */
  async stop(): Promise<void> {
    this.#isPaused = true;
    clearInterval(this.#poll);
    this.#stopping.abort();
    await this.#running;
    await Promise.all([
      this.#sessions[Symbol.asyncDispose](),
      this.#listener?.[Symbol.asyncDispose](),
    ]);
  }

  #wake(): void {
    this.#isWanted = true;
    if (this.#isPaused || this.#running) return;
    this.#running = this.#work().finally(() => {
      this.#running = undefined;
      if (this.#isWanted && !this.#isPaused) this.#wake();
    });
  }

  async #work(): Promise<void> {
    try {
      while (this.#isWanted && !this.#isPaused) {
        this.#isWanted = false;
        if (await this.#deliverBatch() === batchSize) this.#isWanted = true;
      }
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      this.#logs.add("net", "stderr", `delivery failed: ${error}`);
    }
  }

  /** Removes old responses, once per poll. Returns false when the extension is not installed. */
  async #clean(): Promise<boolean> {
    const { rows: [row] } = await this.#sessions.query(
      "select to_regclass('net.http_request_queue') is not null as installed",
    );
    if (row?.installed !== true) return false;
    await this.#sessions.query(
      `delete from net._http_response where created < now() - interval '${timeToLive}'`,
    );
    this.#isCleaningDue = false;
    return true;
  }

  /** Sends one batch and returns its number of requests. */
  async #deliverBatch(): Promise<number> {
    if (this.#isCleaningDue && !await this.#clean()) return 0;
    return await this.#sessions.transaction(async (session, { rows }) => {
      const requests = z.array(requestRow).parse(rows);
      if (requests.length === 0) return 0;
      const results = await Promise.all(
        requests.sort((a, b) => a.id - b.id).map((request) =>
          deliver(request, this.#stopping.signal)
        ),
      );
      await session.query(
        `insert into net._http_response
          (id, status_code, content_type, headers, content, timed_out, error_msg)
        select r.id, r.status_code, r.content_type, r.headers, r.content, r.timed_out,
          r.error_msg
        from jsonb_to_recordset($1::jsonb) as r (
          id bigint, status_code int, content_type text, headers jsonb, content text,
          timed_out bool, error_msg text
        )`,
        [JSON.stringify(results)],
      );
      return requests.length;
    }, TAKE_BATCH);
  }
}
