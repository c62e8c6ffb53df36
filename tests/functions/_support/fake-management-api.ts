/**
 * The part of Supabase's Management API that `supabase functions deploy --use-api` calls: an upload for each function
 * (`POST …/functions/deploy`, multipart), then the publication of all of them (`PUT …/functions`).
 */
import { join } from "@std/path";
import { z } from "zod";

const metadataSchema = z.strictObject({
  name: z.string(),
  entrypoint_path: z.string(),
  import_map_path: z.string(),
  static_patterns: z.array(z.string()),
  verify_jwt: z.boolean().optional(),
});

const publicationSchema = z.array(
  z.looseObject({ slug: z.string(), verify_jwt: z.boolean().optional() }),
);

/** One function as it was uploaded. */
export interface Upload {
  slug: string;
  metadata: z.infer<typeof metadataSchema>;
  /** Contents by path, relative to the project. */
  files: Map<string, string>;
}

/** A running fake. */
export interface FakeManagementApi extends AsyncDisposable {
  /** The file that makes the CLI use this API: `--profile=<path>`. */
  profile: string;
  /** Reference of its only project. */
  projectRef: string;
  /** The only token that it accepts. */
  accessToken: string;
  uploads: Upload[];
  /** Slugs that were made public, in order. */
  published: string[];
  /** Unknown requests, which it answered with 404. */
  unknown: string[];
}

async function readUpload(slug: string, request: Request): Promise<Upload> {
  const form = await request.formData();
  const files = new Map<string, string>();
  for (const part of form.getAll("file")) {
    if (part instanceof File) files.set(part.name, await part.text());
  }
  const metadata = form.get("metadata");
  return {
    slug,
    files,
    metadata: metadataSchema.parse(
      JSON.parse(
        metadata instanceof File ? await metadata.text() : metadata ?? "",
      ),
    ),
  };
}

/** Starts the fake on a free port of 127.0.0.1. Dispose of it to close the port and remove the profile. */
export async function startFakeManagementApi(): Promise<FakeManagementApi> {
  const projectRef = "abcdefghijklmnopqrst";
  const accessToken = `sbp_${"0123456789".repeat(4)}`;
  const uploads: Upload[] = [];
  const published: string[] = [];
  const unknown: string[] = [];

  const describe = (slug: string, verifyJwt: boolean | undefined) => ({
    id: crypto.randomUUID(),
    slug,
    name: slug,
    status: "ACTIVE",
    version: 1,
    created_at: Date.now(),
    updated_at: Date.now(),
    verify_jwt: verifyJwt ?? true,
    import_map: true,
  });

  const answer = async (request: Request): Promise<Response> => {
    const { pathname, searchParams } = new URL(request.url);
    const project = `/v1/projects/${projectRef}`;
    if (request.headers.get("authorization") !== `Bearer ${accessToken}`) {
      return Response.json({ message: "Unauthorized" }, { status: 401 });
    }
    const route = `${request.method} ${pathname}`;
    if (route === `POST ${project}/functions/deploy`) {
      const slug = searchParams.get("slug") ?? "";
      const upload = await readUpload(slug, request);
      uploads.push(upload);
      return Response.json(describe(slug, upload.metadata.verify_jwt), {
        status: 201,
      });
    }
    if (route === `PUT ${project}/functions`) {
      const functions = publicationSchema.parse(await request.json());
      published.push(...functions.map(({ slug }) => slug));
      return Response.json({
        functions: functions.map((one) => describe(one.slug, one.verify_jwt)),
      });
    }
    if (route === `GET ${project}/functions`) return Response.json([]);
    if (route === `GET ${project}`) {
      return Response.json({
        id: projectRef,
        ref: projectRef,
        name: "fake",
        organization_id: "fake",
        region: "eu-central-1",
        status: "ACTIVE_HEALTHY",
        created_at: new Date().toISOString(),
      });
    }
    await request.body?.cancel();
    unknown.push(route);
    return Response.json({ message: "Not Found" }, { status: 404 });
  };

  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
  }, answer);
  const url = `http://127.0.0.1:${server.addr.port}`;
  const folder = await Deno.makeTempDir();
  const profile = join(folder, "fake.yaml");
  await Deno.writeTextFile(
    profile,
    `name: fake\napi_url: ${url}\ndashboard_url: ${url}\nproject_host: 127.0.0.1\n`,
  );
  return {
    profile,
    projectRef,
    accessToken,
    uploads,
    published,
    unknown,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await Deno.remove(folder, { recursive: true });
    },
  };
}
