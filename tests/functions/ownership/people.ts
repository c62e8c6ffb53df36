/** The callers. Only the credentials of a request decide whether it is accepted. */
import { createClient, type SupabaseClient } from "@supabase/supabase-js";

/** The project's URL and keys. */
export interface ProjectKeys {
  apiUrl: string;
  publishableKey: string;
  secretKey: string;
}

/** The callers of the API. `vendor` is a signed-in user who acts for a vendor; A and B are customers. */
export const ACTORS = [
  "no key",
  "anon",
  "A",
  "B",
  "vendor",
  "service",
] as const;
export type ActorName = typeof ACTORS[number];

/** The callers who are users, and a fourth user who owns rows but never calls. */
export const OWNERS = ["A", "B", "vendor", "other vendor"] as const;
export type Owner = typeof OWNERS[number];

/** The role that the database gives to a caller; none without a key. */
export type Role = "none" | "anon" | "authenticated" | "service_role";

export interface Actor {
  name: ActorName;
  role: Role;
  /** Null unless it is a user. */
  userId: string | null;
  /** What authorizes a request. */
  headers: Record<string, string>;
  /** The unmodified supabase-js with the same authorization. */
  client: SupabaseClient;
}

/** All callers, and the ids of all owners. */
export interface People {
  actors: Record<ActorName, Actor>;
  ids: Record<Owner, string>;
}

const PASSWORD = "correct horse battery staple";

function clientOf(stack: ProjectKeys, headers: Record<string, string>) {
  return createClient(stack.apiUrl, stack.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      // supabase-js always sends the key that it was made with; here each actor sends their own or none.
      fetch: (input, init) => {
        const request = new Request(input, init);
        request.headers.delete("apikey");
        request.headers.delete("authorization");
        for (const [name, value] of Object.entries(headers)) {
          request.headers.set(name, value);
        }
        return fetch(request);
      },
    },
  });
}

async function signUp(stack: ProjectKeys, name: string) {
  const client = createClient(stack.apiUrl, stack.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const { data, error } = await client.auth.signUp({
    email: `${name.replace(" ", "-").toLowerCase()}@example.com`,
    password: PASSWORD,
  });
  if (error) throw error;
  if (data.user === null || data.session === null) {
    throw new Error("no session");
  }
  return { id: data.user.id, token: data.session.access_token };
}

/** Signs the users up through the project's Auth and creates a client for every caller. */
export async function gatherPeople(stack: ProjectKeys): Promise<People> {
  const [a, b, vendor, other] = await Promise.all(
    OWNERS.map((name) => signUp(stack, name)),
  );
  if (!a || !b || !vendor || !other) throw new Error("someone is missing");
  const actor = (
    name: ActorName,
    role: Role,
    headers: Record<string, string>,
    userId: string | null = null,
  ): Actor => ({
    name,
    role,
    userId,
    headers,
    client: clientOf(stack, headers),
  });
  const user = (
    name: ActorName,
    { id, token }: { id: string; token: string },
  ) =>
    actor(name, "authenticated", {
      apikey: stack.publishableKey,
      authorization: `Bearer ${token}`,
    }, id);
  return {
    actors: {
      "no key": actor("no key", "none", {}),
      anon: actor("anon", "anon", { apikey: stack.publishableKey }),
      A: user("A", a),
      B: user("B", b),
      vendor: user("vendor", vendor),
      service: actor("service", "service_role", { apikey: stack.secretKey }),
    },
    ids: { A: a.id, B: b.id, vendor: vendor.id, "other vendor": other.id },
  };
}

/** The users who call. */
export function signedIn(people: People): Actor[] {
  return [people.actors.A, people.actors.B, people.actors.vendor];
}
