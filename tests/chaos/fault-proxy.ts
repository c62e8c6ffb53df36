/**
 * A proxy between a worker and the services that it calls. It holds each request at every moment of PHASES, so that a test
 * can inject a fault exactly there. The product only gets another base URL.
 */
import { Agent, createServer, type IncomingMessage, request } from "node:http";
import type { ServerResponse } from "node:http";
import { once } from "node:events";

/** The moments in the life of a request, in order. */
const PHASES = [
  /** Its headers have arrived; nothing is forwarded. */
  "headers",
  /** Half of its body is forwarded. Only for requests with a body. */
  "half sent",
  /** It is forwarded completely; upstream handles it. */
  "sent",
  /** The whole response has arrived; nothing is returned. */
  "answered",
  /** The headers of the response are returned. */
  "answer headers",
  /** Half of the response body is returned. */
  "half answered",
] as const;
export type Phase = (typeof PHASES)[number];

/** A request at a moment. */
export interface Moment {
  /** The name of a SQL function, `storage.download`, `voices.add`, … */
  call: string;
  /** Number of the call among those of the same name through this proxy, from 1. */
  nth: number;
  phase: Phase;
  /** Body of the response, from `answered` on. */
  answer: string | undefined;
}

/** What happens to the request: it continues, or the connections on both sides are closed here. */
export type Verdict = "continue" | "cut";
export const CONTINUE: Verdict = "continue";

/** Called at every moment of every request, which waits for the verdict. */
export type Watch = (moment: Moment) => Verdict | Promise<Verdict>;

/** A running proxy. */
export interface FaultProxy {
  /** `http://127.0.0.1:<port>` */
  url: string;
  /** Calls in order, as `<call> <nth>`. */
  calls: string[];
  close(): Promise<void>;
}

/** The providers' calls, by the names that their simulators use. */
const PROVIDER_CALLS: [method: string, path: RegExp, name: string][] = [
  ["POST", /\/v1\/voices\/add$/, "voices.add"],
  ["GET", /\/v2\/voices$/, "voices.search"],
  ["GET", /\/v1\/voices\/[^/]+$/, "voices.get"],
  ["DELETE", /\/v1\/voices\/[^/]+$/, "voices.delete"],
  ["POST", /\/v1\/text-to-speech\/[^/]+$/, "speech"],
  ["GET", /\/v1\/history$/, "history.list"],
  ["GET", /\/v1\/history\/[^/]+\/audio$/, "history.audio"],
  ["POST", /\/v1\/speech-to-text$/, "transcripts"],
  ["GET", /\/v1\/speech-to-text\/transcripts\/[^/]+$/, "transcripts.get"],
  ["POST", /^\/d-id\/talks$/, "talks.create"],
  ["GET", /^\/d-id\/talks$/, "talks.list"],
  ["GET", /^\/d-id\/talks\/[^/]+$/, "talks.get"],
  ["POST", /^\/d-id\/images$/, "images.create"],
  ["POST", /^\/d-id\/audios$/, "audios.create"],
  ["POST", /\/v3\/videos$/, "videos.create"],
  ["GET", /\/v3\/videos$/, "videos.list"],
  ["GET", /\/v3\/videos\/[^/]+$/, "videos.get"],
  ["POST", /\/v3\/assets$/, "assets.create"],
  ["GET", /\/results\/[^/]+$/, "results.get"],
];

/** The name of a call to the project or to a provider, for points and tables. */
export function nameOf(method: string, path: string): string {
  const rpc = /^\/rest\/v1\/rpc\/([a-z_]+)/.exec(path)?.[1];
  if (rpc !== undefined) return rpc;
  const [place = ""] = path.split("?");
  if (place.startsWith("/storage/")) {
    if (place.startsWith("/storage/v1/object/info/")) return "storage.info";
    return method === "GET" ? "storage.download" : `storage.${method}`;
  }
  const table = /^\/rest\/v1\/([a-z_]+)$/.exec(place)?.[1];
  if (table !== undefined) return `${table}.${method}`;
  const call = PROVIDER_CALLS.find(([of, pattern]) =>
    of === method && pattern.test(place)
  );
  return call?.[2] ?? `${method} ${place}`;
}

