/** The control API of the simulated providers (docs/simulators.md), as tests use it. */
import { z } from "zod";

const ledgerSchema = z.object({
  entries: z.array(z.object({
    id: z.string(),
    provider: z.string(),
    operation: z.string(),
    marker: z.string().nullable(),
    state: z.enum(["created", "deleted"]),
    bytes: z.number(),
    api_key_tail: z.string(),
    request: z.looseObject({
      name: z.string().optional(),
      text: z.string().optional(),
      description: z.string().nullish(),
      labels: z.record(z.string(), z.string()).optional(),
      remove_background_noise: z.boolean().optional(),
      files: z.array(
        z.object({
          name: z.string(),
          type: z.string(),
          bytes: z.number(),
          sha256: z.string(),
          seconds: z.number(),
        }),
      ).optional(),
    }),
  })),
  reached: z.boolean(),
});
/** A billable creation at a simulated provider. */
export type Creation = z.output<typeof ledgerSchema>["entries"][number];

const requestsSchema = z.object({
  entries: z.array(z.object({
    operation: z.string().nullable(),
    operations: z.array(z.string()),
    method: z.string(),
    marker: z.string().nullable(),
    fault: z.string().nullable(),
    status: z.number().nullable(),
    outcome: z.string(),
  })),
  reached: z.boolean(),
});
/** A request that reached a simulated provider. */
export type ProviderRequest = z.output<
  typeof requestsSchema
>["entries"][number];

/** The simulated providers, by the names that they have in the control API. */
export type SimulatedProvider = "elevenlabs" | "d-id" | "heygen" | "upstash";

/** What a fault does; the kinds are those of docs/simulators.md. */
export interface FaultRule {
  provider?: SimulatedProvider;
  operation?: string;
  /** Lets this number of matching requests pass first. */
  after?: number;
  /** How often it applies: null means always. Once when absent. */
  times?: number | null;
  fault: { kind: string } & Record<string, unknown>;
}

/** Reached only when a test fails; the longest that the simulators allow. */
const WITHIN_MS = 60_000;

/** The simulators of a stack. */
export interface SimulatorControl {
  /** Deletes voices, ledger, requests and faults, and drops held requests. */
  reset(): Promise<void>;
  /** Adds fault rules; ElevenLabs' clone call unless they say otherwise. */
  fail(...rules: FaultRule[]): Promise<void>;
  clearFaults(): Promise<void>;
  /** Everything created so far, or for one job. */
  creations(jobId?: string): Promise<Creation[]>;
  /** The creations for a job, once there are `atLeast`; fails if there are not within a minute. */
  creationsOf(jobId: string, atLeast: number): Promise<Creation[]>;
  /** Requests of an operation, for one job or all, once there are `atLeast`; fails if there are not within a minute. */
  requests(
    operation: string,
    filter?: {
      atLeast?: number;
      jobId?: string;
      provider?: SimulatedProvider;
    },
  ): Promise<ProviderRequest[]>;
  /** Changes how a simulated provider behaves, ElevenLabs unless another is named. */
  set(
    settings: Record<string, unknown>,
    provider?: SimulatedProvider,
  ): Promise<void>;
  /** Releases every request that hangs without a time limit. */
  release(): Promise<void>;
  /** Moves the simulators' clock forward. */
  advanceClock(ms: number): Promise<void>;
}

/** The control API at `<simulatorUrl>/_control`. Every method throws when the simulators refuse. */
export function simulatorControl(simulatorUrl: string): SimulatorControl {
  async function send(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<unknown> {
    const response = await fetch(`${simulatorUrl}/_control${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
    return JSON.parse(text);
  }
  return {
    async reset() {
      await send("POST", "/reset");
    },
    async fail(...rules) {
      await send(
        "POST",
        "/faults",
        rules.map((rule) => ({
          provider: "elevenlabs",
          ...((rule.provider ?? "elevenlabs") === "elevenlabs"
            ? { operation: "voices.add" }
            : {}),
          ...rule,
        })),
      );
    },
    async clearFaults() {
      await send("DELETE", "/faults");
    },
    async creations(jobId) {
      const query = jobId === undefined ? "" : `?marker=${jobId}`;
      return ledgerSchema.parse(await send("GET", `/ledger${query}`)).entries;
    },
    async creationsOf(jobId, atLeast) {
      const query =
        `?marker=${jobId}&at_least=${atLeast}&within_ms=${WITHIN_MS}`;
      const { entries, reached } = ledgerSchema.parse(
        await send("GET", `/ledger${query}`),
      );
      if (!reached) {
        throw new Error(
          `${jobId}: ${entries.length} creations within a minute, not ${atLeast}`,
        );
      }
      return entries;
    },
    async requests(
      operation,
      { atLeast = 0, jobId, provider = "elevenlabs" } = {},
    ) {
      const query = new URLSearchParams({
        provider,
        operation,
        ...(jobId === undefined ? {} : { marker: jobId }),
        at_least: String(atLeast),
        within_ms: String(WITHIN_MS),
      });
      const { entries, reached } = requestsSchema.parse(
        await send("GET", `/requests?${query}`),
      );
      if (!reached) {
        throw new Error(
          `${operation}: ${entries.length} requests within a minute, not ${atLeast}`,
        );
      }
      return entries;
    },
    async set(settings, provider = "elevenlabs") {
      await send("POST", "/settings", { [provider]: settings });
    },
    async release() {
      await send("POST", "/release");
    },
    async advanceClock(ms) {
      await send("POST", "/clock", { advance_ms: ms });
    },
  };
}
