import { z } from "zod";
import type { Clock } from "../provider.ts";
import type { Records, State } from "../state.ts";

/** What a command answers, in the types of RESP. */
export type RedisReply = string | number | null | readonly RedisReply[];

/** A command that failed; the message is what Redis would send, with its leading word. */
export class RedisError extends Error {
  override readonly name = "RedisError";
}

const heldSchema = z.object({
  value: z.string(),
  /** Unix milliseconds; null: never expires. */
  expiresAt: z.number().nullable(),
}).readonly();
type Held = z.output<typeof heldSchema>;

interface Command {
  /** Arguments after the name, at least and at most. */
  readonly arity: readonly [number, number];
  run(args: readonly string[]): RedisReply;
}

const NOT_AN_INTEGER = "ERR value is not an integer or out of range";

/** The commands of Redis that a cache and a lock need, on strings only, with Redis's own error texts. */
export class RedisStore {
  readonly #clock: Clock;
  readonly #held: Records<Held>;
  readonly #commands: ReadonlyMap<string, Command>;

  constructor(clock: Clock, state: State) {
    this.#clock = clock;
    this.#held = state.records("upstash.keys", heldSchema);
    const expire = (unit: number): Command["run"] => ([key = "", time]) => {
      const found = this.#get(key);
      if (found === null) return 0;
      this.#put(key, found.value, this.#clock.now() + integer(time) * unit);
      return 1;
    };
    const remaining = (unit: number): Command["run"] => ([key = ""]) => {
      const found = this.#get(key);
      if (found === null) return -2;
      if (found.expiresAt === null) return -1;
      return Math.round((found.expiresAt - this.#clock.now()) / unit);
    };
    const read = (key: string): string | null => this.#get(key)?.value ?? null;
    const remove = (key: string): number =>
      this.#get(key) !== null && this.#held.delete(key) ? 1 : 0;
    const sum = (keys: readonly string[], one: (key: string) => number) =>
      keys.reduce((total, key) => total + one(key), 0);
    const pattern = (glob: string) => this.#keys().filter(globMatcher(glob));

    this.#commands = new Map<string, Command>(Object.entries({
      ping: { arity: [0, 1], run: ([text]) => text ?? "PONG" },
      get: { arity: [1, 1], run: ([key = ""]) => read(key) },
      set: { arity: [2, 9], run: (args) => this.#set(args) },
      setex: {
        arity: [3, 3],
        run: ([key = "", seconds = "", value = ""]) =>
          this.#set([key, value, "ex", seconds], "setex"),
      },
      getdel: {
        arity: [1, 1],
        run: ([key = ""]) => {
          const value = read(key);
          remove(key);
          return value;
        },
      },
      mget: { arity: [1, Infinity], run: (keys) => keys.map(read) },
      mset: {
        arity: [2, Infinity],
        run: (args) => {
          if (args.length % 2 !== 0) throw wrongNumber("mset");
          for (let at = 0; at < args.length; at += 2) {
            this.#put(args[at] ?? "", args[at + 1] ?? "", null);
          }
          return "OK";
        },
      },
      del: { arity: [1, Infinity], run: (keys) => sum(keys, remove) },
      exists: {
        arity: [1, Infinity],
        run: (keys) => sum(keys, (key) => this.#get(key) === null ? 0 : 1),
      },
      type: {
        arity: [1, 1],
        run: ([key = ""]) => this.#get(key) === null ? "none" : "string",
      },
      incr: { arity: [1, 1], run: ([key = ""]) => this.#add(key, 1) },
      decr: { arity: [1, 1], run: ([key = ""]) => this.#add(key, -1) },
      incrby: {
        arity: [2, 2],
        run: ([key = "", by]) => this.#add(key, integer(by)),
      },
      expire: { arity: [2, 2], run: expire(1000) },
      pexpire: { arity: [2, 2], run: expire(1) },
      ttl: { arity: [1, 1], run: remaining(1000) },
      pttl: { arity: [1, 1], run: remaining(1) },
      dbsize: { arity: [0, 0], run: () => this.#keys().length },
      flushdb: {
        arity: [0, 1],
        run: () => {
          this.clear();
          return "OK";
        },
      },
      keys: { arity: [1, 1], run: ([glob = "*"]) => pattern(glob) },
      scan: { arity: [1, 7], run: (args) => this.#scan(args) },
    }));
  }

  /** The names of all commands, in lower case. */
  get commandNames(): readonly string[] {
    return [...this.#commands.keys()];
  }

  /** Throws `RedisError` when the command is unknown or has the wrong number of arguments; runs nothing. */
  check([name = "", ...args]: readonly string[]): void {
    const command = this.#commands.get(name.toLowerCase());
    if (command === undefined) {
      const shown = args.map((arg) => `'${arg}'`).join(" ");
      throw new RedisError(
        `ERR unknown command '${name}', with args beginning with: ${shown}`,
      );
    }
    const [least, most] = command.arity;
    if (args.length < least || args.length > most) {
      throw wrongNumber(name.toLowerCase());
    }
  }

  /** Runs one command, name first. Throws `RedisError` as Redis would answer an error. */
  run(command: readonly string[]): RedisReply {
    this.check(command);
    const [name = "", ...args] = command;
    return this.#commands.get(name.toLowerCase())?.run(args) ?? null;
  }

  /** Removes every key. */
  clear(): void {
    this.#held.clear();
  }

  #get(key: string): Held | null {
    const held = this.#held.get(key);
    if (held === undefined) return null;
    if (held.expiresAt !== null && held.expiresAt <= this.#clock.now()) {
      this.#held.delete(key);
      return null;
    }
    return held;
  }

  #put(key: string, value: string, expiresAt: number | null): void {
    this.#held.set(key, { value, expiresAt });
  }

  #keys(): string[] {
    return [...this.#held.keys()].filter((key) => this.#get(key) !== null);
  }

  #add(key: string, by: number): number {
    const found = this.#get(key);
    const sum = integer(found?.value ?? "0") + by;
    this.#put(key, String(sum), found?.expiresAt ?? null);
    return sum;
  }

  #set(
    [key = "", value = "", ...options]: readonly string[],
    command = "set",
  ): RedisReply {
    const old = this.#get(key);
    let expiresAt: number | null = null;
    let condition: "nx" | "xx" | null = null;
    let returnsOld = false;
    let timed = false;
    for (let at = 0; at < options.length; at += 1) {
      const option = options[at]?.toLowerCase();
      if (option === "nx" || option === "xx") {
        if (condition !== null) throw new RedisError("ERR syntax error");
        condition = option;
      } else if (option === "get") {
        returnsOld = true;
      } else if (option === "keepttl" && !timed) {
        timed = true;
        expiresAt = old?.expiresAt ?? null;
      } else if (
        (option === "ex" || option === "px" || option === "exat" ||
          option === "pxat") && !timed && at + 1 < options.length
      ) {
        timed = true;
        const time = integer(options[at += 1]);
        if (time <= 0) {
          throw new RedisError(
            `ERR invalid expire time in '${command}' command`,
          );
        }
        const ms = option.startsWith("e") ? time * 1000 : time;
        expiresAt = option.endsWith("at") ? ms : this.#clock.now() + ms;
      } else {
        throw new RedisError("ERR syntax error");
      }
    }
    const allowed = condition === null ||
      (condition === "nx") === (old === null);
    if (allowed) this.#put(key, value, expiresAt);
    if (returnsOld) return old?.value ?? null;
    return allowed ? "OK" : null;
  }

  #scan([cursor, ...options]: readonly string[]): RedisReply {
    const from = integer(cursor);
    let matching = (_key: string): boolean => true;
    let count = 10;
    let type = "string";
    for (let at = 0; at < options.length; at += 2) {
      const value = options[at + 1];
      if (value === undefined) throw new RedisError("ERR syntax error");
      const option = options[at]?.toLowerCase();
      if (option === "match") matching = globMatcher(value);
      else if (option === "count") count = Math.max(1, integer(value));
      else if (option === "type") type = value.toLowerCase();
      else throw new RedisError("ERR syntax error");
    }
    const keys = this.#keys().sort();
    const page = keys.slice(from, from + count);
    const next = from + count < keys.length ? from + count : 0;
    return [
      String(next),
      type === "string" ? page.filter((key) => matching(key)) : [],
    ];
  }
}

function wrongNumber(command: string): RedisError {
  return new RedisError(
    `ERR wrong number of arguments for '${command}' command`,
  );
}

function integer(text: string | undefined): number {
  if (text === undefined || !/^-?\d+$/.test(text)) {
    throw new RedisError(NOT_AN_INTEGER);
  }
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RedisError(NOT_AN_INTEGER);
  return value;
}

/** Redis globs: `*`, `?`, `[abc]`, `[^a-c]` and a backslash that takes the next character as it is. */
function globMatcher(glob: string): (key: string) => boolean {
  const source = glob.replaceAll(
    /\\(.)|\[(\^?)([^\]]*)\]|([*?])|([.+^${}()|/\\[\]])/g,
    (_all, escaped, negated, set, wild, special) => {
      if (escaped !== undefined) return escaped.replace(/[^\w\s]/, "\\$&");
      if (set !== undefined) {
        return `[${negated}${set.replaceAll(/[\\[\]]/g, "\\$&")}]`;
      }
      if (wild !== undefined) return wild === "*" ? "[\\s\\S]*" : "[\\s\\S]";
      return `\\${special}`;
    },
  );
  const expression = new RegExp(`^${source}$`);
  return (key) => expression.test(key);
}
