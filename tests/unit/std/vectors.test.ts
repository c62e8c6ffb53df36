/**
 * The deployed functions of the standard library, checked against the vectors of their specifications, or against their
 * documentation.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { abortable } from "@std/async/abortable";
import { deadline } from "@std/async/deadline";
import { retry, RetryError } from "@std/async/retry";
import { decodeBase64, encodeBase64 } from "@std/encoding";
import { generate as uuidV7 } from "@std/uuid/v7";
import fc from "fast-check";
import ts from "typescript";
import { readSourceTree } from "../../../dev/tools/source-tree.ts";
import { fromFileUrl } from "@std/path";

const utf8 = new TextEncoder();

/** RFC 4648, section 10. */
const RFC_4648 = [
  ["", ""],
  ["f", "Zg=="],
  ["fo", "Zm8="],
  ["foo", "Zm9v"],
  ["foob", "Zm9vYg=="],
  ["fooba", "Zm9vYmE="],
  ["foobar", "Zm9vYmFy"],
] as const;

for (const [text, base64] of RFC_4648) {
  Deno.test(`base64: "${text}" is "${base64}", as in RFC 4648, section 10`, () => {
    assertEquals(encodeBase64(utf8.encode(text)), base64);
    assertEquals(encodeBase64(text), base64);
    assertEquals([...decodeBase64(base64)], [...utf8.encode(text)]);
  });
}

Deno.test("base64: the alphabet is table 1 of RFC 4648, with + and /", () => {
  const alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  // 64 groups of six bits, in order: 48 bytes.
  const bits = Array.from(
    { length: 64 },
    (_, value) => value.toString(2).padStart(6, "0"),
  ).join("");
  const bytes = Uint8Array.from(
    bits.match(/.{8}/g) ?? [],
    (byte) => parseInt(byte, 2),
  );
  assertEquals(encodeBase64(bytes), alphabet);
  assertEquals([...decodeBase64(alphabet)], [...bytes]);
});

Deno.test("base64: any bytes survive a round trip and match the encoding of the runtime", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    const encoded = encodeBase64(bytes);
    assertEquals(encoded, btoa(String.fromCharCode(...bytes)));
    assertEquals([...decodeBase64(encoded)], [...bytes]);
  }));
});

for (const text of ["Z", "Zm9vY", "Zm9v!mFy", "Zm9-", "Zm9_", "Zé=="]) {
  Deno.test(`base64: "${text}" cannot be decoded`, () => {
    assertThrows(() => decodeBase64(text));
  });
}

/** Makes every timer fire immediately while `work` runs; resolves with the delays, in milliseconds. */
async function delaysOf(work: () => Promise<unknown>): Promise<number[]> {
  const delays: number[] = [];
  const real = globalThis.setTimeout;
  Reflect.set(globalThis, "setTimeout", (callback: () => void, ms: number) => {
    delays.push(ms);
    queueMicrotask(callback);
    return 0;
  });
  try {
    await work();
  } finally {
    Reflect.set(globalThis, "setTimeout", real);
  }
  return delays;
}

/** A function that fails `times` times, and then returns how often it was called. */
function failing(times: number) {
  let calls = 0;
  return () => {
    if (calls++ < times) return Promise.reject(new Error(`call ${calls}`));
    return Promise.resolve(calls);
  };
}

const SCHEDULE = { minTimeout: 250, multiplier: 2, maxTimeout: 4_000 };

Deno.test("retry: each delay is the one before times multiplier, from minTimeout up to maxTimeout", async () => {
  let result: number | undefined;
  const delays = await delaysOf(async () => {
    result = await retry(failing(6), {
      ...SCHEDULE,
      maxAttempts: 7,
      jitter: 0,
    });
  });
  assertEquals(result, 7);
  assertEquals(delays, [250, 500, 1_000, 2_000, 4_000, 4_000]);
});

Deno.test("retry: jitter shortens each delay at random by at most its fraction", async () => {
  const seen = new Set<number>();
  for (let round = 0; round < 200; round++) {
    const [delay = 0] = await delaysOf(() =>
      retry(failing(1), { ...SCHEDULE, jitter: 0.5 })
    );
    seen.add(delay);
    assert(delay >= 125 && delay <= 250, `${delay} ms`);
  }
  assert(seen.size > 10);
});

