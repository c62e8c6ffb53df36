/** A run of the janitor with fake queues and providers: its calls, and when it stops. */
import { assertEquals, assertRejects } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import type { Database } from "../../../supabase/functions/_shared/database.types.ts";
import { ProviderFailure } from "../../../supabase/functions/_shared/failures/provider-failure.ts";
import type { Logger } from "../../../supabase/functions/_shared/platform/log.ts";
import type { ProviderInventory } from "../../../supabase/functions/_shared/providers/inventory.ts";
import type {
  JanitorRepository,
  ProviderRemoval,
} from "../../../supabase/functions/janitor/repository.ts";
import { runJanitor } from "../../../supabase/functions/janitor/run.ts";

const LEASE = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const silent: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silent,
};

function removal(id: number, provider = "elevenlabs"): ProviderRemoval {
  return {
    id,
    lease_token: LEASE,
    provider,
    object_type: "voice",
    provider_object_id: `v_${id}`,
    marker: null,
    made_at: null,
    is_lookup_conclusive: false,
  };
}

/** Queues that lease each removal once, in batches; `calls` is every call in order. */
function lists(batches: ProviderRemoval[][] = []) {
  const calls: string[] = [];
  const say = <T>(what: string, answer: T): Promise<T> => {
    calls.push(what);
    return Promise.resolve(answer);
  };
  const repository: JanitorRepository = {
    beginRun: () => say("begin", { jobs_deleted: 0, jobs_checked: 0 }),
    claimFiles: () => say("files", []),
    scanFiles: () => say("scan files", 0),
    claimRemovals: (providers) =>
      say(`claim ${providers.join(" ")}`, batches.shift() ?? []),
    discardFoundObject: (_removal, id) => say(`may remove ${id}`, true),
    settleRemoval: (one, outcome, code) =>
      say(`${one.id} ${outcome}${code === undefined ? "" : ` ${code}`}`, true),
    claimUploads: () => say("uploads", []),
    settleUpload: () => say("settle upload", 1),
    beginScan: (provider) =>
      say(`scan ${provider}`, {
        lease_token: LEASE,
        page_cursor: null,
        is_listed: false,
      }),
    recordPage: (provider, _scan, _objects, next) =>
      say(`page ${provider} ${next}`, true),
    unseenRows: () => say("unseen", []),
    noteRows: () => say("note", true),
    endScan: (provider, _scan, code) => say(`end ${provider} ${code}`, true),
  };
  return { calls, repository };
}

function inventory(
  provider: string,
  changes: Partial<ProviderInventory> = {},
): ProviderInventory {
  return {
    provider,
    list: () => Promise.resolve({ objects: [], next: null }),
    has: () => Promise.resolve(true),
    inspect: () => Promise.resolve(null),
    find: () => Promise.resolve(null),
    remove: () => Promise.resolve(),
    ...changes,
  };
}

async function run(
  repository: JanitorRepository,
  inventories: ProviderInventory[],
  hasTime: () => boolean = () => true,
  log = silent,
) {
  return await runJanitor({
    repository,
    supabase: createClient<Database>("http://127.0.0.1:9", "key", {
      auth: { persistSession: false, autoRefreshToken: false },
    }),
    inventories,
    hasTime,
    signal: new AbortController().signal,
    log,
  });
}

Deno.test("runJanitor: without any provider it only removes files", async () => {
  const { calls, repository } = lists();
  await run(repository, []);
  assertEquals(calls, ["scan files", "files"]);
});

Deno.test("runJanitor: without time it starts nothing and logs that", async () => {
  const { calls, repository } = lists([[removal(1)]]);
  const warnings: string[] = [];
  await run(repository, [inventory("elevenlabs")], () => false, {
    ...silent,
    warn: (event) => warnings.push(event),
  });
  assertEquals(calls, []);
  assertEquals(warnings, ["janitor_has_no_time"]);
});

Deno.test("runJanitor: a provider that is down gets no more requests, but the others do", async () => {
  const { calls, repository } = lists([
    [removal(1), removal(2, "d-id")],
    [removal(3, "d-id")],
  ]);
  const down = inventory("elevenlabs", {
    remove: () =>
      Promise.reject(
        ProviderFailure.unknown("provider_unavailable"),
      ),
  });
  const summary = await run(repository, [down, inventory("d-id")]);
  assertEquals(
    calls.filter((call) => !/^(scan|page|un|end|files)/.test(call)),
    [
      "claim elevenlabs d-id",
      "1 failed provider_unavailable",
      "2 removed",
      "claim d-id",
      "3 removed",
      "claim d-id",
      "claim d-id",
    ],
  );
  assertEquals(calls.includes("scan elevenlabs"), false);
  assertEquals([summary.objectsRemoved, summary.removalsFailed], [2, 1]);
});

