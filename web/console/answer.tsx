/** The two answers about a parked job, and the dialog that sends one. */
import { signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { isAiJobsError } from "../../client/mod.ts";
import { Button, SubmitButton } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Field } from "../parts/field.tsx";
import { Notice } from "../parts/notice.tsx";
import { toast } from "../parts/toast.tsx";
import { providerName } from "../words/providers.ts";
import { searchOf } from "../words/searches.ts";
import { microsOf, momentOf } from "../words/times.ts";
import { useOps, useResponse } from "./ops.ts";
import { describeFailure } from "./outcomes.ts";
import { Copyable, endOf, typeName } from "./parts.tsx";
import { refresh } from "./reader.ts";
import { useSending } from "./sending.ts";

/** The part of a parked job that the two answers need. */
export interface AnsweredJob {
  job_id: string;
  job_type: string;
  provider: string;
  marker: string;
}

/** The call of a parked job that an answer is about. */
export interface AnsweredCall {
  call_id: string;
  sent_at: string;
  estimated_cost_micros: number;
}

interface Question {
  job: AnsweredJob;
  call: AnsweredCall;
  wasMade: boolean;
}

/** The open dialog. It belongs neither to the list nor to a panel: both may lose the job while an operator answers. */
const question = signal<Question | null>(null);

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
  { job, call, wasMade, onClose }: Question & { onClose: () => void },
) {
  const ops = useOps();
  const objectId = useSignal("");
  const isUnchecked = useSignal(false);
  const problem = useSignal<{ code: string; text: string } | null>(null);
  const { isBusy, isShown, send } = useSending();
  const known = useResponse("job", { job_id: job.job_id }).data?.journal
    .find(({ id }) => id === call.call_id);
  const isOvertaken = known !== undefined && known.outcome !== "unknown";
  const form = `resolve-${job.job_id}`;
  const answer = async () => {
    problem.value = null;
    try {
      const { status } = await ops.call("resolve", {
        job_id: job.job_id,
        call_id: call.call_id,
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
      if (isShown()) onClose();
    } catch (error) {
      const text = describeFailure("resolve", error);
      if (isShown()) {
        problem.value = {
          code: isAiJobsError(error) ? error.code : "",
          text,
        };
      } else toast(text, "bad", job.job_id);
    }
    await refresh();
  };
  const canSkip = isUnchecked.value ||
    problem.value?.code === "provider_not_checked";
  return (
    <Dialog
      title={`${typeName(job.job_type)} ${endOf(job.job_id)}: ${
        wasMade ? "it was made" : "it was not made"
      }`}
      onClose={onClose}
      actions={
        <SubmitButton form={form} isBusy={isBusy}>
          {wasMade ? "Use it" : "Run it again"}
        </SubmitButton>
      }
    >
      <form
        id={form}
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void send(answer);
        }}
      >
        <p>
          Sent {momentOf(call.sent_at)}. {wasMade
            ? `The job continues with what ${
              providerName(job.provider)
            } has made. The call is not sent again, and counts as paid.`
            : `It is sent again when the job runs, for about ${
              microsOf(call.estimated_cost_micros)
            }. If it was made after all, it is paid for twice.`}
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
        {isOvertaken && !isBusy && (
          <Notice kind="warn">
            This call was answered meanwhile.
          </Notice>
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

/** The two answers about a call of a parked job. Their dialog is that of {@link AnswerDialog}. */
export function ParkedAnswers(about: Omit<Question, "wasMade">) {
  const ask = (wasMade: boolean) => question.value = { ...about, wasMade };
  return (
    <>
      <Button isSmall icon="check" onClick={() => ask(true)}>
        It was made
      </Button>
      <Button isSmall icon="close" onClick={() => ask(false)}>
        It was not made
      </Button>
    </>
  );
}

/** The dialog of an answer, while one is given; once in the console. */
export function AnswerDialog() {
  const close = () => question.value = null;
  useEffect(() => () => {
    close();
  }, []);
  const open = question.value;
  return open === null
    ? null
    : <Answer key={open.call.call_id} {...open} onClose={close} />;
}
