/** The control API of the simulators: settings, faults, the clock, and what was received and created. */
import { z } from "zod";
import {
  issueWords,
  wrongParts,
} from "../../supabase/functions/_shared/contracts/issue-words.ts";
import type { FaultRules } from "./faults.ts";
import {
  countEntries,
  type EntryFilter,
  type Ledger,
  type RequestLog,
} from "./ledger.ts";
import {
  jsonResponse,
  type Provider,
  type SimulatedResponse,
} from "./provider.ts";

/** The parts that the control API controls. */
export interface ControlTargets {
  readonly providers: readonly Provider[];
  readonly ledger: Ledger;
  readonly requests: RequestLog;
  readonly faults: FaultRules;
  /** Releases every hanging request; returns how many. */
  release(): number;
  /** Restores the initial state; resolves once no earlier request is still being processed. */
  reset(): Promise<void>;
  /** Advances the simulators' clock and returns the new time. */
  advanceClock(ms: number): number;
}

const listQuerySchema = z.strictObject({
  provider: z.string().optional(),
  operation: z.string().optional(),
  marker: z.guid().toLowerCase().optional(),
  at_least: z.coerce.number().int().min(0).default(0),
  within_ms: z.coerce.number().int().min(0).max(60_000).default(10_000),
});

const clockSchema = z.strictObject({ advance_ms: z.int().min(0) });

/** An error for a body that is not JSON, which no schema can report. */
class NotJsonError extends Error {}

/**
 * Handles `/_control/*`; docs/simulators.md lists the routes. Invalid input gets 400 `{error: "invalid_request",
 * issues: [{field, message}]}` and changes nothing.
 */
export async function handleControl(
  method: string,
  url: URL,
  body: Uint8Array<ArrayBuffer>,
  targets: ControlTargets,
): Promise<SimulatedResponse> {
  try {
    return await route(method, url, body, targets);
  } catch (error) {
    if (error instanceof z.ZodError) {
      return jsonResponse(400, {
        error: "invalid_request",
        issues: wrongParts(error).map(({ path, message }) => ({
          field: path.join("."),
          message,
        })),
      });
    }
    if (error instanceof NotJsonError) {
      return jsonResponse(400, {
        error: "invalid_request",
        issues: [{ field: "", message: "the body is not JSON" }],
      });
    }
    throw error;
  }
}

async function route(
  method: string,
  url: URL,
  body: Uint8Array<ArrayBuffer>,
  targets: ControlTargets,
): Promise<SimulatedResponse> {
  const { providers, ledger, requests, faults } = targets;
  const json = () => parseBody(body);
  switch (`${method} ${url.pathname.slice("/_control".length)}`) {
    case "GET /health":
      return jsonResponse(200, {
        ok: true,
        providers: providers.map(({ name }) => name),
      });
    case "GET /ledger": {
      const { filter, reached } = await awaited(url, ledger);
      const entries = ledger.list(filter);
      return jsonResponse(200, {
        entries,
        counts: countEntries(entries),
        reached,
      });
    }
    case "GET /requests": {
      const { filter, reached } = await awaited(url, requests);
      return jsonResponse(200, { entries: requests.list(filter), reached });
    }
    case "GET /faults":
      return jsonResponse(200, { rules: faults.list() });
    case "POST /faults":
      return jsonResponse(201, { rules: faults.add(json()) });
    case "DELETE /faults":
      faults.clear();
      return jsonResponse(200, { rules: [] });
    case "GET /settings":
      return jsonResponse(200, allSettings(providers));
    case "POST /settings":
      changeSettings(json(), providers);
      return jsonResponse(200, allSettings(providers));
    case "POST /clock": {
      const now = targets.advanceClock(
        clockSchema.parse(json(), { error: issueWords }).advance_ms,
      );
      return jsonResponse(200, { now: new Date(now).toISOString() });
    }
    case "POST /release":
      return jsonResponse(200, { released: targets.release() });
    case "POST /reset":
      await targets.reset();
      return jsonResponse(200, { ok: true });
    default:
      return jsonResponse(404, { error: "no such control route" });
  }
}

async function awaited(
  url: URL,
  list: Ledger | RequestLog,
): Promise<{ filter: EntryFilter; reached: boolean }> {
  const { at_least, within_ms, ...filter } = listQuerySchema.parse(
    Object.fromEntries(url.searchParams),
    { error: issueWords },
  );
  return { filter, reached: await list.waitFor(filter, at_least, within_ms) };
}

function allSettings(providers: readonly Provider[]): Record<string, unknown> {
  return Object.fromEntries(
    providers.map((provider) => [provider.name, provider.settings()]),
  );
}

function changeSettings(given: unknown, providers: readonly Provider[]): void {
  const changes = z.partialRecord(
    z.enum(providers.map(({ name }) => name)),
    z.record(z.string(), z.unknown()),
  ).parse(given, { error: issueWords });
  for (const provider of providers) {
    const change = changes[provider.name];
    if (change === undefined) continue;
    try {
      provider.changeSettings(change);
    } catch (error) {
      if (!(error instanceof z.ZodError)) throw error;
      throw new z.ZodError(error.issues.map((issue) => ({
        ...issue,
        path: [provider.name, ...issue.path],
      })));
    }
  }
}

function parseBody(body: Uint8Array<ArrayBuffer>): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    throw new NotJsonError();
  }
}
