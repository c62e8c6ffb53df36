import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { type ControlTargets, handleControl } from "./control.ts";
import { DId } from "./d-id.ts";
import { ElevenLabs } from "./elevenlabs.ts";
import { Exchange, writeAnswer } from "./exchange.ts";
import { FaultRules } from "./faults.ts";
import { HeyGen } from "./heygen.ts";
import { Holds } from "./holds.ts";
import { Ledger, RequestLog } from "./ledger.ts";
import { jsonAnswer, type Provider } from "./provider.ts";
import { Upstash } from "./upstash.ts";

/** Running simulators, seen from the process that started them. */
export interface Simulators extends ControlTargets {
  /** `http://127.0.0.1:<port>`; a provider's base URL is this plus `/` and its name, such as `/elevenlabs`. */
  readonly url: string;
  readonly port: number;
  /** Closes every connection and the port, and resolves when nothing is left running. */
  stop(): Promise<void>;
}

/**
 * Starts all simulators on one port of the loopback interface (0 or absent: a free one). Rejects with the system's
 * error when the port is taken.
 */
export async function startSimulators(
  options: { port?: number; hostname?: "127.0.0.1" | "localhost" } = {},
): Promise<Simulators> {
  const parts = assemble();
  const server = createServer((incoming, response) =>
    parts.serve(incoming, response)
  );
  // A server that closes idle connections would add failures that no test asked for.
  server.keepAliveTimeout = 0;
  server.listen(options.port ?? 0, options.hostname ?? "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null
    ? address.port
    : 0;
  return {
    ...parts.targets,
    url: `http://127.0.0.1:${port}`,
    port,
    async stop() {
      const closed = once(server, "close");
      server.close();
      parts.abandon();
      server.closeAllConnections();
      await closed;
      await parts.settled();
      for (const provider of parts.targets.providers) await provider.reset();
    },
  };
}

/** The simulators without a port. */
function assemble() {
  let ahead = 0;
  const clock = { now: () => Date.now() + ahead };
  const ledger = new Ledger();
  const requests = new RequestLog();
  const providers: readonly Provider[] = [
    new ElevenLabs(clock, ledger),
    new DId(clock, ledger),
    new HeyGen(clock, ledger),
    new Upstash(clock),
  ];
  const faults = new FaultRules(providers);
  const holds = new Holds();
  const running = new Set<Promise<void>>();
  const settled = async () => {
    await Promise.allSettled(running);
  };

  const targets: ControlTargets = {
    providers,
    ledger,
    requests,
    faults,
    release: () => holds.release(),
    async reset() {
      faults.clear();
      holds.dropAll();
      // A clone that is being decoded at this moment must not appear in the ledger afterwards.
      await settled();
      ahead = 0;
      ledger.clear();
      requests.clear();
      for (const provider of providers) await provider.reset();
    },
    advanceClock(ms) {
      ahead += ms;
      return clock.now();
    },
  };

  async function toProvider(
    incoming: IncomingMessage,
    response: ServerResponse,
    url: URL,
    body: Uint8Array<ArrayBuffer>,
  ): Promise<void> {
    const era = holds.era;
    const method = incoming.method ?? "GET";
    const path = url.pathname;
    const provider = providers.find(({ name }) =>
      path === `/${name}` || path.startsWith(`/${name}/`)
    );
    if (provider === undefined) {
      const entry = requests.begin({
        provider: null,
        operation: null,
        operations: [],
        method,
        path,
        marker: null,
        fault: null,
      }, clock.now());
      requests.finish(entry, "answered", 404);
      return writeAnswer(
        response,
        jsonAnswer(404, { error: "no such provider" }),
      );
    }
    const request = {
      method,
      path: path.slice(provider.name.length + 1) || "/",
      query: url.searchParams,
      headers: toHeaders(incoming),
      body,
    };
    const description = await provider.describe(request);
    const target = { provider: provider.name, ...description, method, path };
    const fault = faults.take(target);
    const entry = requests.begin({
      ...target,
      operation: description.operations[0] ?? null,
      fault: fault?.kind ?? null,
    }, clock.now());
    await new Exchange({
      request,
      response,
      provider,
      log: requests,
      entry,
      holds,
      era,
    }).perform(fault);
  }

  async function serve(
    incoming: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    try {
      const body = await readBody(incoming);
      if (body === null) return;
      const url = new URL(incoming.url ?? "/", "http://simulators.invalid");
      if (url.pathname.startsWith("/_control/")) {
        const method = incoming.method ?? "GET";
        const answer = await handleControl(method, url, body, targets);
        return writeAnswer(response, answer);
      }
      const exchange = toProvider(incoming, response, url, body);
      running.add(exchange);
      await exchange.finally(() => running.delete(exchange));
    } catch (error) {
      // A defect of the simulator must not pass for a fault of a provider.
      if (response.headersSent) return void incoming.socket.destroy();
      writeAnswer(
        response,
        jsonAnswer(500, {
          error: "simulator defect",
          message: error instanceof Error ? error.stack : String(error),
        }),
      );
    }
  }

  return {
    targets,
    serve,
    settled,
    /** Drops what is held and ends every wait of the control API. */
    abandon() {
      holds.dropAll();
      ledger.abandonWaits();
      requests.abandonWaits();
    },
  };
}

/** Null when the client left before the whole body was there. */
async function readBody(
  incoming: IncomingMessage,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  try {
    for await (const part of incoming) parts.push(part);
  } catch {
    return null;
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function toHeaders({ headers }: IncomingMessage): Headers {
  const copy = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) copy.set(name, [value].flat().join(", "));
  }
  return copy;
}
