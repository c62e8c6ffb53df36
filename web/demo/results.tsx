/** The results of jobs, shown and played in their cards. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Job } from "../../client/mod.ts";
import { Button } from "../parts/button.tsx";
import { Icon } from "../parts/icon.tsx";
import { Notice } from "../parts/notice.tsx";
import { type Fields, isFields, numberOf, textOf } from "../shell/config.ts";
import { setQuery } from "../shell/router.tsx";
import { remarksOf } from "../words/books.ts";
import { clockOf, countOf } from "../words/times.ts";
import { BookRemarks, OrderBook } from "./order.tsx";
import { useStudio } from "./studio.ts";

/** Lifetime of a signed URL: longer than an evening. */
const SIGNED_SECONDS = 6 * 3600;

/** Results are loaded when they are this close to the screen, so that they are there when they are reached. */
const NEAR = "600px 0px";

/** A signed address of an object, once the element is near the screen; `renew` signs a new one. */
function useSignedUrl(object: string | null) {
  const studio = useStudio();
  const box = useRef<HTMLDivElement>(null);
  const url = useSignal<string | null>(null);
  const problem = useSignal<string | null>(null);
  const renew = async () => {
    if (object === null) return;
    problem.value = null;
    try {
      url.value = await studio.backend.jobs.downloadUrl(object, {
        expiresIn: SIGNED_SECONDS,
      });
    } catch (error) {
      problem.value = studio.explain(error);
    }
  };
  useEffect(() => {
    if (box.current === null) return;
    const observer = new IntersectionObserver(([entry]) => {
      if (entry?.isIntersecting !== true) return;
      observer.disconnect();
      void renew();
    }, { rootMargin: NEAR });
    observer.observe(box.current);
    return () => observer.disconnect();
  }, [object]);
  return { box, url: url.value, problem: problem.value, renew };
}

function Missing({ text, onRetry }: { text: string; onRetry: () => unknown }) {
  return (
    <Notice kind="warn">
      {text}{" "}
      <button type="button" class="as-link" onClick={() => onRetry()}>
        Try again
      </button>
    </Notice>
  );
}

/** Takes the place of a part of a result until it is there, so that nothing below it moves. */
function Ghost(
  { kind, shape }: {
    kind: "audio" | "film" | "transcript" | "book" | "buttons";
    shape?: string;
  },
) {
  return <div class={`ghost ${kind}`} style={{ aspectRatio: shape }} />;
}

function Download({ url, name }: { url: string; name: string }) {
  return (
    <a
      class="button small"
      href={`${url}&download=${encodeURIComponent(name)}`}
    >
      <Icon name="download" /> Download
    </a>
  );
}

