/** The providers: breaker, load, errors, costs, and the ways to act on them. */
import { Badge, type Tone } from "../parts/badge.tsx";
import { Card } from "../parts/card.tsx";
import { Progress } from "../parts/progress.tsx";
import { providerName } from "../words/providers.ts";
import { countOf, microsOf, secondOf, shareOf } from "../words/times.ts";
import { ActButton } from "./act-button.tsx";
import type { Provider } from "./responses.ts";
import { useOps, useResponse } from "./ops.ts";
import { probeOf, standingOf } from "./overview.ts";
import { Facts, Loaded } from "./parts.tsx";

const STATES: Record<Provider["state"], { tone: Tone; name: string }> = {
  working: { tone: "good", name: "Working" },
  paused: { tone: "warn", name: "Paused" },
  open: { tone: "bad", name: "Down" },
  probing: { tone: "busy", name: "Probing" },
};

function ProviderCard({ one }: { one: Provider }) {
  const ops = useOps();
  const { provider, state, running, max_concurrent, error_rate } = one;
  const { tone, name } = STATES[state];
  const probe = probeOf(one);
  const called = providerName(provider);
  const isPaused = one.paused_at !== null;
  return (
    <Card
      title={called}
      class="provider"
      end={<Badge tone={tone}>{name}</Badge>}
    >
      <div class={state === "working" ? "small soft" : "small"}>
        {standingOf(one).map((line) => <p key={line}>{line}</p>)}
      </div>
      <div class="stack tight">
        <p class="row apart small">
          <span>
            <b>{running}</b> in flight of {max_concurrent}
          </span>
          <span class="soft">
            {countOf(one.waiting, "job")} waiting
            {one.scheduled > 0 && `, ${one.scheduled} for later`}
          </span>
        </p>
        <Progress
          label={`In flight at ${called}`}
          value={max_concurrent === 0 ? 0 : (running / max_concurrent) * 100}
        />
      </div>
      <Facts
        facts={{
          "Errors, last hour": error_rate === null
            ? "no calls"
            : `${shareOf(error_rate)} of ${
              countOf(one.calls_last_hour, "call")
            }`,
          "Cost, last hour": microsOf(one.spent_micros_last_hour),
          "Cost, last day": microsOf(one.spent_micros_last_day),
          "This month": `${microsOf(one.spent_micros_this_month)}${
            one.budget_micros === null
              ? ", no limit"
              : ` of ${microsOf(one.budget_micros)}`
          }`,
        }}
      />
      <div class="row">
        <ActButton
          isSmall
          icon={isPaused ? "play" : "pause"}
          label={`${isPaused ? "Resume" : "Pause"} ${called}`}
          act={() =>
            ops.act(
              isPaused ? "resume" : "pause",
              { provider },
              ({ is_paused }) => is_paused
                ? `${called} is paused. Its jobs wait until you resume it.`
                : `${called} works again.`,
            )}
        >
          {isPaused ? "Resume" : "Pause"}
        </ActButton>
        {provider !== "internal" && (
          <>
            <ActButton
              isSmall
              icon="gauge"
              label={`Probe ${called} now`}
              describedBy={`probe-${provider}`}
              isDisabled={!probe.isUseful}
              act={() =>
                ops.act("probe", { provider }, ({ is_probing }) =>
                  !is_probing
                    ? `The breaker of ${called} is not open.`
                    : one.waiting > 0
                    ? `The next job tries ${called}.`
                    : `The next job that arrives tries ${called}.`)}
            >
              Probe now
            </ActButton>
            <span id={`probe-${provider}`} class="small soft">
              {probe.words}
            </span>
          </>
        )}
      </div>
    </Card>
  );
}

/** The section. */
export function Providers() {
  const response = useResponse("providers");
  return (
    <Loaded response={response}>
      {({ checked_at, providers }) => (
        <>
          <div class="providers">
            {providers.map((one) => (
              <ProviderCard
                key={one.provider}
                one={one}
              />
            ))}
          </div>
          <p class="row end small soft">as of {secondOf(checked_at)}</p>
        </>
      )}
    </Loaded>
  );
}
