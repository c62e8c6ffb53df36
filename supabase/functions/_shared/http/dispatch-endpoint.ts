/** Endpoints that only this project's database calls. */
import type { z } from "zod";
import type { Json } from "../database.types.ts";
import type { Logger } from "../platform/log.ts";
import { parse, parseJson, readText } from "./body.ts";
import {
  type VerifiedDispatch,
  verifyDispatchSignature,
} from "./dispatch-signature.ts";
import { type AppDeps, createEndpoint } from "./endpoint.ts";
import { jsonResponse } from "./problem.ts";

/** A call of the database. Its age and whether it is a replay are not checked yet: the database does that. */
export interface Dispatch<Body> extends VerifiedDispatch {
  body: Body;
}

/**
 * Creates the endpoint of the function `name`: verifies the signature, parses the body and responds with 202.
 *
 * @param accept starts the work in the background and returns the response's body. An error that it throws becomes the
 *   response. It calls `quiet` when there was nothing to do.
 */
export function createDispatchEndpoint<Body>(
  name: string,
  deps: AppDeps,
  schema: z.ZodType<Body>,
  accept: (
    dispatch: Dispatch<Body>,
    log: Logger,
    quiet: () => void,
  ) => Promise<Json>,
): (request: Request) => Promise<Response> {
  return createEndpoint(
    deps,
    { name, method: "POST" },
    async ({ request, log, quiet }) => {
      let text = "";
      const verified = await verifyDispatchSignature(
        request.headers,
        async () => text = await readText(request),
        deps.env.DISPATCH_SECRET,
      );
      const body = parse(parseJson(text), schema);
      const answer = await accept({ ...verified, body }, log, quiet);
      return jsonResponse(answer, { status: 202 });
    },
  );
}
