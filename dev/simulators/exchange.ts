/** One request to a simulated provider, and its faults. */
import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Fault } from "./faults.ts";
import type { End, Holds } from "./holds.ts";
import type { RequestEntry, RequestLog } from "./ledger.ts";
import {
  jsonResponse,
  type Provider,
  type ReceivedRequest,
  type SimulatedResponse,
  textResponse,
} from "./provider.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A request to a provider with its response: handles it, or applies a fault. */
export class Exchange {
  readonly #request: ReceivedRequest;
  readonly #response: ServerResponse;
  readonly #provider: Provider;
  readonly #handle: () => Promise<SimulatedResponse>;
  readonly #log: RequestLog;
  readonly #entry: RequestEntry;
  readonly #holds: Holds;
  readonly #generation: number;
  #sent: number | null = null;

  constructor(parts: {
    request: ReceivedRequest;
    response: ServerResponse;
    provider: Provider;
    /** Executes the request at the provider. */
    handle: () => Promise<SimulatedResponse>;
    log: RequestLog;
    entry: RequestEntry;
    holds: Holds;
    generation: number;
  }) {
    this.#request = parts.request;
    this.#response = parts.response;
    this.#provider = parts.provider;
    this.#handle = parts.handle;
    this.#log = parts.log;
    this.#entry = parts.entry;
    this.#holds = parts.holds;
    this.#generation = parts.generation;
    // Logged immediately, even if the request is still processed; later outcomes do not replace it.
    parts.response.once("close", () => this.#finish("client_gone"));
  }

  /** Resolves when the request is answered, closed, or abandoned by its client. */
  async perform(fault: Fault | null): Promise<void> {
    switch (fault?.kind) {
      case undefined:
        return this.#send(await this.#process());
      case "status":
        if (fault.processed === "before") await this.#process();
        return this.#send(statusResponse(fault, this.#provider));
      case "html":
        if (fault.processed === "before") await this.#process();
        return this.#send(textResponse(
          fault.status,
          fault.body ?? htmlPage(fault.status),
          "text/html",
        ));
      case "delay":
        return await this.#sendLate(fault.processed, fault.ms);
      case "hang":
        return await this.#sendLate(fault.processed, null);
      case "delay_body":
        return await this.#sendInParts(
          await this.#process(),
          () => this.#hold(fault.ms, false),
        );
      case "close_in_body":
        return await this.#sendInParts(
          await this.#process(),
          () => Promise.resolve("dropped"),
        );
      case "close_before":
        return this.#close();
      case "close_after":
        await this.#process();
        return this.#close();
      case "truncated_json": {
        const answer = await this.#process();
        return this.#send({ ...answer, body: halves(answer)[0] });
      }
      case "missing_fields":
        return this.#send(
          withoutFields(await this.#process(), fault.fields),
        );
      case "lie": {
        const answer = await this.#process();
        return this.#send(
          this.#provider.lie?.(this.#request, answer, fault.value) ?? answer,
        );
      }
    }
  }

  #process(): Promise<SimulatedResponse> {
    return this.#handle();
  }

  #hold(ms: number | null, ignoresDisconnect: boolean): Promise<End> {
    return this.#holds.wait(this.#response, this.#generation, {
      ms,
      ignoresDisconnect,
    });
  }

  async #sendLate(
    processed: "before" | "after" | "never",
    ms: number | null,
  ): Promise<void> {
    const early = processed === "before" ? await this.#process() : null;
    // Executed even for a client that has disconnected: that is the purpose of the fault.
    const end = await this.#hold(ms, processed === "after");
    if (end === "dropped") return this.#close();
    if (end === "disconnected") return;
    this.#send(early ?? await this.#process());
  }

  #send(answer: SimulatedResponse): void {
    if (this.#response.closed) return;
    this.#sent = answer.status;
    this.#finish("answered");
    writeResponse(this.#response, answer);
  }

  async #sendInParts(
    answer: SimulatedResponse,
    between: () => Promise<End>,
  ): Promise<void> {
    if (this.#response.closed) return;
    const [first, second] = halves(answer);
    this.#response.writeHead(answer.status, {
      ...answer.headers,
      "content-length": String(first.length + second.length),
    });
    this.#sent = answer.status;
    const flushed = Promise.withResolvers<void>();
    this.#response.write(first, () => flushed.resolve());
    await flushed.promise;
    const end = await between();
    if (end === "dropped") return this.#close();
    if (end === "disconnected") return;
    this.#finish("answered");
    this.#response.end(second);
  }

  #close(): void {
    this.#finish("closed");
    this.#response.req.socket.destroy();
  }

  #finish(outcome: Exclude<RequestEntry["outcome"], "pending">): void {
    this.#log.finish(this.#entry, outcome, this.#sent);
  }
}

/** Sends a whole response with its length. */
export function writeResponse(
  response: ServerResponse,
  answer: SimulatedResponse,
): void {
  const body = bytesOf(answer);
  response.writeHead(answer.status, {
    ...answer.headers,
    "content-length": String(body.length),
  });
  response.end(body);
}

function bytesOf({ body }: SimulatedResponse): Bytes {
  return typeof body === "string" ? new TextEncoder().encode(body) : body;
}

function halves(answer: SimulatedResponse): [Bytes, Bytes] {
  const bytes = bytesOf(answer);
  const middle = Math.ceil(bytes.length / 2);
  return [bytes.slice(0, middle), bytes.slice(middle)];
}

function statusResponse(
  { status, error, shape, body, headers = {} }: Extract<
    Fault,
    { kind: "status" }
  >,
  provider: Provider,
): SimulatedResponse {
  const answer = error === undefined
    ? jsonResponse(status ?? 500, { detail: STATUS_CODES[status ?? 500] })
    : provider.errorResponse(error, shape);
  return {
    status: status ?? answer.status,
    headers: {
      ...answer.headers,
      ...Object.fromEntries(
        Object.entries(headers).map(([name, text]) => [
          name.toLowerCase(),
          text,
        ]),
      ),
    },
    body: body === undefined
      ? answer.body
      : typeof body === "string"
      ? body
      : JSON.stringify(body),
  };
}

/** The response without the named members of its JSON body, or of each element if it is an array. */
function withoutFields(
  answer: SimulatedResponse,
  fields: readonly string[] | undefined,
): SimulatedResponse {
  const strip = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(strip)
      : typeof value === "object" && value !== null
      ? Object.fromEntries(
        Object.entries(value).filter(([name]) =>
          fields !== undefined && !fields.includes(name)
        ),
      )
      : value;
  const parsed: unknown = JSON.parse(new TextDecoder().decode(bytesOf(answer)));
  return { ...answer, body: JSON.stringify(strip(parsed)) };
}

function htmlPage(status: number): string {
  const title = `${status} ${STATUS_CODES[status] ?? "Error"}`;
  return `<html>\r\n<head><title>${title}</title></head>\r\n<body>\r\n<center><h1>${title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`;
}
