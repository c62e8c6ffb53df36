import { assertEquals } from "@std/assert";
import {
  type Outcome,
  poll,
  Reader,
  refresh,
} from "../../../web/console/reader.ts";

/** A reader whose requests are answered by the test. */
function heldReader() {
  const requests: (PromiseWithResolvers<string> & { signal: AbortSignal })[] =
    [];
  const shown: Outcome<string>[] = [];
  const reader = new Reader(
    (signal) => {
      const request = { ...Promise.withResolvers<string>(), signal };
      requests.push(request);
      return request.promise;
    },
    (outcome) => shown.push(outcome),
  );
  const answer = (index: number, data: string) =>
    requests[index]?.resolve(data);
  return { reader, requests, shown, answer };
}

Deno.test("reader: a request from before a refresh is aborted, and its response is not shown", async () => {
  const { reader, requests, shown, answer } = heldReader();
  const end = reader.follow();
  const refreshed = refresh();
  assertEquals(requests.map(({ signal }) => signal.aborted), [true, false]);
  answer(1, "after");
  await refreshed;
  answer(0, "before");
  await requests[0]?.promise;
  assertEquals(shown, [{ data: "after" }]);
  end();
});

Deno.test("reader: a refresh that another one overtakes resolves with the later response", async () => {
  const { reader, shown, requests, answer } = heldReader();
  const end = reader.follow();
  const first = refresh().then(() => [...shown]);
  const second = refresh();
  requests[0]?.reject(new Error("aborted"));
  requests[1]?.reject(new Error("aborted"));
  answer(2, "latest");
  await second;
  assertEquals(await first, [{ data: "latest" }]);
  end();
});

Deno.test("reader: a poll sends nothing while a request is in flight, and again after it", async () => {
  const { reader, requests, answer } = heldReader();
  const end = reader.follow();
  poll();
  assertEquals(requests.length, 1);
  const refreshed = refresh();
  answer(1, "now");
  await refreshed;
  poll();
  assertEquals(requests.length, 3);
  end();
});

Deno.test("reader: a refresh does not wait for what is no longer read, nor show it", async () => {
  const { reader, requests, shown } = heldReader();
  const end = reader.follow();
  const refreshed = refresh();
  end();
  for (const request of requests) request.reject(request.signal.reason);
  await refreshed;
  poll();
  assertEquals([shown.length, requests.length], [0, 2]);
});

Deno.test("reader: a failed read is shown as its error", async () => {
  const { reader, requests, shown } = heldReader();
  const end = reader.follow();
  const refreshed = refresh();
  const error = new Error("no");
  requests[1]?.reject(error);
  await refreshed;
  assertEquals(shown, [{ error }]);
  end();
});
