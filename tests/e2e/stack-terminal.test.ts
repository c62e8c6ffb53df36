/** What `deno task start` prints while this project runs: one line for each problem, and nothing else. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { clientOf, dataOf, newPerson } from "../_support/stack-people.ts";
import {
  answersOn,
  makeProject,
  StackDidNotStart,
  startChild,
  until,
} from "../_support/stack-fixture.ts";

const repository = fromFileUrl(new URL("../../", import.meta.url));
/** The environment of a developer may contain keys; the tests must not pay for anything. */
const noKeys = { ELEVENLABS_API_KEY: "", DID_API_KEY: "", HEYGEN_API_KEY: "" };

const own = Deno.networkInterfaces().find(({ family, address }) =>
  family === "IPv4" && !/^(127|169\.254)\./.test(address)
)?.address;

/** What was printed below the banner. */
function below(output: string): string[] {
  return (output.split(/Ctrl-C stops it.*\n/)[1] ?? "").split("\n").filter((
    line,
  ) => line !== "");
}

Deno.test("terminal: refused requests are not printed, a failed job is one line; the log has everything", async () => {
  const data = await Deno.makeTempDir({ prefix: "stack-terminal-" });
  await Deno.chmod(data, 0o755);
  await using stack = await startChild(repository, [
    "--data",
    data,
    "--no-seed",
    "--boot-on-demand",
  ], { env: noKeys });
  const ann = await newPerson(stack.env, "ann");
  const foreign = await ann.client.from("ai_jobs").update({
    status: "completed",
  }).eq("id", crypto.randomUUID());
  assertEquals(foreign.error?.code, "42501");
  const unknown = await ann.client.from("nothing_of_that_name").select();
  assertEquals(unknown.error?.code, "PGRST205");
  const wrong = await clientOf(stack.env).auth.signInWithPassword({
    email: ann.email,
    password: "not hers",
  });
  assertEquals(wrong.error?.code, "invalid_credentials");
  const bad = await ann.client.functions.invoke("create-ai-job", { body: {} });
  assertEquals(bad.error?.context.status, 400);
  await bad.error?.context.body?.cancel();

  // A keepsake with an invalid photo fails.
  const path = `${ann.id}/broken.jpg`;
  const bytes = new TextEncoder().encode("no photo at all");
  await dataOf(
    ann.client.storage.from("uploads").upload(path, bytes, {
      contentType: "image/jpeg",
    }),
  );
  const photo = await dataOf(
    ann.client.from("media").insert({
      media_type: "image",
      storage_path: `uploads/${path}`,
      file_name: "broken.jpg",
      content_type: "image/jpeg",
      size_bytes: bytes.length,
    }).select("id").single(),
  );
  const slideshow = await dataOf(
    ann.client.from("slideshows").insert({ title: "Summer" }).select("id")
      .single(),
  );
  await dataOf(
    ann.client.from("slideshow_items").insert({
      slideshow_id: slideshow.id,
      media_id: photo.id,
      position: 0,
    }).select("id"),
  );
  const { job_id } = await dataOf(
    ann.client.functions.invoke("create-ai-job", {
      body: {
        job_type: "pdf_render",
        metadata: { slideshow_id: slideshow.id },
      },
    }),
  );
  const log = join(data, "stack.log");
  await until(
    "the job has failed",
    async () => (await Deno.readTextFile(log)).includes("job_failed"),
    60,
  );
  // An upload whose client disconnects in the middle.
  const { data: { session } } = await ann.client.auth.getSession();
  let sent = 0;
  await assertRejects(() =>
    fetch(
      `${stack.env.API_URL}/storage/v1/object/uploads/${ann.id}/half.jpg`,
      {
        method: "POST",
        headers: {
          authorization: `Bearer ${session?.access_token}`,
          "content-type": "image/jpeg",
        },
        body: new ReadableStream({
          pull(controller) {
            if (sent++ < 20) controller.enqueue(new Uint8Array(65_536));
            else controller.error(new Error("the phone has lost its network"));
          },
        }, { highWaterMark: 0 }),
      },
    )
  );
  await until(
    "the log reports the interrupted upload",
    async () =>
      (await Deno.readTextFile(log)).includes(
        `/storage/v1/object/uploads/${ann.id}/half.jpg was aborted by its sender`,
      ),
    60,
  );

  stack.kill("SIGTERM");
  assertEquals(await stack.exited, 0);
  const printed = below(stack.output());
  assertEquals(printed.length, 2, printed.join("\n"));
  assert(printed.includes("Stopping …"), printed.join("\n"));
  const [failed = ""] = printed.filter((line) => line !== "Stopping …");
  assertMatch(
    failed,
    new RegExp(
      `^\\[render-ai-job\\] job_failed, photo_\\w+: .+ \\(pdf_render ${job_id}\\)$`,
    ),
  );
  const logged = await Deno.readTextFile(log);
  assertMatch(logged, / services PostgresError 42501: /);
  assertMatch(logged, / function:render-ai-job \{.*"event":"job_started"/);
  assertMatch(logged, / postgres .*database system is ready/);
  assertEquals(((await Deno.stat(log)).mode ?? 0) & 0o777, 0o600);
  await Deno.remove(data, { recursive: true });
});

Deno.test("terminal: the output of a function and the reason of its end are shown", async () => {
  await using project = await makeProject();
  await using stack = await startChild(project.dir, ["--ephemeral"]);
  for (const path of ["hook", "hook/crash"]) {
    const response = await fetch(`${stack.env.API_URL}/functions/v1/${path}`);
    await response.body?.cancel();
  }
  const expected = [
    "[hook] hook called GET",
    "[gateway] GET /functions/v1/hook/crash answered 502 (EDGE_FUNCTION_ERROR)",
  ];
  await until(
    "both are printed",
    () => expected.every((line) => stack.output().includes(`${line}\n`)),
  );
  stack.kill("SIGTERM");
  await stack.exited;
  // On a slow machine another isolate got the second request; the first one then prints its end.
  const others = ["Stopping …", '[hook] leaving {"reason":"termination"}'];
  assertEquals(
    below(stack.output()).filter((line) => !others.includes(line)),
    expected,
  );
});

Deno.test("terminal: --verbose prints everything", async () => {
  await using project = await makeProject();
  await using stack = await startChild(project.dir, [
    "--ephemeral",
    "--verbose",
  ]);
  const ann = await newPerson(stack.env, "ann");
  const { error } = await ann.client.from("ungranted").select();
  assertEquals(error?.code, "42501");
  await until(
    "the reason is printed",
    () => stack.output().includes("[services] PostgresError 42501: "),
  );
});

Deno.test("terminal: a variable that the functions would refuse is named before Postgres is created", async () => {
  const data = await Deno.makeTempDir({ prefix: "stack-terminal-" });
  try {
    await startChild(repository, ["--data", data], {
      env: { ...noKeys, LOG_LEVEL: "loud" },
    });
    throw new Error("it has started");
  } catch (error) {
    if (!(error instanceof StackDidNotStart)) throw error;
    assertEquals(
      [error.code, error.stdout, error.stderr],
      [
        1,
        "",
        "The functions cannot start with these variables:\n" +
        "  LOG_LEVEL, set in the environment: must be one of debug, info, warn, error\n" +
        "Correct or empty them; .env.example says what they mean.\n",
      ],
    );
  }
  const names = await Array.fromAsync(Deno.readDir(data), ({ name }) => name);
  assertEquals(names.filter((name) => name.includes("postgres")), []);
  await Deno.remove(data, { recursive: true });
});

const unprivileged = Number(
  await Deno.readTextFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    .catch(() => "1024"),
);
/** Root must first drop its right to low ports. */
const withoutRight = Deno.uid() === 0
  ? ["setpriv", "--bounding-set=-net_bind_service"]
  : [];
const canTryPort80 = unprivileged > 80 &&
  (withoutRight[0] === undefined ||
    await new Deno.Command(withoutRight[0], {
      args: ["--version"],
      stdout: "null",
    }).output().then(() => true, () => false));

Deno.test({
  name:
    "terminal: without the right to a port below 1024, the error is one message",
  ignore: !canTryPort80,
  async fn() {
    const [program = "", ...args] = [
      ...withoutRight,
      Deno.execPath(),
      ...["task", "--quiet", "start", "--ephemeral", "--port", "80"],
    ];
    const { code, stderr } = await new Deno.Command(program, {
      args,
      cwd: repository,
      env: noKeys,
    }).output();
    assertEquals([code, new TextDecoder().decode(stderr)], [
      1,
      "This user may not listen on port 80, like most ports below 1024. Choose another one with --port.\n",
    ]);
  },
});

Deno.test({
  name:
    "host: a phone reaches only the API, also by the URLs that functions return",
  ignore: own === undefined,
  async fn() {
    await using stack = await startChild(repository, [
      "--ephemeral",
      "--boot-on-demand",
      "--host",
      own ?? "",
    ], { env: noKeys, simulators: true });
    const { API_URL, DB_URL, SIMULATOR_URL } = stack.env;
    const { port } = new URL(API_URL);
    assertEquals(API_URL, `http://${own}:${port}`);
    assertMatch(
      stack.output(),
      new RegExp(`API URL +${API_URL}\n +http://127\\.0\\.0\\.1:${port}\n`),
    );
    assertMatch(stack.output(), /! Everyone on this network can use the API/);
    // The database and the simulators are reachable from this machine only.
    for (const url of [DB_URL.replace("postgresql:", "http:"), SIMULATOR_URL]) {
      const { hostname, port } = new URL(url);
      assertEquals(hostname, "127.0.0.1");
      assertEquals(await answersOn(`http://${own}:${port}`), false);
    }

    // As on a phone: supabase-js with the address of the env file.
    const ann = await newPerson(stack.env, "ann");
    const upload = await dataOf(
      ann.client.functions.invoke("create-upload-url", {
        body: {
          bucket: "voice-samples",
          file_name: "a.mp3",
          content_type: "audio/mpeg",
          size_bytes: 3,
        },
      }),
    );
    await dataOf(
      ann.client.storage.from(upload.bucket).uploadToSignedUrl(
        upload.path,
        upload.token,
        new Blob(["abc"], { type: "audio/mpeg" }),
        { contentType: "audio/mpeg" },
      ),
    );
    const download = await dataOf(
      ann.client.functions.invoke("create-download-url", {
        body: { bucket: upload.bucket, path: upload.path },
      }),
    );
    const addresses = JSON.stringify([upload, download]).match(
      /http:\/\/[\d.]+:\d+/g,
    ) ?? [];
    assert(addresses.length >= 1, JSON.stringify([upload, download]));
    assertEquals([...new Set(addresses)], [API_URL]);
  },
});
