import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { RepeatableBody } from "../../../../dev/stack/gateway/repeatable-body.ts";
import { turn } from "../../../_support/held-timers.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = (stream: ReadableStream<Uint8Array<ArrayBuffer>>) =>
  new Response(stream).text();

/** A sender whose parts the test sends. */
function sender() {
  let wanted = 0, isCancelled = false;
  let controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (given) => {
      controller = given;
    },
    pull: () => {
      wanted++;
    },
    cancel: () => {
      isCancelled = true;
    },
  }, { highWaterMark: 0 });
  return {
    stream,
    give: (text: string) => controller.enqueue(bytes(text)),
    end: () => controller.close(),
    leave: () => controller.error(new Error("left")),
    wanted: () => wanted,
    isCancelled: () => isCancelled,
  };
}

function repeatable() {
  const from = sender();
  let isBroken = false;
  const body = new RepeatableBody(from.stream, () => isBroken = true);
  return { ...from, body, isBroken: () => isBroken };
}

Deno.test("RepeatableBody: a second receiver gets all of it, also the part that the first one was waiting for", async () => {
  const { body, give, end } = repeatable();
  const first = body.open().getReader();
  give("one ");
  await first.read();
  const waiting = first.read();
  await turn();
  const second = textOf(body.open());
  give("two ");
  give("three");
  end();
  assertEquals(await second, "one two three");
  first.releaseLock();
  await waiting.catch(() => {});
});

Deno.test("RepeatableBody: a part that arrives between two receivers is not lost", async () => {
  const { body, give, end } = repeatable();
  const first = body.open().getReader();
  const waiting = first.read();
  await first.cancel();
  await waiting;
  give("one ");
  await turn();
  const second = textOf(body.open());
  give("two");
  end();
  assertEquals(await second, "one two");
});

Deno.test("RepeatableBody: nothing is read before a receiver needs it", async () => {
  const { body, wanted, give } = repeatable();
  const stream = body.open();
  await turn();
  assertEquals(wanted(), 0);
  const reader = stream.getReader();
  const part = reader.read();
  await turn();
  assertEquals(wanted(), 1);
  give("one");
  await part;
  await turn();
  assertEquals(wanted(), 1);
  body.close();
});

Deno.test("RepeatableBody: no copy is kept of more than a mebibyte, or after the request was started", async () => {
  const large = repeatable();
  const half = "x".repeat(524_288);
  const stream = large.body.open().getReader();
  large.give(half);
  await stream.read();
  large.give(half);
  await stream.read();
  assertEquals(large.body.isWhole, true);
  large.give("x");
  await stream.read();
  assertEquals(large.body.isWhole, false);
  assertThrows(() => large.body.open(), Error, "not kept");

  const begun = repeatable();
  const all = textOf(begun.body.open());
  begun.give("one ");
  await turn();
  begun.body.forget();
  begun.give("two");
  begun.end();
  assertEquals(begun.body.isWhole, false);
  assertEquals(await all, "one two");
});

Deno.test("RepeatableBody: when a second receiver begins, nothing that it has not read yet is lost", async () => {
  const { body, give, end } = repeatable();
  const first = body.open().getReader();
  for (const part of ["one ", "two ", "three "]) {
    give(part);
    await first.read();
  }
  const second = body.open();
  body.forget();
  give("four");
  end();
  assertEquals(await textOf(second), "one two three four");
});

Deno.test("RepeatableBody: a receiver cancelled after the start ends the sender; before it, the body stays", async () => {
  const waiting = repeatable();
  await waiting.body.open().cancel();
  waiting.give("x".repeat(1_048_576));
  await turn();
  assertEquals(waiting.isCancelled(), false);
  waiting.body.close();
  await turn();
  assertEquals(waiting.isCancelled(), true);

  const begun = repeatable();
  const stream = begun.body.open();
  begun.body.forget();
  await stream.cancel();
  begun.give("x".repeat(1_048_576));
  await turn();
  assertEquals(begun.isCancelled(), true);
});

Deno.test("RepeatableBody: an abandoned receiver takes nothing from the next one", async () => {
  const { body, give, end, isCancelled } = repeatable();
  const first = body.open();
  const second = textOf(body.open());
  body.forget();
  await first.cancel();
  assertEquals(isCancelled(), false);
  give("one");
  end();
  assertEquals(await second, "one");
});

Deno.test("RepeatableBody: after close, readers fail and the sender is cut off after one more mebibyte", async () => {
  const { body, give, isCancelled, wanted } = repeatable();
  const all = textOf(body.open());
  give("one");
  await turn();
  body.forget();
  body.close();
  await assertRejects(() => all, Error, "the rest of this body is discarded");
  // The receiver was waiting for this one.
  give("two");
  give("x".repeat(1_048_575));
  await turn();
  assertEquals(isCancelled(), false);
  give("x");
  await turn();
  assertEquals(isCancelled(), true);
  const before = wanted();
  await turn();
  assertEquals(wanted(), before);
});

Deno.test("RepeatableBody: a sender that finishes after the response is not cut off", async () => {
  const { body, give, end, isCancelled } = repeatable();
  const reading = body.open().getReader().read();
  give("one");
  await reading;
  body.forget();
  body.close();
  give("two");
  end();
  await turn();
  assertEquals(isCancelled(), false);
});

Deno.test("RepeatableBody: a sender that leaves is reported, and its receiver fails", async () => {
  const { body, give, leave, isBroken } = repeatable();
  const all = textOf(body.open());
  give("one");
  await turn();
  assertEquals(isBroken(), false);
  leave();
  await assertRejects(() => all, Error, "left");
  assertEquals(isBroken(), true);
});
