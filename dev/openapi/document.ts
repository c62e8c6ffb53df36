/** The OpenAPI 3.1 document of the functions, from their contracts, their error catalogue and executed examples. */
import packageJson from "../../client/package.json" with { type: "json" };
import { z } from "zod";
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponsesObject,
} from "zod-openapi";
import {
  jobStatusSchema,
  spendSchema,
} from "../../supabase/functions/_shared/contracts/jobs.ts";
import {
  ERROR_CATALOGUE,
  type ErrorCode,
} from "../../supabase/functions/_shared/failures/catalogue.ts";
import { type Example, EXAMPLES } from "./examples.ts";
import { type Caller, type Operation, OPERATIONS } from "./operations.ts";

const codesOfAnswers = Object.entries(ERROR_CATALOGUE)
  .filter(([, { status }]) => status !== null).map(([code]) => code);

const problemSchema = z.object({
  type: z.string().describe("`urn:edge-ai-jobs:error:<code>`"),
  title: z.string(),
  status: z.number().int(),
  detail: z.string().describe("For people; may be shown."),
  code: z.string().meta({
    description:
      "Never changes its meaning; docs/error-codes.md says what to do. A later version may add codes: treat an unknown one by its status.",
    examples: codesOfAnswers,
  }),
  errors: z.array(z.object({ field: z.string(), message: z.string() }))
    .optional().describe("The invalid fields."),
  request_id: z.string().describe("Identifies the request in the log."),
}).meta({ id: "Problem", description: "RFC 9457" });

/** The only enumerations of a response that get no further values. */
const CLOSED: ReadonlySet<z.core.$ZodType> = new Set([
  jobStatusSchema,
  spendSchema,
]);

const EVERY: readonly ErrorCode[] = [
  "method_not_allowed",
  "internal_error",
  "service_unavailable",
  "request_timeout",
];
const BY_CALLER: Readonly<Record<Caller, readonly ErrorCode[]>> = {
  user: ["unauthenticated", "account_not_found"],
  operator: ["unauthenticated", "operator_required"],
  prometheus: [],
  anyone: [],
  database: [],
  provider: [],
};

const PROVIDER_NOTE =
  "Only ids are read from the body; the job reads the result from the provider.";

/** All error codes of an operation. Statuses without a problem document are excluded. */
export function codesOf({ caller, errors, answers }: Operation): ErrorCode[] {
  return [...errors, ...BY_CALLER[caller], ...EVERY].filter((code) =>
    !(`${ERROR_CATALOGUE[code].status}` in answers)
  );
}

type Named = Record<string, { summary: string; value: unknown }>;

/** The examples that contain the given part, by name. */
function pick(
  examples: readonly Example[],
  part: (example: Example) => unknown,
): { examples?: Named } {
  const named = examples.flatMap((example): [string, Named[string]][] => {
    const value = part(example);
    return value === undefined
      ? []
      : [[example.name, { summary: example.summary, value }]];
  });
  return named.length === 0 ? {} : { examples: Object.fromEntries(named) };
}

/** Parameters with the values that the examples give them. */
function withExamples(
  schema: z.ZodObject | undefined,
  examples: readonly Example[],
  part: (example: Example) => Readonly<Record<string, string>> | undefined,
): z.ZodObject | undefined {
  if (schema === undefined) return undefined;
  const fields: [string, z.core.$ZodType][] = Object.entries(schema.shape);
  return z.object(Object.fromEntries(fields.map(([name, field]) => {
    const values = pick(examples, (example) => part(example)?.[name]);
    const param = values.examples === undefined ? {} : { param: values };
    return [
      name,
      field instanceof z.ZodType
        ? field.meta({ ...field.meta(), ...param })
        : field,
    ];
  })));
}

function problemsOf(
  operation: Operation,
  examples: readonly Example[],
): ZodOpenApiResponsesObject {
  const byStatus = Map.groupBy(
    codesOf(operation),
    (code) => ERROR_CATALOGUE[code].status ?? 500,
  );
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [`${status}`, {
      description: codes.map((code) =>
        `\`${code}\`: ${ERROR_CATALOGUE[code].message}`
      ).join("\n\n"),
      ...(status === 503
        ? {
          headers: z.object({
            "Retry-After": z.string().describe("Seconds to wait."),
          }),
        }
        : {}),
      content: {
        "application/problem+json": {
          schema: {
            allOf: [
              { $ref: "#/components/schemas/Problem" },
              {
                type: "object" as const,
                properties: {
                  code: { type: "string" as const, examples: codes },
                },
              },
            ],
          },
          ...pick(
            examples,
            ({ answer }) => answer.status === status ? answer.body : undefined,
          ),
        },
      },
    }]),
  );
}

