/** Invalid bodies, as arbitraries: for each endpoint a valid body, and the ways in which each member can be invalid. */
import fc, { anyCharacter } from "./fast-check.ts";

/** A body and the fields that its refusal must name. */
export interface HostileBody {
  text: string;
  fields: string[];
  /** Whether naming one of them is enough. */
  isOneEnough: boolean;
}

interface Member {
  /** Its path, as error responses name it. */
  field: string;
  wrong: fc.Arbitrary<unknown>;
}

/** The body that an endpoint accepts, and how it can be invalid. */
export interface Shape {
  right: Record<string, unknown>;
  members: Member[];
  /** Objects that accept known members only; `""` is the body itself. */
  strict: string[];
  /** Some members are checked only when all are well formed, so a response may not name every invalid one. */
  isStaged?: boolean;
}

const json = fc.jsonValue({ maxDepth: 3, stringUnit: anyCharacter });
const notA = (...types: string[]) =>
  json.filter((value) =>
    !types.includes(
      value === null ? "null" : Array.isArray(value) ? "array" : typeof value,
    )
  );
const notText = notA("string");
const notNumber = notA("number");
const notObject = notA("object");
const notBoolean = notA("boolean");

const longText = (moreThan: number) =>
  fc.integer({ min: moreThan + 1, max: moreThan + 40 }).map((length) =>
    "x".repeat(length)
  );
/** Text that cannot be stored, or that would garble the text printed around it. */
const brokenText = fc.tuple(
  fc.string({ maxLength: 20 }),
  fc.constantFrom("\u0000", "\u0001", "\u0008", "\u001b", "\u007f", "\ud800"),
  fc.constantFrom("", "x", "é"),
).map(([before, broken, after]) => `${before}a${broken}b${after}`);
const blankText = fc.constantFrom("", " ", "\t\n", "\u00a0", "\ufeff");
const invisibleText = fc.constantFrom(
  "\u200b\u2060",
  "\u3164",
  "\u2800 \u00ad",
);
const plainText = (max: number) =>
  fc.oneof(notText, longText(max), brokenText, blankText, invisibleText);

const notUuid = fc.oneof(
  notText,
  fc.string({ maxLength: 50 }),
  fc.uuid().map((id) => `${id} `),
  fc.uuid().map((id) => id.slice(1)),
  fc.uuid().map((id) => `{${id}}`),
  fc.uuid().map((id) => `${id}' or '1'='1`),
  fc.uuid().map((id) => `urn:uuid:${id}`),
  fc.uuid().map((id) => id.replaceAll("-", "")),
);
const notInRange = (min: number, max: number) =>
  fc.oneof(
    notNumber,
    fc.double({ min: max, minExcluded: true, noNaN: true }),
    // Minus zero comes before zero there, and is zero in JSON.
    fc.double({ max: min, maxExcluded: true, noNaN: true }).filter((value) =>
      value < min
    ),
    fc.constantFrom(Number.MAX_VALUE, -Number.MAX_VALUE),
  );
const notWhole = (min: number, max: number) =>
  fc.oneof(
    notInRange(min, max),
    fc.double({ min, max, noNaN: true }).filter((value) =>
      !Number.isInteger(value)
    ),
  );
const notOneOf = (...words: string[]) =>
  fc.oneof(
    notText,
    fc.string({ maxLength: 40 }).filter((text) => !words.includes(text)),
    fc.constantFrom(...words).map((word) => `${word} `),
    fc.constantFrom(...words).map((word) => word.toUpperCase()),
    fc.constantFrom("constructor", "__proto__", "toString", "hasOwnProperty"),
  ).filter((value) => typeof value !== "string" || !words.includes(value));
const notMatching = (right: RegExp) =>
  fc.oneof(
    notText,
    fc.string({ maxLength: 60 }).filter((text) => !right.test(text)),
    fc.string({ unit: anyCharacter, maxLength: 30 }).filter((text) =>
      !right.test(text)
    ),
  );