function Speech({ job, name }: { job: Job; name: string }) {
  const { box, url, problem, renew } = useSignedUrl(job.output_path);
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
      {problem !== null && <Missing text={problem} onRetry={renew} />}
      {url === null
        ? (
          <>
            <Ghost kind="audio" />
            <Ghost kind="buttons" />
          </>
        )
        : (
          <>
            <audio
              controls
              preload="metadata"
              src={url}
              aria-label={`Speech: ${name}`}
              onError={() => void renew()}
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
  const { box, url, problem, renew } = useSignedUrl(job.output_path);
  return (
    <div ref={box} class="stack tight">
      {problem !== null && <Missing text={problem} onRetry={renew} />}
      {url === null
        ? (
          <>
            <Ghost kind="film" />
            <Ghost kind="buttons" />
          </>
        )
        : (
          <>
            <video
              controls
              playsInline
              preload="metadata"
              // So that the first picture is shown, not an empty field.
              src={`${url}#t=0.1`}
              aria-label={`Film: ${name}`}
              onError={() => void renew()}
            />
            <div class="row">
              <Download url={url} name={`${name}.mp4`} />
            </div>
          </>
        )}
    </div>
  );
}

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

function Transcript({ job, name }: { job: Job; name: string }) {
  const recording = useSignedUrl(job.input_url);
  const written = useSignedUrl(job.output_path);
  const player = useRef<HTMLAudioElement>(null);
  /** Counts reads: a URL that is signed again within the same second is the same one. */
  const tries = useSignal(0);
  const segments = useSignal<readonly Fields[] | null>(null);
  const problem = useSignal<string | null>(null);
  const at = useSignal(-1);
  const studio = useStudio();
  const read = async (url: string) => {
    problem.value = null;
    try {
      const response = await fetch(url);
      if (!response.ok) {
        throw new Error(`the transcript was refused with ${response.status}`);
      }
      const file: unknown = await response.json();
      segments.value = isFields(file) ? segmentsOf(file) : [];
    } catch (error) {
      problem.value = studio.explain(error);
    }
  };
  useEffect(() => {
    if (written.url !== null) void read(written.url);
  }, [written.url, tries.value]);
  const failure = recording.problem ?? written.problem ?? problem.value;
  return (
    <div ref={recording.box} class="stack tight">
      <div ref={written.box} />
      {failure !== null && (
        <Missing
          text={failure}
          onRetry={async () => {
            await Promise.all([recording.renew(), written.renew()]);
            tries.value++;
          }}
        />
      )}
      {recording.url === null ? <Ghost kind="audio" /> : (
        <audio
          ref={player}
          controls
          preload="metadata"
          src={recording.url}
          aria-label={`Recording: ${name}`}
          onTimeUpdate={({ currentTarget: { currentTime } }) => {
            at.value = (segments.value ?? []).findLastIndex((one) =>
              (numberOf(one, "start") ?? 0) <= currentTime
            );
          }}
        />
      )}
      {segments.value === null
        ? <Ghost kind="transcript" />
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
      {written.url === null ? <Ghost kind="buttons" /> : (
        <div class="row">
          <Download url={written.url} name={`${name}.json`} />
        </div>
      )}
    </div>
  );
}

/** Width to height of a page. */
const SHAPES: Readonly<Record<string, string>> = {
  square: "1",
  a4: "210 / 297",
  letter: "216 / 279",
};

function Book({ job, name }: { job: Job; name: string }) {
  const { box, url, problem, renew } = useSignedUrl(job.output_path);
  const file = useSignal<string | null>(null);
  const page = useSignal(1);
  const result = isFields(job.result) ? job.result : {};
  const pages = numberOf(result, "page_count") ?? 1;
  const remarks = remarksOf(result);
  useEffect(() => {
    let opened: string | undefined;
    let isOver = false;
    const read = async () => {
      if (url === null || !navigator.pdfViewerEnabled) return;
      const blob = await (await fetch(url)).blob();
      if (isOver) return;
      file.value = opened = URL.createObjectURL(
        new Blob([blob], { type: "application/pdf" }),
      );
    };
    read().catch(() => void renew());
    return () => {
      isOver = true;
      if (opened !== undefined) URL.revokeObjectURL(opened);
    };
  }, [url]);
  const shape = SHAPES[textOf(result, "page_size") ?? ""] ?? "1";
  const turn = (by: number) =>
    page.value = Math.min(pages, Math.max(1, page.value + by));
  return (
    <div ref={box} class="stack tight">
      {problem !== null && <Missing text={problem} onRetry={renew} />}
      {file.value === null
        ? navigator.pdfViewerEnabled && (
          <>
            <Ghost kind="book" shape={shape} />
            <Ghost kind="buttons" />
          </>
        )
        : (
          <>
            <iframe
              key={page.value}
              class="book"
              style={{ aspectRatio: shape }}
              title={`${name}, page ${page.value}`}
              src={`${file.value}#page=${page.value}&toolbar=0&navpanes=0&view=Fit`}
            />
            <div class="row apart">
              <Button
                isSmall
                icon="left"
                isDisabled={page.value === 1}
                onClick={() => turn(-1)}
              >
                Back
              </Button>
              <span class="small" role="status">
                Page {page.value} of {pages}
              </span>
              <Button
                isSmall
                icon="right"
                isDisabled={page.value === pages}
                onClick={() => turn(1)}
              >
                Next
              </Button>
            </div>
          </>
        )}
      {!navigator.pdfViewerEnabled && (
        <p class="small soft">
          {countOf(pages, "page")}. This browser cannot show a PDF inside a
          page.
        </p>
      )}
      <BookRemarks remarks={remarks} />
      {url === null ? <Ghost kind="buttons" /> : (
        <div class="row">
          <a class="button small" href={url} target="_blank" rel="noreferrer">
            <Icon name="book" /> Open
          </a>
          <Download url={url} name={`${name}.pdf`} />
          <OrderBook jobId={job.id} title={name} remarks={remarks} />
        </div>
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
      {problem !== null && <Missing text={problem} onRetry={renew} />}
      {url === null ? <Ghost kind="buttons" /> : (
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
