/**
 * `/auth/v1/admin/users`: the user administration of `supabase.auth.admin`, which the embedded Auth lacks. It uses the
 * same tables and password hashes (bcrypt), so these users sign in like all others.
 */
import { CompiledQuery, sql } from "kysely";
import { z } from "zod";
import type { RestConnection } from "../lite/connection.ts";
import type { DataServices } from "../lite/data-services.ts";

const attributesSchema = z.object({
  id: z.uuid().optional(),
  email: z.email().transform((email) => email.toLowerCase()).optional(),
  password: z.string().min(1).optional(),
  email_confirm: z.boolean().optional(),
  phone: z.string().optional(),
  role: z.string().optional(),
  user_metadata: z.record(z.string(), z.json()).optional(),
  app_metadata: z.record(z.string(), z.json()).optional(),
  ban_duration: z.string().optional(),
});
type Attributes = z.infer<typeof attributesSchema>;

const pageSchema = z.coerce.number().int().min(1).catch(1);
const perPageSchema = z.coerce.number().int().min(1).max(1000).catch(50);

/** A refusal in the shape of Supabase Auth. */
class AuthRefusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }

  response(): Response {
    return Response.json({
      code: this.status,
      error_code: this.code,
      msg: this.message,
    }, { status: this.status, headers: { "x-sb-error-code": this.code } });
  }
}

/** A user in the format of Supabase Auth, as an SQL expression over `auth.users u`. */
const userJson = `jsonb_strip_nulls(jsonb_build_object(
  'id', u.id,
  'aud', u.aud,
  'role', u.role,
  'email', u.email,
  'email_confirmed_at', u.email_confirmed_at,
  'phone', coalesce(u.phone, ''),
  'confirmed_at', u.confirmed_at,
  'last_sign_in_at', u.last_sign_in_at,
  'banned_until', u.banned_until,
  'app_metadata', u.raw_app_meta_data,
  'user_metadata', u.raw_user_meta_data,
  'identities', coalesce(
    (select jsonb_agg(jsonb_build_object(
      'identity_id', i.id, 'id', i.provider_id, 'user_id', i.user_id,
      'identity_data', i.identity_data, 'provider', i.provider,
      'created_at', i.created_at, 'updated_at', i.updated_at, 'email', i.email
    )) from auth.identities i where i.user_id = u.id),
    '[]'
  ),
  'created_at', u.created_at,
  'updated_at', u.updated_at,
  'is_anonymous', u.is_anonymous
))`;

type Database = RestConnection["kysely"];

const rowSchema = z.record(z.string(), z.unknown()).optional();

/** The first row that a query finds. */
async function firstRow(db: Database, text: string, parameters: unknown[]) {
  const { rows: [row] } = await db.executeQuery(
    CompiledQuery.raw(text, parameters),
  );
  return rowSchema.parse(row);
}

async function find(db: Database, id: string): Promise<unknown> {
  const row = await firstRow(
    db,
    `select ${userJson} as user_json from auth.users u where u.id = $1`,
    [id],
  );
  if (row === undefined) {
    throw new AuthRefusal(404, "user_not_found", "User not found");
  }
  return row["user_json"];
}

async function create(
  db: Database,
  given: Attributes,
): Promise<unknown> {
  if (given.email === undefined) {
    throw new AuthRefusal(
      400,
      "validation_failed",
      "Cannot create a user without either an email or phone",
    );
  }
  const id = given.id ?? crypto.randomUUID();
  const { email, password = null } = given;
  const claims = { sub: id, email, email_verified: false };
  const app = {
    provider: "email",
    providers: ["email"],
    ...given.app_metadata,
  };
  await db.transaction().execute(async (transaction) => {
    await sql`
      insert into auth.users
        (id, email, encrypted_password, email_confirmed_at, role, raw_app_meta_data, raw_user_meta_data)
      values (
        ${id}, ${email}, extensions.crypt(${password}, extensions.gen_salt('bf')),
        ${given.email_confirm ? new Date().toISOString() : null}::timestamptz,
        ${given.role ?? "authenticated"},
        ${JSON.stringify(app)}::text::jsonb,
        ${JSON.stringify(given.user_metadata ?? {})}::text::jsonb
      )`.execute(transaction);
    await sql`
      insert into auth.identities (id, provider, provider_id, user_id, identity_data)
      values (${crypto.randomUUID()}, 'email', ${id}, ${id}, ${
      JSON.stringify(claims)
    }::text::jsonb)`.execute(transaction);
  });
  return await find(db, id);
}

/** Durations as in Go: `24h`, `1h30m`; `none` lifts a ban. */
function banSeconds(duration: string): number {
  if (duration === "none") return 0;
  const units: Record<string, number> = { h: 3600, m: 60, s: 1 };
  const parts = [...duration.matchAll(/(\d+)([hms])/g)];
  if (parts.map(([part]) => part).join("") !== duration) {
    throw new AuthRefusal(
      400,
      "validation_failed",
      `invalid format for ban duration: ${duration}`,
    );
  }
  return parts.reduce(
    (sum, [, amount, unit = ""]) => sum + Number(amount) * (units[unit] ?? 0),
    0,
  );
}

