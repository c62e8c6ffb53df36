import { assertEquals, assertRejects } from "@std/assert";
import { batcher } from "../../../../supabase/functions/_shared/jobs/batcher.ts";
import { turn } from "../../../_support/held-timers.ts";

interface Item {
  job: string;
  weight?: number;
}

/** A batcher whose calls the test answers. */
function held(limit = 3) {
  const calls: { jobs: string[]; gate: PromiseWithResolvers<string[]> }[] = [];
  const send = batcher<Item, string>({
    limit,
    weightOf: ({ weight }) => weight ?? 1,
    keyOf: ({ job }) => job,
    isSplit: (error) => error instanceof RangeError,
    send(items) {
      const gate = Promise.withResolvers<string[]>();
      calls.push({ jobs: items.map(({ job }) => job), gate });
      return gate.promise;
    },
  });
  return {
    send: (job: string, weight = 1) => send({ job, weight }),
    sent: () => calls.map(({ jobs }) => jobs),
    /** Answers the newest call, so that the next one is sent. */
    answer: async (error?: Error) => {
      const call = calls.at(-1);
      if (error !== undefined) call?.gate.reject(error);
      else call?.gate.resolve(call.jobs.map((job) => `done ${job}`));
      await turn();
      await turn();
    },
  };
}

Deno.test("batcher: without a call in flight, an item is sent within one turn of the event loop", async () => {
  const { send, sent, answer } = held();
  const result = send("a");
  await turn();
  assertEquals(sent(), [["a"]]);
  await answer();
  assertEquals(await result, "done a");
});

Deno.test("batcher: items that arrive during a call share the next, up to the limit, and each gets its result", async () => {
  const { send, sent, answer } = held(3);
  const first = send("a");
  await turn();
  const rest = ["b", "c", "d", "e"].map((job) => send(job));
  await turn();
  assertEquals(sent(), [["a"]], "one call at a time");
  await answer();
  assertEquals(sent().at(-1), ["b", "c", "d"]);
  await answer();
  assertEquals(sent().at(-1), ["e"]);
  await answer();
  assertEquals(await Promise.all([first, ...rest]), [
    "done a",
    "done b",
    "done c",
    "done d",
    "done e",
  ]);
});

Deno.test("batcher: two items of one job are never in one call", async () => {
  const { send, sent, answer } = held();
  const results = [send("a"), send("a"), send("b")];
  await turn();
  assertEquals(sent(), [["a", "b"]]);
  await answer();
  assertEquals(sent().at(-1), ["a"]);
  await answer();
  await Promise.all(results);
});

Deno.test("batcher: a heavy item is sent alone", async () => {
  const { send, sent, answer } = held(3);
  const results = [send("a"), send("b", 3), send("c")];
  await turn();
  assertEquals(sent(), [["a", "c"]]);
  await answer();
  assertEquals(sent().at(-1), ["b"]);
  await answer();
  await Promise.all(results);
});

Deno.test("batcher: a call that fails fails each of its items, and the next items are sent", async () => {
  const { send, sent, answer } = held();
  const results = [send("a"), send("b")].map((result) =>
    assertRejects(() => result, Error, "away")
  );
  await turn();
  await answer(new Error("away"));
  await Promise.all(results);
  const later = send("c");
  await turn();
  assertEquals(sent(), [["a", "b"], ["c"]]);
  await answer();
  assertEquals(await later, "done c");
});

Deno.test("batcher: a cancelled call is sent item by item, and only the item at fault fails", async () => {
  const { send, sent, answer } = held();
  const [good, bad] = [send("a"), send("b")];
  const failure = assertRejects(() => Promise.resolve(bad), RangeError);
  await turn();
  await answer(new RangeError("statement timeout"));
  assertEquals(sent(), [["a", "b"], ["a"]]);
  await answer();
  assertEquals(sent().at(-1), ["b"]);
  await answer(new RangeError("statement timeout"));
  assertEquals(await good, "done a");
  await failure;
  assertEquals(sent().length, 3, "a single item is not sent again");
});
