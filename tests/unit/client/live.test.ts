/** The channel and the socket of the client, with a Realtime server in this process. */
import { assert, assertEquals } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import { createAiJobs } from "../../../client/mod.ts";
import { tokenOf } from "../../_support/fake-project.ts";
import { liveTest } from "../../_support/live-test.ts";

/**
 * A server that accepts every message of every channel, or refuses all joins and reads. `closed` resolves when a socket
 * was closed. `events` are those of the channels, and “read” for each read of a table.
 */
function serveRealtime({ isRefusing = false } = {}) {
  const closed = Promise.withResolvers<void>();
  const events: string[] = [];
  const joined: string[] = [];
  let received = Promise.withResolvers<void>();
  let last: WebSocket | undefined;
  const happen = (event: string) => {
    events.push(event);
    received.resolve();
    received = Promise.withResolvers<void>();
  };
  const server = Deno.serve({ port: 0, onListen() {} }, (request) => {
    if (request.headers.get("upgrade") !== "websocket") {
      happen("read");
      return Response.json([], { status: isRefusing ? 500 : 200 });
    }
    const { socket, response } = Deno.upgradeWebSocket(request);
    last = socket;
    socket.onmessage = ({ data }) => {
      const [joinRef, ref, topic, event] = JSON.parse(data);
      const status = isRefusing && event === "phx_join" ? "error" : "ok";
      const payload = { status, response: { postgres_changes: [] } };
      socket.send(JSON.stringify([joinRef, ref, topic, "phx_reply", payload]));
      if (event === "phx_join") joined.push(topic);
      happen(event);
    };
    socket.onclose = () => closed.resolve();
    return response;
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    closed: closed.promise,
    events,
    /** The topics of the channels that were joined. */
    joined,
    /** Closes the socket that was opened last. */
    drop: () => last?.close(),
    /** Resolves when the event has arrived this number of times. */
    async until(event: string, times: number) {
      while (events.filter((one) => one === event).length < times) {
        await received.promise;
      }
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

const API_KEY = "sb_publishable_x";

function signedIn(url: string, current = () => tokenOf("ann")) {
  return createClient(url, API_KEY, {
    accessToken: () => Promise.resolve(current()),
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
    assertEquals(
      server.events.filter((event) => event !== "read"),
      ["phx_join", "phx_leave"],
    );
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

liveTest(
  "watch: after the loss of the channel the tables are read before it is joined again",
  async () => {
    await using server = serveRealtime();
    const jobs = createAiJobs(signedIn(server.url), { pollMs: 60_000 });
    const live = Promise.withResolvers<void>();
    const next = jobs.watchAll({
      onConnection: (connection) => connection === "live" && live.resolve(),
    }).next();
    await server.until("phx_join", 1);
    await live.promise;
    // One when it began, one after the join.
    await server.until("read", 2);
    const { length } = server.events;
    server.drop();
    await server.until("phx_join", 2);
    assertEquals(server.events.slice(length), ["read", "phx_join"]);
    jobs.close();
    assertEquals((await next).done, true);
    await server.closed;
  },
);

liveTest(
  "watch: after another user has signed in, the next watch joins their channel and leaves the one before",
  async () => {
    await using server = serveRealtime();
    let user = "ann";
    const supabase = signedIn(server.url, () => tokenOf(user));
    const jobs = createAiJobs(supabase);
    const anns = jobs.watchAll().next();
    await server.until("phx_join", 1);
    assertEquals(jobs.userId, "ann");
    user = "bob";
    const bobs = jobs.watchAll().next();
    await server.until("phx_leave", 1);
    await server.until("phx_join", 2);
    assertEquals(server.joined, [
      "realtime:ai_jobs:ann",
      "realtime:ai_jobs:bob",
    ]);
    assertEquals(jobs.userId, "bob");
    jobs.close();
    assertEquals((await anns).done, true);
    assertEquals((await bobs).done, true);
    await server.closed;
  },
);

liveTest(
  "watch: when a failed refresh ends the channel, the watches of before read the tables immediately",
  async () => {
    await using server = serveRealtime();
    let token = tokenOf("ann");
    const jobs = createAiJobs(signedIn(server.url, () => token), {
      pollMs: 60_000,
    });
    const live = Promise.withResolvers<void>();
    let shown = "";
    const before = jobs.watchAll({
      onConnection: (connection) => {
        shown = connection;
        if (connection === "live") live.resolve();
      },
    }).next();
    await live.promise;
    token = API_KEY;
    const after = jobs.watchAll().next();
    await server.until("phx_leave", 1);
    assertEquals(shown, "polling");
    jobs.close();
    assertEquals((await before).done, true);
    assertEquals((await after).done, true);
    await server.closed;
  },
);

liveTest(
  "watch: while reads fail, a failed join does not repeat them before their delay",
  async () => {
    await using server = serveRealtime({ isRefusing: true });
    const jobs = createAiJobs(signedIn(server.url), { pollMs: 60_000 });
    const next = jobs.watchAll().next();
    await server.until("phx_join", 3);
    const reads = server.events.filter((event) => event === "read");
    assert(reads.length < 3, `${reads.length} reads`);
    jobs.close();
    assertEquals((await next).done, true);
    await server.closed;
  },
);
