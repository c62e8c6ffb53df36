/** One job: its progress, result or error, cost and timeline. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { isFinal, type Job } from "../../client/mod.ts";
import { jobStores } from "../../client/job-store.ts";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { Icon } from "../parts/icon.tsx";
import { Notice } from "../parts/notice.tsx";
import { Progress } from "../parts/progress.tsx";
import { dismissAbout, toast } from "../parts/toast.tsx";
import { useSource } from "../shell/source.ts";
import { setQuery } from "../shell/router.tsx";
import { canRetryJob, describeCode } from "../words/errors.ts";
import {
  cancelWarningOf,
  eventOf,
  stageOf,
  statusOf,
  titleOf,
  typeWordsOf,
} from "../words/jobs.ts";
import { withoutRepeats } from "../words/rounds.ts";
import {
  lengthOf,
  microsOf,
  repeatsOf,
  secondOf,
  whenOf,
} from "../words/times.ts";
import { now } from "./clock.ts";
import { draftAgain, hasForm } from "./drafts.ts";
import { Result } from "./results.tsx";
import { useStudio } from "./studio.ts";

function Timeline({ job: { id, status, attempt } }: { job: Job }) {
  const { backend } = useStudio();
  const [{ events, error }, source] = useSource(
    () => jobStores.source(backend.jobs, id),
    [id],
  );
  const isOver = isFinal(status);
  const wasOver = useRef(false);
  // A timeline that has ended with its job does not begin again by itself. The job may fail again before it is seen.
  useEffect(() => {
    if (wasOver.current) source.find()?.restart();
    wasOver.current = isOver;
  }, [isOver, attempt]);
  if (error !== null && events.length === 0) {
    return <p class="hint">It cannot be read now.</p>;
  }
  return (
    <ol class="timeline">
      {withoutRepeats(events, eventOf).map(({ entry, times, lastAt }) => (
        <li key={entry.seq}>
          <time dateTime={entry.created_at}>{secondOf(entry.created_at)}</time>
          <span>
            {eventOf(entry)}
            {times > 1 && `, ${repeatsOf(times, lastAt)}`}
          </span>
          {entry.progress !== undefined && entry.progress > 0 &&
            <span class="soft">{entry.progress} %</span>}
        </li>
      ))}
    </ol>
  );
}

function Elapsed({ job }: { job: Job }) {
  const end = job.completed_at === null
    ? isFinal(job.status) ? Date.parse(job.updated_at) : now.value
    : Date.parse(job.completed_at);
  const ms = end - Date.parse(job.created_at);
  return (
    <span>
      {isFinal(job.status) && ms < 9950
        ? `${(Math.max(ms, 0) / 1000).toFixed(1)} s`
        : lengthOf(ms)}
    </span>
  );
}

const END_WORDS: Record<string, string> = {
  completed: "Done in",
  failed: "Failed after",
  cancelled: "Cancelled after",
};

function costOf(job: Job): string | undefined {
  const isOver = isFinal(job.status);
  if (job.spend === "unknown") return isOver ? "cost not known yet" : undefined;
  if (job.cost_micros > 0) return microsOf(job.cost_micros, job.cost_currency);
  return isOver ? "no cost" : undefined;
}

/** The card. */
export function JobCard({ job }: { job: Job }) {
  const studio = useStudio();
  const { jobs } = studio.backend;
  const isBusy = useSignal(false);
  const isHidden = studio.hidden.ids.value.has(job.id);
  const hasTimeline = useSignal(false);
  const { id, status, error_code } = job;
  const isOver = isFinal(status);
  const { name, tone } = statusOf(job);
  const type = typeWordsOf(job.job_type);
  const title = titleOf(job);
  const isParked = error_code === "outcome_unknown";
  const canRunAgain = status === "failed" && canRetryJob(error_code ?? "");
  const failure = status === "failed" ? describeCode(error_code ?? "") : null;
  // “It is being made” is over.
  useEffect(() => {
    if (isOver) dismissAbout(id);
  }, [id, isOver]);
  const heading = useRef<HTMLHeadingElement>(null);
  const hadFocus = useRef(false);
  // “Cancel” disappears with the end of the job; the focus must not go back to the start of the page.
  useEffect(() => {
    if (
      isOver && hadFocus.current && document.activeElement === document.body
    ) {
      heading.current?.focus({ preventScroll: true });
    }
  }, [isOver]);
  // Until the change is seen: the button of an earlier state must not act on the next one.
  const act = async (action: () => Promise<unknown>) => {
    isBusy.value = true;
    if (!await studio.attempt(action)) isBusy.value = false;
  };
  useEffect(() => {
    isBusy.value = false;
  }, [status, job.updated_at]);
  return (
    <li class="card job" aria-labelledby={`job-${id}`}>
      <div class="job-head">
        <span class={`job-icon ${tone}`}>
          <Icon name={type.icon} />
        </span>
        <div>
          <h3 id={`job-${id}`} ref={heading} tabIndex={-1}>{title}</h3>
          <p class="small soft">
            {type.name} ·{" "}
            <time dateTime={job.created_at}>{whenOf(job.created_at)}</time>
          </p>
        </div>
        <Badge tone={tone}>{name}</Badge>
      </div>
      {!isOver && (
        <div class="stack tight">
          <Progress
            label={`${type.name}: ${title}`}
            value={status === "pending" && job.progress_percentage === 0
              ? undefined
              : job.progress_percentage}
          />
          <p class="row apart small">
            <span aria-live="polite">{stageOf(job)}</span>
            <Elapsed job={job} />
          </p>
        </div>
      )}
      {failure !== null && (
        <Notice kind="bad">
          <p>{failure}</p>
          {job.error_message !== null && (
            <details class="small">
              <summary>Details</summary>
              {job.error_message} <code>{error_code}</code>
            </details>
          )}
        </Notice>
      )}
      {status === "completed" && <Result job={job} name={title} />}
      <div
        class="row apart job-foot"
        onFocusIn={() => hadFocus.current = true}
        onFocusOut={({ relatedTarget }) =>
          hadFocus.current = relatedTarget === null}
      >
        <p class="small soft">
          {isOver && (
            <>
              {END_WORDS[status]} <Elapsed job={job} />
            </>
          )}
          {isOver && " · "}
          {[
            costOf(job),
            job.cached_from_job_id === null ? undefined : "reused",
            job.attempt > 1 ? `try ${job.attempt}` : undefined,
            cancelWarningOf(job),
          ].filter((part) => part !== undefined).join(" · ")}
        </p>
        <div class="row">
          {!isOver && (
            <Button
              isSmall
              icon="close"
              isBusy={isBusy.value}
              isDisabled={job.cancel_requested_at !== null}
              onClick={() => act(() => jobs.cancel(id))}
            >
              Cancel
            </Button>
          )}
          {canRunAgain && (
            <Button
              isSmall
              icon="retry"
              isBusy={isBusy.value}
              onClick={() => act(() => jobs.retry(id))}
            >
              Try again
            </Button>
          )}
          {isOver && status !== "completed" && !canRunAgain &&
            !isParked && hasForm(job.job_type) && (
            <Button
              isSmall
              icon="retry"
              onClick={() => {
                setQuery({ make: draftAgain(studio.drafts, job), voice: null });
                studio.submissionOf(job.job_type).clear();
                document.getElementById("make")?.focus();
              }}
            >
              Start over
            </Button>
          )}
          <button
            type="button"
            class="button quiet small"
            aria-expanded={hasTimeline.value}
            onClick={() => hasTimeline.value = !hasTimeline.value}
          >
            <Icon name="clock" /> Timeline
          </button>
          {isOver && !isParked && (
            <Button
              kind="quiet"
              isSmall
              onClick={() => {
                if (isHidden) return studio.hidden.show(id);
                studio.hidden.hide(id);
                toast(
                  "Hidden in this browser. “Show hidden” below the list brings it back.",
                );
              }}
            >
              {isHidden ? "Show again" : "Hide"}
            </Button>
          )}
        </div>
      </div>
      {hasTimeline.value && <Timeline job={job} />}
    </li>
  );
}
