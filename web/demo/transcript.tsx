/** The transcript of a call. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Job } from "../../client/mod.ts";
import { RetryNotice } from "../parts/retry-notice.tsx";
import { type Fields, isFields, numberOf, textOf } from "../shell/config.ts";
import { clockOf } from "../words/times.ts";
import { Download, Ghost } from "./result-parts.tsx";
import { useSignedUrl } from "./signed-url.ts";

function speakerName(speaker: string | undefined): string {
  const number = /^speaker_(\d+)$/.exec(speaker ?? "")?.[1];
  return number === undefined
    ? speaker ?? "Speaker"
    : `Speaker ${Number(number) + 1}`;
}

function segmentsOf(file: Fields): Fields[] {
  const rows = file["segments"];
  return Array.isArray(rows) ? rows.filter(isFields) : [];
}

/** The result of a `transcription`: the recording, and what was said, which plays from where it is clicked. */
export function Transcript({ job, name }: { job: Job; name: string }) {
  const recording = useSignedUrl(job.input_url);
  const written = useSignedUrl(job.output_path);
  const player = useRef<HTMLAudioElement>(null);
  const segments = useSignal<readonly Fields[] | null>(null);
  const at = useSignal(-1);
  useEffect(() => {
    let isOver = false;
    const read = async (url: string) => {
      const response = await fetch(url);
      const file: unknown = response.ok ? await response.json() : null;
      if (isOver) return;
      if (response.ok) segments.value = isFields(file) ? segmentsOf(file) : [];
      else await written.reject();
    };
    if (written.url !== null) {
      read(written.url).catch(() => isOver || void written.reject());
    }
    return () => {
      isOver = true;
    };
  }, [written.url, written.version]);
  const failure = recording.problem ?? written.problem;
  return (
    <div ref={recording.box} class="stack tight">
      <div ref={written.box} />
      {failure !== null && (
        <RetryNotice
          onRetry={() =>
            Promise.all(
              [recording, written].filter(({ problem }) => problem !== null)
                .map(({ renew }) => renew()),
            )}
        >
          {failure}
        </RetryNotice>
      )}
      {recording.url === null
        ? recording.problem === null && <Ghost kind="audio" />
        : (
          <audio
            key={recording.version}
            ref={player}
            controls
            preload="metadata"
            src={recording.url}
            aria-label={`Recording: ${name}`}
            onError={() => void recording.reject()}
            onTimeUpdate={({ currentTarget: { currentTime } }) => {
              at.value = (segments.value ?? []).findLastIndex((one) =>
                (numberOf(one, "start") ?? 0) <= currentTime
              );
            }}
          />
        )}
      {segments.value === null
        ? written.problem === null && <Ghost kind="transcript" />
        : (
          <ol class="transcript">
            {segments.value.map((segment, index) => {
              const start = numberOf(segment, "start") ?? 0;
              return (
                <li key={index} class={at.value === index ? "current" : ""}>
                  <button
                    type="button"
                    class="as-link small"
                    aria-label={`Play from ${clockOf(start)}`}
                    onClick={() => {
                      if (player.current === null) {
                        return;
                      }
                      player.current.currentTime = start;
                      void player.current.play();
                    }}
                  >
                    {clockOf(start)}
                  </button>
                  <p>
                    <strong>{speakerName(textOf(segment, "speaker"))}</strong>
                    {" "}
                    {textOf(segment, "text") ?? ""}
                  </p>
                </li>
              );
            })}
          </ol>
        )}
      {written.url === null
        ? written.problem === null && <Ghost kind="buttons" />
        : (
          <div class="row">
            <Download url={written.url} name={`${name}.json`} />
          </div>
        )}
    </div>
  );
}
