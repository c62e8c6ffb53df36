/** Creates slideshows and their keepsakes, as an app does. */
import { assertEquals } from "@std/assert";
import { createAiJobResponseSchema } from "../../supabase/functions/_shared/contracts/jobs.ts";
import type { TestUser } from "./as-user.ts";

/** The bytes of a file of tests/fixtures/photos. */
export function readPhoto(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(
    new URL(`../fixtures/photos/${name}`, import.meta.url),
  );
}

/** Uploads a photo to the user's folder, adds it to their media, and returns its row's id. */
export async function addPhoto(
  user: TestUser,
  bytes: Uint8Array<ArrayBuffer>,
  contentType = "image/jpeg",
): Promise<{ id: string; path: string }> {
  const path = `${user.id}/${crypto.randomUUID()}/photo`;
  const { error } = await user.client.storage.from("uploads").upload(
    path,
    bytes,
    { contentType },
  );
  if (error) throw error;
  const { data, error: refusal } = await user.client.from("media").insert({
    media_type: "image",
    storage_path: `uploads/${path}`,
    file_name: "photo",
    content_type: contentType,
    size_bytes: bytes.length,
  }).select("id").single();
  if (refusal) throw refusal;
  return { id: data.id, path };
}

/** A slideshow of the user with these slides, in order. Its id. */
export async function addSlideshow(
  user: TestUser,
  slides: readonly {
    media_id: string;
    caption?: string;
    is_full_page?: boolean;
  }[],
  about: { title?: string; description?: string } = {},
): Promise<string> {
  const { data, error } = await user.client.from("slideshows").insert({
    title: "Grandma's summers",
    ...about,
  }).select("id").single();
  if (error) throw error;
  if (slides.length > 0) {
    const { error } = await user.client.from("slideshow_items").insert(
      slides.map((slide, position) => ({
        slideshow_id: data.id,
        position,
        caption: null,
        ...slide,
      })),
    );
    if (error) throw error;
  }
  return data.id;
}

/** The response of `create-ai-job`. */
export function requestKeepsake(
  user: TestUser,
  metadata: Record<string, unknown>,
) {
  return user.call("create-ai-job", {
    body: { job_type: "pdf_render", metadata },
  });
}

/** Requests a keepsake and returns the job's id; fails unless it is accepted. */
export async function newKeepsake(
  user: TestUser,
  metadata: Record<string, unknown>,
): Promise<string> {
  const answer = await requestKeepsake(user, metadata);
  assertEquals(answer.status, 202, JSON.stringify(answer.body));
  return createAiJobResponseSchema.parse(answer.body).job_id;
}
