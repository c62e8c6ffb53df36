/** Jobs that need a decision: a paid call was sent, and its outcome is unknown. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { Badge } from "../parts/badge.tsx";
import { Button, SubmitButton } from "../parts/button.tsx";
import { Card } from "../parts/card.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Field } from "../parts/field.tsx";
import { Notice } from "../parts/notice.tsx";
import { toast } from "../parts/toast.tsx";
import { describeError } from "../words/errors.ts";
import { isAiJobsError } from "../../client/mod.ts";
import { Icon } from "../parts/icon.tsx";
import { setQuery } from "../shell/router.tsx";
import { providerName } from "../words/providers.ts";
import { searchOf } from "../words/searches.ts";
import { countOf, microsOf, momentOf } from "../words/times.ts";
import type { ParkedJob } from "./responses.ts";
import { refresh, useOps, useResponse } from "./ops.ts";
import { Copyable, JobLink, Loaded, typeName } from "./parts.tsx";

/** The part of a parked job that the two answers need. */
export interface AnsweredJob {
  job_id: string;
  job_type: string;
  provider: string;
  marker: string;
  calls: readonly { estimated_cost_micros: number }[];
}

/** Jobs that are read, and those of them that are shown at first. */
const MAX_SHOWN = 20;
const INITIALLY_SHOWN = 3;

/** What to search for at the provider, and where. */
export function ParkedSearch(
  { job, children }: {
    job: Pick<AnsweredJob, "job_type" | "provider" | "marker">;
    children?: ComponentChildren;
  },
) {
  const { place, words, hasMarker } = searchOf(job.provider, job.job_type);
  return (
    <div class="stack tight">
      <p>
        Search in <b>{place}</b>. {words} {children}
      </p>
      {hasMarker && <Copyable text={job.marker} label="Copy the marker" />}
    </div>
  );
}

function Answer(
  { job, wasMade, onClose }: {
    job: AnsweredJob;
    wasMade: boolean;
    onClose: () => void;
  },
) {
  const ops = useOps();
  const objectId = useSignal("");
  const isUnchecked = useSignal(false);
  const problem = useSignal<{ code: string; text: string } | null>(null);
  const isBusy = useSignal(false);
  const price = microsOf(
    job.calls.reduce((sum, call) => sum + call.estimated_cost_micros, 0),
  );
  const form = `resolve-${job.job_id}`;
  const submit = async () => {
    isBusy.value = true;
    problem.value = null;
    try {
      const { status } = await ops.call("resolve", {
        job_id: job.job_id,
        was_made: wasMade,
        is_unchecked: isUnchecked.value,
        ...(wasMade ? { provider_object_id: objectId.value.trim() } : {}),
      });
      toast(
        status === "pending"
          ? "Resolved. The job is in the queue again."
          : "Resolved. The job stays as it is.",
        "good",
        job.job_id,
      );
      onClose();
    } catch (error) {
      problem.value = {
        code: isAiJobsError(error) ? error.code : "",
        text: describeError(error),
      };
    } finally {
      isBusy.value = false;
      refresh();
    }
  };
  const canSkip = isUnchecked.value ||
    problem.value?.code === "provider_not_checked";
  return (
    <Dialog
      title={wasMade ? "It was made" : "It was not made"}
      onClose={onClose}
      actions={
        <SubmitButton form={form} isBusy={isBusy.value}>
          {wasMade ? "Use it" : "Run it again"}
        </SubmitButton>
      }
    >
      <form
        id={form}
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <p>
          {wasMade
            ? `The job continues with what ${
              providerName(job.provider)
            } has made. The call is not sent again, and counts as paid.`
            : `The call is sent again when the job runs, for about ${price}. If it was made after all, it is paid for twice.`}
        </p>
        {wasMade && (
          <Field
            label={`Its id at ${providerName(job.provider)}`}
            hint={searchOf(job.provider, job.job_type).idName}
          >
            {(id, describedBy) => (
              <input
                id={id}
                aria-describedby={describedBy}
                required
                maxLength={255}
                value={objectId}
                onInput={(event) => objectId.value = event.currentTarget.value}
              />
            )}
          </Field>
        )}
        {problem.value !== null && (
          <Notice kind="bad">{problem.value.text}</Notice>
        )}
        {canSkip && (
          <label class="switch">
            <input
              type="checkbox"
              checked={isUnchecked.value}
              onChange={(event) =>
                isUnchecked.value = event.currentTarget.checked}
            />
            I have looked myself: record the answer without asking{" "}
            {providerName(job.provider)}
          </label>
        )}
      </form>
    </Dialog>
  );
}

/** The two answers about a parked job. */
export function ParkedAnswers({ job }: { job: AnsweredJob }) {
  const answer = useSignal<boolean | null>(null);
  return (
    <>
      <Button isSmall icon="check" onClick={() => answer.value = true}>
        It was made
      </Button>
      <Button isSmall icon="close" onClick={() => answer.value = false}>
        It was not made
      </Button>
      {answer.value !== null && (
        <Answer
          job={job}
          wasMade={answer.value}
          onClose={() => answer.value = null}
        />
      )}
    </>
  );
}

function ParkedItem({ job }: { job: ParkedJob }) {
  const [call] = job.calls;
  return (
    <li class="parked">
      <div class="row">
        <b>{typeName(job.job_type)}</b>
        <span class="soft">at {providerName(job.provider)}</span>
        <JobLink id={job.job_id} />
        <span class="small soft">
          {call !== undefined &&
            `sent ${momentOf(call.sent_at)}, about ${
              microsOf(call.estimated_cost_micros)
            }`}
          {call?.http_status && `, status ${call.http_status}`}
          {job.calls.length > 1 && `, ${countOf(job.calls.length, "call")}`}
        </span>
      </div>
      <ParkedSearch job={job}>
        {!searchOf(job.provider, job.job_type).hasMarker && (
          <button
            type="button"
            class="as-link"
            onClick={() => setQuery({ job: job.job_id })}
          >
            Open the job
          </button>
        )}
      </ParkedSearch>
      {job.error_message !== null && (
        <details class="small soft">
          <summary>What happened</summary>
          {job.error_message}
        </details>
      )}
      <div class="row">
        <ParkedAnswers job={job} />
      </div>
    </li>
  );
}

/** The section; `count` are all parked jobs. */
export function Parked({ count }: { count: number }) {
  const response = useResponse("parked", { limit: MAX_SHOWN });
  const areAllShown = useSignal(false);
  return (
    <Card
      title={
        <span class="row">
          <Icon name="person" /> Needs a person
        </span>
      }
      id="needs"
      class="needs"
      end={<Badge tone="warn">{count}</Badge>}
    >
      <p class="soft">
        A paid call was sent, and its outcome is unknown. It is never sent again
        automatically. Search for it at the provider, then answer here.
      </p>
      <Loaded response={response}>
        {({ jobs }) => (
          <ul class="stack">
            {jobs.slice(0, areAllShown.value ? MAX_SHOWN : INITIALLY_SHOWN).map(
              (job) => <ParkedItem key={job.job_id} job={job} />,
            )}
            {jobs.length > INITIALLY_SHOWN && !areAllShown.value && (
              <li class="row">
                <Button isSmall onClick={() => areAllShown.value = true}>
                  Show {jobs.length - INITIALLY_SHOWN} more
                </Button>
              </li>
            )}
            {areAllShown.value && count > MAX_SHOWN && (
              <li class="small soft">
                These {MAX_SHOWN}{" "}
                have waited longest. To answer another one first, open it in the
                section Jobs.
              </li>
            )}
          </ul>
        )}
      </Loaded>
    </Card>
  );
}
