/** Search for jobs. The filter is in the address. */
import { useSignal } from "@preact/signals";
import { Button } from "../parts/button.tsx";
import { EmptyState } from "../parts/empty-state.tsx";
import { Field } from "../parts/field.tsx";
import { Table } from "../parts/table.tsx";
import { query, setQuery } from "../shell/router.tsx";
import { ERROR_WORDS } from "../words/errors.ts";
import { STATUS_WORDS, TYPE_WORDS } from "../words/jobs.ts";
import { providerName } from "../words/providers.ts";
import { microsOf, momentOf } from "../words/times.ts";
import { useResponse } from "./ops.ts";
import { endOf, JobLink, Loaded, StatusBadge, typeName } from "./parts.tsx";
import { Redrive, type RedriveFilter } from "./redrive.tsx";

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;
/** The form of a code, a type and a provider. */
const NAME = /^[a-z][a-z\d_-]{1,62}$/;

const NAMES = ["id", "user", "type", "provider", "status", "code"] as const;
type Name = typeof NAMES[number];

/** Suggestions only: a later version may have others. */
const PROVIDERS = ["d-id", "elevenlabs", "heygen", "internal"];
const CODES = Object.keys(ERROR_WORDS);

/** Rows of one page. */
const PAGE = 25;

function Search({ values }: { values: Readonly<Record<Name, string>> }) {
  // A new filter begins at the first page.
  const change = (name: Name, value: string) =>
    setQuery({ [name]: value.trim(), cursor: null });
  const text = (
    name: Name,
    label: string,
    placeholder: string,
    problem: string | false,
    known: readonly string[] = [],
  ) => (
    <Field label={label} problem={problem || undefined}>
      {(id, describedBy) => (
        <>
          <input
            id={id}
            aria-describedby={describedBy}
            list={known.length > 0 ? `${id}-known` : undefined}
            placeholder={placeholder}
            autocomplete="off"
            value={values[name]}
            onChange={(event) => change(name, event.currentTarget.value)}
          />
          {known.length > 0 && (
            <datalist id={`${id}-known`}>
              {known.map((one) => <option key={one} value={one} />)}
            </datalist>
          )}
        </>
      )}
    </Field>
  );
  const select = (
    name: Name,
    label: string,
    options: Readonly<Record<string, { name: string }>>,
  ) => (
    <Field label={label}>
      {(id) => (
        <select
          id={id}
          value={values[name]}
          onChange={(event) => change(name, event.currentTarget.value)}
        >
          <option value="">Any</option>
          {Object.entries(options).map(([value, option]) => (
            <option key={value} value={value}>{option.name}</option>
          ))}
        </select>
      )}
    </Field>
  );
  const isName = (value: string) => value === "" || NAME.test(value);
  return (
    <form
      class="search"
      role="search"
      onSubmit={(event) => event.preventDefault()}
    >
      {text(
        "id",
        "Job",
        "its id",
        values.id !== "" && !UUID.test(values.id) &&
          "Paste the whole id: 36 characters.",
      )}
      {text(
        "user",
        "User",
        "email or id",
        values.user !== "" && !/@/.test(values.user) &&
          !UUID.test(values.user) &&
          "An email address, or an id of 36 characters.",
      )}
      {select("status", "Status", STATUS_WORDS)}
      {select("type", "Type", TYPE_WORDS)}
      {text(
        "provider",
        "Provider",
        "any",
        !isName(values.provider) && "Lower case letters, such as heygen.",
        PROVIDERS,
      )}
      {text(
        "code",
        "Error code",
        "any",
        !isName(values.code) && "Such as provider_timeout.",
        CODES,
      )}
    </form>
  );
}

