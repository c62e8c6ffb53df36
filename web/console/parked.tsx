/** Jobs that need a person: a paid call was sent, and nobody knows what became of it. */
import { useSignal } from "@preact/signals";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { Card } from "../parts/card.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Field } from "../parts/field.tsx";
import { Icon } from "../parts/icon.tsx";
import { countOf, microsOf, momentOf } from "../words/times.ts";
import type { ParkedJob } from "./answers.ts";
import { useAnswer, useOps } from "./ops.ts";
import { Copyable, JobLink, Loaded, typeName } from "./parts.tsx";

function Answer(
  { job, wasMade, onClose }: {
    job: ParkedJob;
    wasMade: boolean;
    onClose: () => void;
  },
) {
  const ops = useOps();
  const objectId = useSignal("");
  const isBusy = useSignal(false);
  const price = microsOf(
    job.calls.reduce((sum, call) => sum + call.estimated_cost_micros, 0),
  );
  const form = `resolve-${job.job_id}`;
  const submit = async () => {
    isBusy.value = true;
    const isDone = await ops.act(
      "resolve",
      {
        job_id: job.job_id,
        was_made: wasMade,
        ...(wasMade ? { provider_object_id: objectId.value.trim() } : {}),
      },
      ({ status }) =>
        status === "pending"
          ? "Resolved. The job runs again."
          : "Resolved. The job stays as it is.",
    );
    isBusy.value = false;
    if (isDone) onClose();
  };
  return (
    <Dialog
      title={wasMade ? "It is at the provider" : "It is not at the provider"}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Not yet</Button>
          <button
            type="submit"
            form={form}
            class={`button primary${isBusy.value ? " busy" : ""}`}
            disabled={isBusy.value}
          >
            {wasMade ? "Use it" : "Run it again"}
          </button>
        </>
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
            ? `The job continues with what ${job.provider} has made. The call is not sent again, and counts as paid.`
            : `The call is sent again when the job runs, for about ${price}. If it was made after all, it is paid for twice.`}
        </p>
        {wasMade && (
          <Field
            label={`Its id at ${job.provider}`}
            hint="The id of the voice, talk, video or history item."
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
      </form>
    </Dialog>
  );
}

function ParkedItem({ job }: { job: ParkedJob }) {
  const answer = useSignal<boolean | null>(null);
  const [call] = job.calls;
  return (
    <li class="parked">
      <div class="row">
        <b>{typeName(job.job_type)}</b>
        <span class="soft">at {job.provider}</span>
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
      <p class="small">
        Where to look: <b>{job.where}</b>
      </p>
      <div class="row">
        <Copyable text={job.marker} label="Copy the marker" />
        <Button isSmall icon="check" onClick={() => answer.value = true}>
          It was made
        </Button>
        <Button isSmall icon="close" onClick={() => answer.value = false}>
          It was not made
        </Button>
      </div>
      {answer.value !== null && (
        <Answer
          job={job}
          wasMade={answer.value}
          onClose={() => answer.value = null}
        />
      )}
    </li>
  );
}

/** The section. */
export function Parked() {
  const answer = useAnswer("parked", { limit: 20 });
  return (
    <Card
      title={
        <span class="row">
          <Icon name="person" /> Needs a person
        </span>
      }
      class="needs"
      end={<Badge tone="warn">{answer.data?.jobs.length ?? "…"}</Badge>}
    >
      <p class="soft">
        A paid call was sent, and no answer says what became of it. It is never
        sent again by itself: look at the provider, and say what you found.
      </p>
      <Loaded answer={answer}>
        {({ jobs }) => (
          <ul class="stack">
            {jobs.map((job) => <ParkedItem key={job.job_id} job={job} />)}
          </ul>
        )}
      </Loaded>
    </Card>
  );
}