Deno.test("runJanitor: an object that cannot be removed yet does not stop the others", async () => {
  const { calls, repository } = lists([[removal(1)], [removal(2)]]);
  const busy = inventory("elevenlabs", {
    remove: ({ id }) =>
      id === "v_1"
        ? Promise.reject(
          ProviderFailure.unknown("provider_unavailable", {
            httpStatus: 409,
          }),
        )
        : Promise.resolve(),
  });
  await run(repository, [busy]);
  assertEquals(
    calls.filter((call) => /^\d/.test(call)),
    ["1 failed provider_unavailable", "2 removed"],
  );
});

Deno.test("runJanitor: removes all permitted objects by marker; only a conclusive empty query is final", async (t) => {
  for (const isConclusive of [true, false]) {
    await t.step(isConclusive ? "conclusive" : "too early", async () => {
      const { calls, repository } = lists([[{
        ...removal(1),
        provider_object_id: null,
        marker: "job:x",
        is_lookup_conclusive: isConclusive,
      }]]);
      const there = ["v_a", "v_b"];
      await run(repository, [
        inventory("elevenlabs", {
          find: () => Promise.resolve(there[0] ?? null),
          remove: () => {
            there.shift();
            return Promise.resolve();
          },
        }),
      ]);
      assertEquals(there, []);
      assertEquals(
        calls.filter((call) => /^(\d|may)/.test(call)),
        [
          "may remove v_a",
          "may remove v_b",
          isConclusive ? "1 removed" : "1 looking",
        ],
      );
    });
  }
});

Deno.test("runJanitor: a list that repeats its cursor ends with an error", async () => {
  const { calls, repository } = lists();
  await run(repository, [
    inventory("heygen", {
      list: () => Promise.resolve({ objects: [], next: "again" }),
    }),
  ]);
  assertEquals(calls.filter((call) => /heygen/.test(call)), [
    "claim heygen",
    "scan heygen",
    "page heygen again",
    "end heygen provider_answer_invalid",
    "claim heygen",
  ]);
});

Deno.test("runJanitor: a provider that fails for one row leaves the rows unchanged", async () => {
  const { calls, repository } = lists();
  await run(
    {
      ...repository,
      unseenRows: () => Promise.resolve(["v_1", "v_2"]),
    },
    [
      inventory("elevenlabs", {
        has: (id) =>
          id === "v_1" ? Promise.resolve(false) : Promise.reject(
            ProviderFailure.unknown("provider_timeout"),
          ),
      }),
    ],
  );
  assertEquals(calls.filter((call) => /^(note|end)/.test(call)), [
    "end elevenlabs provider_timeout",
  ]);
});

Deno.test("runJanitor: a row whose id the provider does not accept does not keep the scan from its end", async () => {
  const { calls, repository } = lists();
  const noted: unknown[] = [];
  const unseen = [["v_1", "v_2", "v_3"]];
  await run(
    {
      ...repository,
      unseenRows: () => Promise.resolve(unseen.shift() ?? []),
      noteRows: (_provider, _scan, rows) => {
        noted.push(rows);
        return Promise.resolve(true);
      },
    },
    [
      inventory("elevenlabs", {
        has: (id) =>
          id === "v_2"
            ? Promise.reject(
              ProviderFailure.rejected("provider_rejected_input"),
            )
            : Promise.resolve(id === "v_1"),
      }),
    ],
  );
  assertEquals(noted, [{ missing: ["v_3"], present: ["v_1", "v_2"] }]);
  assertEquals(calls.filter((call) => /^end/.test(call)), [
    "end elevenlabs null",
  ]);
});

Deno.test("runJanitor: a scan of the buckets that fails keeps nothing from being removed, and is reported", async () => {
  const { calls, repository } = lists([[removal(1)]]);
  const failure = new Error("canceling statement due to statement timeout");
  const thrown = await assertRejects(() =>
    run(
      { ...repository, scanFiles: () => Promise.reject(failure) },
      [inventory("elevenlabs")],
    )
  );
  assertEquals(thrown, failure);
  assertEquals(
    ["files", "1 removed", "end elevenlabs null"].filter((call) =>
      !calls.includes(call)
    ),
    [],
  );
});

Deno.test("runJanitor: scans the buckets until nothing is left, or no time", async () => {
  const parts = [5000, 5000, 12];
  const { repository } = lists();
  const summary = await run(
    { ...repository, scanFiles: () => Promise.resolve(parts.shift() ?? 0) },
    [],
  );
  assertEquals([summary.filesScanned, parts], [10_012, []]);

  let looks = 0;
  const cut = await run(
    { ...repository, scanFiles: () => Promise.resolve(5000) },
    [],
    () => looks++ < 3,
  );
  assertEquals(cut.filesScanned, 10_000);
});
