/** The state of the simulated providers: in memory, and optionally in a SQLite file that survives a restart. */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { z } from "zod";

/** The file cannot be opened or has an unknown format. The message is for the terminal. */
export class StateError extends Error {
  override readonly name = "StateError";
}

/** Time to wait for simulators that still hold the file: the stack gives them two seconds to end. */
const BUSY_MS = 10_000;

/** A collection of one kind of object, in order of insertion. Values may be replaced, never mutated. */
export class Records<T> {
  readonly #held = new Map<string, T>();
  readonly #changed = new Set<string>();

  get(key: string): T | undefined {
    return this.#held.get(key);
  }

  has(key: string): boolean {
    return this.#held.has(key);
  }

  set(key: string, value: T): void {
    this.#held.set(key, value);
    this.#changed.add(key);
  }

  /** True when there was something to delete. */
  delete(key: string): boolean {
    this.#changed.add(key);
    return this.#held.delete(key);
  }

  clear(): void {
    for (const key of this.#held.keys()) this.#changed.add(key);
    this.#held.clear();
  }

  keys(): IterableIterator<string> {
    return this.#held.keys();
  }

  values(): IterableIterator<T> {
    return this.#held.values();
  }

  get size(): number {
    return this.#held.size;
  }

  /** The keys whose values were set or deleted since {@link markSaved}. */
  get changed(): readonly string[] {
    return [...this.#changed];
  }

  /** Marks the changes as saved. */
  markSaved(): void {
    this.#changed.clear();
  }
}

interface File {
  readonly database: DatabaseSync;
  readonly path: string;
  readonly put: StatementSync;
  readonly remove: StatementSync;
  readonly putBlob: StatementSync;
  readonly getBlob: StatementSync;
}

const rowSchema = z.object({ key: z.string(), value: z.string() });
const blobSchema = z.object({ bytes: z.instanceof(Uint8Array) });

/**
 * All collections of the simulators. Without a path they are in memory only. With one, {@link commit} writes the
 * changes in one transaction; a killed process leaves the file as of the last commit.
 */
export class State {
  readonly #file: File | null;
  readonly #collections = new Map<string, Records<unknown>>();
  readonly #blobs = new Map<string, Uint8Array<ArrayBuffer>>();

  /**
   * @param path of the SQLite file, which is created if necessary, in an existing folder. This process holds it until
   *   {@link close}.
   * @throws {StateError} when it cannot be opened, is held by another process for ten seconds, or has another format.
   */
  constructor(path?: string) {
    this.#file = path === undefined ? null : openFile(path);
  }

  /**
   * The collection of that name, with its contents in the file.
   *
   * @throws {StateError} when a value in the file does not match the schema, because another version wrote it.
   */
  records<T>(name: string, schema: z.ZodType<T>): Records<T> {
    const records = new Records<T>();
    if (this.#file !== null) {
      const rows = this.#file.database.prepare(
        "select key, value from records where collection = ? order by place",
      ).all(name);
      for (const row of rows) {
        const { key, value } = rowSchema.parse(row);
        const parsed = schema.safeParse(JSON.parse(value));
        if (!parsed.success) {
          throw new StateError(
            `${this.#file.path} was written by another version of the simulators (${name} ${key}: ` +
              `${
                parsed.error.issues[0]?.message
              }). Remove it, or the data folder, to start over.`,
            { cause: parsed.error },
          );
        }
        records.set(key, parsed.data);
      }
      records.markSaved();
    }
    this.#collections.set(name, records);
    return records;
  }

  /** Stores a file by its SHA-256 in hex; equal files are stored once. */
  putBlob(sha256: string, bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#file === null) this.#blobs.set(sha256, bytes);
    else this.#file.putBlob.run(sha256, bytes);
  }

  /** A stored file, or null. */
  getBlob(sha256: string): Uint8Array<ArrayBuffer> | null {
    if (this.#file === null) return this.#blobs.get(sha256) ?? null;
    const row = this.#file.getBlob.get(sha256);
    return row === undefined
      ? null
      : new Uint8Array(blobSchema.parse(row).bytes);
  }

  /** Deletes all files. */
  clearBlobs(): void {
    this.#blobs.clear();
    this.#file?.database.exec("delete from blobs");
  }

  /** Writes the changes since the last commit in one transaction. */
  commit(): void {
    if (this.#file !== null) this.#write(this.#file);
    for (const records of this.#collections.values()) records.markSaved();
  }

  #write({ database, put, remove }: File): void {
    const changes = [...this.#collections].flatMap(([name, records]) =>
      records.changed.map((key) => ({ name, key, value: records.get(key) }))
    );
    if (changes.length === 0) return;
    database.exec("begin");
    try {
      for (const { name, key, value } of changes) {
        if (value === undefined) remove.run(name, key);
        else put.run(name, key, JSON.stringify(value));
      }
      database.exec("commit");
    } catch (error) {
      database.exec("rollback");
      throw error;
    }
  }

  /** Closes the file. */
  close(): void {
    this.#file?.database.close();
  }
}

function openFile(path: string): File {
  try {
    const database = new DatabaseSync(path, { timeout: BUSY_MS });
    // Exclusive: another process with the same file would have a different state in memory.
    database.exec(`
      pragma locking_mode = exclusive;
      pragma journal_mode = wal;
      pragma synchronous = normal;
      begin immediate;
      create table if not exists records (
        place integer primary key,
        collection text not null,
        key text not null,
        value text not null,
        unique (collection, key)
      ) strict;
      create table if not exists blobs (sha256 text primary key, bytes blob not null) strict;
      commit;
    `);
    return {
      database,
      path,
      put: database.prepare(
        "insert into records (collection, key, value) values (?, ?, ?) " +
          "on conflict (collection, key) do update set value = excluded.value",
      ),
      remove: database.prepare(
        "delete from records where collection = ? and key = ?",
      ),
      putBlob: database.prepare(
        "insert into blobs (sha256, bytes) values (?, ?) on conflict do nothing",
      ),
      getBlob: database.prepare("select bytes from blobs where sha256 = ?"),
    };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StateError(
      `the state file of the simulators, ${path}, cannot be opened: ${reason}`,
      { cause },
    );
  }
}
