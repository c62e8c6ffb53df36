/** One WebSocket of a Realtime client: its channels, and its messages, one at a time. */
import { z } from "zod";
import type { LogBook } from "../../console/log-book.ts";
import type { StackKeys } from "../../keys/keys.ts";
import type { TokenExchange } from "../../keys/tokens.ts";
import type { RealtimeAccess } from "./access.ts";
import {
  changeRequestSchema,
  matches,
  readFilter,
  visibleData,
} from "./changes.ts";
import { Channel } from "./channel.ts";
import type { WrittenRow } from "./pgoutput.ts";
import {
  broadcastFrame,
  type ClientMessage,
  clientMessageSchema,
  readClientBroadcast,
} from "./frames.ts";
import {
  callerOfKey,
  callerOfToken,
  expiredText,
  type KnownCaller,
  type TokenRefusal,
} from "./tokens.ts";

/** A broadcast for the channels of a topic. */
export interface Broadcast {
  topic: string;
  event: string;
  isPrivate: boolean;
  /** JSON text. */
  payload: string;
  /** Id of the row in `realtime.messages`; only broadcasts from the database have one. */
  id?: string;
}

/** The parts of the server that a socket uses. */
export interface SocketDeps {
  keys: Pick<StackKeys, "publishableKey" | "secretKey">;
  tokens: TokenExchange;
  access: RealtimeAccess;
  logs: LogBook;
  /** Delivers to every channel of the topic but `except`. */
  publish(broadcast: Broadcast, except?: Channel): void;
}

/** Clients sometimes send booleans as text. */
const flag = z.union([z.boolean(), z.enum(["true", "false"])])
  .transform((value) => value === true || value === "true");

const joinSchema = z.object({
  config: z.object({
    private: flag.default(false),
    broadcast: z.object({
      ack: flag.default(false),
      self: flag.default(false),
      replay: z.object({ since: z.number(), limit: z.number().default(25) })
        .optional(),
    }).prefault({}),
    presence: z.object({ enabled: flag.default(false) }).prefault({}),
    postgres_changes: z.array(changeRequestSchema).default([]),
  }).prefault({}),
  access_token: z.string().nullish(),
});

const tokenSchema = z.object({ access_token: z.string().nullish() });
const broadcastSchema = z.object({ event: z.string() }).loose();

/** Limit of the messages in memory that a client has not read yet. */
const MAX_UNREAD_BYTES = 4_194_304;

/** The connection of one client. */
export class RealtimeSocket {
  readonly #socket: WebSocket;
  readonly #key: string;
  readonly #deps: SocketDeps;
  readonly #channels = new Map<string, Channel>();
  /** A leave must not overtake its join. */
  #turn: Promise<void> = Promise.resolve();

