/** Reading request bodies: bounded, typed, and with the wrong field named. */
import type { z } from "zod";
import { check, type WrongPart } from "../contracts/issue-words.ts";
import { AppError, type FieldError } from "../errors.ts";
import type { Bytes } from "../platform/bytes.ts";

/** Most bytes of a JSON body. Recordings and photos go straight to Storage, never through a function. */
export const MAX_BODY_BYTES = 131_072;

/**
 * The body as text.
 *
 * @throws {AppError} `payload_too_large` as soon as more than `maxBytes` have come, whatever Content-Length says;
 *   `invalid_json` if it is not UTF-8.
 */
export async function readText(
  request: Request,
  maxBytes = MAX_BODY_BYTES,
): Promise<string> {
  const bytes = await readBytes(request, maxBytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new AppError("invalid_json", {
      details: "The body is not UTF-8.",
      cause,
    });
  }
}

/**
 * The body byte for byte, as signatures need it.
 *
 * @throws {AppError} `payload_too_large` as soon as more than `maxBytes` have come, whatever Content-Length says.
 */
export async function readBytes(
  request: Request,
  maxBytes: number,
): Promise<Bytes> {
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body) {
    size += chunk.byteLength;
    if (size > maxBytes) {
      throw new AppError("payload_too_large", {
        details: `The body may have ${maxBytes} bytes at most.`,
      });
    }
    chunks.push(chunk);
  }
  return new Uint8Array(
    await new Blob(chunks.map((chunk) => chunk.slice())).arrayBuffer(),
  );
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
  // A member may have the empty name, and even then the field has one.
  const names = path.map((part) => part === "" ? '""' : part);
  return { field: names.length === 0 ? "body" : names.join("."), message };
}