function operationObject(operation: Operation): ZodOpenApiOperationObject {
  const examples = EXAMPLES[operation.id] ?? [];
  const query = withExamples(operation.query, examples, ({ query }) => query);
  const header = withExamples(
    operation.headers,
    examples,
    ({ headers }) => headers,
  );
  const path = withExamples(
    operation.pathParameters,
    examples,
    ({ path }) => path,
  );
  const note = operation.caller === "provider" ? PROVIDER_NOTE : "";
  const description = [operation.description ?? "", note].join("\n\n").trim();
  return {
    operationId: operation.id,
    summary: operation.summary,
    ...(description === "" ? {} : { description }),
    ...(operation.isInternal === true ? { "x-internal": true } : {}),
    tags: [TAGS[operation.caller].name],
    security: SECURITY[operation.caller],
    requestParams: {
      ...(query === undefined ? {} : { query }),
      ...(header === undefined ? {} : { header }),
      ...(path === undefined ? {} : { path }),
    },
    ...(operation.body === undefined ? {} : {
      requestBody: {
        required: true,
        content: {
          "application/json": {
            schema: operation.body,
            ...pick(examples, ({ body }) => body),
          },
        },
      },
    }),
    responses: {
      ...Object.fromEntries(
        Object.entries(operation.answers).map((
          [status, { description, schema, contentType = "application/json" }],
        ) => [status, {
          description,
          ...(operation.id === "createAiJob"
            ? {
              headers: z.object({
                Location: z.string().describe("URL of the job."),
              }),
            }
            : {}),
          content: {
            [contentType]: {
              schema,
              ...pick(
                examples,
                ({ answer }) =>
                  answer.status === Number(status) ? answer.body : undefined,
              ),
            },
          },
        }]),
      ),
      ...problemsOf(operation, examples),
    },
  };
}

const USER_TOKEN = [{ userToken: [] }];

const SECURITY: Readonly<
  Record<Caller, Required<ZodOpenApiOperationObject>["security"]>
> = {
  user: USER_TOKEN,
  operator: USER_TOKEN,
  database: [],
  provider: [],
  prometheus: [{ metricsToken: [] }],
  // With or without a trailing slash.
  anyone: [{}, ...USER_TOKEN],
};

const TAGS = {
  user: {
    name: "Apps",
    description:
      "With the access token of a signed-in user. supabase-js sends it; the package edge-ai-jobs is a typed client.",
  },
  database: {
    name: "Database",
    description:
      "Called only by the database, signed as Standard Webhooks specifies.",
  },
  operator: {
    name: "Operators",
    description:
      "With the access token of a user whose `app_metadata.role` is `ai_operator`.",
  },
  prometheus: {
    name: "Prometheus",
    description: "With the token that METRICS_TOKEN is.",
  },
  anyone: { name: "Anyone", description: "Without a token." },
  provider: {
    name: "Providers",
    description: "Called by AI providers, each with its own signature.",
  },
} as const;

/** The document as text, as in docs/openapi.json. */
export function openApiText(): string {
  const paths: ZodOpenApiPathsObject = {};
  for (const operation of OPERATIONS) {
    paths[operation.path] = { [operation.method]: operationObject(operation) };
  }
  const document = createDocument({
    openapi: "3.1.0",
    info: {
      title: "edge-ai-jobs",
      version: packageJson.version,
      description:
        "AI media jobs on Supabase Edge Functions. Errors are problem documents (RFC 9457) with a stable code.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [
      {
        url: "https://{ref}.supabase.co/functions/v1",
        description: "A hosted project",
        variables: { ref: { default: "abcdefghijklmnopqrst" } },
      },
      {
        url: "http://127.0.0.1:54321/functions/v1",
        description: "`deno task start`",
      },
    ],
    tags: Object.values(TAGS),
    paths,
    components: {
      schemas: { Problem: problemSchema },
      securitySchemes: {
        metricsToken: {
          type: "http",
          scheme: "bearer",
          description: "METRICS_TOKEN of the functions' secrets.",
        },
        userToken: {
          type: "http",
          scheme: "bearer",
          bearerFormat: "JWT",
          description:
            "The access token of a user's session. Without a token, or with one that is expired or malformed, the platform's gateway returns 401 with `code` and `message` instead of a problem document.",
        },
      },
    },
  }, {
    override: ({ jsonSchema, zodSchema, io }) => {
      // A minor version may add members to a response, and values to an enumeration of one.
      if (io === "output") {
        if (jsonSchema.additionalProperties === false) {
          delete jsonSchema.additionalProperties;
        }
        if (jsonSchema.enum !== undefined && !CLOSED.has(zodSchema)) {
          jsonSchema.examples = jsonSchema.enum;
          delete jsonSchema.enum;
        }
      }
      // Omitted, because `format` and `integer` imply them.
      if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) {
        delete jsonSchema.minimum;
      }
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) {
        delete jsonSchema.maximum;
      }
    },
  });
  return `${JSON.stringify(document, null, 2)}\n`;
}
