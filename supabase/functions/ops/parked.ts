/** Parked jobs, and where to search for their marker at the provider. */
import type { z } from "zod";
import type { OpsParked, parkedCallSchema } from "../_shared/contracts/ops.ts";

type ParkedCall = z.infer<typeof parkedCallSchema>;

/** Where each provider stores the marker of a paid call. */
const WHERE: Readonly<Record<string, string>> = {
  "elevenlabs create_voice": "ElevenLabs, Voices: the description of the voice",
  "elevenlabs transcribe":
    "ElevenLabs lists no transcripts. Compare the usage of that time; only their support can name the id",
  "elevenlabs":
    "ElevenLabs, History. It keeps no marker: compare the time and the text, which the job's panel shows",
  "d-id": "D-ID, talks: the fields user_data and name",
  "heygen": "HeyGen, Videos: the title of the video",
};

function whereOf({ provider, operation }: ParkedCall): string {
  return WHERE[`${provider} ${operation}`] ?? WHERE[provider] ??
    `${provider}: wherever it shows the marker`;
}

/** Groups calls by job, in the order of each job's first call. */
export function groupByJob(calls: readonly ParkedCall[]): OpsParked["jobs"] {
  const byJob = Map.groupBy(calls, (call) => call.job_id);
  return [...byJob.values()].flatMap(([first, ...rest]) =>
    first === undefined ? [] : [{
      job_id: first.job_id,
      user_id: first.user_id,
      job_type: first.job_type,
      provider: first.provider,
      status: first.status,
      error_message: first.error_message,
      marker: first.marker,
      where: whereOf(first),
      created_at: first.created_at,
      parked_at: first.parked_at,
      calls: [first, ...rest].map((call) => ({
        call_id: call.call_id,
        operation: call.operation,
        attempt: call.attempt,
        error_code: call.call_error_code,
        http_status: call.http_status,
        estimated_cost_micros: call.estimated_cost_micros,
        sent_at: call.sent_at,
        unknown_since: call.unknown_since,
      })),
    }]
  );
}
