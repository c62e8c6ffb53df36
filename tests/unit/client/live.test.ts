/** The channel and the socket of the client, with a Realtime server in this process. */
import { assertEquals } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import { createAiJobs } from "../../../client/mod.ts";
import { liveTest } from "../../_support/live-test.ts";

/** A server that accepts every message of every channel. `closed` resolves when a socket was closed. */
function serveRealtime() {
  const closed = Promise.withResolvers<void>();
  const events: string[] = [];
  let received = Promise.withResolvers<void>();
  const server = Deno.serve({ port: 0, onListen() {} }, (request) => {
    if (request.headers.get("upgrade") !== "websocket") {
      return Response.json([]);
    }
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = ({ data }) => {
      const [joinRef, ref, topic, event] = JSON.parse(data);
      events.push(event);
      const payload = { status: "ok", response: { postgres_changes: [] } };
      socket.send(JSON.stringify([joinRef, ref, topic, "phx_reply", payload]));
      received.resolve();
      received = Promise.withResolvers<void>();
    };
    socket.onclose = () => closed.resolve();
    return response;
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    closed: closed.promise,
    events,
    /** Resolves when the event has arrived this number of times. */
    async until(event: string, times: number) {
      while (events.filter((one) => one === event).length < times) {
        await received.promise;
      }
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function signedIn(url: string) {
  const part = (value: object) =>
    btoa(JSON.stringify(value)).replaceAll("=", "");
  const token = [
    part({ alg: "none" }),
    part({ sub: crypto.randomUUID(), exp: 9_999_999_999 }),
    "x",
  ].join(".");
  return createClient(url, "sb_publishable_x", {
    accessToken: () => Promise.resolve(token),
  });
}

liveTest(
  "close: the client leaves its channel and closes the socket, so that Node can end",
  async () => {
    await using server = serveRealtime();
    const supabase = signedIn(server.url);
    const jobs = createAiJobs(supabase);
    const next = jobs.watchAll().next();
    await server.until("phx_join", 1);
    jobs.close();
    assertEquals((await next).done, true);
    await server.closed;
    assertEquals(server.events, ["phx_join", "phx_leave"]);
  },
);

liveTest(
  "close: the socket stays open for another channel of the app",
  async () => {
    await using server = serveRealtime();
    const supabase = signedIn(server.url);
    const other = Promise.withResolvers<void>();
    supabase.channel("other").subscribe((status) => {
      if (status === "SUBSCRIBED") other.resolve();
    });
    await other.promise;
    const jobs = createAiJobs(supabase);
    const left = Promise.withResolvers<void>();
    const removeChannel = supabase.removeChannel.bind(supabase);
    supabase.removeChannel = (channel) => {
      const removed = removeChannel(channel);
      void removed.then(() => left.resolve());
      return removed;
    };
    const next = jobs.watchAll().next();
    await server.until("phx_join", 2);
    jobs.close();
    assertEquals((await next).done, true);
    await left.promise;
    assertEquals(
      [supabase.realtime.isConnected(), supabase.getChannels().length],
      [true, 1],
    );
    await supabase.removeAllChannels();
  },
);
