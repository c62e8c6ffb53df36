/** The demo app: what can be made, and what was made. */
import type { ComponentChild } from "preact";
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { isFinal } from "../../client/mod.ts";
import { listStores } from "../../client/list-store.ts";
import { Button } from "../parts/button.tsx";
import { EmptyState } from "../parts/empty-state.tsx";
import { Icon, type IconName } from "../parts/icon.tsx";
import { RetryNotice } from "../parts/retry-notice.tsx";
import { useBackend } from "../shell/backend.ts";
import { query, setQuery } from "../shell/router.tsx";
import type { Person } from "../shell/session.ts";
import { useSource } from "../shell/source.ts";
import { describeError } from "../words/errors.ts";
import { countOf } from "../words/times.ts";
import { BookForm } from "./book-form.tsx";
import { CallForm } from "./call-form.tsx";
import { begunIn, type ToolId } from "./drafts.ts";
import { FilmForm } from "./film-form.tsx";
import { JobCard } from "./job-card.tsx";
import { SpeechForm } from "./speech-form.tsx";
import { studioOf, StudioProvider, useStudio } from "./studio.ts";
import { VoiceForm } from "./voice-form.tsx";

interface Tool {
  id: ToolId;
  name: string;
  icon: IconName;
  title: string;
  text: string;
  form: () => ComponentChild;
}

const FIRST: Tool = {
  id: "voice",
  name: "Clone a voice",
  icon: "microphone",
  title: "Keep a voice",
  text: "A minute of speech is enough. A quiet room helps.",
  form: () => <VoiceForm />,
};

const TOOLS: readonly Tool[] = [FIRST, {
  id: "speech",
  name: "Speak",
  icon: "speech",
  title: "Hear it said",
  text: "Write something, and hear it in one of your voices.",
  form: () => <SpeechForm />,
}, {
  id: "film",
  name: "Talking photo",
  icon: "film",
  title: "Make a photo talk",
  text: "A portrait says what you write, or what you record.",
  form: () => <FilmForm />,
}, {
  id: "call",
  name: "Transcribe",
  icon: "text",
  title: "Read a call",
  text: "Turn a call into text: who said what, and when.",
  form: () => <CallForm />,
}, {
  id: "book",
  name: "Book",
  icon: "book",
  title: "Print a keepsake",
  text: "Arrange your photos, and leaf through the book.",
  form: () => <BookForm />,
}];

function Make() {
  const { note } = useBackend().config;
  const begun = begunIn(useStudio().drafts);
  const wanted = query.value.get("make");
  const tool = TOOLS.find(({ id }) => id === wanted) ?? FIRST;
  return (
    <section class="make" aria-labelledby="make">
      <ul class="tools" aria-label="What to make">
        {TOOLS.map(({ id, name, icon }) => (
          <li key={id}>
            <button
              type="button"
              class="tool"
              aria-pressed={id === tool.id}
              onClick={() => setQuery({ make: id, voice: null })}
            >
              <Icon name={icon} />
              <span>{name}</span>
              {begun.includes(id) && id !== tool.id && (
                <span class="begun" title="Not sent yet">
                  <span class="visually-hidden">, not sent yet</span>
                </span>
              )}
            </button>
          </li>
        ))}
      </ul>
      <div class="card">
        <div>
          <h2 id="make" tabIndex={-1}>{tool.title}</h2>
          <p class="soft">{tool.text}</p>
        </div>
        <div key={tool.id} class="stack">{tool.form()}</div>
      </div>
      {note !== undefined && <p class="note small soft">{note}</p>}
    </section>
  );
}

function Made() {
  const studio = useStudio();
  const [state, source] = useSource(
    () => listStores.source(studio.backend.jobs, {}),
    [studio],
  );
  const { jobs, isLoading, hasMore, error, connection } = state;
  const areAllShown = useSignal(false);
  const { ids } = studio.hidden;
  const shown = areAllShown.value
    ? jobs
    : jobs.filter(({ id }) => !ids.value.has(id));
  const hiddenCount = jobs.filter(({ id }) => ids.value.has(id)).length;
  const failed = shown.filter(({ id, status, error_code }) =>
    status === "failed" && error_code !== "outcome_unknown" &&
    !ids.value.has(id)
  );
  const running = jobs.filter(({ status }) => !isFinal(status));
  const clones =
    jobs.filter(({ job_type, status }) =>
      job_type === "voice_clone" && status === "completed"
    ).length;
  useEffect(() => {
    void studio.load();
  }, [clones]);
  const isBare = shown.length === 0 && hasMore && !isLoading;
  useEffect(() => {
    if (isBare) void source.find()?.loadMore();
  }, [isBare, jobs.length]);
  useEffect(() => {
    if (error !== null) studio.explain(error);
  }, [error]);
  return (
    <section class="made" aria-labelledby="made">
      <div class="row apart">
        <h2 id="made">What you made</h2>
        {failed.length > 2 && (
          <Button
            kind="quiet"
            isSmall
            onClick={() => {
              for (const { id } of failed) studio.hidden.hide(id);
            }}
          >
            Hide the {failed.length} that failed
          </Button>
        )}
        <span class="small soft" role="status">
          {connection === "offline"
            ? "Not connected"
            : running.length > 0
            ? `${running.length} in progress`
            : ""}
        </span>
      </div>
      {error !== null && (
        <RetryNotice onRetry={() => source.find()?.restart()}>
          {describeError(error)}
        </RetryNotice>
      )}
      {isLoading && error === null && (
        <div class="stack" role="status" aria-label="Loading your jobs">
          {[1, 2, 3].map((one) => <div key={one} class="card ghost job" />)}
        </div>
      )}
      {!isLoading && !hasMore && shown.length === 0 && (
        <div class="card">
          <EmptyState
            icon="brand"
            title={hiddenCount === 0
              ? "Nothing here yet"
              : "Everything is hidden"}
            text={hiddenCount === 0
              ? "Clone your first voice. Everything you make is kept here."
              : "What you hide stays in your account."}
          />
        </div>
      )}
      <ul class="jobs">
        {shown.map((job) => <JobCard key={job.id} job={job} />)}
      </ul>
      {(hasMore || hiddenCount > 0) && (
        <div class="row">
          {hasMore && (
            <Button onClick={() => source.find()?.loadMore()}>
              Show older ones
            </Button>
          )}
          {hiddenCount > 0 && (
            <>
              <Button
                kind="quiet"
                isPressed={areAllShown.value}
                onClick={() => areAllShown.value = !areAllShown.value}
              >
                Show hidden
              </Button>
              <span class="small soft">{countOf(hiddenCount, "job")}</span>
            </>
          )}
        </div>
      )}
    </section>
  );
}

/** The studio of one person. */
export function DemoApp({ person }: { person: Person }) {
  const backend = useBackend();
  return (
    <StudioProvider value={studioOf(backend, person.id)}>
      <h1 class="visually-hidden" tabIndex={-1}>Studio</h1>
      <div class="studio">
        <Make />
        <Made />
      </div>
    </StudioProvider>
  );
}