async function update(
  db: Database,
  id: string,
  given: Attributes,
): Promise<unknown> {
  await find(db, id);
  const json = (value: unknown) =>
    value === undefined ? "{}" : JSON.stringify(value);
  const ban = given.ban_duration === undefined
    ? null
    : banSeconds(given.ban_duration);
  await sql`
    update auth.users u set
      email = coalesce(${given.email ?? null}, u.email),
      phone = coalesce(${given.phone ?? null}, u.phone),
      role = coalesce(${given.role ?? null}, u.role),
      encrypted_password = coalesce(
        extensions.crypt(${
    given.password ?? null
  }, extensions.gen_salt('bf')), u.encrypted_password
      ),
      email_confirmed_at = case
        when ${
    given.email_confirm ?? false
  } then coalesce(u.email_confirmed_at, now())
        else u.email_confirmed_at
      end,
      raw_user_meta_data = u.raw_user_meta_data || ${
    json(given.user_metadata)
  }::text::jsonb,
      raw_app_meta_data = u.raw_app_meta_data || ${
    json(given.app_metadata)
  }::text::jsonb,
      banned_until = case
        when ${ban}::int is null then u.banned_until
        when ${ban}::int = 0 then null
        else now() + make_interval(secs => ${ban}::int)
      end,
      updated_at = now()
    where u.id = ${id}`.execute(db);
  return await find(db, id);
}

async function list(db: Database, url: URL): Promise<Response> {
  const page = pageSchema.parse(url.searchParams.get("page"));
  const perPage = perPageSchema.parse(url.searchParams.get("per_page"));
  const row = await firstRow(
    db,
    `select
      (select count(*)::int from auth.users) as total,
      coalesce(
        (select jsonb_agg(one.user_json order by one.created_at desc, one.id)
        from (
          select u.id, u.created_at, ${userJson} as user_json from auth.users u
          order by u.created_at desc, u.id limit $1 offset $2
        ) one),
        '[]'
      ) as users`,
    [perPage, (page - 1) * perPage],
  );
  const total = Number(row?.["total"] ?? 0);
  const last = Math.max(1, Math.ceil(total / perPage));
  const link = (to: number, rel: string) =>
    `<${url.pathname}?page=${to}&per_page=${perPage}>; rel="${rel}"`;
  const links = [
    ...(page < last ? [link(page + 1, "next")] : []),
    link(last, "last"),
  ];
  return Response.json({ users: row?.["users"], aud: "authenticated" }, {
    headers: { "x-total-count": String(total), link: links.join(", ") },
  });
}

async function perform(
  db: Database,
  request: Request,
  url: URL,
): Promise<Response> {
  const [, id] = /^\/auth\/v1\/admin\/users\/([^/]+)$/.exec(url.pathname) ??
    [];
  if (id !== undefined && !z.uuid().safeParse(id).success) {
    throw new AuthRefusal(404, "validation_failed", "user_id must be an UUID");
  }
  const attributes = async () => {
    const parsed = attributesSchema.safeParse(
      await request.json().catch(() => undefined),
    );
    if (parsed.success) return parsed.data;
    throw new AuthRefusal(
      400,
      "validation_failed",
      z.prettifyError(parsed.error),
    );
  };
  switch (`${request.method} ${id === undefined ? "users" : "user"}`) {
    case "GET users":
      return await list(db, url);
    case "POST users":
      return Response.json(await create(db, await attributes()));
    case "GET user":
      return Response.json(await find(db, id ?? ""));
    case "PUT user":
      return Response.json(await update(db, id ?? "", await attributes()));
    case "DELETE user":
      await find(db, id ?? "");
      await sql`delete from auth.users where id = ${id ?? ""}`.execute(db);
      return Response.json({});
    default:
      throw new AuthRefusal(405, "validation_failed", "Method not allowed");
  }
}

/**
 * Answers a request under `/auth/v1/admin/users`. It requires the secret key: 401 without a key, 403 with any other. A
 * second user with the same address is 422 `email_exists`.
 */
export async function answerAuthAdmin(
  services: DataServices,
  request: Request,
  role: string | undefined,
): Promise<Response> {
  try {
    if (role === undefined) {
      throw new AuthRefusal(
        401,
        "no_authorization",
        "This endpoint requires a valid Bearer token",
      );
    }
    if (role !== "service_role") {
      throw new AuthRefusal(403, "not_admin", "User not allowed");
    }
    return await perform(
      services.connection.kysely,
      request,
      new URL(request.url),
    );
  } catch (error) {
    if (error instanceof AuthRefusal) return error.response();
    const isTaken = error instanceof Error && "code" in error &&
      error.code === "23505";
    if (!isTaken) throw error;
    return new AuthRefusal(
      422,
      "email_exists",
      "A user with this email address has already been registered",
    ).response();
  }
}
