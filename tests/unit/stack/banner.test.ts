import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { banner, type Shown } from "../../../dev/stack/banner.ts";
import { SEEDED_PEOPLE } from "../../../dev/stack/page.ts";

const stack: Shown = {
  apiUrl: "http://127.0.0.1:54321",
  appUrl: "http://127.0.0.1:54321",
  networkUrls: [],
  publishableKey: "sb_publishable_x",
  secretKey: "sb_secret_x",
  dbUrl: "postgresql://postgres:x@127.0.0.1:54322/postgres",
  simulatorUrl: "http://127.0.0.1:20000",
  migrations: { applied: [], skipped: [], changed: [], missing: [] },
  seeded: [],
  logFile: undefined,
  namesNotRead: [],
  providers: [{
    name: "ElevenLabs",
    keyVariable: "ELEVENLABS_API_KEY",
    mode: "simulated",
  }],
  functions: { slugs: [] },
  page: undefined,
};

const shown = (
  more: Partial<Shown> = {},
  options: Partial<Parameters<typeof banner>[1]> = {},
) => banner({ ...stack, ...more }, { envFile: undefined, ...options }, 1234);

Deno.test("banner: it lists all addresses and files, with relative paths", () => {
  const text = shown({ logFile: join(Deno.cwd(), ".data/stack/stack.log") }, {
    envFile: "/elsewhere/.env",
  });
  for (
    const line of [
      "  The stack is ready (1.2 s).",
      "    API URL          http://127.0.0.1:54321",
      "    Functions        none",
      "    Data             .data/stack",
      "    Log              .data/stack/stack.log",
      "    Env file         /elsewhere/.env",
      "    ElevenLabs       simulated            set ELEVENLABS_API_KEY to use the real one",
    ]
  ) assert(text.includes(`\n${line}\n`), `${line} in\n${text}`);
  assertMatch(text, /\n {2}Ctrl-C stops it, and so does: .* task stop\n$/);
  assert(!text.includes("!"), text);
});

Deno.test("banner: for an ephemeral stack it shows no log and no command to stop it", () => {
  const text = shown({}, { ephemeral: true });
  assert(text.endsWith("\n  Ctrl-C stops it.\n"), text);
  assert(!text.includes("Log"), text);
});

Deno.test("banner: a long list wraps to the next line and loses nothing", () => {
  const slugs = Array.from(
    { length: 12 },
    (_, nth) => `function-number-${nth}`,
  );
  const text = shown({ functions: { slugs } });
  const [, list = ""] = /Functions +([^]*?)\n {4}Data/.exec(text) ?? [];
  assertEquals(list.split(/,\s+/), slugs);
  for (const line of list.split("\n")) assert(line.length < 100, line);
});

Deno.test("banner: possible problems are listed", () => {
  const text = shown({
    migrations: {
      applied: ["a.sql"],
      skipped: [],
      changed: ["b.sql"],
      missing: ["20260101000000"],
    },
    namesNotRead: ["ELEVENLABS_APIKEY"],
  });
  assertMatch(text, /Data +\.data\/stack \(1 migrations? applied\)/);
  assertMatch(text, /! b\.sql was changed after it was applied/);
  assertMatch(text, /! Migration 20260101000000 is applied in the database/);
  assertMatch(text, /! The functions do not read ELEVENLABS_APIKEY/);
});

Deno.test("banner: on the network it warns that others have access, and of the costs", () => {
  const open = {
    appUrl: "http://192.168.1.5:54321",
    networkUrls: ["http://192.168.1.5:54321", "http://10.0.0.3:54321"],
  };
  const simulated = shown(open);
  assertMatch(
    simulated,
    /API URL +http:\/\/192\.168\.1\.5:54321\n +http:\/\/10\.0\.0\.3:54321\n +http:\/\/127\.0\.0\.1:54321\n/,
  );
  assertMatch(simulated, /! Everyone on this network can use the API/);
  assert(!simulated.includes("you pay"), simulated);
  const real = shown({
    ...open,
    providers: [
      { name: "ElevenLabs", keyVariable: "ELEVENLABS_API_KEY", mode: "real" },
      { name: "Upstash", keyVariable: "UPSTASH_REDIS_REST_URL", mode: "real" },
    ],
  });
  assertEquals(real.match(/you pay/g)?.length, 1);
  assertMatch(real, /! ElevenLabs is real: you pay/);
});

Deno.test("banner: the page is listed first", () => {
  const text = shown({
    page: {
      url: "http://127.0.0.1:54323",
      networkUrls: ["http://192.168.1.2:54323"],
      problem: undefined,
    },
  });
  assertMatch(
    text,
    /ready \(1\.2 s\)\.\n\n +Open +http:\/\/127\.0\.0\.1:54323\n +http:\/\/192\.168\.1\.2:54323\n/,
  );
});

Deno.test("banner: the users who can sign in are next to the addresses of the page and of the console", () => {
  const page = {
    url: "http://127.0.0.1:54323",
    networkUrls: [],
    problem: undefined,
  };
  assertMatch(
    shown({ page: { ...page, people: SEEDED_PEOPLE } }),
    /Sign in +anna@example\.com, password family-album\n +Console +http:\/\/127\.0\.0\.1:54323\/ops, as ops@example\.com\n/,
  );
  const unseeded = shown({ page });
  assert(!unseeded.includes("Sign in"), unseeded);
  assertMatch(unseeded, /Console +http:\/\/127\.0\.0\.1:54323\/ops\n/);
});

Deno.test("banner: a page that cannot be bundled is named with the reason", () => {
  const page = {
    url: "http://127.0.0.1:54323",
    networkUrls: [],
    problem: "no such module",
  };
  assertMatch(shown({ page }), /! The page cannot be served: no such module/);
});
