import {
  assert,
  assertEquals,
  assertObjectMatch,
  assertStringIncludes,
} from "@std/assert";
import fc, { anyCharacter } from "../../../_support/fast-check.ts";
import {
  createLogger,
  type LogLevel,
} from "../../../../supabase/functions/_shared/platform/log.ts";
import { fakePlatform } from "../../../_support/fake-platform.ts";

/** The platform truncates a message at this length. */
const PLATFORM_LIMIT = 10_000;
const SECRET = "sk_live_0123456789";

function logging(
  options: { level?: LogLevel; secrets?: readonly string[] } = {},
) {
  const platform = fakePlatform();
  const log = createLogger(platform, {
    level: options.level ?? "info",
    secrets: options.secrets ?? [SECRET],
    fields: { function: "process-ai-job" },
  });
  return {
    platform,
    log,
    /** The only line, parsed. */
    line: () => {
      const [line, ...more] = platform.logged();
      assert(line !== undefined);
      assertEquals(more, []);
      return line;
    },
    /** The only line, as written. */
    text: () => {
      assertEquals(platform.lines.length, 1);
      return platform.lines[0] ?? "";
    },
  };
}

Deno.test("createLogger: a line is one JSON object with time, level, event and the fields of logger and call", () => {
  const { platform, log } = logging();
  platform.advance(1_500);
  log.with({ job_id: "j1", attempt: 2 }).warn("job_will_retry", {
    error_code: "provider_timeout",
    attempt: 3,
  });
  assertEquals(platform.logged(), [{
    time: "2026-01-01T00:00:01.500Z",
    level: "warn",
    event: "job_will_retry",
    function: "process-ai-job",
    job_id: "j1",
    attempt: 3,
    error_code: "provider_timeout",
  }]);
  assert(!platform.lines[0]?.includes("\n"));
});

Deno.test("createLogger: line breaks inside a field do not break the line", () => {
  const { log, line, text } = logging();
  log.info("x", { text: "one\ntwo\r\n\u2028three" });
  assertEquals(line()["text"], "one\ntwo\r\n\u2028three");
  assert(!/[\r\n]/.test(text()));
});

for (
  const [level, written] of [
    ["debug", ["debug", "info", "warn", "error"]],
    ["info", ["info", "warn", "error"]],
    ["warn", ["warn", "error"]],
    ["error", ["error"]],
  ] as const
) {
  Deno.test(`createLogger: at level ${level} it writes ${written.join(", ")}`, () => {
    const { platform, log } = logging({ level });
    for (const method of ["debug", "info", "warn", "error"] as const) {
      log[method]("x");
    }
    assertEquals(platform.logged().map((line) => line.level), [...written]);
  });
}

Deno.test("createLogger: an error is written with name, message, stack, its own fields and its causes", () => {
  const { log, text } = logging();
  const cause = Object.assign(new TypeError("fetch failed"), { code: "RESET" });
  log.error("x", { error: new Error("no answer", { cause }) });
  const error = JSON.parse(text()).error;
  assertEquals(error.name, "Error");
  assertEquals(error.message, "no answer");
  assertStringIncludes(error.stack.join("\n"), "log.test.ts");
  assertEquals(error.cause.name, "TypeError");
  assertEquals(error.cause.code, "RESET");
});

const nested = new Error("outer", {
  cause: new Error("middle", {
    cause: Object.assign(new Error(`Bearer ${SECRET}`), {
      headers: { authorization: `Basic ${SECRET}` },
    }),
  }),
});
for (
  const [where, fields] of [
    ["a field", { key: SECRET }],
    ["the middle of a field", { url: `https://x.test/?key=${SECRET}&a=1` }],
    ["a list in an object", { a: { b: [1, [SECRET]] } }],
    ["an error's message", { error: new Error(`key ${SECRET} is wrong`) }],
    ["an error's causes", { error: nested }],
    ["a cause that is not an error", {
      error: new Error("x", { cause: SECRET }),
    }],
    ["an address object", { url: new URL(`https://x.test/${SECRET}`) }],
  ] as const
) {
  Deno.test(`createLogger: a secret in ${where} is replaced`, () => {
    const { log, text } = logging();
    log.error("x", fields);
    assert(!text().includes(SECRET), text());
    assertStringIncludes(text(), "[secret]");

    const unfilteredLogger = logging({ secrets: [] });
    unfilteredLogger.log.error("x", fields);
    assertStringIncludes(unfilteredLogger.text(), SECRET);
  });
}

