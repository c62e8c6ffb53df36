/** Types of the parts of node-postgres that the stack uses; the package ships no declarations. */

declare module "pg" {
  export interface ClientConfig {
    connectionString: string;
    application_name?: string;
    connectionTimeoutMillis?: number;
    /** Milliseconds after which a query without an answer fails. */
    query_timeout?: number;
  }

  export interface QueryResult {
    rows: Record<string, unknown>[];
    rowCount: number | null;
  }

  /** A result with `rowMode: "array"`. */
  export interface RowsAnswer {
    fields: { name: string }[];
    rows: unknown[][];
  }

  /** Decodes the text of a value of the type. */
  export type TypeParser = (oid: number) => (text: string) => unknown;

  /** What the server answers instead of a result; `code` is the SQLSTATE. */
  export class DatabaseError extends Error {
    readonly code: string | undefined;
  }

  /** An array for several statements in one text. */
  export type Answer = QueryResult | QueryResult[];

  /** The messages of the server. */
  export interface Connection {
    /** The command tag of each statement, such as `UPDATE 3`; the results have only its first word. */
    on(
      event: "commandComplete",
      listener: (message: { text: string }) => void,
    ): this;
    /** The lines of a `copy … to stdout`. */
    on(
      event: "copyData",
      listener: (message: { chunk: Uint8Array }) => void,
    ): this;
  }

  export class Client {
    readonly connection: Connection;
    constructor(config: ClientConfig);
    connect(): Promise<void>;
    query(text: string, values?: unknown[]): Promise<Answer>;
    query(query: {
      text: string;
      rowMode: "array";
      types: { getTypeParser: TypeParser };
    }): Promise<RowsAnswer | RowsAnswer[]>;
    end(): Promise<void>;
    on(event: "notice", listener: (notice: unknown) => void): this;
    on(
      event: "error" | "end" | "notification",
      listener: () => void,
    ): this;
  }

  export class PoolClient extends Client {
    /** Returns it to its pool; closes it when `destroy` is true. */
    release(destroy?: boolean): void;
  }

  export class Pool {
    constructor(
      config: ClientConfig & { max?: number; idleTimeoutMillis?: number },
    );
    connect(): Promise<PoolClient>;
    end(): Promise<void>;
    on(event: "error", listener: () => void): this;
    on(event: "connect", listener: (client: PoolClient) => void): this;
  }
}
