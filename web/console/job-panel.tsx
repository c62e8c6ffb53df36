/** One job: its status, timeline, paid calls and costs; its input and output only on request. */
import { useSignal } from "@preact/signals";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Notice } from "../parts/notice.tsx";
import { Table } from "../parts/table.tsx";
import { setQuery } from "../shell/router.tsx";
import { describeError } from "../words/errors.ts";
import { eventOf } from "../words/jobs.ts";
import { providerName } from "../words/providers.ts";
import { withoutRepeats } from "../words/rounds.ts";
import { microsOf, momentOf, repeatsOf, secondOf } from "../words/times.ts";
import { ActButton } from "./act-button.tsx";
import { ParkedAnswers, ParkedSearch } from "./answer.tsx";
import type { JobDetails } from "./responses.ts";
import { useOps, useResponse } from "./ops.ts";
import {
  Copyable,
  endOf,
  Facts,
  JobLink,
  Loaded,
  StatusBadge,
  typeName,
} from "./parts.tsx";
import { TakeBack } from "./take-back.tsx";

const timeOf = (iso: string | null) => iso === null ? null : momentOf(iso);

function Payload({ id }: { id: string }) {
  const ops = useOps();
  const text = useSignal<string | null>(null);
  const problem = useSignal<string | null>(null);
  const show = async () => {
    try {
      text.value = JSON.stringify(
        await ops.call("payload", { job_id: id }),
        null,
        2,
      );
    } catch (error) {
      problem.value = describeError(error);
    }
  };
  if (text.value !== null) {
    return <pre tabIndex={0} aria-label="Content">{text.value}</pre>;
  }
  return (
    <div class="row">
      <ActButton isSmall icon="text" act={show}>Show the content</ActButton>
      <span class="small soft">
        It belongs to the user. The log records that you opened it.
      </span>
      {problem.value !== null && <Notice kind="bad">{problem.value}</Notice>}
    </div>
  );
}

function Journal({ journal }: { journal: JobDetails["journal"] }) {
  if (journal.length === 0) return <p class="soft">No paid call was sent.</p>;
  return (
    <Table
      caption="Paid calls"
      rows={journal}
      keyOf={({ id }) => id}
      columns={[
        { head: "Sent", cell: ({ sent_at }) => secondOf(sent_at) },
        {
          head: "Call",
          cell: ({ operation, provider_object_id }) => (
            <>
              {operation.replaceAll("_", " ")}
              {provider_object_id !== null && (
                <p class="small">
                  <code>{provider_object_id}</code>
                </p>
              )}
            </>
          ),
        },
        {
          head: "Outcome",
          cell: ({ outcome, http_status, error_code }) => (
            <>
              {outcome}
              {http_status !== null && ` (${http_status})`}
              {error_code !== null && (
                <p class="small">
                  <code>{error_code}</code>
                </p>
              )}
            </>
          ),
        },
        {
          head: "Cost",
          isNumber: true,
          cell: ({ cost_micros, estimated_cost_micros }) =>
            cost_micros === null
              ? `about ${microsOf(estimated_cost_micros)}`
              : microsOf(cost_micros),
        },
      ]}
    />
  );
}

type TimelineEntry = JobDetails["timeline"][number];

function wordsOf({ event, data: { stage, outcome } }: TimelineEntry): string {
  return eventOf({
    event,
    stage: typeof stage === "string" ? stage : undefined,
    outcome: typeof outcome === "string" ? outcome : undefined,
  });
}

function Timeline({ timeline }: { timeline: JobDetails["timeline"] }) {
  const lines = withoutRepeats(
    timeline,
    (entry) => {
      const { error_code } = entry.data;
      return [wordsOf(entry), entry.attempt, error_code].join();
    },
  );
  return (
    <ol class="timeline">
      {lines.map(({ entry, times, lastAt }) => {
        const { seq, attempt, created_at } = entry;
        const { error_code } = entry.data;
        return (
          <li key={seq}>
            <time dateTime={created_at}>{secondOf(created_at)}</time>
            <span>
              {wordsOf(entry)}
              {times > 1 && `, ${repeatsOf(times, lastAt)}`}
              {typeof error_code === "string" && (
                <>
                  {" "}
                  <code>{error_code}</code>
                </>
              )}
            </span>
            {attempt > 0 && <span class="soft">try {attempt}</span>}
          </li>
        );
      })}
    </ol>
  );
}