const UUID = "3f6b1c52-8a0e-4a6d-9d57-0c1b7e2f4a11";
const dependsOn: Member = { field: "depends_on", wrong: notUuid };
const inputUrl: Member = {
  field: "input_url",
  wrong: fc.oneof(notText, fc.constant(""), longText(2048)),
};
const metadataItself: Member = { field: "metadata", wrong: notObject };

/** The bodies of create-ai-job, by job type; `input_url` is one that the caller may use. */
export function jobShapes(inputUrlOf: {
  recording: string;
  photo: string;
}): Record<string, Shape> {
  const of = (...members: [string, fc.Arbitrary<unknown>][]): Member[] =>
    members.map(([name, wrong]) => ({ field: `metadata.${name}`, wrong }));
  return {
    voice_clone: {
      right: {
        job_type: "voice_clone",
        input_url: inputUrlOf.recording,
        metadata: { voice_name: "A voice" },
      },
      strict: ["", "metadata"],
      members: [
        dependsOn,
        inputUrl,
        metadataItself,
        ...of(
          ["voice_name", plainText(100)],
          ["name", plainText(100)],
          [
            "description",
            fc.oneof(notText, longText(400), brokenText, blankText),
          ],
          [
            "labels",
            fc.oneof(
              notObject,
              fc.constant({ age: 7 }),
              fc.constant({ "": "x" }),
              fc.dictionary(fc.string({ minLength: 41, maxLength: 60 }), json, {
                minKeys: 1,
                maxKeys: 3,
                noNullPrototype: true,
              }),
              brokenText.map((text) => ({ age: text })),
            ),
          ],
          ["stability", notInRange(0, 1)],
          ["similarity_boost", notInRange(0, 1)],
          ["remove_background_noise", notBoolean],
        ),
      ],
    },
    text_to_speech: {
      right: {
        job_type: "text_to_speech",
        metadata: {
          text: "Hello.",
          voice_id: "21m00Tcm4TlvDq8ikWAM",
          settings: {},
        },
      },
      strict: ["", "metadata", "metadata.settings"],
      members: [
        dependsOn,
        metadataItself,
        ...of(
          ["text", plainText(50_000)],
          [
            "voice_id",
            notMatching(
              /^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[A-Za-z0-9]{10,40})$/,
            ),
          ],
          ["model", notOneOf("eleven_multilingual_v2", "eleven_v3")],
          ["output_format", notOneOf("mp3_44100_128")],
          ["language_code", notMatching(/^[a-z]{2,3}$/)],
          ["settings", notObject],
          ["settings.stability", notInRange(0, 1)],
          ["settings.similarity_boost", notInRange(0, 1)],
          ["settings.style", notInRange(0, 1)],
          ["settings.use_speaker_boost", notBoolean],
          ["settings.speed", notInRange(0.7, 1.2)],
          ["seed", notWhole(0, 4_294_967_295)],
        ),
      ],
    },
    transcription: {
      right: {
        job_type: "transcription",
        input_url: inputUrlOf.recording,
        metadata: {},
      },
      strict: ["", "metadata"],
      members: [
        dependsOn,
        inputUrl,
        metadataItself,
        ...of(
          ["call_id", notUuid],
          ["language_code", notMatching(/^[a-z]{2,3}$/)],
          ["speaker_count", notWhole(1, 32)],
          ["tag_audio_events", notBoolean],
          ["output_format", notOneOf("json", "srt")],
        ),
      ],
    },
    avatar_video: {
      right: {
        job_type: "avatar_video",
        input_url: inputUrlOf.photo,
        metadata: { text: "Hello there.", voice_id: "en-US-JennyNeural" },
      },
      strict: ["", "metadata"],
      members: [
        dependsOn,
        inputUrl,
        metadataItself,
        ...of(
          ["name", plainText(100)],
          ["provider", notOneOf("d-id", "heygen")],
          [
            "text",
            fc.oneof(plainText(5000), fc.constantFrom("x", "ab", " ab ")),
          ],
          ["voice_id", notMatching(/^[A-Za-z0-9_:.-]{1,128}$/)],
          ["voice_provider", notOneOf("microsoft", "elevenlabs")],
          [
            "audio_url",
            fc.oneof(
              notText,
              fc.string({ maxLength: 60 }),
              fc.webUrl(),
              longText(1024),
            ),
          ],
        ),
      ],
    },
    pdf_render: {
      right: { job_type: "pdf_render", metadata: { slideshow_id: UUID } },
      strict: ["", "metadata"],
      members: [
        dependsOn,
        metadataItself,
        ...of(
          ["slideshow_id", notUuid],
          ["page_size", notOneOf("a4", "letter", "square")],
          ["title", plainText(200)],
        ),
      ],
    },
  };
}

