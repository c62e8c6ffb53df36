/**
 * Messages of the Realtime protocol, version 2.0.0, as realtime-js 2.119 speaks it: JSON arrays in text frames, and two
 * kinds of binary frames for broadcasts. Lengths in binary frames count bytes, and none may exceed 255.
 */
import { z } from "zod";

/** `[join_ref, ref, topic, event, payload]` from a client. */
export const clientMessageSchema = z.tuple([
  z.string().nullable(),
  z.string().nullable(),
  z.string(),
  z.string(),
  z.unknown(),
]).transform(([joinRef, ref, topic, event, payload]) => ({
  joinRef,
  ref,
  topic,
  event,
  payload,
}));
export type ClientMessage = z.output<typeof clientMessageSchema>;

/** A broadcast that a client sends as a binary frame; `payload` is the JSON text. */
export interface ClientBroadcast {
  joinRef: string;
  ref: string;
  topic: string;
  event: string;
  payload: string;
}

const CLIENT_BROADCAST = 3;
const SERVER_BROADCAST = 4;
const JSON_ENCODING = 1;
const MAX_PART_BYTES = 255;

const encoder = new TextEncoder();

/** Parses a binary frame of a client; undefined unless it is a broadcast with a JSON payload. */
export function readClientBroadcast(
  frame: Uint8Array,
): ClientBroadcast | undefined {
  const [kind, joinRef, ref, topic, event, meta, encoding] = frame;
  if (
    kind !== CLIENT_BROADCAST || joinRef === undefined || ref === undefined ||
    topic === undefined || event === undefined || meta === undefined ||
    encoding !== JSON_ENCODING
  ) return undefined;
  const decoder = new TextDecoder();
  let at = 7;
  const take = (bytes: number) =>
    decoder.decode(frame.subarray(at, at += bytes));
  const parts = {
    joinRef: take(joinRef),
    ref: take(ref),
    topic: take(topic),
    event: take(event),
  };
  take(meta);
  return { ...parts, payload: decoder.decode(frame.subarray(at)) };
}

/**
 * The binary frame of a broadcast for a client. `id` is that of the row in `realtime.messages`, which only broadcasts
 * from the database have.
 *
 * @throws {RangeError} when topic or event has more than 255 bytes.
 */
export function broadcastFrame(broadcast: {
  topic: string;
  event: string;
  payload: string;
  id?: string | undefined;
}): Uint8Array<ArrayBuffer> {
  const parts = [
    broadcast.topic,
    broadcast.event,
    broadcast.id === undefined ? "" : JSON.stringify({ id: broadcast.id }),
  ].map((part) => encoder.encode(part));
  if (parts.some(({ length }) => length > MAX_PART_BYTES)) {
    throw new RangeError("topic and event must have at most 255 bytes each");
  }
  const header = [
    SERVER_BROADCAST,
    ...parts.map(({ length }) => length),
    JSON_ENCODING,
  ];
  const all = [
    Uint8Array.from(header),
    ...parts,
    encoder.encode(broadcast.payload),
  ];
  const frame = new Uint8Array(
    all.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const part of all) {
    frame.set(part, at);
    at += part.length;
  }
  return frame;
}
