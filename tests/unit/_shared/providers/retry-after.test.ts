import { assertEquals } from "@std/assert";
import { retryAfterSeconds } from "../../../../supabase/functions/_shared/providers/retry-after.ts";

const AT = "Mon, 23 Nov 2026 10:00:00 GMT";

for (
  const [headers, seconds] of [
    [{ "Retry-After": "7" }, 7],
    [{ "retry-after": " 0 " }, 0],
    [{ "Retry-After": "Mon, 23 Nov 2026 10:02:05 GMT", Date: AT }, 125],
    [{ "Retry-After": "Mon, 23 Nov 2026 09:00:00 GMT", Date: AT }, 0],
    [{}, undefined],
    [{ "Retry-After": "" }, undefined],
    [{ "Retry-After": "-1" }, undefined],
    [{ "Retry-After": "1.5" }, undefined],
    [{ "Retry-After": "soon", Date: AT }, undefined],
    [{ "Retry-After": "2026-11-23T10:02:05Z", Date: AT }, undefined],
    [{ "Retry-After": "Mon, 99 Nov 2026 10:02:05 GMT", Date: AT }, undefined],
    [{ "Retry-After": "Mon, 23 Nov 2026 10:02:05 GMT" }, undefined],
  ] as const
) {
  Deno.test(`retryAfterSeconds: ${JSON.stringify(headers)} is ${seconds}`, () => {
    assertEquals(
      retryAfterSeconds(new Headers({ ...headers })),
      seconds,
    );
  });
}
