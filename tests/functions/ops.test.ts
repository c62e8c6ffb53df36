/** ops, health and metrics over HTTP: who may read what, and how an operator handles an incident. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  healthDetailsSchema,
  healthSchema,
  OPS_RESPONSES,
  type OpsAction,
  opsRequestSchema,
  type OpsResponse,
} from "../../supabase/functions/_shared/contracts/ops.ts";
import {
  callFunction,
  requestVoice,
  signUp,
  type TestUser,
  uploadRecording,
} from "../_support/as-user.ts";
import { signUpOperator } from "../_support/operators.ts";
import { assertProblem } from "../_support/problem.ts";
import { useStack } from "../_support/stack.ts";
import { waitForEvent, waitForJob } from "../_support/wait-for.ts";

const METRICS_TOKEN = "a-token-of-the-test-0123456789";
const running = useStack({ env: { METRICS_TOKEN } });

/** One valid body for each action. */
function everyBody(jobId: string): Record<OpsAction, Record<string, unknown>> {
  return {
    overview: {},
    charts: { range: "24h" },
    failures: {},
    providers: {},
    parked: {},
    budgets: {},
    search: { status: "completed" },
    job: { job_id: jobId },
    payload: { job_id: jobId },
    actions: {},
    preview_redrive: { filter: {} },
    redrive: { filter: {}, expected_count: 0 },
    pause: { provider: "heygen" },
    resume: { provider: "heygen" },
    probe: { provider: "heygen" },
    resolve: { job_id: jobId, was_made: false },
    take_back: { job_id: jobId },
    cancel: { job_id: jobId },
    retry: { job_id: jobId },
    set_budget: { budget_micros: 5_000_000 },
  };
}

async function act<Action extends OpsAction>(
  operator: TestUser,
  action: Action,
  body?: Record<string, unknown>,
): Promise<OpsResponse<Action>>;
async function act(
  operator: TestUser,
  action: OpsAction,
  body: Record<string, unknown> = {},
): Promise<unknown> {
  const answer = await operator.call("ops", { body: { action, ...body } });
  assertEquals(answer.status, 200, `${action}: ${JSON.stringify(answer.body)}`);
  return OPS_RESPONSES[action].parse(answer.body);
}

Deno.test("ops: for a user without the role every body is the same 403", async () => {
  const stack = running();
  const user = await signUp(stack);
  // A user can write their own metadata, which grants no role.
  await user.client.auth.updateUser({ data: { role: "ai_operator" } });
  await user.client.auth.refreshSession();
  const bodies: unknown[] = [
    ...Object.entries(everyBody(crypto.randomUUID()))
      .map(([action, body]) => ({ action, ...body })),
    { action: "no_such_action" },
    {},
  ];
  const answers = new Set<string>();
  for (const body of bodies) {
    const answer = await user.call("ops", { body });
    assertProblem(answer, { status: 403, code: "operator_required" });
    const { request_id: _, ...said } = Object(answer.body);
    answers.add(JSON.stringify(said));
  }
  assertEquals(answers.size, 1);
  assertEquals(await stack.sql`select id from private.operator_actions`, []);
});

Deno.test("ops: a token that outlives its role is 403", async () => {
  const stack = running();
  const operator = await signUpOperator(stack);
  await act(operator, "overview");
  await stack.sql`
    update auth.users set raw_app_meta_data = raw_app_meta_data - 'role' where id = ${operator.id}`;
  assertProblem(
    await operator.call("ops", { body: { action: "overview" } }),
    { status: 403, code: "operator_required" },
  );
  const { body } = await operator.call("health");
  assertEquals(Object.keys(Object(body)), ["status"]);
});

