import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { clientOf, dataOf, newPerson } from "../_support/stack-people.ts";
import { makeProject, startChild } from "../_support/stack-fixture.ts";

const wav = (text: string) => new Blob([text], { type: "audio/wav" });

Deno.test("storage: the unmodified storage-js works as on a hosted project", async (t) => {
  await using project = await makeProject();
  await using stack = await startChild(project.dir, ["--ephemeral"]);
  const { env } = stack;
  const ann = await newPerson(env, "ann");
  const bob = await newPerson(env, "bob");
  const files = ann.client.storage.from("private");
  const bobs = bob.client.storage.from("private");
  const mine = (name: string) => `${ann.id}/${name}`;

  await t.step(
    "upload: a Blob, a File and a Uint8Array arrive byte for byte",
    async () => {
      const bytes = crypto.getRandomValues(new Uint8Array(50_000));
      await dataOf(
        files.upload(
          mine("blob.wav"),
          new Blob([bytes], { type: "audio/wav" }),
        ),
      );
      await dataOf(
        files.upload(
          mine("file.wav"),
          new File([bytes], "x.wav", { type: "audio/wav" }),
        ),
      );
      await dataOf(
        files.upload(mine("raw.wav"), bytes, { contentType: "audio/wav" }),
      );
      for (const name of ["blob.wav", "file.wav", "raw.wav"]) {
        const blob = await dataOf(files.download(mine(name)));
        assertEquals(new Uint8Array(await blob.arrayBuffer()), bytes);
        assertEquals(blob.type, "audio/wav");
      }
    },
  );

  await t.step(
    "upload: content that looks like a form boundary is not truncated",
    async () => {
      const tricky =
        '--boundary\r\n\r\nContent-Disposition: form-data; name=""\r\n\r\n--\r\n';
      await dataOf(
        files.upload(
          mine("tricky.txt"),
          new Blob([tricky], { type: "text/plain" }),
        ),
      );
      assertEquals(
        await (await dataOf(files.download(mine("tricky.txt")))).text(),
        tricky,
      );
    },
  );

  await t.step("upload: an empty file is stored as an empty file", async () => {
    await dataOf(
      files.upload(mine("empty.txt"), new Blob([], { type: "text/plain" })),
    );
    assertEquals((await dataOf(files.info(mine("empty.txt")))).size, 0);
  });

  await t.step(
    "upload: the object's row has its size and type as JSON, and the owner",
    async () => {
      const info = await dataOf(files.info(mine("file.wav")));
      assertEquals(info.size, 50_000);
      assertEquals(info.contentType, "audio/wav");
      assertEquals(info.cacheControl, "max-age=3600");
      assertMatch(info.createdAt, /^\d{4}-\d\d-\d\dT.*\+00:00$/);
    },
  );

  await t.step("upload: the user's own metadata comes back", async () => {
    await dataOf(
      files.upload(mine("meta.txt"), new Blob(["x"], { type: "text/plain" }), {
        metadata: { take: 2 },
      }),
    );
    assertEquals<unknown>(
      (await dataOf(files.info(mine("meta.txt")))).metadata,
      {
        take: 2,
      },
    );
  });

  await t.step(
    "upload: a second upload needs upsert, and then replaces the bytes",
    async () => {
      const again = await files.upload(
        mine("meta.txt"),
        new Blob(["y"], { type: "text/plain" }),
      );
      assertEquals(again.error?.message, "The resource already exists");
      await dataOf(
        files.upload(
          mine("meta.txt"),
          new Blob(["y"], { type: "text/plain" }),
          { upsert: true },
        ),
      );
      assertEquals(
        await (await dataOf(files.download(mine("meta.txt")))).text(),
        "y",
      );
    },
  );

  await t.step(
    "upload: a type that the bucket does not allow is refused",
    async () => {
      const { error } = await files.upload(
        mine("x.png"),
        new Blob(["x"], { type: "image/png" }),
      );
      assertStringIncludes(
        error?.message ?? "",
        "mime type image/png is not supported",
      );
    },
  );

  await t.step(
    "upload: a file above the bucket's limit is refused in every form",
    async () => {
      const big = new Uint8Array(1_048_577);
      const asBlob = await files.upload(
        mine("big.wav"),
        new Blob([big], { type: "audio/wav" }),
      );
      const asBytes = await files.upload(mine("big.wav"), big, {
        contentType: "audio/wav",
      });
      const asStream = await files.upload(
        mine("big.wav"),
        new Blob([big]).stream(),
        { contentType: "audio/wav", duplex: "half" },
      );
      for (const { error } of [asBlob, asBytes, asStream]) {
        assertStringIncludes(
          error?.message ?? "",
          "exceeded the maximum allowed size",
        );
      }
      assertEquals(
        await files.exists(mine("big.wav")).then((found) => found.data),
        false,
      );
    },
  );

  await t.step(
    "upload: a file above the project's limit is refused in a bucket without one",
    async () => {
      const big = new Blob([new Uint8Array(4 * 1024 * 1024 + 1)]);
      const { error } = await ann.client.storage.from("public").upload(
        mine("big.bin"),
        big,
      );
      assertStringIncludes(
        error?.message ?? "",
        "exceeded the maximum allowed size",
      );
    },
  );

  await t.step(
    "upload: another user's folder is refused by policy and stays empty",
    async () => {
      const { error } = await bobs.upload(mine("planted.wav"), wav("x"));
      assertEquals(
        error?.message,
        "new row violates row-level security policy",
      );
      assertEquals((await files.exists(mine("planted.wav"))).data, false);
    },
  );

  await t.step(
    "upload: names with path traversal and those that hosted Storage refuses are refused",
    async () => {
      for (
        const name of [
          `${ann.id}/../../x`,
          "é.wav",
          "a%2F..%2F..%2Fb",
          "%2e%2e%2f%2e%2e%2fpasswd",
        ]
      ) {
        const response = await fetch(
          `${env.API_URL}/storage/v1/object/private/${name}`,
          {
            method: "POST",
            headers: {
              apikey: env.PUBLISHABLE_KEY,
              authorization: `Bearer ${ann.token}`,
              "content-type": "audio/wav",
            },
            body: "x",
          },
        );
        const body = await response.text();
        assert(
          response.status >= 400 && response.status < 500,
          `${name}: ${response.status} ${body}`,
        );
      }
    },
  );

  await t.step(
    "download: another user's object is not found",
    async () => {
      const { error } = await bobs.download(mine("file.wav"));
      assertEquals(error?.message, "Object not found");
      assertEquals((await bobs.exists(mine("file.wav"))).data, false);
      assertEquals(
        (await bobs.createSignedUrl(mine("file.wav"), 60)).error?.message,
        "Object not found",
      );
    },
  );

  await t.step(
    "list: one level, names relative to the folder, no objects of others",
    async () => {
      await dataOf(files.upload(mine("sub/deep.wav"), wav("x")));
      const entries = await dataOf(
        files.list(ann.id, { sortBy: { column: "name", order: "asc" } }),
      );
      const names = entries.map(({ name }) => name);
      assertEquals(names, [...names].sort());
      assert(names.includes("blob.wav") && names.includes("sub"));
      assertEquals(entries.find(({ name }) => name === "sub")?.id, null);
      assertEquals(
        entries.find(({ name }) => name === "blob.wav")?.metadata?.["size"],
        50_000,
      );
      assertEquals(
        (await dataOf(files.list(`${ann.id}/sub`))).map(({ name }) => name),
        ["deep.wav"],
      );
      assertEquals(
        (await dataOf(files.list(ann.id, { search: "bl" }))).map(({ name }) =>
          name
        ),
        ["blob.wav"],
      );
      assertEquals(
        (await dataOf(files.list(ann.id, { limit: 1, offset: 1 }))).map((
          { name },
        ) => name),
        [names[1]],
      );
      assertEquals(await dataOf(bobs.list(ann.id)), []);
    },
  );

  await t.step(
    "signed upload: works once, without a key, and only for its path",
    async () => {
      const { signedUrl, token, path } = await dataOf(
        files.createSignedUploadUrl(mine("signed.wav")),
      );
      assertEquals(path, mine("signed.wav"));
      assert(
        signedUrl.startsWith(
          `${env.API_URL}/storage/v1/object/upload/sign/private/`,
        ),
      );
      const elsewhere = await clientOf(env).storage.from("private")
        .uploadToSignedUrl(mine("other.wav"), token, wav("x"));
      assertEquals(elsewhere.error?.message, "Invalid signature");
      const keyless = await fetch(signedUrl, {
        method: "PUT",
        body: wav("signed bytes"),
      });
      assertEquals([keyless.status, await keyless.json()], [200, {
        Key: `private/${mine("signed.wav")}`,
      }]);
      assertEquals(
        await (await dataOf(files.download(mine("signed.wav")))).text(),
        "signed bytes",
      );
      const twice = await files.uploadToSignedUrl(
        mine("signed.wav"),
        token,
        wav("again"),
      );
      assertEquals(twice.error?.message, "The resource already exists");
    },
  );

  await t.step(
    "signed upload: uploadToSignedUrl takes a File, and the policies decide who gets a URL",
    async () => {
      const { token } = await dataOf(
        files.createSignedUploadUrl(mine("signed-file.wav")),
      );
      const sent = await dataOf(
        files.uploadToSignedUrl(
          mine("signed-file.wav"),
          token,
          new File(["abc"], "a.wav", { type: "audio/wav" }),
        ),
      );
      assertEquals(sent, {
        path: mine("signed-file.wav"),
        fullPath: `private/${mine("signed-file.wav")}`,
      });
      assertEquals(
        (await bobs.createSignedUploadUrl(mine("no.wav"))).error?.message,
        "new row violates row-level security policy",
      );
    },
  );

  await t.step("signed upload: the bucket's rules hold", async () => {
    const { token } = await dataOf(
      files.createSignedUploadUrl(mine("rules.wav")),
    );
    const wrongType = await files.uploadToSignedUrl(
      mine("rules.wav"),
      token,
      new Blob(["x"], { type: "image/png" }),
    );
    assertStringIncludes(wrongType.error?.message ?? "", "is not supported");
    const tooBig = await files.uploadToSignedUrl(
      mine("rules.wav"),
      token,
      wav("x".repeat(1_048_577)),
    );
    assertStringIncludes(
      tooBig.error?.message ?? "",
      "exceeded the maximum allowed size",
    );
  });

  await t.step(
    "signed URL: is readable without a key, also by range and as an attachment",
    async () => {
      await dataOf(
        files.upload(
          mine("seek.txt"),
          new Blob(["0123456789"], { type: "text/plain" }),
        ),
      );
      const { signedUrl } = await dataOf(
        files.createSignedUrl(mine("seek.txt"), 60),
      );
      const whole = await fetch(signedUrl);
      assertEquals([
        whole.status,
        whole.headers.get("accept-ranges"),
        await whole.text(),
      ], [200, "bytes", "0123456789"]);
      const ranges = [
        ["bytes=2-4", "234", "bytes 2-4/10"],
        ["bytes=7-", "789", "bytes 7-9/10"],
        ["bytes=-2", "89", "bytes 8-9/10"],
        ["bytes=5-99", "56789", "bytes 5-9/10"],
      ];
      for (const [range, text, header] of ranges) {
        const part = await fetch(signedUrl, {
          headers: { range: range ?? "" },
        });
        assertEquals([
          part.status,
          await part.text(),
          part.headers.get("content-range"),
        ], [206, text, header]);
      }
      const beyond = await fetch(signedUrl, {
        headers: { range: "bytes=10-" },
      });
      await beyond.body?.cancel();
      assertEquals([beyond.status, beyond.headers.get("content-range")], [
        416,
        "bytes */10",
      ]);
      const named = await dataOf(
        files.createSignedUrl(mine("seek.txt"), 60, { download: "mine.txt" }),
      );
      const attached = await fetch(named.signedUrl);
      await attached.body?.cancel();
      assertStringIncludes(
        attached.headers.get("content-disposition") ?? "",
        "attachment; filename=mine.txt",
      );
    },
  );

  await t.step(
    "signed URL: one that expired, was changed, or is for another object is refused with 400",
    async () => {
      const ended = await dataOf(files.createSignedUrl(mine("seek.txt"), -1));
      const { signedUrl } = await dataOf(
        files.createSignedUrl(mine("seek.txt"), 60),
      );
      const upload = await dataOf(
        files.createSignedUploadUrl(mine("later.txt")),
      );
      const url = new URL(signedUrl);
      const token = url.searchParams.get("token") ?? "";
      const at = (path: string, token: string) =>
        `${env.API_URL}/storage/v1/object/sign/private/${path}?token=${token}`;
      const [head, , signature] = token.split(".");
      const forged = `${head}.${
        btoa(
          JSON.stringify({
            sub: mine("file.wav"),
            bucket: "private",
            intent: "download",
            exp: 9999999999,
          }),
        ).replaceAll("=", "")
      }.${signature}`;
      const refused = [
        [ended.signedUrl, "InvalidJWT"],
        [signedUrl.slice(0, -2) + "xx", "InvalidJWT"],
        [at(mine("file.wav"), token), "InvalidSignature"],
        [at(mine("file.wav"), forged), "InvalidJWT"],
        [at(mine("seek.txt"), upload.token), "InvalidSignature"],
        [at(mine("seek.txt"), ann.token), "InvalidJWT"],
        [`${env.API_URL}${url.pathname}`, undefined],
      ];
      for (const [address, code] of refused) {
        const response = await fetch(address ?? "");
        const body = await response.json();
        assertEquals([response.status, body.code], [400, code]);
      }
      const still = await fetch(signedUrl);
      await still.body?.cancel();
      assertEquals(still.status, 200, "the URL itself still works");
    },
  );

  await t.step(
    "signed URLs: several in one request, with an error for each missing object",
    async () => {
      const made = await dataOf(
        files.createSignedUrls([mine("seek.txt"), mine("nothing.txt")], 60),
      );
      assertEquals(made.map(({ path, error }) => [path, error]), [[
        mine("seek.txt"),
        null,
      ], [mine("nothing.txt"), "Object not found"]]);
      const response = await fetch(made[0]?.signedUrl ?? "");
      assertEquals(await response.text(), "0123456789");
    },
  );

  await t.step(
    "public bucket: anyone reads it without a key; policies decide who writes",
    async () => {
      const open = ann.client.storage.from("public");
      await dataOf(
        open.upload(
          mine("page.txt"),
          new Blob(["for all"], { type: "text/plain" }),
        ),
      );
      const { data: { publicUrl } } = open.getPublicUrl(mine("page.txt"));
      const response = await fetch(publicUrl);
      assertEquals([response.status, await response.text()], [200, "for all"]);
      const anonymous = await clientOf(env).storage.from("public").upload(
        "x/page.txt",
        new Blob(["x"]),
      );
      assertEquals(
        anonymous.error?.message,
        "new row violates row-level security policy",
      );
      const asPublic = await fetch(
        `${env.API_URL}/storage/v1/object/public/private/${mine("seek.txt")}`,
      );
      assertEquals((await asPublic.json()).code, "NoSuchBucket");
    },
  );

  await t.step(
    "keyless: everything but public objects and signed URLs is refused",
    async () => {
      const response = await fetch(
        `${env.API_URL}/storage/v1/object/private/${mine("seek.txt")}`,
      );
      assertEquals([response.status, (await response.json()).message], [
        400,
        "headers must have required property 'authorization'",
      ]);
    },
  );

  await t.step(
    "token: a Storage token is not accepted as a user token",
    async () => {
      const { token } = await dataOf(
        files.createSignedUploadUrl(mine("abuse.wav")),
      );
      const response = await fetch(
        `${env.API_URL}/storage/v1/object/private/${mine("seek.txt")}`,
        {
          headers: {
            apikey: env.PUBLISHABLE_KEY,
            authorization: `Bearer ${token}`,
          },
        },
      );
      const body = await response.text();
      assert(
        response.status === 400 || response.status === 401,
        `${response.status} ${body}`,
      );
    },
  );

  await t.step("move, copy and remove: follow the policies", async () => {
    await dataOf(files.copy(mine("seek.txt"), mine("copy.txt")));
    await dataOf(files.move(mine("copy.txt"), mine("moved.txt")));
    assertEquals(
      await (await dataOf(files.download(mine("moved.txt")))).text(),
      "0123456789",
    );
    assertEquals((await files.exists(mine("copy.txt"))).data, false);
    assertEquals(await dataOf(bobs.remove([mine("moved.txt")])), []);
    assertEquals((await dataOf(files.remove([mine("moved.txt")]))).length, 1);
    assertEquals((await files.exists(mine("moved.txt"))).data, false);
  });

  await t.step("service role: bypasses the policies", async () => {
    const admin = clientOf(env, env.SECRET_KEY).storage.from("private");
    assertEquals(
      await (await dataOf(admin.download(mine("seek.txt")))).text(),
      "0123456789",
    );
    assert((await dataOf(admin.list(ann.id))).length > 0);
  });

  await t.step(
    "browser: the preflight of storage-js passes for any origin",
    async () => {
      const response = await fetch(
        `${env.API_URL}/storage/v1/object/private/x`,
        {
          method: "OPTIONS",
          headers: {
            origin: "https://app.example",
            "access-control-request-method": "POST",
            "access-control-request-headers":
              "apikey,authorization,x-upsert,x-client-info,x-metadata,traceparent",
          },
        },
      );
      await response.body?.cancel();
      assertEquals([
        response.status,
        response.headers.get("access-control-allow-origin"),
      ], [204, "*"]);
      assertStringIncludes(
        response.headers.get("access-control-allow-headers") ?? "",
        "x-upsert",
      );
    },
  );
});
