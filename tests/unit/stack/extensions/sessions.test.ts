import { assertRejects } from "@std/assert";
import {
  SessionLost,
  Sessions,
} from "../../../../dev/stack/extensions/sessions.ts";

Deno.test("sessions: a server that accepts a connection and stays silent stops no worker", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const silent = (async () => {
    for await (const connection of listener) {
      await connection.readable.pipeTo(new WritableStream()).catch(() => {});
    }
  })();
  const url = `postgres://postgres@127.0.0.1:${listener.addr.port}/postgres`;
  {
    await using sessions = new Sessions(url, "test", { connectMs: 100 });
    await assertRejects(() => sessions.query("select 1"), SessionLost);
  }
  listener.close();
  await silent;
});
