/** The console for operators: the state in numbers, the jobs that need a decision, and a section for each topic. */
import { useSignal } from "@preact/signals";
import type { ComponentChild } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Badge, type Tone } from "../parts/badge.tsx";
import { Notice } from "../parts/notice.tsx";
import { useBackend } from "../shell/backend.ts";
import { Link, query } from "../shell/router.tsx";
import type { Person } from "../shell/session.ts";
import { withProviderNames } from "../words/providers.ts";
import { countOf, lengthOf, microsOf, secondOf } from "../words/times.ts";
import { Activity } from "./activity.tsx";
import type { Judged, Overview } from "./responses.ts";
import { AnswerDialog } from "./answer.tsx";
import { Budgets } from "./budgets.tsx";
import { Check } from "./checks.tsx";
import { Gate } from "./gate.tsx";
import { JobPanel } from "./job-panel.tsx";
import { Jobs } from "./jobs.tsx";
import { Log } from "./log.tsx";
import { Ops, OpsProvider, stale, useRefresh, useResponse } from "./ops.ts";
import { toneOf } from "./overview.ts";
import { Parked } from "./parked.tsx";
import { Loaded } from "./parts.tsx";
import { Providers } from "./providers.tsx";

const TONES: Record<Judged<unknown>["verdict"], { tone: Tone; word: string }> =
  {
    good: { tone: "good", word: "Good" },
    attention: { tone: "warn", word: "Check" },
    bad: { tone: "bad", word: "Bad" },
  };

const SECTIONS: Readonly<
  Record<string, { name: string; view: () => ComponentChild }>
> = {
  activity: { name: "Activity", view: () => <Activity /> },
  providers: { name: "Providers", view: () => <Providers /> },
  jobs: { name: "Jobs", view: () => <Jobs /> },
  budgets: { name: "Budgets", view: () => <Budgets /> },
  log: { name: "Log", view: () => <Log /> },
};
const FIRST = "activity";

function Tile(
  { name, number, shown }: {
    name: string;
    number: Judged<number | null>;
    shown: string;
  },
) {
  const { tone, word } = TONES[number.verdict];
  return (
    <li class="card tile">
      <p class="row apart">
        <span class="soft">{name}</span>
        <Badge tone={tone}>{word}</Badge>
      </p>
      <p class="tile-number">{shown}</p>
      <p class="small soft">{withProviderNames(number.words)}</p>
    </li>
  );
}

function Numbers({ overview }: { overview: Overview }) {
  const { waiting, running, oldest_waiting, failed_last_hour } = overview;
  const oldest = oldest_waiting.value;
  const wrong = overview.checks.filter(({ status }) => status !== "ok");
  return (
    <div class="stack">
      <Notice kind={toneOf(overview)}>
        <div class="stack tight">
          <p class="verdict">{withProviderNames(overview.words)}</p>
          {wrong.map(({ name, observed }) => (
            <Check
              key={name}
              name={name}
              observed={observed}
              overview={overview}
            />
          ))}
        </div>
      </Notice>
      <ul class="tiles" aria-label="Numbers">
        <Tile
          name="Waiting"
          number={waiting}
          shown={String(waiting.value)}
        />
        <Tile
          name="Running"
          number={running}
          shown={String(running.value)}
        />
        <Tile
          name="Oldest waiting"
          number={oldest_waiting}
          shown={oldest === null ? "–" : lengthOf(oldest * 1000)}
        />
        <Tile
          name="Failures in the last hour"
          number={failed_last_hour}
          shown={String(failed_last_hour.value)}
        />
      </ul>
      <p class="row apart small soft">
        <span>
          Stuck: {overview.stuck.value} · last hour:{" "}
          {countOf(overview.completed_last_hour, "job")} done,{" "}
          {microsOf(overview.spent_micros_last_hour)} spent
        </span>
        <span>as of {secondOf(overview.checked_at)}</span>
      </p>
    </div>
  );
}

function Board() {
  useRefresh();
  const overview = useResponse("overview");
  const chosen = query.value.get("view") ?? FIRST;
  const view = Object.hasOwn(SECTIONS, chosen) ? chosen : FIRST;
  const job = query.value.get("job");
  const parked = overview.data?.parked.value ?? 0;
  // The section stays until its last answered job is hidden.
  const hasParked = useSignal(false);
  useEffect(() => {
    if (parked > 0) hasParked.value = true;
  }, [parked]);
  const said = stale.value[0]?.problem;
  return (
    <div class="stack board">
      <h1 tabIndex={-1}>Console</h1>
      {said !== undefined && <Notice kind="bad">{said}</Notice>}
      <Loaded response={overview}>
        {(data) => <Numbers overview={data} />}
      </Loaded>
      {(parked > 0 || hasParked.value) && (
        <Parked
          count={parked}
          onEmpty={() => hasParked.value = false}
        />
      )}
      <nav class="tabs" aria-label="Sections">
        {Object.entries(SECTIONS).map(([id, { name }]) => (
          <Link
            key={id}
            to={id === FIRST ? "/ops" : `/ops?view=${id}`}
            isCurrent={id === view}
          >
            {name}
          </Link>
        ))}
      </nav>
      <div class="stack" key={view}>{SECTIONS[view]?.view()}</div>
      {job !== null && <JobPanel key={job} id={job} />}
      <AnswerDialog />
    </div>
  );
}

/** The console; other users see how to become an operator. */
export function Console({ person }: { person: Person }) {
  const backend = useBackend();
  const ops = useMemo(() => new Ops(backend), [backend]);
  const wasOperator = useRef(false);
  if (person.isOperator) {
    wasOperator.current = true;
    return (
      <OpsProvider value={ops}>
        <Board />
      </OpsProvider>
    );
  }
  return (
    <>
      <h1 tabIndex={-1}>Console</h1>
      <Gate person={person} hasLost={wasOperator.current} />
    </>
  );
}