/**
 * Starts a proxy to `upstream` on a free loopback port. It sends each request at most once. Upstream completes a request
 * that it received whole, even if the worker has ended.
 *
 * @param options.keepsHost passes the proxy's address as the host, so that URLs in responses lead through the proxy.
 */
export async function startFaultProxy(
  upstream: string,
  watch: Watch,
  options: { keepsHost?: boolean } = {},
): Promise<FaultProxy> {
  const target = new URL(upstream);
  const agent = new Agent({ keepAlive: false });
  const counts = new Map<string, number>();
  const calls: string[] = [];

  async function relay(
    incoming: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const method = incoming.method ?? "GET";
    const path = incoming.url ?? "/";
    const call = nameOf(method, path);
    const nth = (counts.get(call) ?? 0) + 1;
    counts.set(call, nth);
    calls.push(`${call} ${nth}`);
    let answer: string | undefined = undefined;
    const isOver = async (phase: Phase) =>
      await watch({ call, nth, phase, answer }) === "cut";
    const cut = () => {
      incoming.socket.destroy();
    };

    if (await isOver("headers")) return cut();
    const body = await readAll(incoming);
    if (body === null) return cut();

    const outgoing = request({
      agent,
      host: target.hostname,
      port: target.port,
      method,
      path,
      headers: {
        // The body was read completely, so its length is known.
        ...withoutConnection(incoming.headers),
        host: options.keepsHost
          ? incoming.headers.host ?? target.host
          : target.host,
        connection: "close",
        ...(body.length > 0 ? { "content-length": String(body.length) } : {}),
      },
    });
    const answered = once(outgoing, "response");
    answered.catch(() => {});
    if (body.length > 0) {
      const half = Math.ceil(body.length / 2);
      outgoing.write(body.subarray(0, half));
      if (await isOver("half sent")) {
        outgoing.destroy();
        return cut();
      }
      outgoing.end(body.subarray(half));
    } else outgoing.end();
    const isCutNow = await isOver("sent");
    const [upstreamAnswer]: IncomingMessage[] = await answered;
    if (upstreamAnswer === undefined) return cut();
    const bytes = await readAll(upstreamAnswer);
    if (isCutNow || bytes === null) return cut();
    answer = new TextDecoder().decode(bytes);
    if (await isOver("answered")) return cut();

    response.writeHead(upstreamAnswer.statusCode ?? 502, {
      ...withoutConnection(upstreamAnswer.headers),
      "content-length": String(bytes.length),
    });
    response.flushHeaders();
    if (await isOver("answer headers")) return cut();
    if (bytes.length > 1) {
      const half = Math.ceil(bytes.length / 2);
      response.write(bytes.subarray(0, half));
      if (await isOver("half answered")) return cut();
      response.end(bytes.subarray(half));
    } else response.end(bytes);
  }

  const server = createServer((incoming, response) => {
    response.on("error", () => {});
    incoming.on("error", () => {});
    relay(incoming, response).catch(() => incoming.socket.destroy());
  });
  server.keepAliveTimeout = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null
    ? address.port
    : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
}

/** Null when the connection closed before the end. */
async function readAll(
  message: AsyncIterable<Uint8Array>,
): Promise<Uint8Array | null> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  try {
    for await (const part of message) parts.push(new Uint8Array(part));
  } catch {
    return null;
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function withoutConnection(
  headers: IncomingMessage["headers"],
): Record<string, string | string[]> {
  const left: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    if (["connection", "keep-alive", "transfer-encoding"].includes(name)) {
      continue;
    }
    left[name] = value;
  }
  return left;
}