Deno.test("createLogger: a secret with characters that JSON escapes is replaced as well", () => {
  for (const secret of ['quo"ted-key', "back\\slash-key", "line\nbreak-key"]) {
    const { log, line } = logging({ secrets: [secret] });
    log.info("x", { key: `Bearer ${secret}` });
    assertEquals(line()["key"], "Bearer [secret]");
  }
});

Deno.test("createLogger: of two secrets with a common beginning, the longer one is redacted completely", () => {
  const { log, line } = logging({ secrets: ["sk_live", "sk_live_2"] });
  log.info("x", { keys: "sk_live sk_live_2" });
  assertEquals(line()["keys"], "[secret] [secret]");
});

Deno.test("createLogger: a line that the platform would truncate is shortened before, and is JSON with its ids", () => {
  const { log, line, text } = logging();
  log.with({ request_id: "r1", job_id: "j1", attempt: 4 }).error("x", {
    error: new Error('"\\'.repeat(10_000)),
  });
  assert(text().length < PLATFORM_LIMIT, `${text().length} characters`);
  assertObjectMatch(line(), {
    request_id: "r1",
    job_id: "j1",
    attempt: 4,
    is_cut: true,
  });
  assertStringIncludes(String(line()["error_text"]), "Error");
});

Deno.test("createLogger: shortening never leaves a part of a secret", () => {
  for (let before = 3_900; before < 4_600; before += 7) {
    const { log, line, text } = logging();
    log.error("x", {
      error: "x".repeat(before) + SECRET + "y".repeat(10_000),
    });
    assert(line()["is_cut"] === true);
    assert(!text().includes(SECRET.slice(0, 8)), `at ${before}`);
  }
});

const circular: Record<string, unknown> = { name: "loop" };
circular["self"] = circular;
const selfCaused = new Error("a cycle");
selfCaused.cause = selfCaused;
for (
  const [what, fields] of [
    ["a circle", { circular }],
    ["an error that is its own cause", { error: selfCaused }],
    ["a bigint", { size: 1n }],
    ["an object that throws when read", {
      error: {
        toJSON() {
          throw new Error("no");
        },
      },
    }],
    ["an error that throws when read", {
      error: Object.defineProperty(new Error("x"), "body", {
        enumerable: true,
        get() {
          throw new Error("no");
        },
      }),
    }],
  ] as const
) {
  Deno.test(`createLogger: ${what} does not prevent the line`, () => {
    const { log, line } = logging();
    log.with({ job_id: "j1" }).error("job_end_not_written", fields);
    assertEquals(line()["event"], "job_end_not_written");
    assertEquals(line()["job_id"], "j1");
  });
}

Deno.test("createLogger: for any fields the line is JSON, short enough, and without the secret", () => {
  const text = fc.oneof(
    fc.string({ unit: anyCharacter, maxLength: 40 }),
    fc.constantFrom(
      SECRET,
      `${SECRET}${SECRET}`,
      '"',
      "\\",
      "\u2028",
      "\ud800",
    ),
    fc.nat(20_000).map((length) => '\\"'.repeat(length / 2)),
    fc.nat(9_000).map((length) => "x".repeat(length) + SECRET),
  );
  const value = fc.oneof(
    fc.array(text, { maxLength: 3 }).map((parts) => parts.join("")),
    text.map((message) => new Error(message, { cause: new Error(message) })),
    fc.dictionary(fc.constantFrom("a", "message", "cause", "toJSON"), text),
  );
  fc.assert(
    fc.property(value, value, (error, other) => {
      const { log, line, text } = logging();
      log.with({ request_id: "r".repeat(128) }).error("x", { error, other });
      assertEquals(line().level, "error");
      assert(text().length < PLATFORM_LIMIT, `${text().length} characters`);
      assert(!text().includes(SECRET));
    }),
    { numRuns: 500 },
  );
});
