/** The one connection of the page to its project. */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { type AiJobs, createAiJobs } from "../../client/mod.ts";
import type { PageConfig } from "./config.ts";
import { Session } from "./session.ts";

/** Everything that components need of the project. */
export interface Backend {
  config: PageConfig;
  /** Without Storage: files go through `jobs`, and scripts stay small. */
  supabase: Omit<SupabaseClient, "storage">;
  jobs: AiJobs;
  session: Session;
}

/** Connects to the project. Sends nothing but the refresh of a stored session. */
export function connect(config: PageConfig): Backend {
  const supabase = createClient(config.url, config.publishableKey);
  return {
    config,
    supabase,
    jobs: createAiJobs(supabase),
    session: new Session(supabase),
  };
}

const BackendContext = createContext<Backend | undefined>(undefined);

/** Gives a backend to everything inside. */
export const BackendProvider = BackendContext.Provider;

/** The backend. Only inside {@link BackendProvider}. */
export function useBackend(): Backend {
  const backend = useContext(BackendContext);
  if (backend === undefined) throw new TypeError("no backend is provided");
  return backend;
}