Deno.test("retry: after maxAttempts it throws a RetryError whose cause is the last error", async () => {
  let calls = 0;
  const delays = await delaysOf(async () => {
    const error = await assertRejects(
      () =>
        retry(() => {
          throw new Error(`call ${++calls}`);
        }, { ...SCHEDULE, maxAttempts: 3, jitter: 0 }),
      RetryError,
    );
    assert(error.cause instanceof Error);
    assertEquals(error.cause.message, "call 3");
  });
  assertEquals([calls, delays], [3, [250, 500]]);
});

Deno.test("retry: an error for which isRetriable is false is thrown without a retry", async () => {
  const delays = await delaysOf(() =>
    assertRejects(
      () => retry(failing(1), { ...SCHEDULE, isRetriable: () => false }),
      Error,
      "call 1",
    )
  );
  assertEquals(delays, []);
});

Deno.test("abortable: a promise that settles first is passed on, and a later abort changes nothing", async () => {
  const controller = new AbortController();
  assertEquals(await abortable(Promise.resolve(1), controller.signal), 1);
  await assertRejects(
    () => abortable(Promise.reject(new Error("no")), controller.signal),
    Error,
    "no",
  );
  controller.abort();
});

Deno.test("abortable: it rejects with the signal's reason, also when it was aborted before", async () => {
  const never = new Promise<never>(() => {});
  const controller = new AbortController();
  const pending = abortable(never, controller.signal);
  controller.abort(new Error("too late"));
  await assertRejects(() => pending, Error, "too late");
  await assertRejects(
    () => abortable(never, controller.signal),
    Error,
    "too late",
  );
});

Deno.test("deadline: a promise that settles in time is passed on, any other rejects with a TimeoutError", async () => {
  assertEquals(await deadline(Promise.resolve(1), 60_000), 1);
  await assertRejects(
    () => deadline(Promise.reject(new Error("no")), 60_000),
    Error,
    "no",
  );
  const error = await assertRejects(
    () => deadline(new Promise<never>(() => {}), 1),
    DOMException,
  );
  assertEquals(error.name, "TimeoutError");
});

Deno.test("uuid v7: the time of RFC 9562, appendix A.6, then version, variant and random bits", () => {
  // The vector's id: 017f22e2-79b0-7cc3-98c4-dc0c0c07398f
  const ids = Array.from({ length: 100 }, () => uuidV7(1_645_557_742_000));
  for (const id of ids) {
    assert(
      /^017f22e2-79b0-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id),
    );
  }
  assertEquals(new Set(ids).size, ids.length);
  const before = Date.now();
  const time = parseInt(uuidV7().replaceAll("-", "").slice(0, 12), 16);
  assert(time >= before && time <= Date.now());
});

Deno.test("std: the deployed functions import only what these vectors cover", async () => {
  const root = fromFileUrl(new URL("../../../", import.meta.url));
  const names = new Set<string>();
  for (const { path, text } of await readSourceTree(root.replace(/\/$/, ""))) {
    if (!/^supabase\/functions\/.*\.ts$/.test(path)) continue;
    for (
      const node of ts.createSourceFile(path, text, ts.ScriptTarget.Latest)
        .statements
    ) {
      if (
        !ts.isImportDeclaration(node) ||
        !ts.isStringLiteral(node.moduleSpecifier) ||
        !node.moduleSpecifier.text.startsWith("@std/")
      ) continue;
      const bindings = node.importClause?.namedBindings;
      const imported = bindings && ts.isNamedImports(bindings)
        ? bindings.elements.map(({ name }) => name.text)
        : ["everything"];
      for (const name of imported) {
        names.add(`${node.moduleSpecifier.text} ${name}`);
      }
    }
  }
  assertEquals([...names].sort(), [
    "@std/async/abortable abortable",
    "@std/async/deadline deadline",
    "@std/async/retry RetryError",
    "@std/async/retry retry",
    "@std/encoding decodeBase64",
    "@std/encoding encodeBase64",
    "@std/uuid/v7 uuidV7",
  ]);
});