Deno.test("ops: every read answers as its contract says", async () => {
  const stack = running();
  const operator = await signUpOperator(stack);
  const user = await signUp(stack);
  const jobId = await requestVoice(user, await uploadRecording(user), {
    voice_name: "Grandma",
  });
  await waitForJob(stack, user, jobId, "completed");
  await stack.runSchedule("fold-ai-counters");

  const overview = await act(operator, "overview");
  assertEquals(overview.stuck.value, 0);
  assert(overview.completed_last_hour >= 1);
  const { buckets } = await act(operator, "charts", { range: "1h" });
  assertEquals(buckets.length, 60);
  const { checked_at, providers } = await act(operator, "providers");
  assert(Date.parse(checked_at) >= Date.parse(overview.checked_at));
  assert(
    providers.some(({ provider, error_rate }) =>
      provider === "elevenlabs" && error_rate === 0
    ),
  );
  const { jobs } = await act(operator, "search", { job_id: jobId });
  assertEquals(jobs.map(({ job_id }) => job_id), [jobId]);
  assertEquals(
    (await act(operator, "search", { user_email: user.email })).jobs.length,
    1,
  );
  const job = await act(operator, "job", { job_id: jobId });
  assertEquals(job.job.user_email, user.email);
  assertEquals(job.journal.map(({ outcome }) => outcome), ["succeeded"]);
  assert(!JSON.stringify(job).includes("Grandma"));
  const payload = await act(operator, "payload", { job_id: jobId });
  assertEquals(payload.metadata["voice_name"], "Grandma");
  await act(operator, "budgets");
  await act(operator, "failures", { range: "7d" });
  const { actions } = await act(operator, "actions");
  assertEquals(
    actions.map(({ action, details, operator_email }) => [
      action,
      details,
      operator_email,
    ]),
    [["read_payload", { job_id: jobId }, operator.email]],
  );
  assertProblem(
    await operator.call("ops", {
      body: { action: "job", job_id: crypto.randomUUID() },
    }),
    { status: 404, code: "not_found" },
  );
});

Deno.test("ops: pages of a search have no gap and no overlap", async () => {
  const stack = running();
  const operator = await signUpOperator(stack);
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) {
    ids.unshift(
      await requestVoice(user, inputUrl, { voice_name: `Voice ${i}` }),
    );
  }
  const found: string[] = [];
  let cursor: string | null | undefined;
  while (cursor !== null) {
    const page: OpsResponse<"search"> = await act(operator, "search", {
      user_id: user.id,
      limit: 2,
      ...(cursor === undefined ? {} : { cursor }),
    });
    found.push(...page.jobs.map(({ job_id }) => job_id));
    cursor = page.next_cursor;
  }
  assertEquals(found, ids);
  for (const id of ids) await waitForJob(stack, user, id, "completed");
});

Deno.test("ops: an invalid body is refused with the field named, and changes nothing", async () => {
  const operator = await signUpOperator(running());
  const id = crypto.randomUUID();
  const wrong: [Record<string, unknown>, string][] = [
    [{ action: "no_such_action" }, "action"],
    [{ action: "charts", range: "1y" }, "range"],
    [{ action: "search", cursor: "abc" }, "cursor"],
    [{ action: "search", limit: 0 }, "limit"],
    [{ action: "redrive", filter: {} }, "expected_count"],
    [{ action: "resolve", job_id: id, was_made: true }, "provider_object_id"],
    [{ action: "pause" }, "body"],
    [{ action: "set_budget", budget_micros: -1 }, "budget_micros"],
  ];
  for (const [body, field] of wrong) {
    assertProblem(await operator.call("ops", { body }), {
      status: 400,
      code: "invalid_request",
      field,
    });
  }
  assertProblem(
    await operator.call("ops", {
      body: { action: "redrive", filter: {}, expected_count: 12345 },
    }),
    { status: 409, code: "redrive_count_changed", field: "expected_count" },
  );
  assertProblem(
    await operator.call("ops", {
      body: { action: "resolve", job_id: id, was_made: false },
    }),
    { status: 409, code: "job_not_parked", field: "job_id" },
  );
  assertProblem(
    await operator.call("ops", {
      body: { action: "pause", provider: "nobody" },
    }),
    { status: 404, code: "not_found", field: "provider" },
  );
});

Deno.test("ops: every action of the contract is tried here", () => {
  const bodies = everyBody(crypto.randomUUID());
  assertEquals(Object.keys(bodies).sort(), Object.keys(OPS_RESPONSES).sort());
  for (const [action, body] of Object.entries(bodies)) {
    opsRequestSchema.parse({ action, ...body });
  }
});

