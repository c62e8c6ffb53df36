/** Calls of functions in the database's schema `public`. */
import type { SupabaseClient } from "@supabase/supabase-js";
import type { z } from "zod";
import type { Database } from "../database.types.ts";
import type { AppError } from "../failures/app-error.ts";
import { fromDatabaseError } from "./errors.ts";

type Functions = Database["public"]["Functions"];

/** A function of the schema `public`. */
export type FunctionName = keyof Functions & string;

/** An error of the database, or of the Data API in front of it. `code` is a SQLSTATE, or empty when none is known. */
export interface DatabaseError {
  code: string;
  message: string;
  details?: string | null;
}

/**
 * Calls a function by name with named arguments, as PostgREST does: `data` is the value that the function returned, or
 * an array of objects when it returns rows. Resolves with `error` instead of rejecting.
 */
export type Rpc = <Name extends FunctionName>(
  name: Name,
  args: Functions[Name]["Args"],
) => PromiseLike<{ data: unknown; error: DatabaseError | null }>;

/**
 * Calls a function and parses what it returned.
 *
 * @throws {AppError} what `toError` makes of the database's error; by default {@link fromDatabaseError}.
 */
export type CallFunction = <Name extends FunctionName, T>(
  name: Name,
  args: Functions[Name]["Args"],
  schema: z.ZodType<T>,
  toError?: (error: DatabaseError) => AppError,
) => Promise<T>;

/** The functions over the Data API, with the rights of `supabase`. */
export function dataApi(supabase: SupabaseClient<Database>): Rpc {
  return (name, args) => supabase.rpc(name, args);
}

/** See {@link CallFunction}. */
export function functionCaller(rpc: Rpc): CallFunction {
  return async (name, args, schema, toError = fromDatabaseError) => {
    const { data, error } = await rpc(name, args);
    if (error) throw toError(error);
    return schema.parse(data);
  };
}