/** The body of the endpoints that accept a job's id. */
export const JOB_ID: Shape = {
  right: { job_id: UUID },
  strict: [""],
  members: [{ field: "job_id", wrong: notUuid }],
};

const BUCKET = /^[a-z0-9][a-z0-9_-]{0,62}$/;

/** The body of create-upload-url. */
export const UPLOAD: Shape = {
  right: {
    bucket: "uploads",
    file_name: "a.mp3",
    content_type: "audio/mpeg",
    size_bytes: 1000,
  },
  strict: [""],
  isStaged: true,
  members: [
    {
      field: "bucket",
      wrong: fc.oneof(
        notMatching(BUCKET),
        fc.constantFrom("outputs", "pdfs", "constructor", "nowhere"),
      ),
    },
    {
      field: "file_name",
      wrong: fc.oneof(
        notText,
        blankText,
        longText(200),
        fc.constantFrom("../a", "a/b", "a\\b", "a\u0000.mp3", "a\u007f"),
      ),
    },
    {
      field: "content_type",
      wrong: fc.oneof(
        notMatching(/^[a-z]+\/[a-z0-9.+-]+$/i),
        fc.constantFrom("text/html", "image/svg+xml", "application/x-sh"),
      ),
    },
    {
      field: "size_bytes",
      wrong: fc.oneof(
        notWhole(1, Number.MAX_SAFE_INTEGER),
        fc.integer({ min: 52_428_801, max: 2 ** 31 }),
      ),
    },
  ],
};

/** The body of create-download-url; `path` is one of the caller's. */
export const downloadShape = (path: string): Shape => ({
  right: { bucket: "uploads", path, expires_in: 60 },
  strict: [""],
  isStaged: true,
  members: [
    {
      field: "bucket",
      wrong: fc.oneof(
        notMatching(BUCKET),
        fc.constantFrom("constructor", "valueof", "nowhere"),
      ),
    },
    {
      field: "path",
      wrong: fc.oneof(
        notText,
        longText(1024),
        fc.constantFrom("", "x", "x/", "/x/y", "x//y", "x/../y", "x/./y"),
        fc.constantFrom("\\", "%2e%2e", "?a", "#", "\u0000", "\u009f", "\ud800")
          .map((part) => `${path}${part}`),
        fc.constantFrom("..", ".").map((part) =>
          path.replace("/", `/${part}/`)
        ),
      ),
    },
    { field: "expires_in", wrong: notWhole(1, 604_800) },
  ],
});

/** The body that process-ai-job receives from the database; it ignores other members. */
export const DISPATCH: Shape = {
  right: {
    type: "INSERT",
    table: "ai_jobs",
    schema: "public",
    record: { id: UUID },
    job_ids: [UUID],
  },
  strict: [],
  members: [
    { field: "type", wrong: notOneOf("INSERT", "UPDATE") },
    { field: "table", wrong: notOneOf("ai_jobs") },
    { field: "schema", wrong: notOneOf("public") },
    { field: "record", wrong: notObject },
    { field: "record.id", wrong: notUuid },
    {
      field: "job_ids",
      wrong: fc.oneof(
        notA("array"),
        fc.array(notUuid, { minLength: 1, maxLength: 3 }),
        fc.constant(Array.from({ length: 101 }, () => UUID)),
      ),
    },
  ],
};

