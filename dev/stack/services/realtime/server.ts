/**
 * The Realtime server of the embedded stack: channels over WebSocket for the unmodified realtime-js, broadcasts from
 * the database after commit, private channels under the policies of the project, and `postgres_changes`.
 * docs/embedded-stack.md lists what it leaves out.
 */
import { z } from "zod";
import type { StackKeys } from "../../keys/keys.ts";
import type { LogBook } from "../../console/log-book.ts";
import { Sessions } from "../../extensions/sessions.ts";
import type { TokenExchange } from "../../keys/tokens.ts";
import type { Caller } from "../requests/caller.ts";
import { RealtimeAccess } from "./access.ts";
import { DatabaseFeed } from "./database-feed.ts";
import type { WrittenRow } from "./pgoutput.ts";
import type { Channel } from "./channel.ts";
import { type Broadcast, RealtimeSocket } from "./socket.ts";
import { callerOfKey } from "./tokens.ts";

/** The parts of the stack that the server uses. */
export interface RealtimeOptions {
  adminUrl: string;
  keys: StackKeys;
  tokens: TokenExchange;
  logs: LogBook;
}

const NAME = "realtime";
const HOUR_MS = 3_600_000;

const batchSchema = z.object({
  messages: z.array(z.object({
    topic: z.string(),
    event: z.string(),
    payload: z.unknown(),
    private: z.boolean().default(false),
  })),
});

/** The running server. It follows the log of the database from the first client on. */
export class RealtimeServer {
  readonly #options: RealtimeOptions;
  readonly #sessions: Sessions;
  readonly #access: RealtimeAccess;
  readonly #sockets = new Map<WebSocket, RealtimeSocket>();
  #feed: Promise<DatabaseFeed> | undefined;
  #changes: Promise<void> = Promise.resolve();
  #partitionTimer: ReturnType<typeof setInterval> | undefined;
  #isPaused = false;

  constructor(options: RealtimeOptions) {
    this.#options = options;
    this.#sessions = new Sessions(options.adminUrl, NAME, { max: 3 });
    this.#access = new RealtimeAccess(this.#sessions);
  }

  /**
   * Answers `GET /realtime/v1/websocket` with a WebSocket: 401 without a key of the project, 503 while it is paused or the
   * database does not answer.
   */
  async connect(request: Request): Promise<Response> {
    const key = new URL(request.url).searchParams.get("apikey") ??
      request.headers.get("apikey");
    if (key === null || callerOfKey(this.#options.keys, key) === undefined) {
      return Response.json({ error: "The token provided is not a valid JWT" }, {
        status: 401,
      });
    }
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return new Response("Upgrade Required", { status: 426 });
    }
    if (this.#isPaused || !await this.#isFollowing()) {
      return Response.json({ error: "Realtime is restarting" }, {
        status: 503,
      });
    }
    const { socket, response } = Deno.upgradeWebSocket(request);
    const served = new RealtimeSocket(socket, key, {
      ...this.#options,
      access: this.#access,
      publish: (broadcast, except) => this.#publish(broadcast, except),
    });
    this.#sockets.set(socket, served);
    const forget = () => {
      this.#sockets.delete(socket);
      served.dispose();
    };
    socket.onclose = forget;
    socket.onerror = forget;
    return response;
  }

