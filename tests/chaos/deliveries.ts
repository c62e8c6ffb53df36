/**
 * Receives the dispatches of pg_net in place of the functions' URL, and forwards each to one worker, to several, or to
 * none; late, or with a 500.
 */

/** A dispatch as pg_net sent it. */
export interface Delivery {
  /** The function that it calls. */
  slug: string;
  body: string;
  headers: Headers;
}

/** Workers' origins, in order; or no worker, with a 202 (`lost`) or a 500 (`refused`). */
export type Route = { origins: string[] } | "lost" | "refused";

/** A running receiver. */
export interface Deliveries {
  /** For `project_url` in the Vault. */
  url: string;
  /** Chooses the route of each delivery. It may wait, so that a later delivery arrives first. */
  route: (delivery: Delivery) => Route | Promise<Route>;
  close(): Promise<void>;
}

/** Starts the receiver. Every delivery is lost until `route` is set. */
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
      if (route === "refused") {
        return new Response("refused by the test", { status: 500 });
      }
      let last = new Response("no worker runs", { status: 503 });
      for (const origin of route.origins) {
        try {
          const answer = await fetch(`${origin}/${delivery.slug}`, {
            method: "POST",
            headers: delivery.headers,
            body: delivery.body,
          });
          last = new Response(await answer.text(), { status: answer.status });
        } catch {
          last = new Response("the worker has ended", { status: 502 });
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
