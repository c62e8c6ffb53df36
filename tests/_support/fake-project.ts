/**
 * The functions and the timeline as a client sees them, in memory, to test what a component does with each response.
 */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { type AiJobs, createAiJobs, type Job } from "../../client/mod.ts";

interface Row {
  job: Job & { result_data: unknown };
  events: Record<string, unknown>[];
}

/** A token of a user, as far as a client reads it. */
export function tokenOf(user: string): string {
  const part = (value: object) =>
    btoa(JSON.stringify(value)).replaceAll("=", "");
  return [
    part({ alg: "none" }),
    part({ sub: user, exp: 9_999_999_999 }),
    "x",
  ].join(".");
}

/** A project with one user and no network. */
export class FakeProject {
  /** Path and query of every request, in order. */
  readonly requests: string[] = [];
  /** Idempotency keys of the requests to create, in order. */
  readonly keys: string[] = [];
  /** Answers instead of the project, unless it returns undefined. */
  intercept: (
    path: string,
  ) => Response | Promise<Response> | undefined = () => undefined;
  readonly jobs: AiJobs;
  readonly #supabase: SupabaseClient;
  #token = tokenOf("ann");
  readonly #rows = new Map<string, Row>();
  #now: number;

  /** `aheadMs` is how far the clock of the project is ahead of this machine's. */
  constructor({ pollMs = 5, aheadMs = 0 } = {}) {
    this.#now = Date.now() + aheadMs;
    this.#supabase = createClient("http://project.test", "sb_publishable_x", {
      accessToken: () => Promise.resolve(this.#token),
      global: { fetch: (input, init) => this.#fetch(input, init) },
    });
    this.jobs = createAiJobs(this.#supabase, { live: false, pollMs });
  }

  /** Changes the token, as a refresh of the session does. A failed refresh leaves the API key. */
  async refresh(token: string): Promise<void> {
    this.#token = token;
    // A new client sets its first token a moment later.
    await new Promise((resolve) => setTimeout(resolve));
    await this.#supabase.realtime.setAuth();
  }

  /** Requests whose path contains the text. */
  count(text: string): number {
    return this.requests.filter((path) => path.includes(text)).length;
  }

  /** A request as a client sends it. */
  send(path: string): Promise<Response> {
    return this.#fetch(`http://project.test${path}`);
  }

  /** Adds a new job of the user. */
  add(id: string = crypto.randomUUID()): string {
    const at = this.#tick();
    this.#rows.set(id, {
      job: {
        id,
        job_type: "voice_clone",
        status: "pending",
        progress_percentage: 0,
        stage: null,
        input_url: "uploads/a",
        metadata: {},
        result: null,
        result_data: null,
        output_url: null,
        output_path: null,
        output_url_expires_at: null,
        error_code: null,
        error_message: null,
        provider: "elevenlabs",
        attempt: 0,
        max_attempts: 3,
        billable_calls: 0,
        spend: "none",
        cost_micros: 0,
        cost_currency: "USD",
        jobs_ahead: null,
        cancel_requested_at: null,
        cached_from_job_id: null,
        depends_on_job_id: null,
        scheduled_at: at,
        created_at: at,
        started_at: null,
        completed_at: null,
        updated_at: at,
      },
      events: [],
    });
    this.#record(id, "created", {});
    return id;
  }

  /** Changes a row without an event. */
  set(id: string, change: Partial<Row["job"]>): void {
    Object.assign(this.#row(id).job, change);
  }

  /** Writes what a processor writes: the row, and an event with the new state. */
  write(id: string, event: string, change: Partial<Row["job"]>): void {
    const row = this.#row(id);
    Object.assign(row.job, change, { updated_at: this.#tick() });
    const { status, progress_percentage: progress, stage, error_code } =
      row.job;
    this.#record(id, event, {
      status,
      progress,
      ...(stage === null ? {} : { stage }),
      ...(error_code === null ? {} : { error_code }),
    });
  }

  /** Writes the outcome of a job's only paid call, which has cost nothing. */
  settle(id: string, outcome: string): void {
    this.write(id, "settled", { status: "processing", spend: "none" });
    const { data } = this.#row(id).events.at(-1) ?? {};
    Object.assign(data ?? {}, { outcome });
  }

  /** Ends a job with a voice. */
  complete(id: string): void {
    this.write(id, "completed", {
      status: "completed",
      progress_percentage: 100,
      stage: null,
      result_data: { voice_id: "v1", voice_name: "Grandma" },
    });
  }

  #row(id: string): Row {
    const row = this.#rows.get(id);
    if (row === undefined) throw new Error(`no job ${id}`);
    return row;
  }

  #tick(): string {
    this.#now += 1;
    return new Date(this.#now).toISOString();
  }

  #record(id: string, event: string, data: Record<string, unknown>): void {
    const { events } = this.#row(id);
    events.push({
      job_id: id,
      seq: events.length + 1,
      event,
      attempt: 0,
      data,
      created_at: this.#tick(),
    });
  }

  async #fetch(
    input: RequestInfo | URL,
    init: RequestInit = {},
  ): Promise<Response> {
    const url = new URL(input instanceof Request ? input.url : input);
    const path = url.pathname + url.search;
    init.signal?.throwIfAborted();
    this.requests.push(path);
    // A response never arrives in the same turn of the event loop as its request.
    await Promise.resolve();
    const answer = this.intercept(path) ?? this.#answer(url, init);
    const { signal } = init;
    if (!signal) return await answer;
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", abort);
    try {
      return await Promise.race([answer, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  #answer(url: URL, init: RequestInit): Response {
    const body = typeof init.body === "string" ? JSON.parse(init.body) : {};
    switch (url.pathname.split("/").at(-1)) {
      case "get-ai-job": {
        const row = this.#rows.get(url.searchParams.get("id") ?? "");
        return row === undefined ? missing() : Response.json(row.job);
      }
      case "create-ai-job": {
        this.keys.push(new Headers(init.headers).get("idempotency-key") ?? "");
        const id = this.add();
        return Response.json({ job_id: id, status: "pending", cached: false }, {
          status: 202,
        });
      }
      case "cancel-ai-job":
        this.write(body.job_id, "cancelled", { status: "cancelled" });
        return Response.json({ status: "cancelled", spend: "none" });
      case "retry-ai-job":
        this.write(body.job_id, "retry_requested", {
          status: "pending",
          error_code: null,
        });
        return Response.json({ status: "pending", spend: "none" });
      case "list-ai-jobs":
        return this.#list(url.searchParams);
      case "ai_job_events":
        return Response.json(this.#events(url.searchParams));
      case "ai_jobs":
        return Response.json(this.#changes(url.searchParams));
    }
    return missing();
  }

  #list(query: URLSearchParams): Response {
    const status = query.get("status");
    const from = Number(query.get("cursor") ?? 0);
    const limit = Number(query.get("limit"));
    const all = [...this.#rows.values()].map(({ job }) => job).reverse()
      .filter((job) => status === null || job.status === status);
    const next = from + limit < all.length ? String(from + limit) : null;
    return Response.json({
      jobs: all.slice(from, from + limit),
      next_cursor: next,
    });
  }

  #events(query: URLSearchParams): unknown[] {
    const id = query.get("job_id")?.replace("eq.", "") ?? "";
    const after = Number(query.get("seq")?.replace("gt.", "") ?? 0);
    return (this.#rows.get(id)?.events ?? []).filter((event) =>
      Number(event["seq"]) > after &&
      String(event["created_at"]) >= sinceOf(query, "created_at")
    ).slice(0, Number(query.get("limit") ?? 1000));
  }

  /** Newest first, in the order that the client requests. */
  #changes(query: URLSearchParams): unknown[] {
    const from = Number(query.get("offset"));
    return [...this.#rows.values()]
      .map(({ job: { id, updated_at }, events }) => ({
        id,
        updated_at,
        event_seq: events.length,
      }))
      .filter(({ updated_at }) => updated_at >= sinceOf(query, "updated_at"))
      .sort((a, b) => a.updated_at < b.updated_at ? 1 : -1)
      .slice(from, from + Number(query.get("limit")));
  }
}

function sinceOf(query: URLSearchParams, column: string): string {
  return query.get(column)?.replace("gte.", "") ?? "";
}

function missing(): Response {
  return Response.json({
    code: "not_found",
    detail: "There is no such job.",
    request_id: "r1",
  }, { status: 404 });
}