function Details(
  { details, onTakeBack }: { details: JobDetails; onTakeBack: () => void },
) {
  const ops = useOps();
  const { job, costs, timeline, journal } = details;
  const unknown = journal.find(({ outcome }) => outcome === "unknown");
  const isOpen = job.status === "pending" || job.status === "processing";
  return (
    <>
      <div class="row">
        <StatusBadge status={job.status} />
        {job.error_code !== null && <code>{job.error_code}</code>}
        <span class="soft small">
          try {job.attempt} of {job.max_attempts}
        </span>
      </div>
      {/* Both always: when a job ends, neither may appear where the other one was. */}
      <div class="row">
        <ActButton
          isSmall
          icon="close"
          isDisabled={!isOpen || job.cancel_requested_at !== null}
          act={() =>
            ops.act("cancel", { job_id: job.id }, ({ status }) =>
              status === "cancelled"
                ? "The job is cancelled."
                : "The job will stop.")}
        >
          Cancel the job
        </ActButton>
        <ActButton
          isSmall
          icon="retry"
          isDisabled={job.status !== "failed" || job.is_parked}
          act={() =>
            ops.act("retry", { job_id: job.id }, () =>
              "The job runs again.")}
        >
          Run again
        </ActButton>
        {job.is_answer_revocable && (
          <Button isSmall onClick={onTakeBack}>Take the answer back</Button>
        )}
      </div>
      {job.is_answer_revocable && (
        <p class="small soft">
          An operator answered what became of a paid call. Until the job runs,
          the answer can be taken back.
        </p>
      )}
      {job.is_parked && (
        <Notice kind="warn">
          <p>The outcome of a paid call is unknown.</p>
          <ParkedSearch job={job} />
          <div class="row">
            {unknown !== undefined && (
              <ParkedAnswers
                job={{ ...job, job_id: job.id }}
                call={{ ...unknown, call_id: unknown.id }}
              />
            )}
          </div>
        </Notice>
      )}
      <Copyable text={job.id} label="Copy the id" />
      <Facts
        facts={{
          "User": job.user_email ?? job.user_id,
          "Provider": providerName(job.provider),
          "Id there": job.provider_job_id,
          "Created": timeOf(job.created_at),
          "Started": timeOf(job.started_at),
          "Ended": timeOf(job.completed_at),
          "Due": job.status === "pending" ? timeOf(job.scheduled_at) : null,
          "Cost": microsOf(costs.cost_micros),
          "Reserved": costs.reserved_micros === 0
            ? null
            : microsOf(costs.reserved_micros),
          "Builds on": job.depends_on_job_id === null
            ? null
            : <JobLink id={job.depends_on_job_id} />,
        }}
      />
      <h3>Timeline</h3>
      <Timeline timeline={timeline} />
      <h3>Paid calls</h3>
      <Journal journal={journal} />
      <h3>Content</h3>
      <Payload id={job.id} />
    </>
  );
}

/** The panel of the job that the address names. */
export function JobPanel({ id }: { id: string }) {
  const response = useResponse("job", { job_id: id });
  const type = response.data?.job.job_type;
  // Outside the details: the answer may become final while the dialog is open.
  const isTakingBack = useSignal(false);
  return (
    <Dialog
      title={`${type === undefined ? "Job" : typeName(type)} ${endOf(id)}`}
      onClose={() => setQuery({ job: null })}
    >
      <Loaded response={response}>
        {(details) => (
          <Details
            details={details}
            onTakeBack={() => isTakingBack.value = true}
          />
        )}
      </Loaded>
      {isTakingBack.value && (
        <TakeBack
          id={id}
          onClose={() => isTakingBack.value = false}
        />
      )}
    </Dialog>
  );
}
