/** Attempts at the Edge Functions: without a key, with project keys, and as users with own and foreign objects. */
import type { Attempt } from "./attempt.ts";
import type { Json } from "./fixture.ts";
import { keptObject } from "./fixture.ts";
import { rowOf } from "./function-attempts.ts";
import { type Actor, ACTORS } from "./people.ts";
import type { Stage } from "./stage.ts";

/** A request to a function. */
interface EndpointRequest {
  method: "GET" | "POST";
  /** Follows the name of the function. */
  path?: string;
  query?: string;
  body?: Json;
}

/** Creates a request about the rows and objects of `subject`. */
type MakeRequest = (stage: Stage, subject: "A" | "B") => EndpointRequest;

function jobOn(name: string): MakeRequest {
  return (stage, subject) => ({
    method: "POST",
    body: {
      job_type: "voice_clone",
      input_url: `voice-samples/${stage.people.ids[subject]}/${name}`,
      metadata: { voice_name: "A voice" },
    },
  });
}

function addressOf(name: string): MakeRequest {
  return (stage, subject) => ({
    method: "POST",
    body: { bucket: "uploads", path: `${stage.people.ids[subject]}/${name}` },
  });
}

const jobOf: MakeRequest = (stage, subject) => ({
  method: "GET",
  query: `?id=${rowOf(stage, subject, "ai_jobs", "running").stored["id"]}`,
});

function requestOn(kind: string): MakeRequest {
  return (stage, subject) => ({
    method: "POST",
    body: {
      job_id: rowOf(stage, subject, "ai_jobs", kind).stored["id"] ?? null,
    },
  });
}

function opsOn(action: string): MakeRequest {
  return (stage, subject) => ({
    method: "POST",
    body: {
      action,
      job_id: rowOf(stage, subject, "ai_jobs", "running").stored["id"] ?? null,
    },
  });
}

function upload(
  name: (stage: Stage, subject: "A" | "B") => string,
): MakeRequest {
  return (stage, subject) => ({
    method: "POST",
    body: {
      bucket: "uploads",
      file_name: name(stage, subject),
      content_type: "image/png",
      size_bytes: 10,
    },
  });
}

/** The requests by function and by their names in expected.ts. */
const REQUESTS: Record<string, Record<string, MakeRequest>> = {
  "create-ai-job": {
    "a job with their own recording": jobOn("kept.bin"),
    "a job with the other's recording": jobOn("kept.bin"),
    "a job with a recording in the other's folder that does not exist": jobOn(
      "missing.bin",
    ),
  },
  "create-download-url": {
    "the address of their own upload": addressOf("kept.bin"),
    "the address of the other's upload": addressOf("kept.bin"),
    "the address of a missing object in the other's folder": addressOf(
      "missing.bin",
    ),
  },
  "create-upload-url": {
    "an address to upload to": upload(() => "photo.png"),
    "an address in the other's folder": upload((stage, subject) =>
      `../${keptObject(stage.people.ids[subject])}`
    ),
  },
  "list-ai-jobs": { "their own jobs": () => ({ method: "GET" }) },
  "cancel-ai-job": {
    "their own job that has ended": requestOn("finished"),
    "the other's running job": requestOn("running"),
    "a job that does not exist": () => ({
      method: "POST",
      body: { job_id: "00000000-0000-4000-8000-000000000000" },
    }),
  },
  "retry-ai-job": {
    "their own job that has not failed": requestOn("finished"),
    "the other's running job": requestOn("running"),
    "a job that does not exist": () => ({
      method: "POST",
      body: { job_id: "00000000-0000-4000-8000-000000000000" },
    }),
  },
  "get-ai-job": {
    "their own job": jobOf,
    "the other's job": jobOf,
    "a job that does not exist": () => ({
      method: "GET",
      query: "?id=00000000-0000-4000-8000-000000000000",
    }),
  },
  "process-ai-job": {
    "the other's job, unsigned": (stage, subject) => {
      const id = rowOf(stage, subject, "ai_jobs", "waiting").values["id"] ??
        null;
      return {
        method: "POST",
        body: {
          type: "INSERT",
          table: "ai_jobs",
          schema: "public",
          record: { id },
          old_record: null,
          job_ids: [id],
        },
      };
    },
  },
  "render-ai-job": {
    "the other's job, unsigned": (stage, subject) => {
      const id = rowOf(stage, subject, "ai_jobs", "waiting").values["id"] ??
        null;
      return {
        method: "POST",
        body: {
          type: "INSERT",
          table: "ai_jobs",
          schema: "public",
          record: { id },
          old_record: null,
          job_ids: [id],
        },
      };
    },
  },
  ops: {
    "the other's job": opsOn("job"),
    "the input of the other's job": opsOn("payload"),
    "the other's job to be cancelled": opsOn("cancel"),
    "the record of the operators": () => ({
      method: "POST",
      body: { action: "actions" },
    }),
  },
  health: { "a change of health": () => ({ method: "POST", body: {} }) },
  metrics: { "the counts": () => ({ method: "GET" }) },
  janitor: {
    "a run, unsigned": () => ({ method: "POST", body: { type: "JANITOR" } }),
  },
  "provider-webhook": {
    "the other's job, with a token that was guessed": (stage, subject) => ({
      method: "POST",
      path: `/d-id/${
        rowOf(stage, subject, "ai_jobs", "waiting").values["id"]
      }/${"0".repeat(64)}`,
      body: { status: "done" },
    }),
    "the other's job, as HeyGen, unsigned": (stage, subject) => ({
      method: "POST",
      path: "/heygen",
      body: {
        event_type: "avatar_video.success",
        event_data: {
          callback_id: `job:${
            rowOf(stage, subject, "ai_jobs", "waiting").values["id"]
          }`,
        },
      },
    }),
  },
};

