/** Retries the failed jobs of a filter, after showing their number and price. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Button } from "../parts/button.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { Notice } from "../parts/notice.tsx";
import { describeError } from "../words/errors.ts";
import { providerName } from "../words/providers.ts";
import { countOf, microsOf } from "../words/times.ts";
import type { RedrivePreview } from "./responses.ts";
import { useOps } from "./ops.ts";
import { Facts, typeName } from "./parts.tsx";
import { useSending } from "./sending.ts";

/** Which failed jobs: an omitted member matches everything. */
export interface RedriveFilter {
  error_code?: string;
  job_type?: string;
  provider?: string;
  user_id?: string;
}

function Preview({ preview }: { preview: RedrivePreview }) {
  const { count, user_count, price_micros, without_estimate, left_out } =
    preview;
  const left = [
    left_out.spend_unknown > 0 &&
    `${
      countOf(left_out.spend_unknown, "job")
    } with an unknown outcome: each needs a person.`,
    left_out.dependency_failed > 0 &&
    `${
      countOf(left_out.dependency_failed, "job")
    } whose step before failed: they follow that step.`,
    left_out.tried_too_often > 0 &&
    `${countOf(left_out.tried_too_often, "job")} with too many attempts.`,
  ].filter((line) => line !== false);
  return (
    <>
      <p class="lead">
        {count === 0
          ? "No failed job matches."
          : `${countOf(count, "job")} of ${
            countOf(user_count, "user")
          } would run again, for about ${microsOf(price_micros)}.`}
      </p>
      {without_estimate > 0 && (
        <Notice kind="warn">
          The price leaves out{" "}
          {countOf(without_estimate, "job")}: they have not been sent yet, so
          their cost is not known.
        </Notice>
      )}
      {left.length > 0 && (
        <div class="small">
          <p>Not included:</p>
          <ul class="bullets">
            {left.map((line) => <li key={line}>{line}</li>)}
          </ul>
        </div>
      )}
    </>
  );
}

/** The dialog: counts first, changes nothing until it is confirmed. */
export function Redrive(
  { filter, onCount, onClose }: {
    filter: RedriveFilter;
    /** Receives how many jobs match, after each count and each run. */
    onCount?: (count: number) => void;
    onClose: () => void;
  },
) {
  const ops = useOps();
  const preview = useSignal<RedrivePreview | null>(null);
  const problem = useSignal<string | null>(null);
  const { isBusy, isShown, send } = useSending();
  const attempt = (action: () => Promise<void>) =>
    send(async () => {
      problem.value = null;
      try {
        await action();
      } catch (error) {
        problem.value = describeError(error);
      }
    });
  const count = () =>
    attempt(async () => {
      preview.value = await ops.call("preview_redrive", { filter });
      onCount?.(preview.value.count);
    });
  const run = (expected: number) =>
    attempt(async () => {
      const isDone = await ops.act(
        "redrive",
        { filter, expected_count: expected },
        ({ retried, refused, remaining }) => {
          onCount?.(refused + remaining);
          return [
            `${countOf(retried, "job")} will run again.`,
            refused > 0 &&
            `${refused} had no room in the limits of their users.`,
            remaining > 0 && `${remaining} are left: run them again too.`,
          ].filter((part) => part !== false).join(" ");
        },
      );
      if (!isShown()) return;
      if (isDone) onClose();
      else preview.value = await ops.call("preview_redrive", { filter });
    });
  useEffect(() => {
    void count();
  }, []);
  const found = preview.value;
  return (
    <Dialog
      title="Run failed jobs again"
      onClose={onClose}
      actions={
        <>
          <Button onClick={count} isBusy={isBusy}>Count again</Button>
          <Button
            kind="primary"
            icon="retry"
            isBusy={isBusy}
            isDisabled={found === null || found.count === 0}
            onClick={() => found !== null && run(found.count)}
          >
            {found === null
              ? "Run again"
              : `Run ${countOf(found.count, "job")} again`}
          </Button>
        </>
      }
    >
      <Facts
        facts={{
          "Code": filter.error_code ?? "any",
          "Type": filter.job_type === undefined
            ? "any"
            : typeName(filter.job_type),
          "Provider": providerName(filter.provider ?? "any"),
          "User": filter.user_id ?? "any",
        }}
      />
      {problem.value !== null && <Notice kind="bad">{problem.value}</Notice>}
      {found !== null && <Preview preview={found} />}
      {found === null && problem.value === null && (
        <p class="soft">Counting …</p>
      )}
    </Dialog>
  );
}
