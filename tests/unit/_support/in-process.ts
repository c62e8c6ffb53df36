/** Runs endpoints in this process, with a signed-in caller and a network on which every request is an error. */
import { SignJWT } from "jose";
import {
  type Env,
  readEnv,
} from "../../../supabase/functions/_shared/config/env.ts";
import type { AppDeps } from "../../../supabase/functions/_shared/http/endpoint.ts";
import { COMPLETE_ENV, fakePlatform } from "../../_support/fake-platform.ts";

/** The caller. */
export const CALLER = "00000000-0000-4000-8000-0000000000aa";
/** The URL of the project. */
export const PROJECT_URL = COMPLETE_ENV.SUPABASE_URL;
const SECRET = new TextEncoder().encode(
  "a-secret-of-the-test-0123456789abcdef",
);

/** An endpoint and its requests to the network. */
export interface InProcess {
  /** Its requests, as method and URL. */
  readonly outside: string[];
  /** Calls the endpoint as the caller. */
  call(
    init: { body?: BodyInit; query?: string; headers?: HeadersInit },
  ): Promise<Response>;
}

/** The dependencies of the endpoints. Log lines are dropped, because there are thousands. */
export function depsWithoutNetwork(
  more: Record<string, string> = {},
): { deps: AppDeps; outside: string[] } {
  const outside: string[] = [];
  const platform = {
    ...fakePlatform({
      fetch: (input, init) => {
        outside.push(
          `${init?.method ?? "GET"} ${
            input instanceof Request ? input.url : String(input)
          }`,
        );
        return Promise.resolve(new Response("no", { status: 418 }));
      },
    }),
    writeLine: () => {},
  };
  const jwks = JSON.stringify({
    keys: [{
      kty: "oct",
      alg: "HS256",
      kid: "test",
      k: SECRET.toBase64({ alphabet: "base64url", omitPadding: true }),
    }],
  });
  const env: Env = readEnv({
    env: () => ({ ...COMPLETE_ENV, SUPABASE_JWKS: jwks, ...more }),
  });
  return { deps: { platform, env }, outside };
}

/** Creates a callable endpoint for signed-in users. */
export async function inProcess(
  createHandler: (deps: AppDeps) => (request: Request) => Promise<Response>,
  method: "GET" | "POST",
): Promise<InProcess> {
  const { deps, outside } = depsWithoutNetwork();
  const handle = createHandler(deps);
  const token = await new SignJWT({ role: "authenticated" })
    .setProtectedHeader({ alg: "HS256", kid: "test", typ: "JWT" })
    .setSubject(CALLER).setAudience("authenticated")
    .setIssuedAt().setExpirationTime("1h").sign(SECRET);
  return {
    outside,
    call: ({ body, query = "", headers = {} }) =>
      handle(
        new Request(`${PROJECT_URL}/functions/v1/endpoint${query}`, {
          method,
          headers: {
            authorization: `Bearer ${token}`,
            apikey: "sb_publishable_0123456789",
            ...(body === undefined
              ? {}
              : { "content-type": "application/json" }),
            ...headers,
          },
          ...(body === undefined ? {} : { body }),
        }),
      ),
  };
}
