/**
 * Types of the parts of the Deno standard library that this project uses. The npm package `deno-std` ships
 * JavaScript without declarations; the signatures follow the documentation of the standard library.
 */

declare module "@std/assert" {
  /** Fails unless `expr` is truthy; narrows its type. */
  export function assert(expr: unknown, msg?: string): asserts expr;
  /** Fails unless the two are deeply equal. */
  export function assertEquals<T>(actual: T, expected: T, msg?: string): void;
  export function assertAlmostEquals(
    actual: number,
    expected: number,
    tolerance?: number,
    msg?: string,
  ): void;
  export function assertNotEquals<T>(
    actual: T,
    expected: T,
    msg?: string,
  ): void;
  export function assertStrictEquals<T>(
    actual: unknown,
    expected: T,
    msg?: string,
  ): asserts actual is T;
  export function assertExists<T>(
    actual: T,
    msg?: string,
  ): asserts actual is NonNullable<T>;
  export function assertStringIncludes(
    actual: string,
    expected: string,
    msg?: string,
  ): void;
  export function assertMatch(
    actual: string,
    expected: RegExp,
    msg?: string,
  ): void;
  export function assertNotMatch(
    actual: string,
    expected: RegExp,
    msg?: string,
  ): void;
  export function assertArrayIncludes<T>(
    actual: ArrayLike<T>,
    expected: ArrayLike<T>,
    msg?: string,
  ): void;
  export function assertObjectMatch(
    actual: object,
    expected: object,
    msg?: string,
  ): void;
  export function assertGreater<T>(actual: T, expected: T, msg?: string): void;
  export function assertGreaterOrEqual<T>(
    actual: T,
    expected: T,
    msg?: string,
  ): void;
  export function assertLess<T>(actual: T, expected: T, msg?: string): void;
  export function assertLessOrEqual<T>(
    actual: T,
    expected: T,
    msg?: string,
  ): void;
  export function assertThrows<E extends Error = Error>(
    fn: () => unknown,
    ErrorClass?: new (...args: never[]) => E,
    msgIncludes?: string,
  ): E;
  export function assertRejects<E extends Error = Error>(
    fn: () => PromiseLike<unknown>,
    ErrorClass?: new (...args: never[]) => E,
    msgIncludes?: string,
  ): Promise<E>;
  export function fail(msg?: string): never;
}

declare module "@std/async/abortable" {
  /** Resolves and rejects with `p`; rejects with the signal's reason as soon as it is aborted. */
  export function abortable<T>(p: Promise<T>, signal: AbortSignal): Promise<T>;
}

declare module "@std/async/deadline" {
  /** Resolves and rejects with `p`; rejects with a DOMException `TimeoutError` after `ms` milliseconds. */
  export function deadline<T>(p: Promise<T>, ms: number): Promise<T>;
}

declare module "@std/async/retry" {
  export interface RetryOptions {
    /** @default 2 */
    multiplier?: number;
    /** Longest delay, in milliseconds. @default 60000 */
    maxTimeout?: number;
    /** The first attempt included. @default 5 */
    maxAttempts?: number;
    /** First delay, in milliseconds. @default 1000 */
    minTimeout?: number;
    /** The part of each delay, 0 to 1, by which it may be shortened at random. @default 1 */
    jitter?: number;
    /** Whether an error may be retried; any other is thrown immediately. */
    isRetriable?: (error: unknown) => boolean;
    signal?: AbortSignal;
  }
  /** All attempts failed; `cause` is the last error. */
  export class RetryError extends Error {}
  export function retry<T>(
    fn: (() => Promise<T>) | (() => T),
    options?: RetryOptions,
  ): Promise<T>;
}

declare module "@std/encoding" {
  export function encodeBase64(data: ArrayBuffer | Uint8Array | string): string;
  export function decodeBase64(b64: string): ReturnType<typeof Uint8Array.from>;
  export function encodeBase64Url(
    data: ArrayBuffer | Uint8Array | string,
  ): string;
  export function decodeBase64Url(
    b64: string,
  ): ReturnType<typeof Uint8Array.from>;
  export function encodeHex(data: ArrayBuffer | Uint8Array | string): string;
  export function decodeHex(hex: string): ReturnType<typeof Uint8Array.from>;
}

declare module "@std/toml" {
  export function parse(toml: string): Record<string, unknown>;
}

declare module "@std/path" {
  export function join(...paths: (string | URL)[]): string;
  export function dirname(path: string | URL): string;
  export function basename(path: string | URL, suffix?: string): string;
  export function relative(from: string, to: string): string;
  export function resolve(...paths: string[]): string;
  export function fromFileUrl(url: string | URL): string;
  export function toFileUrl(path: string): URL;
  export function isAbsolute(path: string): boolean;
}

declare module "@std/cli/parse-args" {
  export function parseArgs(args: string[], options: {
    string?: string[];
    boolean?: string[];
    negatable?: string[];
    /** Options that may be repeated: an array of all values. */
    collect?: string[];
    default?: Record<string, unknown>;
    alias?: Record<string, string>;
    unknown?: (arg: string, key?: string, value?: unknown) => unknown;
  }): Record<string, unknown> & { _: (string | number)[] };
}

declare module "@std/yaml" {
  /** The value of a YAML 1.2 document. */
  export function parse(content: string): unknown;
}

declare module "@std/uuid/v7" {
  /** A UUID of version 7 (RFC 9562); `timestamp` in milliseconds, now when left out. */
  export function generate(timestamp?: number): string;
}
