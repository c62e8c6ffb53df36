/** When the simulated providers send their webhooks. */
import { assertEquals } from "@std/assert";
import { WebhookSender } from "../../../dev/simulators/webhooks.ts";

Deno.test("webhooks: are sent when the simulators' clock reaches their time", async () => {
  const received: string[] = [];
  const all = Promise.withResolvers<void>();
  await using receiver = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    async (request) => {
      received.push(await request.text());
      if (received.length === 2) all.resolve();
      return new Response();
    },
  );
  const listeners: (() => void)[] = [];
  let now = Date.now();
  const sender = new WebhookSender({
    now: () => now,
    onAdvance: (listener) => void listeners.push(listener),
  });
  const url = `http://127.0.0.1:${receiver.addr.port}`;
  const made: string[] = [];
  const schedule = (hours: number) =>
    sender.schedule(hours * 3_600_000, () => {
      made.push(`${hours}`);
      return Promise.resolve([{ url, headers: {}, body: `${hours}` }]);
    });
  for (const hours of [1, 2, 24]) schedule(hours);

  for (const hours of [1, 1]) {
    now += hours * 3_600_000;
    for (const listener of listeners) listener();
  }
  await all.promise;
  assertEquals(received.toSorted(), ["1", "2"]);
  assertEquals(made, ["1", "2"]);
  await sender.clear();
});
