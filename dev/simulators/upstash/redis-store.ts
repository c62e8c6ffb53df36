/** The commands of Redis that the result cache and its tests use, for strings only, with Redis's error texts. */
import { z } from "zod";
import type { Clock } from "../provider.ts";
import type { Records, State } from "../state.ts";

/** The result of a command, in RESP types. */
export type RedisReply = string | number | null;

/** A failed command; the message is Redis's, with its leading word. */
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
  /** Minimum and maximum number of arguments after the name. */
  readonly arity: readonly [number, number];
  run(args: readonly string[]): RedisReply;
}

/** GET, SET with an expiry in seconds, and TTL. */
export class RedisStore {
  readonly #clock: Pick<Clock, "now">;
  readonly #held: Records<Held>;
  readonly #commands: ReadonlyMap<string, Command> = new Map([
    ["get", {
      arity: [1, 1],
      run: ([key = ""]) => this.#get(key)?.value ?? null,
    }],
    ["set", { arity: [2, Infinity], run: (args) => this.#set(args) }],
    ["ttl", { arity: [1, 1], run: ([key = ""]) => this.#ttl(key) }],
  ]);

  constructor(clock: Pick<Clock, "now">, state: State) {
    this.#clock = clock;
    this.#held = state.records("upstash.keys", heldSchema);
  }

  /** The names of all commands, in lower case. */
  get commandNames(): readonly string[] {
    return [...this.#commands.keys()];
  }

  /** Runs one command, name first. Throws `RedisError` where Redis would return an error. */
  run([name = "", ...args]: readonly string[]): RedisReply {
    const command = this.#commands.get(name.toLowerCase());
    if (command === undefined) {
      const shown = args.map((arg) => `'${arg}'`).join(" ");
      throw new RedisError(
        `ERR unknown command '${name}', with args beginning with: ${shown}`,
      );
    }
    const [least, most] = command.arity;
    if (args.length < least || args.length > most) {
      throw new RedisError(
        `ERR wrong number of arguments for '${name.toLowerCase()}' command`,
      );
    }
    return command.run(args);
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

  #set(
    [key = "", value = "", option, time, ...more]: readonly string[],
  ): RedisReply {
    const isKnown = option === undefined || option.toLowerCase() === "ex";
    if (!isKnown || more.length > 0) throw new RedisError("ERR syntax error");
    const expiresAt = option === undefined
      ? null
      : this.#clock.now() + seconds(time) * 1000;
    this.#held.set(key, { value, expiresAt });
    return "OK";
  }

  #ttl(key: string): number {
    const found = this.#get(key);
    if (found === null) return -2;
    if (found.expiresAt === null) return -1;
    return Math.round((found.expiresAt - this.#clock.now()) / 1000);
  }
}

function seconds(text: string | undefined): number {
  if (text === undefined) throw new RedisError("ERR syntax error");
  if (!/^-?\d{1,15}$/.test(text)) {
    throw new RedisError("ERR value is not an integer or out of range");
  }
  if (Number(text) <= 0) {
    throw new RedisError("ERR invalid expire time in 'set' command");
  }
  return Number(text);
}
