/** createDependencyLookup: which job it reads. */
import { createClient } from "@supabase/supabase-js";
import { assertEquals } from "@std/assert";
import type { Database } from "../../../../supabase/functions/_shared/database.types.ts";
import { createDependencyLookup } from "../../../../supabase/functions/_shared/jobs/dependency.ts";

Deno.test("createDependencyLookup: reads the completed job of the same owner, and nothing without one", async () => {
  const queries: string[] = [];
  const dependencyOf = createDependencyLookup(
    createClient<Database>("http://localhost", "key", {
      auth: { persistSession: false, autoRefreshToken: false },
      global: {
        fetch: (input) => {
          queries.push(new URL(new Request(input).url).search);
          return Promise.resolve(Response.json([]));
        },
      },
    }),
  );
  assertEquals(
    await dependencyOf({ user_id: "u", depends_on_job_id: null }),
    null,
  );
  assertEquals(queries, []);
  assertEquals(
    await dependencyOf({ user_id: "u", depends_on_job_id: "j" }),
    null,
  );
  assertEquals(queries, [
    "?select=id%2Cjob_type%2Coutput_url%2Cresult_data&id=eq.j&user_id=eq.u&status=eq.completed",
  ]);
});
