/** Reads request bodies: bounded, typed, and naming each invalid field. */
import type { z } from "zod";
import { check, type WrongPart } from "../contracts/issue-words.ts";
import { AppError, type FieldError } from "../failures/app-error.ts";
import { boundedChunks, textOf } from "../platform/bounded-body.ts";

/** Maximum number of bytes of a JSON body. Recordings and photos go straight to Storage, never through a function. */
export const MAX_BODY_BYTES = 131_072;

/**
 * The body as text.
 *
 * @throws {AppError} `payload_too_large` as {@link bodyChunks}; `invalid_json` if it is not UTF-8.
 */
export function readText(
  request: Request,
  maxBytes = MAX_BODY_BYTES,
): Promise<string> {
  return textOf(
    bodyChunks(request, maxBytes),
    (cause) =>
      new AppError("invalid_json", {
        details: "The body is not UTF-8.",
        cause,
      }),
  );
}

/**
 * The chunks of the body as they arrive.
 *
 * @throws {AppError} `payload_too_large` before anything is read when Content-Length exceeds `maxBytes`, and as soon as
 *   more bytes have arrived; and the reason of `signal`.
 */
export async function* bodyChunks(
  request: Request,
  maxBytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const tooLarge = () =>
    new AppError("payload_too_large", {
      details: `The body must have at most ${maxBytes} bytes.`,
    });
  if ((declaredBytes(request) ?? 0) > maxBytes) throw tooLarge();
  yield* boundedChunks(request.body, maxBytes, tooLarge, signal);
}

/** Content-Length as a number; undefined when it is missing or invalid. */
export function declaredBytes(request: Request): number | undefined {
  const text = request.headers.get("content-length") ?? "";
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}

/**
 * The JSON body, checked.
 *
 * @throws {AppError} `unsupported_media_type`, `payload_too_large`, `invalid_json`, or `invalid_request` with one
 *   entry for each wrong field.
 */
export async function readJson<T extends z.ZodType>(
  request: Request,
  schema: T,
): Promise<z.output<T>> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^application\/([a-z0-9.+-]+\+)?json\s*(;|$)/i.test(type)) {
    throw new AppError("unsupported_media_type");
  }
  return parse(parseJson(await readText(request)), schema);
}

/** @throws {AppError} `invalid_json`. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError("invalid_json", { cause });
  }
}

/** @throws {AppError} `invalid_request` with one entry for each wrong field, named by its path. */
export function parse<T extends z.ZodType>(
  value: unknown,
  schema: T,
): z.output<T> {
  const result = check(value, schema);
  if (result.wrong === undefined) return result.data;
  const fields = result.wrong.map(toField);
  throw new AppError("invalid_request", {
    details: fields.map((field) => `${field.field}: ${field.message}`).join(
      "; ",
    ),
    fields,
  });
}

function toField({ path, message }: WrongPart): FieldError {
  // The name of a member may be empty.
  const names = path.map((part) => part === "" ? '""' : part);
  return { field: names.length === 0 ? "body" : names.join("."), message };
}
