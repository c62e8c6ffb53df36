/** The month's budgets, and who spent how much. */
import { useSignal } from "@preact/signals";
import { useId } from "preact/hooks";
import { Badge } from "../parts/badge.tsx";
import { Button, SubmitButton } from "../parts/button.tsx";
import { Card } from "../parts/card.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { EmptyState } from "../parts/empty-state.tsx";
import { Field } from "../parts/field.tsx";
import { type Column, Table } from "../parts/table.tsx";
import { Link, query, setQuery } from "../shell/router.tsx";
import { providerName } from "../words/providers.ts";
import { microsOf } from "../words/times.ts";
import { useOps, useResponse } from "./ops.ts";
import { Loaded } from "./parts.tsx";
import { PauseDialog, type PausedUser } from "./pause-dialog.tsx";
import { useSending } from "./sending.ts";

/** Whose budget is changed. */
interface Target {
  name: string;
  body: { user_id?: string; provider?: string };
  budget: number | null;
}

function BudgetDialog(
  { target, onClose }: { target: Target; onClose: () => void },
) {
  const ops = useOps();
  const dollars = useSignal(
    target.budget === null ? "" : String(target.budget / 1e6),
  );
  const form = useId();
  const none = target.body.user_id === undefined ? "no limit" : "the default";
  const { isBusy, isShown, send } = useSending();
  const save = async () => {
    const budget_micros = dollars.value === ""
      ? null
      : Math.round(Number(dollars.value) * 1e6);
    const isDone = await ops.act(
      "set_budget",
      { ...target.body, budget_micros },
      ({ budget_micros }) =>
        `The budget of ${target.name} is ${
          budget_micros === null ? none : microsOf(budget_micros)
        }.`,
    );
    if (isDone && isShown()) onClose();
  };
  return (
    <Dialog
      title={`Budget of ${target.name}`}
      onClose={onClose}
      actions={
        <SubmitButton form={form} isBusy={isBusy}>Set the budget</SubmitButton>
      }
    >
      <form
        id={form}
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void send(save);
        }}
      >
        <Field label="US dollars a month" hint={`Empty: ${none}.`}>
          {(id, describedBy) => (
            <input
              id={id}
              aria-describedby={describedBy}
              type="number"
              min="0"
              max="1000000"
              step="any"
              value={dollars}
              onInput={(event) => dollars.value = event.currentTarget.value}
            />
          )}
        </Field>
      </form>
    </Dialog>
  );
}

interface Spent {
  budget_micros: number | null;
  spent_micros: number;
  reserved_micros: number;
}

/** The columns that users and providers share. */
function columnsOf<R extends Spent>(
  none: string,
  edit: (row: R) => void,
): Column<R>[] {
  return [
    {
      head: "Spent",
      isNumber: true,
      cell: ({ spent_micros }) => microsOf(spent_micros),
    },
    {
      head: "Reserved",
      isNumber: true,
      cell: ({ reserved_micros }) => microsOf(reserved_micros),
    },
    {
      head: "Budget",
      isNumber: true,
      cell: ({ budget_micros }) =>
        budget_micros === null ? none : microsOf(budget_micros),
    },
    {
      head: "Change",
      cell: (row) => <Button isSmall onClick={() => edit(row)}>Set …</Button>,
    },
  ];
}

/** The section. */
export function Budgets() {
  const cursor = query.value.get("cursor");
  const target = useSignal<Target | null>(null);
  const pausing = useSignal<PausedUser | null>(null);
  const response = useResponse("budgets", {
    limit: 25,
    ...(cursor === null ? {} : { cursor }),
  });
  return (
    <Loaded response={response}>
      {({ default_budget_micros: standard, providers, users, next_cursor }) => (
        <>
          <Card title="Providers this month" class="flush">
            <Table
              caption="Budgets of providers"
              rows={providers}
              keyOf={({ provider }) => provider}
              columns={[
                {
                  head: "Provider",
                  cell: ({ provider }) => providerName(provider),
                },
                ...columnsOf<typeof providers[number]>("no limit", (row) =>
                  target.value = {
                    name: providerName(row.provider),
                    body: { provider: row.provider },
                    budget: row.budget_micros,
                  }),
              ]}
            />
          </Card>
          <Card
            title="Users this month"
            class="flush"
            end={
              <Button
                isSmall
                onClick={() =>
                  target.value = {
                    name: "every user",
                    body: {},
                    budget: standard,
                  }}
              >
                Default: {standard === null ? "no limit" : microsOf(standard)} …
              </Button>
            }
          >
            <Table
              caption="Budgets of users"
              rows={users}
              keyOf={({ user_id }) => user_id}
              empty={
                <EmptyState
                  icon="person"
                  title="No spending yet"
                  text="Users appear here with their first paid call of the month."
                />
              }
              columns={[
                {
                  head: "User",
                  cell: ({ user_id, email, is_paused }) => (
                    <span class="row">
                      <Link to={`/ops?view=jobs&user=${user_id}`}>
                        {email ?? user_id.slice(0, 8)}
                      </Link>
                      {is_paused && <Badge tone="warn">Paused</Badge>}
                    </span>
                  ),
                },
                ...columnsOf<typeof users[number]>("default", (row) =>
                  target.value = {
                    name: row.email ?? row.user_id.slice(0, 8),
                    body: { user_id: row.user_id },
                    budget: row.budget_micros,
                  }),
                {
                  head: "Jobs",
                  cell: ({ user_id, email, is_paused }) => (
                    <Button
                      isSmall
                      icon={is_paused ? "play" : "pause"}
                      onClick={() =>
                        pausing.value = {
                          user_id,
                          name: email ?? user_id.slice(0, 8),
                          isPaused: is_paused,
                        }}
                    >
                      {is_paused ? "Resume …" : "Pause …"}
                    </Button>
                  ),
                },
              ]}
            />
            {(cursor !== null || next_cursor !== null) && (
              <div class="row">
                <Button
                  isSmall
                  isDisabled={cursor === null}
                  onClick={() => setQuery({ cursor: null })}
                >
                  From the top
                </Button>
                <Button
                  isSmall
                  isDisabled={next_cursor === null}
                  onClick={() =>
                    setQuery({ cursor: next_cursor })}
                >
                  More
                </Button>
              </div>
            )}
          </Card>
          {pausing.value !== null && (
            <PauseDialog
              user={pausing.value}
              onClose={() => pausing.value = null}
            />
          )}
          {target.value !== null && (
            <BudgetDialog
              target={target.value}
              onClose={() => target.value = null}
            />
          )}
        </>
      )}
    </Loaded>
  );
}
