/** Jobs that need a decision: a paid call was sent, and its outcome is unknown. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Badge } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { Card } from "../parts/card.tsx";
import { Icon } from "../parts/icon.tsx";
import { setQuery } from "../shell/router.tsx";
import { providerName } from "../words/providers.ts";
import { searchOf } from "../words/searches.ts";
import { countOf, microsOf, momentOf } from "../words/times.ts";
import { ParkedAnswers, ParkedSearch } from "./answer.tsx";
import { useResponse } from "./ops.ts";
import { keepPlaces, type Place } from "./parked-places.ts";
import { JobLink, Loaded, typeName } from "./parts.tsx";

/** Jobs that are read, and those of them that are shown at first. */
const MAX_SHOWN = 20;
const INITIALLY_SHOWN = 3;

function ParkedItem({ job, isAnswered }: Place) {
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
      <div class="row answers">
        {isAnswered
          ? <Badge tone="good">Answered</Badge>
          : call !== undefined && <ParkedAnswers job={job} call={call} />}
      </div>
    </li>
  );
}

/**
 * The section; `count` are all parked jobs. A job that was answered keeps its place until the operator hides it, so that
 * no other one comes under the pointer; `onEmpty` is called when nothing is left.
 */
export function Parked(
  { count, onEmpty }: { count: number; onEmpty: () => void },
) {
  const { data, problem } = useResponse("parked", { limit: MAX_SHOWN });
  const areAllShown = useSignal(false);
  const hidden = useSignal(0);
  const shown = useRef<readonly Place[]>([]);
  const places = useMemo(() => {
    if (data === undefined) return;
    const now = keepPlaces(shown.current, data.jobs, {
      open: areAllShown.value ? MAX_SHOWN : INITIALLY_SHOWN,
      limit: MAX_SHOWN,
    });
    shown.current = now.shown;
    return now;
  }, [data, areAllShown.value, hidden.value]);
  const hide = () => {
    shown.current = shown.current.filter(({ isAnswered }) => !isAnswered);
    hidden.value++;
  };
  const isEmpty = count === 0 && places !== undefined &&
    places.shown.length + places.more.length === 0;
  useEffect(() => {
    if (isEmpty) onEmpty();
  }, [isEmpty]);
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
      <Loaded response={{ data: places, problem }}>
        {({ shown, more }) => (
          <ul class="stack">
            {shown.map((place) => (
              <ParkedItem key={place.job.job_id} {...place} />
            ))}
            {(more.length > 0 || shown.some((place) => place.isAnswered)) && (
              <li class="row">
                {more.length > 0 && (
                  <Button
                    isSmall
                    onClick={() => areAllShown.value = true}
                  >
                    Show {more.length} more
                  </Button>
                )}
                {shown.some((place) =>
                  place.isAnswered
                ) && <Button isSmall onClick={hide}>Hide the answered</Button>}
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
