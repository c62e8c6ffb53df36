import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { clientOf, dataOf, newPerson } from "../helpers/stack-people.ts";
import {
  makeProject,
  StackDidNotStart,
  type StackEnv,
  startChild,
} from "../helpers/stack-fixture.ts";

const repository = fromFileUrl(new URL("../../", import.meta.url));

const files = {
  "supabase/seed.sql": `
    insert into auth.users (id, email) values ('11111111-1111-4111-8111-111111111111', 'seeded@example.com');
    insert into public.notes (user_id, text) values ('11111111-1111-4111-8111-111111111111', 'from the seed');`,
};

/** What notes everybody has, as the service sees them. */
async function notes(env: StackEnv): Promise<string[]> {
  const rows = await dataOf(
    clientOf(env, env.SECRET_KEY).from("notes").select("text"),
  );
  return rows.map(({ text }) => text);
}

Deno.test("seed: the people of supabase/seed.sql sign in with their password and find what is theirs, also after a restart", async () => {
  await using folder = await makeProject();
  const args = ["--data", join(folder.dir, "data")];
  for (const isFirst of [true, false]) {
    await using stack = await startChild(repository, args);
    assertEquals(stack.output().includes("supabase/seed.sql"), isFirst);
    const lists = {
      anna: { ai_jobs: 1, voices: 1, calls: 1, orders: 1, payments: 1 },
      paul: { ai_jobs: 0, voices: 0, calls: 0, orders: 1, payments: 0 },
      shop: { ai_jobs: 0, voices: 0, calls: 0, orders: 1, payments: 0 },
    };
    for (const [name, expected] of Object.entries(lists)) {
      const client = clientOf(stack.env);
      const { data, error } = await client.auth.signInWithPassword({
        email: `${name}@example.com`,
        password: "family-album",
      });
      assertEquals(error, null);
      assertEquals(data.user?.email, `${name}@example.com`);
      const found: Record<string, number> = {};
      for (const table of Object.keys(expected)) {
        found[table] = (await dataOf(client.from(table).select("*"))).length;
      }
      assertEquals(found, expected, name);
      await client.auth.signOut();
    }
    const { error } = await clientOf(stack.env).auth.signInWithPassword({
      email: "anna@example.com",
      password: "family-albums",
    });
    assert(error !== null);
  }
});

Deno.test("seed: a data folder gets it once, when it is new, and not with --no-seed", async () => {
  await using project = await makeProject(files);
  const args = ["--data", join(project.dir, "data")];
  {
    await using stack = await startChild(project.dir, args);
    assertEquals(await notes(stack.env), ["from the seed"]);
    const ann = await newPerson(stack.env, "ann");
    await dataOf(ann.client.from("notes").insert({ text: "own" }).select());
    await dataOf(
      clientOf(stack.env, stack.env.SECRET_KEY).from("notes").delete().eq(
        "text",
        "from the seed",
      ).select(),
    );
  }
  {
    await using stack = await startChild(project.dir, args);
    assertEquals(await notes(stack.env), ["own"]);
  }
  await using stack = await startChild(project.dir, [
    "--no-seed",
    "--data",
    join(project.dir, "without"),
  ]);
  assertEquals(await notes(stack.env), []);
});

Deno.test("seed: an ephemeral stack has it only when it is asked for", async () => {
  await using project = await makeProject(files);
  for (
    const [args, expected] of [
      [["--ephemeral"], []],
      [["--ephemeral", "--seed"], ["from the seed"]],
    ] as const
  ) {
    await using stack = await startChild(project.dir, [...args]);
    assertEquals(await notes(stack.env), [...expected]);
  }
});

Deno.test("seed: one that fails is one message with its name, and one that is switched off or not there is none", async () => {
  await using broken = await makeProject({
    "supabase/seed.sql": "insert into public.nothing values (1)",
  });
  const error = await assertRejects(
    () => startChild(broken.dir, ["--ephemeral", "--seed"]),
    StackDidNotStart,
  );
  assertEquals(error.code, 1);
  assertStringIncludes(
    error.stderr,
    'supabase/seed.sql failed: relation "public.nothing" does not exist (42P01).',
  );
  await using off = await makeProject({
    "supabase/seed.sql": "insert into public.nothing values (1)",
    "supabase/config.toml": "[db.seed]\nenabled = false\n",
  });
  await using absent = await makeProject();
  for (const { dir } of [off, absent]) {
    await using stack = await startChild(dir, ["--ephemeral", "--seed"]);
    assertEquals(await notes(stack.env), []);
  }
});
