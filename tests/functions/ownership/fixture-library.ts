/** The fixture's recordings and photos, and the rows that users create from them. */
import {
  type FixtureTools,
  hex64,
  idOf,
  keptObject,
  LAST_YEAR,
  LATER,
  type RelationFixture,
  type Values,
} from "./fixture.ts";
import type { Owner } from "./people.ts";

/** What users own besides jobs. */
export function libraryRows(
  { ids, next, forEach, namesOf }: FixtureTools,
): Record<string, RelationFixture> {
  const media = (owner: Owner, kind: string, type: string): Values => ({
    id: namesOf(owner)("media", kind),
    user_id: ids[owner],
    media_type: type,
    storage_path: `uploads/${ids[owner]}/${kind}.bin`,
    file_name: `${kind}.bin`,
    content_type: `${type}/any`,
    size_bytes: 100,
    duration_seconds: 1.5,
    title: `${owner}'s ${kind}`,
  });
  return {
    media: {
      rows: forEach("media", (owner) => ({
        photo: media(owner, "photo", "image"),
        recording: media(owner, "recording", "audio"),
      })),
      fresh: (owner) => media(owner, `photo ${next()}`, "image"),
      change: () => ({ title: "Another title", duration_seconds: 2.5 }),
    },
    pending_uploads: {
      rows: forEach("pending_uploads", (_owner, id) => ({
        address: {
          object_path: `uploads/${id}/on-its-way.png`,
          user_id: id,
          size_bytes: 9,
        },
      })),
      fresh: (owner) => ({
        object_path: `uploads/${ids[owner]}/later-${next()}.png`,
        user_id: ids[owner],
        size_bytes: 9,
      }),
    },
    profiles: {
      rows: forEach("profiles", (owner, id) => ({
        profile: {
          user_id: id,
          display_name: `${owner} Person`,
          photo_path: `profile-photos/${keptObject(id)}`,
        },
      })),
      fresh: (owner) => ({
        user_id: ids[owner],
        display_name: "Someone new",
        photo_path: `profile-photos/${keptObject(ids[owner])}`,
        locale: "de",
      }),
      // A and B already have a profile, and a user cannot have two.
      freshFor: ["vendor"],
      change: (owner) => ({
        display_name: "Another name",
        photo_path: `profile-photos/${ids[owner]}/other.png`,
        locale: "fr",
        time_zone: "Europe/Paris",
      }),
    },
    calls: {
      rows: forEach("calls", (owner, id) => ({
        call: {
          id: namesOf(owner)("calls", "call"),
          user_id: id,
          title: `${owner}'s call`,
          recording_id: namesOf(owner)("media", "recording"),
          held_at: LAST_YEAR,
          duration_seconds: 60,
          transcript: `what ${owner} said`,
          transcript_data: { words: [] },
          transcript_job_id: namesOf(owner)("ai_jobs", "finished"),
        },
      })),
      fresh: (owner) => ({
        id: idOf(`calls/${next()}`),
        user_id: ids[owner],
        title: "Another call",
        recording_id: namesOf(owner)("media", "recording"),
        held_at: LATER,
        duration_seconds: 30,
      }),
      change: (owner) => ({
        title: "Another title",
        recording_id: namesOf(owner)("media", "photo"),
        held_at: LATER,
        duration_seconds: 61,
      }),
    },
    avatars: {
      rows: forEach("avatars", (owner, id) => ({
        avatar: {
          id: namesOf(owner)("avatars", "avatar"),
          user_id: id,
          job_id: namesOf(owner)("ai_jobs", "finished"),
          voice_id: namesOf(owner)("voices", "voice"),
          photo_id: namesOf(owner)("media", "photo"),
          name: `${owner}'s avatar`,
          provider: "d-id",
          provider_video_id: `avatar_${owner}`,
          video_url: `outputs/${keptObject(id)}`,
          duration_seconds: 10,
        },
      })),
      fresh: (owner) => ({
        id: idOf(`avatars/${next()}`),
        user_id: ids[owner],
        job_id: namesOf(owner)("ai_jobs", "waiting"),
        voice_id: namesOf(owner)("voices", "voice"),
        photo_id: namesOf(owner)("media", "photo"),
        name: "Another avatar",
        provider: "d-id",
        provider_video_id: `avatar_${next()}`,
        video_url: `outputs/${ids[owner]}/${next()}.mp4`,
      }),
      change: () => ({ name: "Another name" }),
    },
    slideshows: {
      rows: forEach("slideshows", (owner, id) => ({
        private: {
          id: namesOf(owner)("slideshows", "private"),
          user_id: id,
          title: `${owner}'s private slideshow`,
          share_token: hex64(`private ${owner}`),
        },
        published: {
          id: namesOf(owner)("slideshows", "published"),
          user_id: id,
          title: `${owner}'s published slideshow`,
          description: `from ${owner}`,
          is_published: true,
          share_token: hex64(`published ${owner}`),
        },
      })),
      fresh: (owner) => ({
        id: idOf(`slideshows/${next()}`),
        user_id: ids[owner],
        title: "Another slideshow",
        description: "with photos",
        is_published: false,
      }),
      change: () => ({
        title: "Another title",
        description: "other words",
        is_published: true,
      }),
    },
    slideshow_items: {
      rows: forEach("slideshow_items", (owner, id) => {
        const one = (kind: string, slideshow: string): Values => ({
          id: namesOf(owner)("slideshow_items", kind),
          user_id: id,
          slideshow_id: namesOf(owner)("slideshows", slideshow),
          media_id: namesOf(owner)("media", "photo"),
          position: 0,
          caption: `${owner}'s caption, ${kind}`,
          public_path: `published-media/${id}/${slideshow}.png`,
        });
        return {
          "in a private one": one("in a private one", "private"),
          "in a published one": one("in a published one", "published"),
          "not shown in a published one": {
            ...one("not shown in a published one", "published"),
            position: 1,
            public_path: null,
          },
        };
      }),
      fresh: (owner) => ({
        id: idOf(`slideshow_items/${next()}`),
        user_id: ids[owner],
        slideshow_id: namesOf(owner)("slideshows", "private"),
        media_id: namesOf(owner)("media", "photo"),
        position: 1 + Number(next()) % 998,
        caption: "another caption",
        public_path: `published-media/${ids[owner]}/${next()}.png`,
      }),
      change: (owner) => ({
        caption: "other words",
        is_full_page: true,
        media_id: namesOf(owner)("media", "recording"),
        position: 7,
        public_path: `published-media/${ids[owner]}/other.png`,
      }),
    },
    pdfs: {
      rows: forEach("pdfs", (owner, id) => ({
        keepsake: {
          id: namesOf(owner)("pdfs", "keepsake"),
          user_id: id,
          slideshow_id: namesOf(owner)("slideshows", "private"),
          job_id: namesOf(owner)("ai_jobs", "finished"),
          title: `${owner}'s keepsake`,
          pdf_url: `pdfs/${keptObject(id)}`,
          page_count: 3,
          size_bytes: 1000,
        },
      })),
      fresh: (owner) => ({
        id: idOf(`pdfs/${next()}`),
        user_id: ids[owner],
        slideshow_id: namesOf(owner)("slideshows", "private"),
        job_id: namesOf(owner)("ai_jobs", "waiting"),
        title: "Another keepsake",
        pdf_url: `pdfs/${ids[owner]}/${next()}.pdf`,
        page_count: 1,
        size_bytes: 10,
      }),
      change: () => ({ title: "Another title" }),
    },
  };
}
