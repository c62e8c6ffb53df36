/** The function `ops`: requests, and responses that are read again every five seconds while the page is visible. */
import { signal, useSignal } from "@preact/signals";
import { createContext } from "preact";
import { useContext, useEffect } from "preact/hooks";
import { isAiJobsError, NotSignedIn } from "../../client/mod.ts";
import { callFunction } from "../../client/server.ts";
import { toast } from "../parts/toast.tsx";
import type { Backend } from "../shell/backend.ts";
import { describeError } from "../words/errors.ts";
import { type Action, describeFailure, isRepeatable } from "./outcomes.ts";
import { poll, Reader, refresh } from "./reader.ts";
import type { OpsResponses } from "./responses.ts";

const EVERY_MS = 5000;

type Body = Record<string, unknown>;

/** Why sections that still show what they had could not be read again. */
export const stale = signal<readonly { problem: string }[]>([]);

/** Reads everything every five seconds, immediately when a hidden page is shown again, and never while it is hidden. */
export function useRefresh(): void {
  useEffect(() => {
    let timer: ReturnType<typeof setInterval> | undefined;
    const follow = () => {
      clearInterval(timer);
      if (document.hidden) return;
      timer = setInterval(poll, EVERY_MS);
    };
    const onChange = () => {
      follow();
      if (!document.hidden) poll();
    };
    follow();
    document.addEventListener("visibilitychange", onChange);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", onChange);
    };
  }, []);
}

/** The operator's API for the signed-in user. */
export class Ops {
  readonly #backend: Backend;
  /** The renewal after a refusal; until a request succeeds, there is no second one. */
  #renewal: Promise<unknown> | undefined;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** Sends one action. @throws {AiJobsError} */
  async call<A extends Action>(
    action: A,
    body?: Body,
    signal?: AbortSignal,
  ): Promise<OpsResponses[A]>;
  async call(
    action: Action,
    body: Body = {},
    signal?: AbortSignal,
  ): Promise<unknown> {
    try {
      const response = await callFunction(this.#backend.supabase, "ops", {
        body: { action, ...body },
        signal,
        isOnce: !isRepeatable(action),
      });
      this.#renewal = undefined;
      return response;
    } catch (error) {
      // A new token shows whether the role was revoked. Every refused request waits for it, so that only the gate
      // reports that. Only once: an account that keeps the role must not renew endlessly.
      if (isAiJobsError(error) && error.code === "operator_required") {
        await (this.#renewal ??= this.#backend.session.renew());
      } else if (error instanceof NotSignedIn) {
        await this.#backend.session.refuse(error.code);
      }
      throw error;
    }
  }

  /**
   * Sends an action, shows its outcome, and reads everything again. Resolves when the state after it is shown; with
   * false when it failed.
   */
  async act<A extends Action>(
    action: A,
    body: Body,
    words: (response: OpsResponses[A]) => string,
  ): Promise<boolean> {
    // Of the same job, provider, type or user, whose state the previous message was about.
    const about = String(Object.values(body)[0]);
    const isDone = await this.call(action, body).then(
      (response) => {
        toast(words(response), "good", about);
        return true;
      },
      (error) => {
        toast(describeFailure(action, error), "bad", about);
        return false;
      },
    );
    await refresh();
    return isDone;
  }
}

const OpsContext = createContext<Ops | undefined>(undefined);

/** Gives the API to everything inside. */
export const OpsProvider = OpsContext.Provider;

/** The API. Only inside {@link OpsProvider}. */
export function useOps(): Ops {
  const ops = useContext(OpsContext);
  if (ops === undefined) throw new TypeError("no operator's API is provided");
  return ops;
}

/** A response that stays current. `error` belongs to the last attempt; `data` is the last response to this request. */
export function useResponse<A extends Action>(
  action: A,
  body: Body = {},
): { data: OpsResponses[A] | undefined; problem: string | undefined } {
  const ops = useOps();
  const key = JSON.stringify(body);
  const state = useSignal<
    { key: string; data?: OpsResponses[A]; problem?: string }
  >({ key });
  useEffect(
    () =>
      new Reader(
        (signal) => ops.call(action, body, signal),
        (outcome) => {
          const { data } = state.peek().key === key ? state.peek() : {};
          state.value = {
            key,
            ...(data === undefined ? {} : { data }),
            ...("data" in outcome
              ? outcome
              : { problem: describeError(outcome.error) }),
          };
        },
      ).follow(),
    [ops, key],
  );
  const isCurrent = state.value.key === key;
  return {
    data: isCurrent ? state.value.data : undefined,
    problem: isCurrent ? state.value.problem : undefined,
  };
}
