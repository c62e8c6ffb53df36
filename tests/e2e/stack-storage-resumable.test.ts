/** Resumable uploads (TUS 1.0.0) as an app sends them to hosted Storage: what is accepted, what is refused, and the result. */
import { assert, assertEquals } from "@std/assert";
import { clientOf, dataOf, newPerson } from "../_support/stack-people.ts";
import { makeProject, startChild } from "../_support/stack-fixture.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("storage: resumable uploads are those of a hosted project", async (t) => {
  await using project = await makeProject({
    "supabase/migrations/20260101000001_limits.sql": `
      update storage.buckets set file_size_limit = 20, allowed_mime_types = array['text/plain'] where id = 'private';`,
  });
  await using stack = await startChild(project.dir, ["--ephemeral"]);
  const { env } = stack;
  const ann = await newPerson(env, "ann");
  const admin = clientOf(env, env.SECRET_KEY).storage.from("private");
  const base = `${env.API_URL}/storage/v1/upload/resumable`;

  const send = (
    method: string,
    url: string,
    headers: Record<string, string>,
    body?: BodyInit,
  ) =>
    fetch(url, {
      method,
      headers: {
        apikey: env.PUBLISHABLE_KEY,
        authorization: `Bearer ${ann.token}`,
        "tus-resumable": "1.0.0",
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
    });
  /** Creates an upload. Returns the status, and the URL when it is 201. */
  async function begin(
    name: string,
    options: {
      size?: number;
      type?: string;
      bucket?: string;
      upsert?: boolean;
    } = {},
  ) {
    const metadata = Object.entries({
      bucketName: options.bucket ?? "private",
      objectName: name,
      contentType: options.type ?? "text/plain",
      cacheControl: "60",
    }).map(([key, value]) => `${key} ${btoa(value)}`).join(",");
    const response = await send("POST", base, {
      "upload-length": String(options.size ?? 10),
      "upload-metadata": metadata,
      ...(options.upsert ? { "x-upsert": "true" } : {}),
    });
    const text = await response.text();
    return {
      status: response.status,
      text,
      url: response.headers.get("location") ?? "",
    };
  }
  async function append(
    url: string,
    offset: number,
    text: string,
    upsert = false,
  ) {
    const response = await send("PATCH", url, {
      "upload-offset": String(offset),
      "content-type": "application/offset+octet-stream",
      ...(upsert ? { "x-upsert": "true" } : {}),
    }, bytes(text));
    await response.body?.cancel();
    return [response.status, response.headers.get("upload-offset")];
  }
  async function offset(url: string) {
    const response = await send("HEAD", url, {});
    await response.body?.cancel();
    return [response.status, response.headers.get("upload-offset")];
  }
  const read = async (name: string) =>
    await (await dataOf(admin.download(name))).text();

  await t.step(
    "a file arrives in parts, and appears when it is complete",
    async () => {
      const name = `${ann.id}/parts.txt`;
      const { status, url } = await begin(name);
      assertEquals(status, 201);
      assert(url.startsWith(`${base}/`), url);
      assertEquals(await append(url, 0, "0123"), [204, "4"]);
      assertEquals(await offset(url), [200, "4"]);
      assertEquals((await admin.exists(name)).data, false);
      assertEquals(await append(url, 0, "xx"), [409, null]);
      assertEquals(await append(url, 4, "456789"), [204, "10"]);
      assertEquals(await read(name), "0123456789");
      assertEquals(await offset(url), [200, "10"]);
      const info = await dataOf(admin.info(name));
      assertEquals([info.size, info.contentType, info.cacheControl], [
        10,
        "text/plain",
        "max-age=60",
      ]);
    },
  );

  await t.step(
    "the token of a signed upload replaces a session; without it the upload is refused",
    async () => {
      const name = `${ann.id}/signed.txt`;
      const mine = ann.client.storage.from(
        "private",
      );
      const { token } = await dataOf(mine.createSignedUploadUrl(name));
      const signed = async (
        method: string,
        url: string,
        signature: string | null,
        headers: Record<string, string> = {},
        body?: BodyInit,
      ) => {
        const response = await fetch(url, {
          method,
          headers: {
            "tus-resumable": "1.0.0",
            ...(signature === null ? {} : { "x-signature": signature }),
            ...headers,
          },
          ...(body === undefined ? {} : { body }),
        });
        await response.body?.cancel();
        return response;
      };
      const create = (object: string, signature: string | null) =>
        signed("POST", `${base}/sign`, signature, {
          "upload-length": "10",
          "upload-metadata": `bucketName ${btoa("private")},objectName ${
            btoa(object)
          },contentType ${btoa("text/plain")}`,
        });
      assertEquals((await create(name, null)).status, 400);
      assertEquals((await create(name, `${token}x`)).status, 400);
      assertEquals((await create(`${ann.id}/other.txt`, token)).status, 400);
      const created = await create(name, token);
      assertEquals(created.status, 201);
      const url = created.headers.get("location") ?? "";
      assert(url.startsWith(`${base}/sign/`), url);

      const piece = { "content-type": "application/offset+octet-stream" };
      const append = (signature: string | null, offset: string, text: string) =>
        signed("PATCH", url, signature, {
          ...piece,
          "upload-offset": offset,
        }, bytes(text));
      assertEquals((await append(null, "0", "01234")).status, 400);
      assertEquals((await append(token, "0", "01234")).status, 204);
      assertEquals((await signed("HEAD", url, null)).status, 400);
      const head = await signed("HEAD", url, token);
      assertEquals(head.headers.get("upload-offset"), "5");
      assertEquals((await append(token, "5", "56789")).status, 204);
      assertEquals(await read(name), "0123456789");
      const info = await dataOf(admin.info(name));
      assertEquals([info.size, info.contentType], [10, "text/plain"]);
    },
  );

  await t.step(
    "an unfinished upload can be ended, a finished one cannot",
    async () => {
      const { url } = await begin(`${ann.id}/given-up.txt`);
      await append(url, 0, "0123");
      const gone = await send("DELETE", url, {});
      await gone.body?.cancel();
      assertEquals(gone.status, 204);
      assertEquals((await offset(url))[0], 404);
      const whole = await begin(`${ann.id}/whole.txt`);
      await append(whole.url, 0, "0123456789");
      const refused = await send("DELETE", whole.url, {});
      await refused.body?.cancel();
      assertEquals(refused.status, 400);
      assertEquals(await read(`${ann.id}/whole.txt`), "0123456789");
    },
  );

  await t.step(
    "what the bucket or the policies refuse is refused before the first byte",
    async () => {
      const mine = (name: string) => `${ann.id}/${name}`;
      assertEquals((await begin("another/user.txt")).status, 403);
      assertEquals((await begin(mine("large.txt"), { size: 21 })).status, 413);
      assertEquals(
        (await begin(mine("film.mp4"), { type: "video/mp4" })).status,
        415,
      );
      assertEquals(
        (await begin(mine("x.txt"), { bucket: "none" })).status,
        404,
      );
      assertEquals((await begin(mine("a/../b.txt"))).status, 400);
    },
  );

  await t.step(
    "an existing file is replaced only with x-upsert",
    async () => {
      const name = `${ann.id}/parts.txt`;
      assertEquals((await begin(name)).status, 409);
      const asService = (headers: Record<string, string>) => ({
        ...headers,
        apikey: env.SECRET_KEY,
        authorization: `Bearer ${env.SECRET_KEY}`,
        "x-upsert": "true",
      });
      const begun = await send(
        "POST",
        base,
        asService({
          "upload-length": "3",
          "upload-metadata": `bucketName ${btoa("private")},objectName ${
            btoa(name)
          },contentType ${btoa("text/plain")}`,
        }),
      );
      await begun.body?.cancel();
      const url = begun.headers.get("location") ?? "";
      const sent = await send(
        "PATCH",
        url,
        asService({
          "upload-offset": "0",
          "content-type": "application/offset+octet-stream",
        }),
        bytes("new"),
      );
      await sent.body?.cancel();
      assertEquals(sent.status, 204);
      assertEquals(await read(name), "new");
    },
  );
});
