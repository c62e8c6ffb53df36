/** Adds a job type to a tree: its new files, and its lines in the files that list every type. */
import { filesOf, type Names, namesOf } from "./job-type-files.ts";

/** The type cannot be added to the tree. The message says why; nothing was written. */
export class CannotAdd extends Error {
  override readonly name = "CannotAdd";
}

/** An insertion into an existing file: `text` is placed before the first `before` that follows `after`. */
interface Insertion {
  path: string;
  after?: string;
  before: string;
  text: string;
}

const CHANGELOG = "CHANGELOG.md";

/** A folder of the repository, as the generator reads and writes it. */
export interface Tree {
  /** Undefined when there is no such file. */
  read(path: string): Promise<string | undefined>;
  /** The names in a folder. */
  list(folder: string): Promise<string[]>;
}

/**
 * The files that are new or change, by path, when the type is added.
 *
 * @throws {RangeError} when the name cannot be that of a job type.
 * @throws {CannotAdd} when a file of the type already exists, or a list is not where the generator expects it.
 */
export async function addJobType(
  tree: Tree,
  jobType: string,
): Promise<Record<string, string>> {
  const names = namesOf(jobType);
  const changed = filesOf(names, await nextVersion(tree));
  for (const path of Object.keys(changed)) {
    if (await tree.read(path) !== undefined) {
      throw new CannotAdd(`${path} already exists`);
    }
  }
  for (const { path, after = "", before, text } of insertionsOf(names)) {
    const current = changed[path] ?? await tree.read(path);
    const from = current?.indexOf(after) ?? -1;
    const at = from < 0 ? -1 : current?.indexOf(before, from) ?? -1;
    if (current === undefined || at < 0) {
      throw new CannotAdd(`${path} has no line "${before.trim()}"`);
    }
    changed[path] = current.slice(0, at) + text + current.slice(at);
  }
  changed[CHANGELOG] = withAddition(
    await tree.read(CHANGELOG) ?? "",
    `The job type \`${names.snake}\`: ElevenLabs makes a ${names.words} from a text.`,
  );
  return changed;
}

/**
 * A changelog with one more point under “Added” of what is not released.
 *
 * @throws {CannotAdd} when it has no section for that.
 */
export function withAddition(changelog: string, point: string): string {
  const heading = "## Unreleased\n", added = "\n### Added\n";
  const start = changelog.indexOf(heading) + heading.length;
  if (start < heading.length) {
    throw new CannotAdd(`${CHANGELOG} has no line "${heading.trim()}"`);
  }
  const nextRelease = changelog.indexOf("\n## ", start);
  const end = nextRelease < 0 ? changelog.length : nextRelease;
  const list = changelog.indexOf(added, start);
  if (list < 0 || list >= end) {
    return `${changelog.slice(0, start)}${added}\n- ${point}\n${
      changelog.slice(start)
    }`;
  }
  const nextList = changelog.indexOf("\n### ", list + added.length);
  const at = nextList < 0 ? end : Math.min(nextList, end);
  return `${changelog.slice(0, at)}- ${point}\n${changelog.slice(at)}`;
}

/** One more than the newest migration's, so that the new one is the last to run. */
async function nextVersion(tree: Tree): Promise<string> {
  const versions = (await tree.list("supabase/migrations")).flatMap((name) =>
    /^(\d{14})_/.exec(name)?.[1] ?? []
  );
  return String(
    versions.reduce(
      (newest, version) => BigInt(version) > newest ? BigInt(version) : newest,
      0n,
    ) + 10n,
  );
}

function insertionsOf(
  { snake, kebab, pascal, camel, words }: Names,
): Insertion[] {
  const jobs = "supabase/functions/_shared/contracts/jobs.ts";
  const index = "supabase/functions/process-ai-job/index.ts";
  const clientTypes = "client/job-types.ts";
  return [
    {
      path: "supabase/config.toml",
      before: '  "./schemas/cron.sql",',
      text: `  "./schemas/jobs/${snake}.sql",\n`,
    },
    {
      path: jobs,
      before: "import {\n  voiceCloneRequestSchema,",
      text: `import {
  ${camel}RequestSchema,
  ${camel}ResultSchema,
} from "./${kebab}.ts";
`,
    },
    {
      path: jobs,
      before: "]);\nexport type CreateAiJobRequest",
      text: `  ${camel}RequestSchema,\n`,
    },
    {
      path: jobs,
      before: "} satisfies Record<CreateAiJobRequest[",
      text: `  ${snake}: ${camel}ResultSchema,\n`,
    },
    {
      path: index,
      before: '  lazyProcessor("voice_clone",',
      text: `  lazyProcessor("${snake}", async () => {
    const { createElevenLabs${pascal} } = await import(
      "../_shared/providers/elevenlabs/${kebab}.ts"
    );
    const { create${pascal}Processor } = await import(
      "./processors/${kebab}.ts"
    );
    return create${pascal}Processor({
      supabase,
      maker: createElevenLabs${pascal}(elevenLabs),
    });
  }),
`,
    },
    {
      path: clientTypes,
      before: "/** Metadata and result of each job type,",
      text: `/** Makes a ${words} from a text. */
export interface ${pascal}Metadata {
  text: string;
}

/** Result of a ${words}; the file is the job's output. */
export interface ${pascal}Result {
  provider_${snake}_id: string;
  size_bytes: number;
  content_type: string;
}

`,
    },
    {
      path: clientTypes,
      before: "  voice_clone: {\n    metadata: VoiceCloneMetadata;",
      text: `  ${snake}: {
    metadata: ${pascal}Metadata;
    result: ${pascal}Result;
    input: false;
  };
`,
    },
    {
      path: "client/mod.ts",
      before: '} from "./job-types.ts";',
      text: `  type ${pascal}Metadata,\n  type ${pascal}Result,\n`,
    },
    {
      path: "web/words/jobs.ts",
      before: '  voice_clone: { name: "Voice"',
      text: `  ${snake}: { name: "${
        words.charAt(0).toUpperCase() + words.slice(1)
      }", icon: "play" },\n`,
    },
    {
      path: "docs/job-types.md",
      before: "## Your own\n",
      text:
        `## \`${snake}\`\n\nMakes a ${words} from a text, at ElevenLabs.\n\n- Input: none. The text is in the metadata.\n- Metadata: \`text\` (1,000 characters at most).\n- Result: \`{provider_${snake}_id, size_bytes, content_type}\`; \`output_url\` is the MP3.\n\n`,
    },
  ];
}
