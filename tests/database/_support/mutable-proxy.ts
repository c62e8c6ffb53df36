/** A proxy in front of Postgres that can withhold the server's answers, as a broken network does. */

/** A running proxy. */
export interface MutableProxy extends AsyncDisposable {
  /** The URL of the database through the proxy. */
  url: string;
  /** From now on, no byte of the server reaches any client. */
  mute(): void;
  /** The connections from now on work again; the others stay silent. */
  unmute(): void;
}

/** Starts a proxy in front of the server of a database. */
export function mutableProxy(databaseUrl: string): MutableProxy {
  const url = new URL(databaseUrl);
  const target = { hostname: url.hostname, port: Number(url.port) };
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  url.hostname = "127.0.0.1";
  url.port = String(listener.addr.port);
  let open: { isMute: boolean }[] = [];
  let isMute = false;
  const pass = async (client: Deno.Conn) => {
    const state = { isMute };
    open.push(state);
    const server = await Deno.connect(target);
    const answers = new TransformStream<Uint8Array, Uint8Array>({
      transform(part, controller) {
        if (!state.isMute) controller.enqueue(part);
      },
    });
    await Promise.allSettled([
      client.readable.pipeTo(server.writable),
      server.readable.pipeThrough(answers).pipeTo(client.writable),
    ]);
  };
  const passing: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const client of listener) passing.push(pass(client));
  })();
  return {
    url: url.href,
    mute() {
      isMute = true;
      for (const state of open) state.isMute = true;
    },
    unmute() {
      isMute = false;
      open = [];
    },
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      await Promise.all(passing);
    },
  };
}