  constructor(socket: WebSocket, key: string, deps: SocketDeps) {
    this.#socket = socket;
    this.#key = key;
    this.#deps = deps;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      this.#turn = this.#turn.then(() => this.#receive(data)).catch((error) =>
        deps.logs.add("realtime", "stderr", `a message failed: ${error}`)
      );
    };
  }

  /** The joined channels. */
  get channels(): readonly Channel[] {
    return [...this.#channels.values()];
  }

  /** Resolves when all received messages are handled. */
  idle(): Promise<void> {
    return this.#turn;
  }

  /** Removes the channels; the socket is closed or closing. */
  dispose(): void {
    for (const channel of this.#channels.values()) channel.leave();
    this.#channels.clear();
  }

  /** Sends a broadcast to a channel of this socket, unless it was replayed to it. */
  deliver(channel: Channel, { event, payload, id }: Broadcast): void {
    if (id !== undefined && channel.replayed.has(id)) return;
    const { topic } = channel.options;
    this.#sendRaw(broadcastFrame({ topic, event, payload, id }));
  }

  /** Sends a row's change to a channel if it matches a subscription and the caller may see it. */
  async deliverChange(channel: Channel, change: WrittenRow): Promise<void> {
    const ids = channel.changes.filter((one) => matches(one, change))
      .map(({ id }) => id);
    if (ids.length === 0) return;
    const data = await visibleData(this.#deps.access, change, channel.caller);
    if (data === undefined || !this.#channels.has(channel.options.topic)) {
      return;
    }
    this.#send(null, null, channel.options.topic, "postgres_changes", {
      ids,
      data,
    });
  }

  /** Ends a channel with a reason after which the client does not rejoin by itself. */
  drop(channel: Channel, message: string): void {
    const { joinRef, topic } = channel.options;
    channel.leave();
    this.#channels.delete(topic);
    this.#send(joinRef, null, topic, "system", {
      extension: "system",
      status: "error",
      message,
      channel: channel.name,
    });
    this.#send(joinRef, joinRef, topic, "phx_close", {});
  }

  async #receive(data: unknown): Promise<void> {
    if (data instanceof ArrayBuffer) {
      return await this.#receiveBroadcast(new Uint8Array(data));
    }
    const message = clientMessageSchema.safeParse(tryJson(data));
    // An invalid message is dropped, and the connection stays open.
    if (!message.success) return;
    switch (message.data.event) {
      case "heartbeat":
        return this.#reply(message.data, "ok", {});
      case "phx_join":
        return await this.#join(message.data);
      case "phx_leave":
        return this.#leave(message.data);
      case "access_token":
        return await this.#renew(message.data);
      case "broadcast":
        return await this.#receiveText(message.data);
    }
  }

  async #join(message: ClientMessage): Promise<void> {
    const { joinRef, topic } = message;
    const refuse = (code: string, text: string) =>
      this.#reply(message, "error", { reason: `${code}: ${text}` });
    const parsed = joinSchema.safeParse(message.payload);
    if (!parsed.success) {
      return refuse(
        "InvalidJoin",
        "The configuration of the channel is not valid",
      );
    }
    const { config, access_token } = parsed.data;
    const caller = await this.#callerOf(access_token);
    if (!("role" in caller)) return refuse(caller.code, caller.text);

    const channel = new Channel({
      topic,
      joinRef,
      isPrivate: config.private,
      self: config.broadcast.self,
      ack: config.broadcast.ack,
      changes: config.postgres_changes,
    }, caller);
    const { access } = this.#deps;
    if (config.private && !await access.mayRead(channel.name, caller)) {
      return refuse(
        "Unauthorized",
        `You do not have permissions to read from this Channel topic: ${channel.name}`,
      );
    }
    const { replay } = config.broadcast;
    if (replay !== undefined && !config.private) {
      return refuse(
        "UnableToReplayMessages",
        "Replay is only available for private channels",
      );
    }
    this.#channels.get(topic)?.leave();
    this.#channels.set(topic, channel);
    channel.onExpiry((expired) =>
      this.drop(expired, expiredText(expired.caller.expiresAt))
    );
    const stored = replay === undefined
      ? []
      : await access.storedMessages(channel.name, replay.since, replay.limit);
    for (const { id } of stored) channel.replayed.add(id);
    this.#reply(message, "ok", {
      postgres_changes: channel.changes.map(({ id, request }) => ({
        ...request,
        id,
      })),
    });
    if (config.presence.enabled) {
      this.#send(joinRef, null, topic, "presence_state", {});
    }
    for (const { id, event, payload } of stored) {
      this.#send(joinRef, null, topic, "broadcast", {
        type: "broadcast",
        event,
        payload,
        meta: { replayed: true, id },
      });
    }
    if (channel.changes.length > 0) this.#confirmChanges(channel);
  }

  #confirmChanges(channel: Channel): void {
    const { joinRef, topic } = channel.options;
    const unknown = channel.changes.find(({ request: { filter } }) =>
      filter !== undefined && readFilter(filter) === undefined
    );
    this.#send(joinRef, null, topic, "system", {
      extension: "postgres_changes",
      channel: channel.name,
      ...(unknown === undefined
        ? { status: "ok", message: "Subscribed to PostgreSQL" }
        : {
          status: "error",
          message:
            `The embedded stack supports only filters of the form column=eq.value, not ${unknown.request.filter}`,
        }),
    });
  }

  #leave(message: ClientMessage): void {
    const channel = this.#channels.get(message.topic);
    channel?.leave();
    this.#channels.delete(message.topic);
    this.#reply(message, "ok", {});
    if (channel === undefined) return;
    this.#send(
      channel.options.joinRef,
      message.ref,
      message.topic,
      "phx_close",
      {},
    );
  }

  async #renew({ topic, payload }: ClientMessage): Promise<void> {
    const channel = this.#channels.get(topic);
    const token = tokenSchema.safeParse(payload).data?.access_token;
    const isNothingNew = channel === undefined || typeof token !== "string" ||
      token.startsWith("sb_") || token === channel.caller.token;
    if (isNothingNew) return;
    const caller = await this.#callerOf(token);
    if (!("role" in caller)) return this.drop(channel, caller.text);
    channel.renew(caller);
    const mayStay = !channel.options.isPrivate ||
      await this.#deps.access.mayRead(channel.name, caller);
    if (!mayStay) {
      return this.drop(
        channel,
        `You no longer have permission to read from this Channel topic: ${channel.name}`,
      );
    }
    channel.onExpiry((expired) =>
      this.drop(expired, expiredText(expired.caller.expiresAt))
    );
  }

  async #receiveBroadcast(frame: Uint8Array): Promise<void> {
    const sent = readClientBroadcast(frame);
    const channel = sent && this.#channels.get(sent.topic);
    if (sent === undefined || channel === undefined) return;
    if (!await this.#publish(channel, sent.event, sent.payload)) return;
    if (channel.options.ack) this.#reply(sent, "ok", {});
  }

  async #receiveText(message: ClientMessage): Promise<void> {
    const channel = this.#channels.get(message.topic);
    const sent = broadcastSchema.safeParse(message.payload);
    if (channel === undefined || !sent.success) return;
    const payload = JSON.stringify(sent.data["payload"] ?? {});
    if (!await this.#publish(channel, sent.data.event, payload)) return;
    if (channel.options.ack) this.#reply(message, "ok", {});
  }

  /** False when the policies forbid the caller to send. Then there is no reply, as with the hosted server. */
  async #publish(
    channel: Channel,
    event: string,
    payload: string,
  ): Promise<boolean> {
    const { isPrivate, self } = channel.options;
    if (isPrivate) {
      channel.mayWrite ??= await this.#deps.access.mayWrite(
        channel.name,
        channel.caller,
      );
      if (!channel.mayWrite) return false;
    }
    this.#deps.publish(
      { topic: channel.name, event, isPrivate, payload },
      self ? undefined : channel,
    );
    return true;
  }

  async #callerOf(
    token: string | null | undefined,
  ): Promise<KnownCaller | TokenRefusal> {
    if (typeof token === "string" && !token.startsWith("sb_")) {
      return await callerOfToken(this.#deps.tokens, token);
    }
    return callerOfKey(this.#deps.keys, this.#key) ??
      { code: "MalformedJWT", text: "The token provided is not a valid JWT" };
  }

  #reply(
    { joinRef, ref, topic }: Pick<ClientMessage, "joinRef" | "ref" | "topic">,
    status: "ok" | "error",
    response: Record<string, unknown>,
  ): void {
    this.#send(joinRef, ref, topic, "phx_reply", { status, response });
  }

  #send(...message: unknown[]): void {
    this.#sendRaw(JSON.stringify(message));
  }

  #sendRaw(data: string | Uint8Array<ArrayBuffer>): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    if (this.#socket.bufferedAmount > MAX_UNREAD_BYTES) {
      this.#deps.logs.add(
        "realtime",
        "stderr",
        "a client that does not read its messages was disconnected",
      );
      this.dispose();
      this.#socket.close(1013, "messages are not read");
      return;
    }
    this.#socket.send(data);
  }
}

function tryJson(data: unknown): unknown {
  try {
    return typeof data === "string" ? JSON.parse(data) : undefined;
  } catch {
    return undefined;
  }
}
