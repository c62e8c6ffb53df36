/** The HTTP server of all simulators. */
import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { z } from "zod";
import { type ControlTargets, handleControl } from "./control.ts";
import { DId } from "./d-id/d-id.ts";
import { ElevenLabs } from "./elevenlabs/elevenlabs.ts";
import { Exchange, writeResponse } from "./exchange.ts";
import { FaultRules } from "./faults.ts";
import { HeyGen } from "./heygen/heygen.ts";
import { Holds } from "./holds.ts";
import { Ledger, RequestLog } from "./ledger.ts";
import { type Clock, jsonResponse, type Provider } from "./provider.ts";
import { State } from "./state.ts";
import { Upstash } from "./upstash/upstash.ts";

/** Running simulators, for the process that started them. */
export interface Simulators extends ControlTargets {
  /** `http://127.0.0.1:<port>`; a provider's base URL is this plus `/` and its name, such as `/elevenlabs`. */
  readonly url: string;
  readonly port: number;
  /** Closes every connection and the port, and resolves when nothing is left running. */
  stop(): Promise<void>;
}

/**
 * Starts all simulators on a loopback port (0 or absent: a free one). Rejects with the system's error when the port is
 * in use.
 *
 * @param options.state file for the state that an app may refer to; without it the state is lost when they stop. The
 *   effects of a request are in the file before the response is sent.
 * @throws {StateError} when that file cannot be used.
 */
export async function startSimulators(
  options: {
    port?: number;
    hostname?: "127.0.0.1" | "localhost";
    state?: string;
  } = {},
): Promise<Simulators> {
  const state = new State(options.state);
  try {
    return await listen(assemble(state), options);
  } catch (error) {
    state.close();
    throw error;
  }
}

async function listen(
  parts: ReturnType<typeof assemble>,
  options: { port?: number; hostname?: "127.0.0.1" | "localhost" },
): Promise<Simulators> {
  const server = createServer((incoming, response) =>
    parts.serve(incoming, response)
  );
  // A server that closes idle connections would add failures that no test injected.
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
      for (const provider of parts.targets.providers) await provider.stop();
      parts.state.close();
    },
  };
}

/** The simulators without a port. */
function assemble(state: State) {
  const clockState = state.records("clock", z.int().min(0));
  const ahead = () => clockState.get("ahead_ms") ?? 0;
  const clockListeners: (() => void)[] = [];
  const clock: Clock = {
    now: () => Date.now() + ahead(),
    onAdvance: (listener) => void clockListeners.push(listener),
  };
  const ledger = new Ledger(state);
  const requests = new RequestLog();
  const providers: readonly Provider[] = [
    new ElevenLabs(clock, ledger, state),
    new DId(clock, ledger, state),
    new HeyGen(clock, ledger, state),
    new Upstash(clock, state),
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
      // A clone that is just being decoded must not be added to the ledger afterwards.
      await settled();
      clockState.clear();
      ledger.clear();
      requests.clear();
      for (const provider of providers) await provider.reset();
      state.clearBlobs();
      state.commit();
    },
    advanceClock(ms) {
      clockState.set("ahead_ms", ahead() + ms);
      state.commit();
      for (const listener of clockListeners) listener();
      return clock.now();
    },
  };

  async function toProvider(
    incoming: IncomingMessage,
    response: ServerResponse,
    url: URL,
    body: Uint8Array<ArrayBuffer>,
  ): Promise<void> {
    const generation = holds.generation;
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
      return writeResponse(
        response,
        jsonResponse(404, { error: "no such provider" }),
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
      async handle() {
        const answer = await provider.handle(request);
        state.commit();
        return answer;
      },
      log: requests,
      entry,
      holds,
      generation,
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
        state.commit();
        return writeResponse(response, answer);
      }
      const exchange = toProvider(incoming, response, url, body);
      running.add(exchange);
      await exchange.finally(() => running.delete(exchange));
    } catch (error) {
      // A defect of the simulator must not look like a provider's error.
      if (response.headersSent) return void incoming.socket.destroy();
      writeResponse(
        response,
        jsonResponse(500, {
          error: "simulator defect",
          message: error instanceof Error ? error.stack : String(error),
        }),
      );
    }
  }

  return {
    state,
    targets,
    serve,
    settled,
    /** Drops held requests and ends every wait of the control API. */
    abandon() {
      holds.dropAll();
      ledger.abandonWaits();
      requests.abandonWaits();
    },
  };
}

/** Null when the client disconnected before the end of the body. */
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
