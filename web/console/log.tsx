/** The record of operator actions. */
import { Card } from "../parts/card.tsx";
import { EmptyState } from "../parts/empty-state.tsx";
import { Table } from "../parts/table.tsx";
import { momentOf } from "../words/times.ts";
import { useResponse } from "./ops.ts";
import { Loaded } from "./parts.tsx";

/** The section: the last fifty actions. */
export function Log() {
  const response = useResponse("actions", { limit: 50 });
  return (
    <Card title="What operators did" class="flush">
      <Loaded response={response}>
        {({ actions }) => (
          <Table
            caption="Actions"
            rows={actions}
            keyOf={({ id }) => String(id)}
            empty={
              <EmptyState
                icon="clock"
                title="Nothing yet"
                text="Every action, and every look at a user's content, is recorded here."
              />
            }
            columns={[
              {
                head: "When",
                cell: ({ created_at }) => momentOf(created_at),
              },
              {
                head: "Who",
                cell: ({ operator_email, operator_id }) =>
                  operator_email ?? operator_id.slice(0, 8),
              },
              {
                head: "What",
                cell: ({ action }) => action.replaceAll("_", " "),
              },
              {
                head: "Details",
                isWide: true,
                cell: ({ details }) => (
                  <span class="small">
                    {Object.entries(details).filter(([, value]) =>
                      value !== null
                    ).map(([name, value]) =>
                      `${name.replaceAll("_", " ")}: ${String(value)}`
                    ).join(", ")}
                  </span>
                ),
              },
            ]}
          />
        )}
      </Loaded>
    </Card>
  );
}
