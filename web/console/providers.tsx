/** The providers: breaker, load, errors, costs, and the ways to act on them. */
import { Badge, type Tone } from "../parts/badge.tsx";
import { Button } from "../parts/button.tsx";
import { Card } from "../parts/card.tsx";
import { Progress } from "../parts/progress.tsx";
import {
  countOf,
  microsOf,
  secondOf,
  shareOf,
  whenOf,
} from "../words/times.ts";
import type { Provider } from "./answers.ts";
import { useAnswer, useOps } from "./ops.ts";
import { canProbe } from "./overview.ts";
import { Facts, Loaded } from "./parts.tsx";

const STATES: Record<Provider["state"], { tone: Tone; name: string }> = {
  working: { tone: "good", name: "Working" },
  paused: { tone: "warn", name: "Paused" },
  open: { tone: "bad", name: "Breaker open" },
  probing: { tone: "busy", name: "Probing" },
};

function standing(one: Provider): string {
  if (one.paused_at !== null) {
    return `Paused since ${whenOf(one.paused_at)}. Its jobs wait.`;
  }
  if (one.state === "open" && one.open_since !== null) {
    const next = one.next_probe_at === null
      ? ""
      : ` Next probe at ${secondOf(one.next_probe_at)}.`;
    return `Down since ${whenOf(one.open_since)}. Its jobs wait.${next}`;
  }
  return one.state === "probing"
    ? "One job at a time tries whether it works again."
    : one.provider === "internal"
    ? "Not an AI service: what the functions make themselves, such as books."
    : "It answers normally.";
}

function ProviderCard({ one }: { one: Provider }) {
  const ops = useOps();
  const { provider, state, running, max_concurrent, error_rate } = one;
  const { tone, name } = STATES[state];
  const isPaused = one.paused_at !== null;
  return (
    <Card
      title={provider}
      class="provider"
      end={<Badge tone={tone}>{name}</Badge>}
    >
      <p class="small soft">{standing(one)}</p>
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
          label={`In flight at ${provider}`}
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
          "Cost, last hour": microsOf(one.spend_micros_last_hour),
          "Cost, last day": microsOf(one.spend_micros_last_day),
          "This month": `${microsOf(one.spent_micros_this_month)}${
            one.budget_micros === null
              ? ", no limit"
              : ` of ${microsOf(one.budget_micros)}`
          }`,
        }}
      />
      <div class="row">
        <Button
          isSmall
          icon={isPaused ? "play" : "pause"}
          label={`${isPaused ? "Resume" : "Pause"} ${provider}`}
          onClick={() =>
            ops.act(
              isPaused ? "resume" : "pause",
              { provider },
              ({ is_paused }) => is_paused
                ? `${provider} is paused. Its jobs wait until you resume it.`
                : `${provider} works again.`,
            )}
        >
          {isPaused ? "Resume" : "Pause"}
        </Button>
        <Button
          isSmall
          icon="gauge"
          label={`Probe ${provider} now`}
          isDisabled={!canProbe(one)}
          onClick={() =>
            ops.act("probe", { provider }, ({ is_probing }) =>
              is_probing
                ? `The next job tries ${provider}.`
                : "Its breaker is not open.")}
        >
          Probe now
        </Button>
      </div>
    </Card>
  );
}

/** The section. */
export function Providers() {
  const answer = useAnswer("providers");
  return (
    <Loaded answer={answer}>
      {({ providers }) => (
        <div class="providers">
          {providers.map((one) => (
            <ProviderCard
              key={one.provider}
              one={one}
            />
          ))}
        </div>
      )}
    </Loaded>
  );
}
