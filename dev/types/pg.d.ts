/** Types of the parts of node-postgres that the stack uses; the package ships no declarations. */

declare module "pg" {
  export interface ClientConfig {
    connectionString: string;
    application_name?: string;
  }

  export interface QueryResult {
    rows: Record<string, unknown>[];
    rowCount: number | null;
  }

  /** What the server answers instead of a result; `code` is the SQLSTATE. */
  export class DatabaseError extends Error {
    readonly code: string | undefined;
  }

  /** An array for several statements in one text. */
  export type Answer = QueryResult | QueryResult[];

  export class Client {
    constructor(config: ClientConfig);
    connect(): Promise<void>;
    query(text: string, values?: unknown[]): Promise<Answer>;
    end(): Promise<void>;
    on(
      event: "error" | "end" | "notification",
      listener: () => void,
    ): this;
  }

  export class PoolClient extends Client {
    /** Gives it back to its pool; closes it when `destroy` is true. */
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
