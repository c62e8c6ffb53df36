/** Signing in and up. */
import { useSignal } from "@preact/signals";
import { Button } from "../parts/button.tsx";
import { Field } from "../parts/field.tsx";
import { Icon } from "../parts/icon.tsx";
import { Notice } from "../parts/notice.tsx";
import { describeError } from "../words/errors.ts";
import { useBackend } from "./backend.ts";

const SHORTEST_PASSWORD = 6;

/** The form, and beside it what the page is for. */
export function SignIn({ isExpired }: { isExpired: boolean }) {
  const { session, config } = useBackend();
  const isNew = useSignal(false);
  const email = useSignal("");
  const password = useSignal("");
  const problem = useSignal<string | null>(null);
  const isConfirming = useSignal(false);
  const isBusy = useSignal(false);
  const { demoUser } = config;

  async function attempt(action: () => Promise<unknown>): Promise<void> {
    isBusy.value = true;
    problem.value = null;
    try {
      await action();
    } catch (error) {
      problem.value = describeError(error).text;
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
      <section class="welcome-text">
        <h1 tabIndex={-1}>Keep a voice. Make a photo talk.</h1>
        <p class="lead">
          Record somebody for a minute, and hear them read anything you write.
          Bring an old portrait to life, write a call down, and print the photos
          as a book.
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
      <section class="card welcome-form" aria-labelledby="sign-in-title">
        <h2 id="sign-in-title">
          {isNew.value ? "Create an account" : "Sign in"}
        </h2>
        {isExpired && problem.value === null && (
          <Notice kind="warn">
            Your session has ended. Sign in again; your jobs kept running.
          </Notice>
        )}
        {isConfirming.value && (
          <Notice kind="good">
            We have sent you a letter. Open the link in it, then sign in here.
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
              ? `At least ${SHORTEST_PASSWORD} characters.`
              : undefined}
          >
            {(id) => (
              <input
                id={id}
                type="password"
                autocomplete={isNew.value ? "new-password" : "current-password"}
                required
                minLength={isNew.value ? SHORTEST_PASSWORD : undefined}
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
        {demoUser !== undefined && (
          <div class="demo-user">
            <p class="soft">
              Or look around as a family that has made a few things already.
            </p>
            <Button
              isBusy={isBusy.value}
              onClick={() =>
                attempt(() =>
                  session.signIn(demoUser.email, demoUser.password)
                )}
            >
              Sign in as {demoUser.email}
            </Button>
          </div>
        )}
      </section>
    </div>
  );
}
