/** Pieces that several sections of the console share. */
import type { ComponentChildren } from "preact";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { Notice } from "../parts/notice.tsx";
import { toast } from "../parts/toast.tsx";
import { isCut } from "./ops.ts";
import { setQuery } from "../shell/router.tsx";
import { isJobType, STATUS_WORDS, TYPE_WORDS } from "../words/jobs.ts";
import type { JobStatus } from "../../client/mod.ts";

/** The display name of a job type; a type of a later version keeps its technical name. */
export function typeName(type: string): string {
  return isJobType(type) ? TYPE_WORDS[type].name : type;
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

/** The content of a response, below the error of a failed read. */
export function Loaded<T>(
  { answer, isMain = false, children }: {
    answer: { data: T | undefined; problem: string | undefined };
    /** Whether its notice speaks for all sections that still show what they had. */
    isMain?: boolean;
    children: (data: T) => ComponentChildren;
  },
) {
  const { data, problem } = answer;
  const isSaid = !isMain && data !== undefined && isCut.value;
  return (
    <>
      {problem !== undefined && !isSaid && <Notice kind="bad">{problem}
      </Notice>}
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