Deno.test("ops: a paused provider's jobs wait, failed ones get a price and a retry; all is recorded", async () => {
  const stack = running();
  const operator = await signUpOperator(stack);
  const user = await signUp(stack);
  const inputUrl = await uploadRecording(user);
  assertEquals(
    await act(operator, "pause", { provider: "elevenlabs" }),
    { is_paused: true },
  );
  const id = await requestVoice(user, inputUrl, { voice_name: "Later" });
  await stack.sweep();
  const waiting = await act(operator, "job", { job_id: id });
  assertEquals(waiting.job.status, "pending");
  await act(operator, "cancel", { job_id: id });
  await act(operator, "resume", { provider: "elevenlabs" });

  await stack.simulator.fail({
    times: null,
    fault: { kind: "status", error: "invalid_content" },
  });
  const failed = await requestVoice(user, inputUrl, { voice_name: "Again" });
  await waitForJob(stack, user, failed, "failed");
  await stack.simulator.clearFaults();
  const filter = { user_id: user.id };
  const preview = await act(operator, "preview_redrive", { filter });
  assertEquals([preview.count, preview.user_count], [1, 1]);
  assertEquals(
    await act(operator, "redrive", { filter, expected_count: preview.count }),
    { retried: 1, refused: 0, remaining: 0 },
  );
  await stack.sweep();
  await waitForEvent(stack, failed, "completed");

  const { actions } = await act(operator, "actions", { limit: 4 });
  assertEquals(actions.map(({ action }) => action), [
    "redrive",
    "resume",
    "cancel",
    "pause",
  ]);
});

Deno.test("health: without a session one word, for an operator the checks; a stopped sweep is 503", async () => {
  const stack = running();
  const operator = await signUpOperator(stack);
  await stack.sweep();
  const asAnonymous = await callFunction(stack, "health");
  assertEquals(asAnonymous.status, 200);
  assertEquals(Object.keys(healthSchema.strict().parse(asAnonymous.body)), [
    "status",
  ]);
  const details = healthDetailsSchema.parse(
    (await operator.call("health")).body,
  );
  assert(details.checks.length > 5);

  await stack.sql`
    update private.ai_schedule_runs set last_run_at = now() - interval '2 minutes' where name = 'sweep'`;
  const failing = await operator.call("health");
  assertEquals([failing.status, Object(failing.body).status], [503, "failing"]);
  // The cached answer is five seconds old at most.
  await stack.advance(5_001);
  const answer = await callFunction(stack, "health");
  assertEquals([answer.status, answer.body], [503, { status: "failing" }]);
  await stack.sweep();
  await stack.advance(5_001);
  assertEquals((await callFunction(stack, "health")).status, 200);
});

Deno.test("health: a user without the role gets the public answer", async () => {
  const user = await signUp(running());
  const { body } = await user.call("health");
  assertEquals(Object.keys(Object(body)), ["status"]);
});

Deno.test("metrics: the right token reads them, every other one is 401", async () => {
  const stack = running();
  await stack.runSchedule("fold-ai-counters");
  const read = (authorization?: string) =>
    callFunction(stack, "metrics", {
      headers: authorization === undefined ? {} : { authorization },
    });
  const answer = await read(`Bearer ${METRICS_TOKEN}`);
  assertEquals(answer.status, 200);
  assertStringIncludes(
    answer.headers.get("content-type") ?? "",
    "text/plain; version=0.0.4",
  );
  assertStringIncludes(String(answer.body), "\nai_jobs_stuck 0\n");
  const operator = await signUpOperator(stack);
  for (
    const wrong of [
      undefined,
      "",
      "Bearer",
      `Bearer ${METRICS_TOKEN}x`,
      `Bearer ${METRICS_TOKEN.slice(1)}`,
      `Basic ${METRICS_TOKEN}`,
      METRICS_TOKEN,
      `Bearer ${stack.secretKey}`,
      `Bearer ${operator.accessToken}`,
    ]
  ) {
    assertProblem(await read(wrong), {
      status: 401,
      code: "metrics_token_invalid",
    });
  }
});
