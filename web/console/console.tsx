/** The console for operators. */
import { EmptyState } from "../parts/empty-state.tsx";
import type { Person } from "../shell/session.ts";

/** The console; other users see how to become an operator. */
export function Console({ person }: { person: Person }) {
  return (
    <>
      <h1 tabIndex={-1}>Console</h1>
      {!person.isOperator && (
        <EmptyState
          icon="gauge"
          title="The console is for operators"
          text="Your account has no operator role in this project."
        />
      )}
    </>
  );
}
