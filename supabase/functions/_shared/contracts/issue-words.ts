/** Messages about invalid values, for the caller who sent them. They do not depend on the schema library's wording. */
import type { z } from "zod";

/** An invalid part of a value. The path is empty for the whole value. */
export interface WrongPart {
  path: string[];
  message: string;
}

const TYPES: Readonly<Record<string, string>> = {
  string: "must be a string",
  number: "must be a number",
  int: "must be a whole number",
  boolean: "must be true or false",
  array: "must be a list",
  tuple: "must be a list",
  object: "must be an object",
  record: "must be an object",
};

const FORMATS: Readonly<Record<string, string>> = {
  uuid: "must be a UUID",
  url: "must be a URL",
  email: "must be an e-mail address",
  datetime: "must be a date and time in ISO 8601",
};

const INVALID = "is not valid";

/**
 * The error map for every `parse` and `safeParse` whose messages leave the process. It applies where the schema itself
 * has no message. The messages contain neither the field nor the value.
 */
export const issueWords: z.core.$ZodErrorMap = (issue) => {
  const isMissing = issue.input === undefined;
  switch (issue.code) {
    case "invalid_type":
      return isMissing
        ? "is required"
        : TYPES[issue.expected] ?? `must be of type ${issue.expected}`;
    case "invalid_value":
      return choice(issue.values, isMissing);
    case "invalid_union":
      return "options" in issue && Array.isArray(issue.options)
        // `input` is the object that contains the discriminator.
        ? choice(
          issue.options,
          isMissingMember(issue.input, issue.discriminator),
        )
        : INVALID;
    case "too_big":
      return limit(issue.origin, issue.maximum, issue.inclusive, "at most");
    case "too_small":
      return limit(issue.origin, issue.minimum, issue.inclusive, "at least");
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "invalid_format":
      return FORMATS[issue.format] ?? "has the wrong format";
    case "invalid_key":
      return `is not a valid name: ${issue.issues[0]?.message ?? INVALID}`;
    default:
      return INVALID;
  }
};

/**
 * Parses a value. Returns the data, or every invalid part. An unknown member is reported by its name. If the value may
 * have several shapes, the errors of the closest one are reported.
 */
export function check<T extends z.ZodType>(
  value: unknown,
  schema: T,
):
  | { data: z.output<T>; wrong?: undefined }
  | { data?: undefined; wrong: WrongPart[] } {
  const result = schema.safeParse(value, { error: issueWords });
  return result.success
    ? { data: result.data }
    : { wrong: wrongParts(result.error) };
}

/** The invalid parts of a value that was parsed with {@link issueWords}. */
export function wrongParts(error: Pick<z.ZodError, "issues">): WrongPart[] {
  return partsOf(error.issues, []);
}

function partsOf(
  issues: readonly z.core.$ZodIssue[],
  parents: readonly string[],
): WrongPart[] {
  return issues.filter((issue) => !isImpliedByAnother(issue, issues)).flatMap(
    (issue) => {
      const path = [...parents, ...issue.path.map(String)];
      if (issue.code === "unrecognized_keys") {
        return issue.keys.map((key) => ({
          path: [...path, key],
          message: "is not known",
        }));
      }
      return issue.code === "invalid_union" && issue.errors.length > 0
        ? partsOfUnion(issue.errors, path)
        : [{ path, message: issue.message }];
    },
  );
}

/** When no shape fits: the errors of the closest one, or a message about the whole value. */
function partsOfUnion(
  shapes: readonly (readonly z.core.$ZodIssue[])[],
  path: string[],
): WrongPart[] {
  const isOfItsParts = (issue: z.core.$ZodIssue) =>
    issue.path.length > 0 || issue.code === "unrecognized_keys";
  const [nearest] = shapes.filter((issues) => issues.every(isOfItsParts))
    .sort((a, b) => a.length - b.length);
  if (nearest !== undefined) return partsOf(nearest, path);
  const messages = shapes.flatMap((issues) =>
    partsOf(issues, path).map(({ message }) => message)
  );
  return [{ path, message: [...new Set(messages)].join(", or ") }];
}

/** An integer outside the safe range violates the schema's limit as well; one message is enough. */
function isImpliedByAnother(
  issue: z.core.$ZodIssue,
  issues: readonly z.core.$ZodIssue[],
): boolean {
  return (issue.code === "too_big" || issue.code === "too_small") &&
    issue.origin === "int" &&
    issues.some((other) =>
      other.code === issue.code && other.origin !== "int" &&
      other.path.join("/") === issue.path.join("/")
    );
}

function choice(values: readonly unknown[], isMissing: boolean): string {
  const names = values.map(String).join(", ");
  return isMissing
    ? `is required: ${values.length === 1 ? "" : "one of "}${names}`
    : `must be ${values.length === 1 ? "" : "one of "}${names}`;
}

function limit(
  origin: string,
  bound: number | bigint,
  inclusive: boolean | undefined,
  side: "at most" | "at least",
): string {
  switch (origin) {
    case "string":
    case "array":
    case "set": {
      if (side === "at least" && bound === 1) return "must not be empty";
      const [one, more] = origin === "string"
        ? ["character", "characters"]
        : ["entry", "entries"];
      return `must have ${side} ${bound} ${bound === 1 ? one : more}`;
    }
    default:
      return inclusive === false
        ? `must be ${side === "at most" ? "less" : "more"} than ${bound}`
        : `must be ${side} ${bound}`;
  }
}

function isMissingMember(value: unknown, name: string | undefined): boolean {
  return typeof value === "object" && value !== null && name !== undefined &&
    Reflect.get(value, name) === undefined;
}
