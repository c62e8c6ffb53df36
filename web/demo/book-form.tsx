/** The form that arranges photos into a book. */
import { Button } from "../parts/button.tsx";
import { Field } from "../parts/field.tsx";
import { toast } from "../parts/toast.tsx";
import { clearSent, PAGE_SIZES, type Slide } from "./drafts.ts";
import { readyPhoto } from "./files.ts";
import { JobForm } from "./form.tsx";
import { DropZone, useFileUrl } from "./pickers.tsx";
import { idOf, rowsOf, useStudio } from "./studio.ts";
import type { Submission } from "./submission.ts";

/** Limits of one book: docs/job-types.md. */
const MAX_PHOTOS = 100;
const PHOTO_MAX_BYTES = 50_000_000;
const PAGES = { square: "Square", a4: "A4", letter: "Letter" } as const;

let lastId = 0;

function SlideRow(
  { slide, position, count, onCaption, onMove, onRemove }: {
    slide: Slide;
    position: number;
    count: number;
    onCaption: (caption: string) => void;
    onMove: (by: number) => void;
    onRemove: () => void;
  },
) {
  const url = useFileUrl(slide.file) ?? "";
  const name = `photo ${position + 1}`;
  return (
    <li class="slide">
      <img src={url} alt={slide.caption || slide.file.name} />
      <input
        aria-label={`Caption of ${name}`}
        placeholder="Caption"
        maxLength={500}
        value={slide.caption}
        onInput={(event) => onCaption(event.currentTarget.value)}
      />
      <div class="row">
        <Button
          kind="quiet"
          isSmall
          icon="up"
          label={`Move ${name} up`}
          isDisabled={position === 0}
          onClick={() => onMove(-1)}
        />
        <Button
          kind="quiet"
          isSmall
          icon="down"
          label={`Move ${name} down`}
          isDisabled={position === count - 1}
          onClick={() => onMove(1)}
        />
        <Button
          kind="quiet"
          isSmall
          icon="close"
          label={`Leave ${name} out`}
          onClick={onRemove}
        />
      </div>
    </li>
  );
}

/** The form. */
export function BookForm() {
  const studio = useStudio();
  const { supabase } = studio.backend;
  const { title, size, slides } = studio.drafts.book;

  function add(file: File): void {
    slides.value = [...slides.value, { id: ++lastId, file, caption: "" }];
  }

  function move(from: number, by: number): void {
    const moved = [...slides.value];
    moved.splice(from + by, 0, ...moved.splice(from, 1));
    slides.value = moved;
  }

  async function submit(submission: Submission): Promise<void> {
    const [chosen, typed, page_size] = [slides.value, title.value, size.value];
    const items: {
      media_id: string;
      position: number;
      caption: string | null;
    }[] = [];
    for (const [position, { file, caption }] of chosen.entries()) {
      const { input_url } = await submission.upload(
        file,
        "uploads",
        undefined,
        (percent) =>
          submission.sent.value = (position * 100 + percent) / chosen.length,
      );
      items.push({
        media_id: await submission.insert(
          ["photo", input_url],
          () => studio.addMedia("image", file, input_url),
        ),
        position,
        caption: caption.trim() || null,
      });
    }
    const slideshow_id = await submission.insert(
      ["slideshow", typed, items],
      async () => {
        const id = idOf(
          await supabase.from("slideshows").insert({ title: typed.trim() })
            .select("id").single(),
        );
        rowsOf(
          await supabase.from("slideshow_items").insert(
            items.map((item) => ({ ...item, slideshow_id: id })),
          ).select("id"),
        );
        return id;
      },
    );
    const { id } = await submission.create({
      job_type: "pdf_render",
      metadata: {
        slideshow_id,
        page_size,
        title: typed.trim(),
      },
    });
    clearSent(slides, chosen, []);
    clearSent(title, typed, "");
    toast("The book is being laid out.", "good", id);
  }

  const { length } = slides.value;
  return (
    <JobForm
      type="pdf_render"
      action="Make the book"
      problem={length === 0
        ? "Add at least one photo."
        : length > MAX_PHOTOS
        ? `A book can have ${MAX_PHOTOS} photos at most.`
        : title.value.trim() === ""
        ? "Give the book a title."
        : undefined}
      submit={submit}
    >
      <div class="two">
        <Field label="Title">
          {(id) => (
            <input
              id={id}
              maxLength={200}
              placeholder="Summer at the lake"
              value={title}
              onInput={(event) => title.value = event.currentTarget.value}
            />
          )}
        </Field>
        <Field label="Pages">
          {(id) => (
            <select
              id={id}
              value={size.value}
              onChange={({ currentTarget }) =>
                size.value =
                  PAGE_SIZES.find((one) => one === currentTarget.value) ??
                    "square"}
            >
              {PAGE_SIZES.map((one) => (
                <option key={one} value={one}>{PAGES[one]}</option>
              ))}
            </select>
          )}
        </Field>
      </div>
      {length > 0 && (
        <ol class="slides" aria-label="Photos in their order">
          {slides.value.map((slide, position) => (
            <SlideRow
              key={slide.id}
              slide={slide}
              position={position}
              count={length}
              onCaption={(caption) =>
                slides.value = slides.value.map((one) =>
                  one === slide ? { ...one, caption } : one
                )}
              onMove={(by) => move(position, by)}
              onRemove={() =>
                slides.value = slides.value.filter((one) => one !== slide)}
            />
          ))}
        </ol>
      )}
      <DropZone
        icon="photo"
        title={length === 0 ? "Choose or drop photos" : "Add more photos"}
        hint="JPEG or PNG, up to a hundred"
        accept="image/*"
        isMany
        ready={(file) => readyPhoto(file, PHOTO_MAX_BYTES)}
        onFile={add}
      />
    </JobForm>
  );
}
