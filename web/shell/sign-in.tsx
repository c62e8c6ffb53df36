/** The form that signs users in and up. */
import { useSignal } from "@preact/signals";
import { Button } from "../parts/button.tsx";
import { Field } from "../parts/field.tsx";
import { Icon } from "../parts/icon.tsx";
import { Notice } from "../parts/notice.tsx";
import { describeError } from "../words/errors.ts";
import { useBackend } from "./backend.ts";
import type { Absence } from "./session.ts";

const MIN_PASSWORD_LENGTH = 6;

function StudioPitch() {
  return (
    <section class="welcome-text">
      <h1 tabIndex={-1}>Keep a voice. Make a photo talk.</h1>
      <p class="lead">
        Record a voice for a minute, and hear it read anything you write. Bring
        an old portrait to life, turn a call into text, and print your photos as
        a book.
      </p>
      <ul class="welcome-list">
        <li>
          <Icon name="microphone" /> Clone a voice from one recording
        </li>
        <li>
          <Icon name="film" /> Let a portrait speak
        </li>
        <li>
          <Icon name="text" /> Read a call, speaker by speaker
        </li>
        <li>
          <Icon name="book" /> Print a keepsake of your photos
        </li>
      </ul>
    </section>
  );
}

function ConsolePitch() {
  return (
    <section class="welcome-text">
      <h1 tabIndex={-1}>See what runs, and act on it.</h1>
      <p class="lead">
        The console is for operators: the people who keep the jobs of all users
        running. Sign in with an account that has the operator role.
      </p>
      <ul class="welcome-list">
        <li>
          <Icon name="gauge" /> Know at a glance whether jobs run
        </li>
        <li>
          <Icon name="person" /> Settle paid calls whose outcome is unknown
        </li>
        <li>
          <Icon name="pause" /> Pause a provider, or test one that is down
        </li>
        <li>
          <Icon name="retry" /> Run failed jobs again, after a count and a price
        </li>
      </ul>
    </section>
  );
}

/** The form, and next to it the purpose of the page. */
export function SignIn(
  { why, isConsole }: { why: Absence; isConsole: boolean },
) {
  const { session, config } = useBackend();
  const isNew = useSignal(false);
  const email = useSignal("");
  const password = useSignal("");
  const problem = useSignal<string | null>(null);
  const isConfirming = useSignal(false);
  const isBusy = useSignal(false);
  const demo = isConsole ? config.demoOperator : config.demoUser;

  async function attempt(action: () => Promise<unknown>): Promise<void> {
    isBusy.value = true;
    problem.value = null;
    try {
      await action();
    } catch (error) {
      problem.value = describeError(error);
    } finally {
      isBusy.value = false;
    }
  }

  const submit = () =>
    attempt(async () => {
      if (!isNew.value) {
        return await session.signIn(email.value.trim(), password.value);
      }
      isConfirming.value = !await session.signUp(
        email.value.trim(),
        password.value,
      );
    });

  return (
    <div class="welcome">
      {isConsole ? <ConsolePitch /> : <StudioPitch />}
      <section class="card welcome-form" aria-labelledby="sign-in-title">
        <h2 id="sign-in-title">
          {isNew.value ? "Create an account" : "Sign in"}
        </h2>
        {why !== "left" && problem.value === null && (
          <Notice kind="warn">
            {why === "deleted"
              ? "This account no longer exists. You were signed out."
              : "Your session has ended. Sign in again; your jobs kept running."}
          </Notice>
        )}
        {isConfirming.value && (
          <Notice kind="good">
            We sent you an email. Open the link in it, then sign in here.
          </Notice>
        )}
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void submit();
          }}
        >
          <Field label="Email">
            {(id) => (
              <input
                id={id}
                type="email"
                autocomplete="email"
                required
                value={email}
                onInput={(event) => email.value = event.currentTarget.value}
              />
            )}
          </Field>
          <Field
            label="Password"
            hint={isNew.value
              ? `At least ${MIN_PASSWORD_LENGTH} characters.`
              : undefined}
          >
            {(id) => (
              <input
                id={id}
                type="password"
                autocomplete={isNew.value ? "new-password" : "current-password"}
                required
                minLength={isNew.value ? MIN_PASSWORD_LENGTH : undefined}
                value={password}
                onInput={(event) => password.value = event.currentTarget.value}
              />
            )}
          </Field>
          {problem.value !== null && <Notice kind="bad">{problem.value}
          </Notice>}
          <Button kind="primary" type="submit" isBusy={isBusy.value}>
            {isNew.value ? "Create account" : "Sign in"}
          </Button>
        </form>
        <p class="soft">
          {isNew.value ? "You have an account?" : "New here?"}{" "}
          <button
            type="button"
            class="as-link"
            onClick={() => {
              isNew.value = !isNew.value;
              problem.value = null;
            }}
          >
            {isNew.value ? "Sign in" : "Create an account"}
          </button>
        </p>
        {demo !== undefined && (
          <div class="demo-user">
            <p class="soft">
              {isConsole
                ? "Or look around as the operator of this stack."
                : "Or look around with an account that has made a few things already."}
            </p>
            <Button
              isBusy={isBusy.value}
              onClick={() =>
                attempt(() => session.signIn(demo.email, demo.password))}
            >
              Sign in as {demo.email}
            </Button>
          </div>
        )}
      </section>
    </div>
  );
}
