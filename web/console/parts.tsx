/** Pieces that several sections of the console share. */
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { Notice } from "../parts/notice.tsx";
import { toast } from "../parts/toast.tsx";
import { stale } from "./ops.ts";
import { setQuery } from "../shell/router.tsx";
import { STATUS_WORDS, typeWordsOf } from "../words/jobs.ts";
import type { JobStatus } from "../../client/mod.ts";

/** The display name of a job type. */
export function typeName(type: string): string {
  return typeWordsOf(type).name;
}

/** The state of a job. */
export function StatusBadge({ status }: { status: JobStatus }) {
  const { name, tone } = STATUS_WORDS[status];
  return <Badge tone={tone}>{name}</Badge>;
}

/** The end of a job's id. Ids begin with their time, so their beginnings are alike. */
export function endOf(id: string): string {
  return `…${id.slice(-8)}`;
}

/** The end of an id, which opens the panel of its job. */
export function JobLink({ id }: { id: string }) {
  return (
    <button
      type="button"
      class="as-link mono"
      aria-label={`Open job ${id}`}
      onClick={() => setQuery({ job: id })}
    >
      {endOf(id)}
    </button>
  );
}

/** Text to copy, with its button. */
export function Copyable({ text, label }: { text: string; label: string }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast("Copied.");
    } catch {
      toast("The browser does not allow copying. Select the text.", "bad");
    }
  };
  return (
    <div class="copyable">
      <code>{text}</code>
      <Button isSmall label={label} onClick={copy}>Copy</Button>
    </div>
  );
}

/** The content of a response. When it cannot be read again, it stays, and the top of the console says why. */
export function Loaded<T>(
  { response, children }: {
    response: { data: T | undefined; problem: string | undefined };
    children: (data: T) => ComponentChildren;
  },
) {
  const { data, problem } = response;
  const hasData = data !== undefined;
  useEffect(() => {
    if (problem === undefined || !hasData) return;
    const entry = { problem };
    stale.value = [...stale.value, entry];
    return () => {
      stale.value = stale.value.filter((one) => one !== entry);
    };
  }, [problem, hasData]);
  return (
    <>
      {problem !== undefined && !hasData && (
        <Notice kind="bad">{problem}</Notice>
      )}
      {data !== undefined
        ? children(data)
        : problem === undefined && (
          <div class="ghost block" role="status">
            <span class="visually-hidden">Loading …</span>
          </div>
        )}
    </>
  );
}

/** Names with their values. */
export function Facts(
  { facts }: { facts: Readonly<Record<string, ComponentChildren>> },
) {
  return (
    <dl class="facts">
      {Object.entries(facts).filter(([, fact]) => fact !== null && fact !== "")
        .map(([name, fact]) => (
          <div
            key={name}
            class={typeof fact === "string" && /@|.{21}/.test(fact)
              ? "wide"
              : ""}
          >
            <dt>{name}</dt>
            <dd>{fact}</dd>
          </div>
        ))}
    </dl>
  );
}
