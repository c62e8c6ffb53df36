/**
 * The messages about rows of `pgoutput`, the output plugin of logical replication, protocol version 1 (PostgreSQL 17,
 * "Logical Replication Message Formats"). Values remain Postgres's text.
 */

/** A column in a relation message. */
export interface Column {
  name: string;
  typeId: number;
  /** Whether it belongs to the replica identity: the primary key by default, every column with `full`. */
  isIdentity: boolean;
}

/**
 * A row of texts and nulls. A large value that an update did not change is absent, unless the replica identity includes
 * it.
 */
export type Row = Record<string, string | null>;

/** A row that a transaction wrote. */
export interface WrittenRow {
  type: "INSERT" | "UPDATE" | "DELETE";
  schema: string;
  table: string;
  columns: readonly Column[];
  committedAt: Date;
  record: Row | null;
  /** The old row, as far as the replica identity includes it. */
  old: Row | null;
}

interface Relation {
  schema: string;
  table: string;
  columns: Column[];
}

const EPOCH_2000_MS = Date.UTC(2000, 0, 1);

/** Converts a time of the replication protocol (microseconds since 2000) to milliseconds of the epoch. */
function fromPostgresTime(microseconds: bigint): number {
  return EPOCH_2000_MS + Number(microseconds / 1000n);
}

/** The inverse of {@link fromPostgresTime}. */
export function toPostgresTime(milliseconds: number): bigint {
  return BigInt(milliseconds - EPOCH_2000_MS) * 1000n;
}

/** Reads numbers and texts one after another. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  byte(): number {
    return this.#view.getUint8(this.#at++);
  }

  letter(): string {
    return String.fromCharCode(this.byte());
  }

  int16(): number {
    this.#at += 2;
    return this.#view.getInt16(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4);
  }

  int64(): bigint {
    this.#at += 8;
    return this.#view.getBigInt64(this.#at - 8);
  }

  /** A zero-terminated text. */
  name(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    const text = new TextDecoder().decode(this.#bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return text;
  }

  text(length: number): string {
    this.#at += length;
    return new TextDecoder().decode(
      this.#bytes.subarray(this.#at - length, this.#at),
    );
  }
}

/** Parses the messages of one replication connection. */
export class PgOutputReader {
  readonly #relations = new Map<number, Relation>();
  #committedAt = new Date(0);

  /** Parses a message. Returns the row that it says was written; undefined for other messages. */
  read(message: Uint8Array): WrittenRow | undefined {
    const reader = new Reader(message);
    switch (reader.letter()) {
      case "B":
        reader.int64();
        this.#committedAt = new Date(fromPostgresTime(reader.int64()));
        return undefined;
      case "R":
        this.#learn(reader);
        return undefined;
      case "I":
        return this.#written("INSERT", reader);
      case "U":
        return this.#written("UPDATE", reader);
      case "D":
        return this.#written("DELETE", reader);
      default:
        return undefined;
    }
  }

  #learn(reader: Reader): void {
    const id = reader.int32();
    const schema = reader.name() || "pg_catalog";
    const table = reader.name();
    reader.byte();
    const columns: Column[] = [];
    for (let count = reader.int16(); count > 0; count--) {
      const isIdentity = (reader.byte() & 1) === 1;
      columns.push({
        isIdentity,
        name: reader.name(),
        typeId: reader.int32(),
      });
      reader.int32();
    }
    this.#relations.set(id, { schema, table, columns });
  }

  #written(
    type: WrittenRow["type"],
    reader: Reader,
  ): WrittenRow | undefined {
    const relation = this.#relations.get(reader.int32());
    if (relation === undefined) return undefined;
    let record: Row | null = null;
    let old: Row | null = null;
    let kind = reader.letter();
    if (kind === "K" || kind === "O") {
      const { columns } = relation;
      // A key has a null for each column that does not belong to it.
      old = pick(
        readRow(reader, columns),
        columns.filter(({ isIdentity }) => isIdentity),
      );
      kind = type === "UPDATE" ? reader.letter() : "";
    }
    if (kind === "N") {
      record = { ...old, ...readRow(reader, relation.columns) };
    }
    return { type, ...relation, committedAt: this.#committedAt, record, old };
  }
}

/** The part of a row in some columns; absent ones stay absent. */
export function pick(row: Row, columns: readonly Column[]): Row {
  const part: Row = {};
  for (const { name } of columns) {
    const value = row[name];
    if (value !== undefined) part[name] = value;
  }
  return part;
}

function readRow(reader: Reader, columns: readonly Column[]): Row {
  const row: Row = {};
  const count = reader.int16();
  for (const { name } of columns.slice(0, count)) {
    switch (reader.letter()) {
      case "n":
        row[name] = null;
        break;
      case "t":
        row[name] = reader.text(reader.int32());
        break;
    }
  }
  return row;
}
