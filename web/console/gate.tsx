/** What a user without the operator role sees in place of the console. */
import { useSignal } from "@preact/signals";
import { EmptyState } from "../parts/empty-state.tsx";
import { Notice } from "../parts/notice.tsx";
import { toast } from "../parts/toast.tsx";
import { useBackend } from "../shell/backend.ts";
import type { Person } from "../shell/session.ts";
import { describeError } from "../words/errors.ts";
import { ActButton } from "./act-button.tsx";
import { Copyable } from "./parts.tsx";

/** How to get the role; `hasLost` when the account had it a moment ago. */
export function Gate(
  { person, hasLost }: { person: Person; hasLost: boolean },
) {
  const { session, config } = useBackend();
  const { demoOperator, sqlCommand } = config;
  const email = person.email.replaceAll("'", "''");
  const statement =
    `update auth.users set raw_app_meta_data = raw_app_meta_data || jsonb_build_object('role', 'ai_operator') where email = '${email}'`;
  const refusal = useSignal<string | null>(null);
  const attempt = async (action: () => Promise<unknown>) => {
    try {
      await action();
    } catch (error) {
      toast(describeError(error), "bad");
    }
  };
  const renew = async () => {
    refusal.value = null;
    const isRenewed = await session.renew();
    const { value } = session.current;
    if (value.state !== "in" || value.person.isOperator) return;
    refusal.value = isRenewed
      ? "This account still has no operator role."
      : "The role could not be checked: the service did not answer. Try again in a minute.";
  };
  return (
    <EmptyState
      icon="gauge"
      title="The console is for operators"
      text={hasLost
        ? "Your account is not an operator of this project any more."
        : `${person.email} does not have the operator role.`}
    >
      {demoOperator !== undefined && (
        <ActButton
          kind="primary"
          act={() =>
            attempt(() =>
              session.signIn(demoOperator.email, demoOperator.password)
            )}
        >
          Sign in as {demoOperator.email}
        </ActButton>
      )}
      <div class="grant">
        <p>
          {demoOperator !== undefined && "Or make this account an operator. "}
          {sqlCommand === undefined
            ? "An administrator of the project grants the role with this line in the SQL editor:"
            : "Run this in a second terminal, in your clone of edge-ai-jobs:"}
        </p>
        <Copyable
          label={sqlCommand === undefined
            ? "Copy the statement"
            : "Copy the command"}
          text={sqlCommand === undefined
            ? `${statement};`
            : `${sqlCommand} "${statement}"`}
        />
        <ActButton icon="retry" act={() => attempt(renew)}>
          I have the role now
        </ActButton>
        {refusal.value !== null && <Notice kind="bad">{refusal.value}</Notice>}
      </div>
    </EmptyState>
  );
}