/** A filter in the address as the API expects it; undefined while a member is invalid. */
function bodyOf(
  { id, user, type, provider, status, code }: Readonly<Record<Name, string>>,
): Record<string, string> | undefined {
  const isEmail = user.includes("@");
  const isGood = (id === "" || UUID.test(id)) &&
    (user === "" || isEmail || UUID.test(user)) &&
    [type, provider, code].every((name) => name === "" || NAME.test(name)) &&
    (status === "" || Object.hasOwn(STATUS_WORDS, status));
  if (!isGood) return undefined;
  return Object.fromEntries(
    Object.entries({
      job_id: id,
      [isEmail ? "user_email" : "user_id"]: user,
      job_type: type,
      provider,
      status,
      error_code: code,
    }).filter(([, value]) => value !== ""),
  );
}

function Results({ body }: { body: Record<string, string> }) {
  const cursor = query.value.get("cursor");
  const isRedriving = useSignal(false);
  const response = useResponse("search", {
    ...body,
    limit: PAGE,
    ...(cursor === null ? {} : { cursor }),
  });
  const { job_id, user_email, status, ...filter }: RedriveFilter & {
    job_id?: string;
    user_email?: string;
    status?: string;
  } = body;
  const canRedrive = status === "failed" && job_id === undefined &&
    user_email === undefined;
  return (
    <div class="card flush">
      <Loaded response={response}>
        {({ jobs, next_cursor }) => (
          <>
            {canRedrive && jobs.length > 0 && (
              <div class="row end">
                <Button
                  isSmall
                  icon="retry"
                  onClick={() => isRedriving.value = true}
                >
                  Run all matching jobs again …
                </Button>
              </div>
            )}
            <Table
              caption="Jobs"
              rows={jobs}
              keyOf={({ job_id }) => job_id}
              empty={
                <EmptyState
                  icon="search"
                  title="No job matches"
                  text="Remove a part of the filter."
                />
              }
              columns={[
                {
                  head: "Job",
                  cell: ({ job_id }) => <JobLink id={job_id} />,
                },
                {
                  head: "Status",
                  cell: ({ status, error_code }) => (
                    <>
                      <StatusBadge status={status} />
                      {error_code !== null && (
                        <p class="small">
                          <code>{error_code}</code>
                        </p>
                      )}
                    </>
                  ),
                },
                {
                  head: "Type",
                  cell: ({ job_type, provider }) => (
                    <>
                      {typeName(job_type)}{" "}
                      <p class="small soft">{providerName(provider)}</p>
                    </>
                  ),
                },
                {
                  head: "Created",
                  cell: ({ created_at }) => momentOf(created_at),
                },
                {
                  head: "User",
                  cell: ({ user_id }) => (
                    <button
                      type="button"
                      class="as-link mono"
                      aria-label={`Jobs of user ${user_id}`}
                      onClick={() => setQuery({ user: user_id, cursor: null })}
                    >
                      {endOf(user_id)}
                    </button>
                  ),
                },
                {
                  head: "Tries",
                  isNumber: true,
                  cell: ({ attempt }) => attempt,
                },
                {
                  head: "Cost",
                  isNumber: true,
                  cell: ({ cost_micros }) => microsOf(cost_micros),
                },
              ]}
            />
            {(cursor !== null || next_cursor !== null) && (
              <div class="row">
                <Button
                  isSmall
                  icon="left"
                  isDisabled={cursor === null}
                  onClick={() => setQuery({ cursor: null })}
                >
                  Newest
                </Button>
                <Button
                  isSmall
                  icon="right"
                  isDisabled={next_cursor === null}
                  onClick={() => setQuery({ cursor: next_cursor })}
                >
                  Older
                </Button>
              </div>
            )}
          </>
        )}
      </Loaded>
      {isRedriving.value && (
        <Redrive
          filter={filter}
          onClose={() => isRedriving.value = false}
        />
      )}
    </div>
  );
}

/** The section. */
export function Jobs() {
  const of = (name: Name) => query.value.get(name) ?? "";
  const values = {
    id: of("id"),
    user: of("user"),
    type: of("type"),
    provider: of("provider"),
    status: of("status"),
    code: of("code"),
  };
  const body = bodyOf(values);
  return (
    <>
      <Search values={values} />
      {body !== undefined && <Results body={body} />}
    </>
  );
}
