/**
 * Takes what pg_net delivers to the workers, and does to it what a network can do: hand it to this worker or that one,
 * lose it, answer 500, deliver it twice, or in another order.
 */

/** A delivery as it came. */
export interface Delivery {
  /** The function that it is for. */
  slug: string;
  body: string;
  headers: Headers;
}

/** Where a delivery goes: to origins of workers, in order; nowhere at all; or nowhere with a 500. */
export type Route = { origins: string[] } | "lost" | "refused";

/** The receiving end. */
export interface Deliveries {
  /** What the Vault's `project_url` is to be. */
  url: string;
  /** Chooses the way of every delivery from now on; it may wait, so that a later one overtakes it. */
  route: (delivery: Delivery) => Route | Promise<Route>;
  close(): Promise<void>;
}

/** Starts to receive; everything is lost until `route` is set. */
export function receiveDeliveries(): Deliveries {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      const delivery = {
        slug: pathname.slice(pathname.lastIndexOf("/") + 1),
        body: await request.text(),
        headers: request.headers,
      };
      const route = await deliveries.route(delivery);
      if (route === "lost") return new Response(null, { status: 202 });
      if (route === "refused") return new Response("sorry", { status: 500 });
      let last = new Response("nobody is there", { status: 503 });
      for (const origin of route.origins) {
        try {
          const answer = await fetch(`${origin}/${delivery.slug}`, {
            method: "POST",
            headers: delivery.headers,
            body: delivery.body,
          });
          last = new Response(await answer.text(), { status: answer.status });
        } catch {
          // The worker died of it, or before it.
          last = new Response("the worker is gone", { status: 502 });
        }
      }
      return last;
    },
  );
  const deliveries: Deliveries = {
    url: `http://127.0.0.1:${server.addr.port}`,
    route: () => "lost",
    close: () => server.shutdown(),
  };
  return deliveries;
}
