/** The examples of an OpenAPI document, each with its request and the response of the same name. */
import { z } from "zod";

const namedSchema = z.record(z.string(), z.object({ value: z.unknown() }))
  .default({});
const mediaSchema = z.object({
  schema: z.unknown(),
  examples: namedSchema,
});
const contentSchema = z.record(z.string(), mediaSchema);

const operationSchema = z.object({
  operationId: z.string(),
  parameters: z.array(z.object({
    in: z.enum(["query", "header", "path"]),
    name: z.string(),
    examples: namedSchema,
  })).default([]),
  requestBody: z.object({ content: contentSchema }).optional(),
  responses: z.record(z.string(), z.object({ content: contentSchema })),
});

const documentSchema = z.object({
  paths: z.record(z.string(), z.record(z.string(), operationSchema)),
});

/** One example. */
export interface DocumentedExample {
  /** Id of the operation. */
  id: string;
  name: string;
  method: string;
  path: string;
  parameters: {
    in: "query" | "header" | "path";
    name: string;
    value: string;
  }[];
  /** Undefined when the operation has no body. */
  body: unknown;
  bodySchema: unknown;
  answer: {
    status: number;
    contentType: string;
    body: unknown;
    schema: unknown;
  };
}

/**
 * The examples in the order of the document, and for each operation in the order of its request examples.
 *
 * @throws when a request has no response of the same name, or a response no request.
 */
export function documentedExamples(document: unknown): DocumentedExample[] {
  return Object.entries(documentSchema.parse(document).paths).flatMap((
    [path, operations],
  ) =>
    Object.entries(operations).flatMap(([method, operation]) => {
      const { operationId: id, parameters, requestBody, responses } = operation;
      const request = requestBody?.content["application/json"];
      const answers = new Map(
        Object.entries(responses).flatMap(([status, { content }]) =>
          Object.entries(content).flatMap(([contentType, media]) =>
            Object.entries(media.examples).map(([name, { value }]) =>
              [name, {
                status: Number(status),
                contentType,
                body: value,
                schema: media.schema,
              }] as const
            )
          )
        ),
      );
      const names = new Set([
        ...Object.keys(request?.examples ?? {}),
        ...parameters.flatMap(({ examples }) => Object.keys(examples)),
      ]);
      const stray = [...answers.keys()].filter((name) => !names.has(name));
      if (stray.length > 0) throw new Error(`${id}: ${stray} has no request`);
      return [...names].map((name) => {
        const answer = answers.get(name);
        if (answer === undefined) {
          throw new Error(`${id}: ${name} has no answer`);
        }
        return {
          id,
          name,
          method: method.toUpperCase(),
          path,
          parameters: parameters.flatMap((parameter) => {
            const value = parameter.examples[name]?.value;
            return value === undefined
              ? []
              : [{ ...parameter, value: String(value) }];
          }),
          body: request?.examples[name]?.value,
          bodySchema: request?.schema,
          answer,
        };
      });
    })
  );
}
