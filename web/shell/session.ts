/** The signed-in user. supabase-js stores the session in the browser, refreshes it, and informs all tabs of changes. */
import { type ReadonlySignal, signal } from "@preact/signals";
import type { SupabaseClient, User } from "@supabase/supabase-js";
import { recall, remember } from "./memory.ts";

/** The user as the page shows it. */
export interface Person {
  id: string;
  email: string;
  /** Whether the token says `app_metadata.role = ai_operator`; the server decides by itself. */
  isOperator: boolean;
}

/** Why nobody is signed in: not yet or not any more, the session ended by itself, or the account was deleted. */
export type Absence = "left" | "expired" | "deleted";

/** The state of the session. */
export type SessionState =
  | { state: "loading" }
  | { state: "out"; why: Absence }
  | { state: "in"; person: Person };

/** Set from the sign-in to the sign-out, so that a session that disappears in between has expired. */
const PRESENCE_KEY = "heirloom.signed-in";

/** The session of one supabase-js client. */
export class Session {
  readonly #supabase: SupabaseClient;
  readonly #current = signal<SessionState>({ state: "loading" });

  constructor(supabase: SupabaseClient) {
    this.#supabase = supabase;
    supabase.auth.onAuthStateChange((_event, session) => {
      this.#set(session?.user);
    });
  }

  /** The state, for components. */
  get current(): ReadonlySignal<SessionState> {
    return this.#current;
  }

  /** Signs in. @throws {AuthError} of supabase-js. */
  async signIn(email: string, password: string): Promise<void> {
    const { error } = await this.#supabase.auth.signInWithPassword({
      email,
      password,
    });
    if (error !== null) throw error;
  }

  /**
   * Signs up. Resolves with false when the project first wants the address to be confirmed.
   *
   * @throws {AuthError} of supabase-js.
   */
  async signUp(email: string, password: string): Promise<boolean> {
    const { data, error } = await this.#supabase.auth.signUp({
      email,
      password,
    });
    if (error !== null) throw error;
    return data.session !== null;
  }

  /** Signs out on this device, even when the server does not respond. */
  async signOut(): Promise<void> {
    remember(PRESENCE_KEY, null);
    await this.#supabase.auth.signOut({ scope: "local" });
    this.#set(undefined);
  }

  /** To be called when the project refuses the token with this code: renews the session or ends it. */
  async refuse(code: string): Promise<void> {
    if (code !== "account_not_found") {
      await this.renew();
      return;
    }
    remember(PRESENCE_KEY, null);
    this.#current.value = { state: "out", why: "deleted" };
    await this.#supabase.auth.signOut({ scope: "local" });
  }

  /** Refreshes the session, and ends it where that is refused. Resolves with false when there was no response. */
  async renew(): Promise<boolean> {
    const { data, error } = await this.#supabase.auth.refreshSession();
    const status = error?.status ?? 0;
    // Without a response, or one that only postpones, the session is kept.
    if (error === null || status === 0 || status === 429 || status >= 500) {
      if (data.session !== null) this.#set(data.session.user);
      return error === null;
    }
    await this.#supabase.auth.signOut({ scope: "local" });
    return true;
  }

  #set(user: User | undefined): void {
    const before = this.#current.value;
    if (user === undefined) {
      if (before.state !== "out") {
        this.#current.value = {
          state: "out",
          why: recall(PRESENCE_KEY) === null ? "left" : "expired",
        };
      }
      return;
    }
    remember(PRESENCE_KEY, "yes");
    const person = {
      id: user.id,
      email: user.email ?? "",
      isOperator: user.app_metadata["role"] === "ai_operator",
    };
    const isSame = before.state === "in" && before.person.id === person.id &&
      before.person.isOperator === person.isOperator;
    if (!isSame) this.#current.value = { state: "in", person };
  }
}
