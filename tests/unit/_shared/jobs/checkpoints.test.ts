/** createCheckpoints: a save survives a short outage, and reports a lost lease. */
import { createClient } from "@supabase/supabase-js";
import { assertEquals, assertRejects } from "@std/assert";
import type { Database } from "../../../../supabase/functions/_shared/database.types.ts";
import { createCheckpoints } from "../../../../supabase/functions/_shared/jobs/checkpoints.ts";
import { LeaseLost } from "../../../../supabase/functions/_shared/jobs/outcome.ts";
import { heldTimers } from "../../../_support/held-timers.ts";

const LEASE = {
  id: "00000000-0000-4000-8000-000000000001",
  lease_token: "00000000-0000-4000-8000-000000000002",
};

/** Checkpoints with a Data API that returns these responses in order, and the bodies that it received. */
function checkpointsWith(...responses: Response[]) {
  const bodies: unknown[] = [];
  const checkpoints = createCheckpoints(
    createClient<Database>("http://localhost", "key", {
      auth: { persistSession: false, autoRefreshToken: false },
      global: {
        fetch: async (input, init) => {
          bodies.push(await new Request(input, init).json());
          return responses.shift() ?? new Response(null, { status: 404 });
        },
      },
    }),
  );
  return { bodies, checkpoints };
}

const outage = () =>
  Response.json({ code: "57P01", message: "terminating connection" }, {
    status: 503,
  });

Deno.test("createCheckpoints: a save is repeated, unchanged, while the database is unavailable", async () => {
  using timers = heldTimers();
  const { bodies, checkpoints } = checkpointsWith(
    outage(),
    outage(),
    Response.json(true),
  );
  const saved = checkpoints.save(LEASE, { data: { page: 2 }, uploadId: "u" });
  await timers.pass(3_000);
  await saved;
  const body = {
    p_job_id: LEASE.id,
    p_lease_token: LEASE.lease_token,
    p_data: { page: 2 },
    p_upload_id: "u",
  };
  assertEquals(bodies, [body, body, body]);
});

Deno.test("createCheckpoints: a save that the database refuses for this lease is LeaseLost", async () => {
  const { bodies, checkpoints } = checkpointsWith(Response.json(false));
  await assertRejects(
    () => checkpoints.save(LEASE, { data: {}, uploadId: null }),
    LeaseLost,
  );
  assertEquals(bodies.length, 1);
});
