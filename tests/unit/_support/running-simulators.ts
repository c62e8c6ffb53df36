import { mock } from "node:test";
import { setImmediate } from "node:timers";
import { ElevenLabsClient } from "elevenlabs";
import {
  type Simulators,
  startSimulators,
} from "../../../dev/simulators/server.ts";

/** Simulators on a free port, stopped at the end of the block that holds them with `await using`. */
export async function running(): Promise<Simulators & AsyncDisposable> {
  const simulators = await startSimulators();
  return {
    ...simulators,
    [Symbol.asyncDispose]: () => simulators.stop(),
  };
}

/** The bytes of a file of `tests/fixtures/recordings`. */
export function recording(name: string): Uint8Array<ArrayBuffer> {
  return Deno.readFileSync(
    new URL(`../../fixtures/recordings/${name}`, import.meta.url),
  );
}

/** A recording as the file part of a form. */
export function audioFile(name = "speech-24s.mp3", type = "audio/mpeg"): File {
  return new File([recording(name)], name, { type });
}

/** The unmodified SDK against the simulator. */
export function elevenLabs(
  { url }: Simulators,
  apiKey = "sk_test_key_1234",
): ElevenLabsClient {
  return new ElevenLabsClient({ apiKey, baseUrl: `${url}/elevenlabs` });
}

/** The options that the product passes with every call of the SDK. */
export const ONE_TRY = { maxRetries: 0, timeoutInSeconds: 60 };

/** Clones a voice for a job through the SDK, as the product does. */
export function clone(
  simulators: Simulators,
  job: string,
  options: {
    files?: File[];
    abortSignal?: AbortSignal;
    timeoutInSeconds?: number;
  } = {},
): Promise<unknown> {
  const { files = [audioFile()], ...request } = options;
  return elevenLabs(simulators).voices.add({
    name: "Grandma",
    description: `job:${job}`,
    labels: JSON.stringify({ language: "en", job_id: job }),
    files,
  }, { ...ONE_TRY, ...request });
}

/** The error that a promise rejects with; throws when it resolves. */
export async function failureOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error("the promise was fulfilled");
}

/** Sends a JSON body to the control API over HTTP and returns status and parsed answer. */
export async function control(
  { url }: Simulators,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${url}/_control${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

/**
 * Timeouts that fire only on `pass`, until the end of the block that holds them with `using`. Needed wherever the
 * SDK's request is aborted: it then leaves its own timeout running, which would outlive the test.
 */
export function heldTimeouts(): Disposable & { pass(ms: number): void } {
  mock.timers.enable({ apis: ["setTimeout"] });
  return {
    pass: (ms) => mock.timers.tick(ms),
    [Symbol.dispose]: () => mock.timers.reset(),
  };
}

/** One turn of the event loop, which runs everything that is ready. `heldTimeouts` does not hold it. */
export function turn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setImmediate(resolve);
  return promise;
}

/** Waits, turn by turn, until the condition holds; fails with `what` after ten seconds. */
export async function until(
  holds: () => boolean,
  what: string,
): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!holds()) {
    if (performance.now() > deadline) {
      throw new Error(`never happened: ${what}`);
    }
    await turn();
  }
}