  /**
   * Answers `POST /realtime/v1/api/broadcast` and `…/broadcast/<topic>/events/<event>` with 202. Broadcasts that the
   * policies forbid are dropped silently, as by the hosted server.
   */
  async broadcast(request: Request, caller: Caller): Promise<Response> {
    const url = new URL(request.url);
    const [, topic, event] =
      /^\/realtime\/v1\/api\/broadcast\/([^/]+)\/events\/([^/]+)$/.exec(
        url.pathname,
      ) ?? [];
    const body: unknown = await request.json().catch(() => undefined);
    const parsed = batchSchema.safeParse(
      topic === undefined || event === undefined ? body : {
        messages: [{
          topic: decodeURIComponent(topic),
          event: decodeURIComponent(event),
          payload: body,
          private: url.searchParams.get("private") === "true",
        }],
      },
    );
    if (!parsed.success) {
      return Response.json(
        { errors: z.flattenError(parsed.error).fieldErrors },
        {
          status: 422,
        },
      );
    }
    for (const message of parsed.data.messages) {
      const isAllowed = !message.private ||
        await this.#access.mayWrite(message.topic, caller);
      if (!isAllowed) continue;
      this.#publish({
        topic: message.topic,
        event: message.event,
        isPrivate: message.private,
        payload: JSON.stringify(message.payload ?? {}),
      });
    }
    return new Response(null, { status: 202 });
  }

  /** Closes every connection and refuses new ones until {@link resume}; for tests. */
  pause(): void {
    this.#isPaused = true;
    for (const socket of this.#sockets.keys()) socket.close(1001);
  }

  resume(): void {
    this.#isPaused = false;
  }

  /** Ends every channel with the hosted server's message for an expired token, or for too many messages; for tests. */
  dropChannels(reason: "expired" | "rate_limited"): void {
    const message = reason === "expired"
      ? "Token has expired 0 seconds ago"
      : "Too many messages per second";
    for (const socket of this.#sockets.values()) {
      for (const channel of socket.channels) socket.drop(channel, message);
    }
  }

  /** Closes all connections and stops following the log. */
  async stop(): Promise<void> {
    this.pause();
    clearInterval(this.#partitionTimer);
    await Promise.all([...this.#sockets.values()].map((one) => one.idle()));
    await this.#changes;
    const feed = await this.#feed?.catch(() => undefined);
    await feed?.[Symbol.asyncDispose]();
    await this.#sessions[Symbol.asyncDispose]();
  }

  #publish(broadcast: Broadcast, except?: Channel): void {
    for (const socket of this.#sockets.values()) {
      for (const channel of socket.channels) {
        const isMeant = channel.name === broadcast.topic &&
          channel.options.isPrivate === broadcast.isPrivate &&
          channel !== except;
        if (isMeant) socket.deliver(channel, broadcast);
      }
    }
  }

  /** The first client creates the partitions and starts the feed, as on a hosted project. */
  async #isFollowing(): Promise<boolean> {
    this.#feed ??= this.#follow();
    try {
      await this.#feed;
      return true;
    } catch (error) {
      this.#feed = undefined;
      this.#options.logs.add(NAME, "stderr", `cannot read the log: ${error}`);
      return false;
    }
  }

  async #follow(): Promise<DatabaseFeed> {
    await this.#access.keepPartitions();
    this.#partitionTimer ??= setInterval(() => {
      this.#access.keepPartitions().catch((error) =>
        this.#options.logs.add(NAME, "stderr", `partitions: ${error}`)
      );
    }, HOUR_MS);
    const { adminUrl, logs } = this.#options;
    return await DatabaseFeed.start(adminUrl, logs, (row) => {
      const message = storedBroadcast(row);
      if (message !== undefined) return this.#publish(message);
      if (row.schema === "realtime") return;
      // One at a time, so that checks of policies do not change the order of commits.
      this.#changes = this.#changes.then(() => this.#deliverChange(row)).catch(
        (error) => logs.add(NAME, "stderr", `a change failed: ${error}`),
      );
    });
  }

  async #deliverChange(row: WrittenRow): Promise<void> {
    for (const socket of this.#sockets.values()) {
      for (const channel of socket.channels) {
        await socket.deliverChange(channel, row);
      }
    }
  }
}

/** A row of `realtime.messages` to deliver; undefined for any other. */
function storedBroadcast(row: WrittenRow): Broadcast | undefined {
  const isMessage = row.schema === "realtime" && row.type === "INSERT" &&
    row.table.startsWith("messages_");
  if (!isMessage || row.record === null) return undefined;
  const { id, topic, event, extension, payload, ...rest } = row.record;
  if (extension !== "broadcast" || !id || !topic || !event) return undefined;
  return {
    id,
    topic,
    event,
    isPrivate: rest["private"] === "t",
    payload: payload ?? "{}",
  };
}