/** Members that no body has: rights, states, and names that every object inherits. */
const unknownNames = fc.oneof(
  fc.constantFrom(
    "user_id",
    "status",
    "lease_token",
    "spend",
    "provider_job_id",
    "scheduled_at",
    "max_attempts",
    "constructor",
    "toString",
    "hasOwnProperty",
  ),
  fc.string({ minLength: 1, maxLength: 12 }).map((text) =>
    // A name with a dot in it is reported as a path.
    `x${text.replaceAll(".", "")}`
  ),
);

type Change = { field: string; value: unknown };

function changed(right: Record<string, unknown>, changes: Change[]): unknown {
  const body: Record<string, unknown> = structuredClone(right);
  for (const { field, value } of changes) {
    const names = field.split(".");
    const last = names.pop() ?? "";
    let at: Record<string, unknown> = body;
    for (const name of names) {
      const inner = at[name];
      if (!isObject(inner)) {
        const made: Record<string, unknown> = {};
        at[name] = made;
        at = made;
      } else at = inner;
    }
    at[last] = value;
  }
  return body;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether one of them is inside another, or is another. */
function isNested(a: string, b: string): boolean {
  return `${a}.`.startsWith(`${b}.`) || `${b}.`.startsWith(`${a}.`);
}

/** Bodies of a shape with one to three members wrong, or one that is not known. */
export function hostileBodies(shape: Shape): fc.Arbitrary<HostileBody> {
  const wrongMember = fc.constantFrom(...shape.members).chain((member) =>
    member.wrong.map((value): Change => ({ field: member.field, value }))
  );
  const unknownMember = shape.strict.length === 0
    ? wrongMember
    : fc.tuple(fc.constantFrom(...shape.strict), unknownNames, json).map((
      [inside, name, value],
    ): Change => ({
      field: inside === "" ? name : `${inside}.${name}`,
      value,
    }));
  return fc.array(
    fc.oneof(
      { weight: 4, arbitrary: wrongMember },
      { weight: 1, arbitrary: unknownMember },
    ),
    { minLength: 1, maxLength: 3 },
  ).map((changes) => {
    const apart = changes.filter(({ field }, index) =>
      changes.slice(0, index).every((other) => !isNested(field, other.field))
    );
    return {
      text: JSON.stringify(changed(shape.right, apart)),
      fields: apart.map(({ field }) => field),
      isOneEnough: shape.isStaged === true,
    };
  });
}

/** Texts that are not a valid body of any endpoint, and bodies of another kind. */
export const formless: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 100 }),
  fc.string({ unit: anyCharacter, maxLength: 100 }),
  json.map((value) => JSON.stringify(value)),
  fc.integer({ min: 1, max: 60_000 }).map((depth) => "[".repeat(depth)),
  fc.integer({ min: 1, max: 30_000 }).map((depth) =>
    "[".repeat(depth) + "]".repeat(depth)
  ),
  fc.integer({ min: 1, max: 15_000 }).map((depth) =>
    '{"metadata":'.repeat(Math.min(depth, 8000)) + "0" +
    "}".repeat(Math.min(depth, 8000))
  ),
  fc.constantFrom(
    '{"__proto__":{"job_type":"voice_clone"}}',
    '{"job_type":"voice_clone","job_type":"mind_reading"}',
    '{"constructor":{"prototype":{"job_id":1}}}',
    '{"job_id":1e999}',
    '{"size_bytes":-0}',
    "NaN",
    "\ufeff{}",
  ),
);
