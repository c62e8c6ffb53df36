/**
 * The expectations of storage-js's live tests in which an emulation differs most easily: buckets, moves and copies
 * between them, pages of a listing, refusals, and image transformations, which are disabled.
 */
import { assert, assertEquals } from "@std/assert";
import { clientOf, dataOf, newPerson } from "../_support/stack-people.ts";
import { makeProject, startChild } from "../_support/stack-fixture.ts";

const text = (content: string) => new Blob([content], { type: "text/plain" });

/** HTTP status, status in the body, and message of a refused call. */
function refusalOf(error: unknown): unknown[] {
  const of = (name: string) =>
    error instanceof Error && name in error ? Reflect.get(error, name) : null;
  return [of("status"), of("statusCode"), of("message")];
}

Deno.test("storage: buckets, listings, moves and refusals are those of a hosted project", async (t) => {
  await using project = await makeProject({
    "supabase/migrations/20260101000001_read_only.sql": `
      insert into storage.buckets (id, name, public) values ('shelf', 'shelf', false), ('drawer', 'drawer', true);
      create policy "people add to the drawer" on storage.objects
        for insert to authenticated
        with check (bucket_id = 'drawer' and (storage.foldername(name))[1] = (select auth.uid())::text);
      create policy "people read the shelf" on storage.objects
        for select to authenticated using (bucket_id = 'shelf');`,
  });
  await using stack = await startChild(project.dir, ["--ephemeral"]);
  const { env } = stack;
  const admin = clientOf(env, env.SECRET_KEY).storage;
  const ann = await newPerson(env, "ann");
  const bob = await newPerson(env, "bob");
  const files = ann.client.storage.from("private");
  const mine = (name: string) => `${ann.id}/${name}`;

  await t.step("bucket: a size limit may be a string with a unit", async () => {
    for (
      const [name, limit, bytes] of [
        ["one-mb", "1mb", 1_000_000],
        ["half-mb", "0.5MB", 500_000],
        ["bytes", 4096, 4096],
        ["none", null, null],
      ] as const
    ) {
      await dataOf(
        admin.createBucket(name, { public: true, fileSizeLimit: limit }),
      );
      assertEquals(
        (await dataOf(admin.getBucket(name))).file_size_limit ?? null,
        bytes,
      );
    }
    await dataOf(
      admin.updateBucket("one-mb", { public: true, fileSizeLimit: "1KB" }),
    );
    assertEquals(
      (await dataOf(admin.getBucket("one-mb"))).file_size_limit,
      1000,
    );
    await dataOf(
      admin.updateBucket("bytes", { public: true, fileSizeLimit: null }),
    );
    assertEquals(
      (await dataOf(admin.getBucket("bytes"))).file_size_limit ?? null,
      null,
    );
  });

  await t.step(
    "bucket: an invalid limit, or one above the project's, is refused",
    async () => {
      const odd = await admin.createBucket("odd", {
        public: true,
        fileSizeLimit: "1 potato",
      });
      assertEquals(refusalOf(odd.error), [
        400,
        "400",
        "Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B",
      ]);
      const large = await admin.createBucket("large", {
        public: true,
        fileSizeLimit: "1gb",
      });
      assertEquals(refusalOf(large.error), [
        400,
        "413",
        "The object exceeded the maximum allowed size",
      ]);
    },
  );

  await t.step(
    "upload: a file that is too large or of another type is refused with Storage's message",
    async () => {
      const limited = admin.from("one-mb");
      const large = await limited.upload("a.txt", text("x".repeat(1001)));
      assertEquals(refusalOf(large.error), [
        400,
        "413",
        "The object exceeded the maximum allowed size",
      ]);
      const other = await files.upload(mine("a.jpg"), new Uint8Array(1), {
        contentType: "image/jpeg",
      });
      assertEquals(refusalOf(other.error), [
        400,
        "415",
        "mime type image/jpeg is not supported",
      ]);
    },
  );

  await t.step(
    "copy: returns the path of the copy, also in another bucket",
    async () => {
      await dataOf(
        files.upload(mine("seek.txt"), text("0123456789"), {
          metadata: { album: "1962" },
        }),
      );
      const same = await dataOf(
        files.copy(mine("seek.txt"), mine("copy.txt")),
      );
      assertEquals(same.path, `private/${mine("copy.txt")}`);
      const other = await dataOf(
        files.copy(mine("seek.txt"), mine("copy.txt"), {
          destinationBucket: "drawer",
        }),
      );
      assertEquals(other.path, `drawer/${mine("copy.txt")}`);
      const copied = await dataOf(
        admin.from("drawer").download(mine("copy.txt")),
      );
      assertEquals([copied.type, await copied.text()], [
        "text/plain",
        "0123456789",
      ]);
      const info = await dataOf(admin.from("drawer").info(mine("copy.txt")));
      assertEquals([info.size, info.metadata], [10, { album: "1962" }]);
    },
  );

  await t.step(
    "copy: onto an existing object is a conflict, and changes nothing",
    async () => {
      await dataOf(files.upload(mine("other.txt"), text("other")));
      const { error } = await files.copy(mine("seek.txt"), mine("other.txt"));
      assertEquals(refusalOf(error), [
        400,
        "409",
        "The resource already exists",
      ]);
      assertEquals(
        await (await dataOf(files.download(mine("other.txt")))).text(),
        "other",
      );
    },
  );

  await t.step(
    "move: to another bucket, with its bytes and nothing left in the first",
    async () => {
      const service = admin.from("private");
      await dataOf(files.upload(mine("to-move.txt"), text("moving")));
      const { message } = await dataOf(
        service.move(mine("to-move.txt"), mine("there.txt"), {
          destinationBucket: "drawer",
        }),
      );
      assertEquals(message, "Successfully moved");
      assertEquals(
        await (await dataOf(admin.from("drawer").download(mine("there.txt"))))
          .text(),
        "moving",
      );
      assertEquals((await service.exists(mine("to-move.txt"))).data, false);
    },
  );

  await t.step(
    "move: a missing object, another user's, or one that may only be read is not found",
    async () => {
      await dataOf(admin.from("shelf").upload("book.txt", text("read only")));
      const shelf = ann.client.storage.from("shelf");
      assertEquals(
        await (await dataOf(shelf.download("book.txt"))).text(),
        "read only",
      );
      const bobs = bob.client.storage.from("private");
      for (
        const { error } of [
          await files.move(mine("never.txt"), mine("x.txt")),
          await bobs.move(mine("seek.txt"), `${bob.id}/stolen.txt`),
          await bobs.copy(mine("seek.txt"), `${bob.id}/stolen.txt`),
          await shelf.move("book.txt", "mine.txt"),
        ]
      ) assertEquals(refusalOf(error), [400, "404", "Object not found"]);
      assertEquals(
        await (await dataOf(files.download(mine("seek.txt")))).text(),
        "0123456789",
      );
    },
  );

  await t.step(
    "move and copy: the policies refuse another user's folder, and nothing changes",
    async () => {
      for (
        const { error } of [
          await files.move(mine("seek.txt"), `${bob.id}/gift.txt`),
          await files.copy(mine("seek.txt"), `${bob.id}/gift.txt`),
        ]
      ) {
        assertEquals(refusalOf(error), [
          400,
          "403",
          "new row violates row-level security policy",
        ]);
      }
      assertEquals((await files.exists(mine("seek.txt"))).data, true);
      assertEquals(
        (await admin.from("private").exists(`${bob.id}/gift.txt`)).data,
        false,
      );
    },
  );

  await t.step(
    "list v2: pages follow their cursor in every sort order",
    async () => {
      const names = ["zz", "bb", "xx", "ww", "cc", "aa", "yy"];
      for (const name of names) {
        await dataOf(files.upload(mine(`pages/${name}.txt`), text(name)));
      }
      const sorted = names.toSorted();
      for (
        const [sortBy, expected] of [
          [undefined, sorted],
          [{ column: "name", order: "desc" }, sorted.toReversed()],
          [{ column: "created_at", order: "asc" }, names],
          [{ column: "created_at", order: "desc" }, names.toReversed()],
          [{ column: "updated_at" }, names],
        ] as const
      ) {
        for (const with_delimiter of [true, false]) {
          const seen: string[] = [];
          let cursor: string | undefined;
          let pages = 0;
          do {
            const page = await dataOf(files.listV2({
              prefix: mine("pages/"),
              limit: 3,
              with_delimiter,
              ...(sortBy === undefined ? {} : { sortBy }),
              ...(cursor === undefined ? {} : { cursor }),
            }));
            assertEquals(page.folders, []);
            seen.push(...page.objects.map(({ name }) => name));
            assertEquals(page.hasNext, page.nextCursor !== undefined);
            cursor = page.nextCursor;
            pages += 1;
          } while (cursor !== undefined);
          assertEquals(pages, 3);
          assertEquals(
            seen,
            expected.map((name) => mine(`pages/${name}.txt`)),
          );
        }
      }
    },
  );

  await t.step(
    "list v2: folders are listed separately, and no user sees another's",
    async () => {
      const { folders, objects, hasNext } = await dataOf(
        files.listV2({ with_delimiter: true }),
      );
      assertEquals([hasNext, objects], [false, []]);
      assertEquals(
        folders.map(({ key, name }) => ({ key, name })),
        [{ key: ann.id, name: `${ann.id}/` }],
      );
      const whole = await dataOf(files.listV2({ prefix: ann.id }));
      assert(whole.objects.some(({ name }) => name === mine("seek.txt")));
      const bobs = await dataOf(
        bob.client.storage.from("private").listV2({ prefix: ann.id }),
      );
      assertEquals([bobs.folders, bobs.objects], [[], []]);
    },
  );

  await t.step(
    "list: an invalid cursor and a limit below one are refused",
    async () => {
      assertEquals(
        refusalOf((await files.listV2({ cursor: "not-a-cursor" })).error),
        [400, "400", "Invalid Parameter cursor"],
      );
      assert((await files.listV2({ limit: 0 })).error !== null);
    },
  );

  await t.step(
    "types: a wildcard admits every type of its kind, a complete entry only that exact type",
    async () => {
      const { error } = await admin.createBucket("kinds", {
        public: false,
        allowedMimeTypes: ["audio/*", "image/png"],
      });
      assertEquals(error, null);
      assertEquals(
        (await dataOf(admin.getBucket("kinds"))).allowed_mime_types,
        ["audio/*", "image/png"],
      );
      const kinds = admin.from("kinds");
      const bytes = new Uint8Array([1, 2, 3]);
      for (
        const [type, isRawTaken, isBlobTaken] of [
          ["audio/webm", true, true],
          ["audio/webm;codecs=opus", true, true],
          ["audio/ogg; codecs=opus", true, true],
          ["image/png", true, true],
          // The parser of forms drops parameters; a raw body is compared letter by letter.
          ["image/png;a=b", false, true],
          ["image/jpeg", false, false],
          ["video/webm;codecs=opus", false, false],
        ] as const
      ) {
        const raw = await kinds.upload(`raw ${crypto.randomUUID()}`, bytes, {
          contentType: type,
        });
        assertEquals(raw.error === null, isRawTaken, `raw ${type}`);
        const blob = await kinds.upload(
          `blob ${crypto.randomUUID()}`,
          new Blob([bytes], { type }),
        );
        assertEquals(blob.error === null, isBlobTaken, `Blob ${type}`);
        if (!isRawTaken) {
          assertEquals(
            refusalOf(raw.error)[2],
            `mime type ${type} is not supported`,
          );
        }
        if (isBlobTaken) {
          const { contentType } = await dataOf(
            kinds.info(blob.data?.path ?? ""),
          );
          assertEquals(contentType, type.split(";")[0]);
        }
      }
    },
  );

  await t.step(
    "transformations: refused as in a project without them; a signed URL returns the original file",
    async () => {
      const transform = { width: 200, height: 200 };
      const { data, error } = await files.download(mine("seek.txt"), {
        transform,
      });
      assertEquals(data, null);
      assertEquals(refusalOf(error)[0], 403);
      const { publicUrl } =
        admin.from("drawer").getPublicUrl(mine("copy.txt"), {
          transform,
        }).data;
      const answer = await fetch(publicUrl);
      assertEquals([answer.status, await answer.json()], [403, {
        statusCode: "403",
        error: "FeatureNotEnabled",
        message: "feature not enabled for this tenant",
        code: "FeatureNotEnabled",
      }]);
      const { signedUrl } = await dataOf(
        files.createSignedUrl(mine("seek.txt"), 60, { transform }),
      );
      assertEquals(await (await fetch(signedUrl)).text(), "0123456789");
    },
  );
});
