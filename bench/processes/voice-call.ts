/** The provider's two calls, for the workers that do not use the product's own client. Deno and Node. */

/** The simulated provider for one contender. */
export interface VoiceCalls {
  /** Creates a voice for the job and returns its id. */
  create(jobId: string, signal?: AbortSignal): Promise<string>;
  /** The id of a voice that was created for the job, or null. */
  find(jobId: string, signal?: AbortSignal): Promise<string | null>;
}

/** The calls at `baseUrl`, with this recording for every voice. They throw unless the provider responds with 200. */
export function voiceCalls(
  baseUrl: string,
  recording: Uint8Array<ArrayBuffer>,
): VoiceCalls {
  const file = new File([recording], "speech.webm", { type: "audio/webm" });
  return {
    async create(jobId, signal) {
      const form = new FormData();
      form.append("name", "A voice");
      form.append("description", `(job:${jobId})`);
      form.append("remove_background_noise", "false");
      form.append("files", file);
      const response = await fetch(`${baseUrl}/v1/voices/add`, {
        method: "POST",
        headers: { "xi-api-key": "benchmark" },
        body: form,
        signal: signal ?? null,
      });
      const answer: { voice_id: string } = await response.json();
      if (!response.ok) {
        throw new Error(`the provider responded with ${response.status}`);
      }
      return answer.voice_id;
    },
    async find(jobId, signal) {
      const response = await fetch(
        `${baseUrl}/v2/voices?search=job%3A${jobId}&page_size=100`,
        { headers: { "xi-api-key": "benchmark" }, signal: signal ?? null },
      );
      const answer: { voices: { voice_id: string }[] } = await response.json();
      if (!response.ok) {
        throw new Error(`the provider responded with ${response.status}`);
      }
      return answer.voices[0]?.voice_id ?? null;
    },
  };
}
