/** The results of jobs, shown and played in their cards. */
import { useRef } from "preact/hooks";
import type { Job } from "../../client/mod.ts";
import { Button } from "../parts/button.tsx";
import { RetryNotice } from "../parts/retry-notice.tsx";
import { isFields, textOf } from "../shell/config.ts";
import { setQuery } from "../shell/router.tsx";
import { Book } from "./book.tsx";
import { Download, Ghost } from "./result-parts.tsx";
import { useSignedUrl } from "./signed-url.ts";
import { useStudio } from "./studio.ts";
import { Transcript } from "./transcript.tsx";

function Speech({ job, name }: { job: Job; name: string }) {
  const { box, url, version, problem, renew, reject } = useSignedUrl(
    job.output_path,
  );
  const text = isFields(job.metadata)
    ? textOf(job.metadata, "text")
    : undefined;
  return (
    <div ref={box} class="stack tight">
      {text !== undefined && text.length > 70 && (
        <blockquote class="said" tabIndex={0} aria-label="The text">
          {text}
        </blockquote>
      )}
      {problem !== null && <RetryNotice onRetry={renew}>{problem}</RetryNotice>}
      {url === null
        ? problem === null && (
          <>
            <Ghost kind="audio" />
            <Ghost kind="buttons" />
          </>
        )
        : (
          <>
            <audio
              key={version}
              controls
              preload="metadata"
              src={url}
              aria-label={`Speech: ${name}`}
              onError={() => void reject()}
            />
            <div class="row">
              <Download url={url} name={`${name}.mp3`} />
            </div>
          </>
        )}
    </div>
  );
}

function Film({ job, name }: { job: Job; name: string }) {
  const { box, url, version, problem, renew, reject } = useSignedUrl(
    job.output_path,
  );
  return (
    <div ref={box} class="stack tight">
      {problem !== null && <RetryNotice onRetry={renew}>{problem}</RetryNotice>}
      {url === null
        ? problem === null && (
          <>
            <Ghost kind="film" />
            <Ghost kind="buttons" />
          </>
        )
        : (
          <>
            <video
              key={version}
              controls
              playsInline
              preload="metadata"
              // So that the first picture is shown, not an empty field.
              src={`${url}#t=0.1`}
              aria-label={`Film: ${name}`}
              onError={() => void reject()}
            />
            <div class="row">
              <Download url={url} name={`${name}.mp4`} />
            </div>
          </>
        )}
    </div>
  );
}

function ClonedVoice({ job }: { job: Job }) {
  const voices = useStudio().voices.value;
  // The list before this job ended does not have its voice yet; it is read again then.
  const before = useRef(voices);
  const voice = (voices ?? []).find(({ jobId }) =>
    jobId === job.id ||
    (jobId !== undefined && jobId === job.cached_from_job_id)
  );
  if (voices === null) return <Ghost kind="buttons" />;
  if (voice === undefined) {
    return voices === before.current
      ? null
      : <p class="small soft">The voice was deleted.</p>;
  }
  return (
    <div class="row">
      <Button
        icon="speech"
        isSmall
        onClick={() => {
          setQuery({ make: "speech", voice: voice.id });
          document.getElementById("make")?.focus();
        }}
      >
        Let it say something
      </Button>
    </div>
  );
}

/** The file of a job whose type this page does not know. */
function OtherFile({ path, name }: { path: string | null; name: string }) {
  const { box, url, problem, renew } = useSignedUrl(path);
  if (path === null) return null;
  const ending = /\.\w+$/.exec(path)?.[0] ?? "";
  return (
    <div ref={box} class="stack tight">
      {problem !== null && <RetryNotice onRetry={renew}>{problem}</RetryNotice>}
      {url === null
        ? problem === null && <Ghost kind="buttons" />
        : (
          <div class="row">
            <Download url={url} name={`${name}${ending}`} />
          </div>
        )}
    </div>
  );
}

/** The result of a completed job. */
export function Result({ job, name }: { job: Job; name: string }) {
  const { output_path } = job;
  switch (job.job_type) {
    case "voice_clone":
      return <ClonedVoice job={job} />;
    case "text_to_speech":
      return <Speech job={job} name={name} />;
    case "avatar_video":
      return <Film job={job} name={name} />;
    case "transcription":
      return <Transcript job={job} name={name} />;
    case "pdf_render":
      return <Book job={job} name={name} />;
    default:
      return <OtherFile path={output_path} name={name} />;
  }
}
