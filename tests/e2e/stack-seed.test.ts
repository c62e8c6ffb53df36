import decode from "@audio/decode";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { z } from "zod";
import { clientOf, dataOf, newPerson } from "../_support/stack-people.ts";
import {
  makeProject,
  StackDidNotStart,
  type StackEnv,
  startChild,
  until,
} from "../_support/stack-fixture.ts";

const repository = fromFileUrl(new URL("../../", import.meta.url));

const resultSchema = z.object({
  content_type: z.string().optional(),
  size_bytes: z.number().optional(),
});

const files = {
  "supabase/seed.sql": `
    insert into auth.users (id, email) values ('11111111-1111-4111-8111-111111111111', 'seeded@example.com');
    insert into public.notes (user_id, text) values ('11111111-1111-4111-8111-111111111111', 'from the seed');`,
};

/** All notes with their owners, as the service role sees them. */
async function notes(env: StackEnv): Promise<string[]> {
  const rows = await dataOf(
    clientOf(env, env.SECRET_KEY).from("notes").select("text"),
  );
  return rows.map(({ text }) => text);
}

Deno.test("seed: users of supabase/seed.sql sign in and find their data, also after a restart", async () => {
  await using folder = await makeProject();
  const args = ["--data", join(folder.dir, "data"), "--boot-on-demand"];
  for (const isFirst of [true, false]) {
    await using stack = await startChild(repository, args);
    assertEquals(stack.output().includes("supabase/seed.sql"), isFirst);
    const lists = {
      anna: { ai_jobs: 5, voices: 1, calls: 1, orders: 1, payments: 1 },
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

/** A new job of the client's user, which must complete. */
async function finishJob(
  client: ReturnType<typeof clientOf>,
  body: Record<string, unknown>,
): Promise<{ status: string; error_message: string | null }> {
  const { data, error } = await client.functions.invoke("create-ai-job", {
    body,
  });
  assertEquals(error, null);
  const read = () =>
    dataOf(
      client.from("ai_jobs").select("status,error_message").eq(
        "id",
        data.job_id,
      ).single(),
    );
  await until(
    `${body["job_type"]} ends`,
    async () => ["completed", "failed"].includes((await read()).status),
    60,
  );
  return await read();
}

Deno.test("seed: Anna's files open, suit every job type, and her voice still speaks after a restart", async () => {
  await using folder = await makeProject();
  const args = ["--data", join(folder.dir, "data"), "--boot-on-demand"];
  const signIn = async (env: StackEnv) => {
    const client = clientOf(env);
    const { data, error } = await client.auth.signInWithPassword({
      email: "anna@example.com",
      password: "family-album",
    });
    assertEquals(error, null);
    return { client, id: data.user?.id ?? "" };
  };
  const speak = async (
    client: ReturnType<typeof clientOf>,
    text: string,
  ) => {
    const voice = await dataOf(client.from("voices").select("id").single());
    return await finishJob(client, {
      job_type: "text_to_speech",
      metadata: { text, voice_id: voice.id },
    });
  };
  const done = { status: "completed", error_message: null };
  {
    await using stack = await startChild(repository, args, {
      simulators: true,
    });
    const { client, id } = await signIn(stack.env);
    const open = async (path: string) => {
      const [bucket = "", ...name] = path.split("/");
      const file = await dataOf(
        client.storage.from(bucket).download(name.join("/")),
      );
      return { type: file.type, bytes: await file.bytes() };
    };

    const media = await dataOf(
      client.from("media").select("storage_path,content_type,size_bytes"),
    );
    assertEquals(media.length, 6);
    for (const { storage_path, content_type, size_bytes } of media) {
      const { type, bytes } = await open(storage_path);
      assertEquals([type, bytes.length], [content_type, size_bytes]);
    }
    const pdf = await dataOf(
      client.from("pdfs").select("pdf_url,size_bytes").single(),
    );
    const book = await open(pdf.pdf_url);
    assertEquals(book.bytes.length, pdf.size_bytes);
    assertEquals(new TextDecoder().decode(book.bytes.subarray(0, 5)), "%PDF-");
    const avatar = await dataOf(
      client.from("avatars").select("video_url,duration_seconds").single(),
    );
    const film = await open(avatar.video_url);
    assertEquals(film.type, "video/mp4");
    const { channelData, sampleRate } = await decode(film.bytes);
    assertAlmostEquals(
      (channelData[0]?.length ?? 0) / sampleRate,
      avatar.duration_seconds,
      0.2,
    );
    const slides = await dataOf(
      client.from("slideshow_items").select("public_path"),
    );
    for (const { public_path } of slides) {
      const response = await fetch(
        `${stack.env.API_URL}/storage/v1/object/public/${public_path}`,
      );
      await response.body?.cancel();
      assertEquals([response.status, response.headers.get("content-type")], [
        200,
        "image/jpeg",
      ]);
    }

    // A finished job of each type, the newest last, whose output opens.
    const jobs = await dataOf(
      client.from("ai_jobs").select("job_type,status,output_url,result_data")
        .order("created_at"),
    );
    assertEquals(jobs.map(({ job_type, status }) => [job_type, status]), [
      ["transcription", "completed"],
      ["voice_clone", "completed"],
      ["text_to_speech", "completed"],
      ["avatar_video", "completed"],
      ["pdf_render", "completed"],
    ]);
    for (const { job_type, output_url, result_data } of jobs) {
      if (output_url === null) continue;
      const { type, bytes } = await open(output_url);
      const { content_type, size_bytes } = resultSchema.parse(result_data);
      if (content_type !== undefined) assertEquals(type, content_type);
      if (size_bytes !== undefined) {
        assertEquals(bytes.length, size_bytes, job_type);
      }
    }

    const slideshow = await dataOf(
      client.from("slideshows").select("id").single(),
    );
    const call = await dataOf(client.from("calls").select("id").single());
    for (
      const job of [
        {
          job_type: "pdf_render",
          metadata: { slideshow_id: slideshow.id },
        },
        {
          job_type: "transcription",
          input_url: `recordings/${id}/sunday-call.m4a`,
          metadata: { call_id: call.id },
        },
        {
          job_type: "avatar_video",
          input_url: `uploads/${id}/grandpa-josef.jpg`,
          metadata: { audio_url: `voice-samples/${id}/grandpa-josef.mp3` },
        },
      ]
    ) {
      assertEquals(await finishJob(client, job), done, job.job_type);
    }
    assertEquals(await speak(client, "Have you eaten?"), done);
    // The state after a start that is interrupted before all files are stored.
    await dataOf(
      clientOf(stack.env, stack.env.SECRET_KEY).storage.from("recordings")
        .remove([`${id}/sunday-call.m4a`]),
    );
    await Deno.writeTextFile(join(folder.dir, "data", "seeding"), "");
  }
  await using again = await startChild(repository, args, { simulators: true });
  const { client, id } = await signIn(again.env);
  assertEquals(
    await dataOf(
      client.storage.from("recordings").exists(`${id}/sunday-call.m4a`),
    ),
    true,
  );
  assertEquals(await speak(client, "So you have not eaten."), done);
  const talk = await fetch(
    `${again.env.SIMULATOR_URL}/d-id/talks/seed_tlk_grandpa`,
    { headers: { authorization: "Basic key" } },
  );
  assertEquals((await talk.json()).status, "done");
});

Deno.test("seed: a new data folder is seeded once, and not with --no-seed", async () => {
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

Deno.test("seed: an ephemeral stack is seeded only on request", async () => {
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

Deno.test("seed: a failing seed is one message with its name; a disabled or missing one is no error", async () => {
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
  // Once it is corrected, the same folder is seeded.
  const data = ["--data", join(broken.dir, "data")];
  await assertRejects(() => startChild(broken.dir, data), StackDidNotStart);
  await Deno.writeTextFile(
    join(broken.dir, "supabase", "seed.sql"),
    files["supabase/seed.sql"],
  );
  {
    await using stack = await startChild(broken.dir, data);
    assertEquals(await notes(stack.env), ["from the seed"]);
  }
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