/** Requests that expected.ts declares but this file lacks, and the other way round. */
export function unmatchedRequests(stage: Pick<Stage, "expected">): string[] {
  const declared = Object.entries(stage.expected.endpoints).flatMap((
    [slug, { own, foreign }],
  ) =>
    [...Object.keys(own), ...Object.keys(foreign)].map((what) =>
      `${slug}: ${what}`
    )
  );
  const made = Object.entries(REQUESTS).flatMap(([slug, requests]) =>
    Object.keys(requests).map((what) => `${slug}: ${what}`)
  );
  return [
    ...declared.filter((one) => !made.includes(one)),
    ...made.filter((one) => !declared.includes(one)),
  ];
}

async function send(
  stage: Stage,
  slug: string,
  headers: Record<string, string>,
  { method, path, query, body }: EndpointRequest,
): Promise<string> {
  const response = await fetch(
    `${stage.apiUrl}/functions/v1/${slug}${path ?? ""}${query ?? ""}`,
    {
      method,
      headers: {
        ...headers,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    },
  );
  await response.body?.cancel();
  return `${response.status}`;
}

/** The ways to send a key: as a key, and also in place of a user's token. */
function waysToCall(actor: Actor): [string, Record<string, string>][] {
  const key = actor.headers["apikey"];
  return [
    ["", actor.headers],
    ...(key !== undefined && actor.userId === null
      ? [
        [" with the key as a token", {
          ...actor.headers,
          authorization: `Bearer ${key}`,
        }] satisfies [string, Record<string, string>],
      ]
      : []),
  ];
}

/** Every request to a function, for every caller. */
export function endpointAttempts(stage: Stage, slug: string): Attempt[] {
  const declared = stage.expected.endpoints[slug];
  if (declared === undefined) return [];
  const { own, foreign, callers } = declared;
  return ACTORS.flatMap((name) => {
    const actor = stage.people.actors[name];
    const isCaller = callers.includes(name);
    const subject = name === "B" ? "A" : "B";
    const requests = [
      ...(name === "A" || name === "B"
        ? Object.entries(own).map(([what, status]) =>
          [what, status, name] as const
        )
        : []),
      ...Object.entries(foreign).map(([what, status]) =>
        [what, status, subject] as const
      ),
    ];
    return requests.flatMap(([what, status, about]) =>
      waysToCall(actor).map(([how, headers]): Attempt => {
        const isOwn = about === name;
        const mayChange = isOwn && isCaller;
        return {
          subjects: [`endpoint ${slug}`],
          actor: name,
          operation: "call",
          what: `request ${what}${how}`,
          expected: `${isCaller || status === 401 ? status : 401}`,
          mayChange,
          ...(mayChange
            ? {
              judge: (outcome, changes) =>
                changes.every(({ row }) =>
                    row["user_id"] === stage.people.ids[about]
                  )
                  ? outcome
                  : `${outcome}, and changed what is another's`,
            }
            : {}),
          run: async () => {
            const make = REQUESTS[slug]?.[what];
            if (make === undefined) {
              throw new Error(`endpoint-attempts.ts cannot request ${what}`);
            }
            return await send(stage, slug, headers, make(stage, about));
          },
        };
      })
    );
  });
}
