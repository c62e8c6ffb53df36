-- Profiles.
--
-- In this module, references between two rows of one owner are composite foreign keys over (id, user_id), so that no
-- writer can make a row refer to another owner's row. A job's products outlive the job; only the reference is
-- cleared.

create table public.profiles (
  user_id uuid not null default auth.uid(),
  display_name text not null,
  photo_path text,
  locale text not null default 'en',
  time_zone text not null default 'UTC',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint profiles_pkey primary key (user_id),
  constraint profiles_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint profiles_display_name_length check (length(display_name) between 1 and 100),
  constraint profiles_photo_path_is_owners check (
    photo_path ~ '^profile-photos/[^/]+/.*[^/]$'
    and photo_path !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'
    and split_part(photo_path, '/', 2) = user_id::text
  ),
  constraint profiles_locale_is_bcp47 check (locale ~ '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$'),
  -- The second condition raises 22023, with the name of the zone, if Postgres does not know it.
  constraint profiles_time_zone_is_known check (
    time_zone ~ '^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$' and timezone(time_zone, timestamptz 'epoch') is not null
  )
);
comment on table public.profiles is
  'A user''s name, photo, language and time zone. One row per user, created and changed by the user.';
comment on column public.profiles.locale is 'Language of the app for this user, as a BCP 47 tag such as de or pt-BR.';
comment on column public.profiles.time_zone is
  'The user''s time zone, as a name of the IANA database such as Europe/Vienna. Dates that are printed for the user '
  'are in it.';
comment on column public.profiles.photo_path is 'Object of the public bucket profile-photos, as <bucket>/<path>.';

alter table public.profiles enable row level security;

create policy "users can read their own profile" on public.profiles for select to authenticated
using (user_id = (select auth.uid()));

create policy "users can make their own profile" on public.profiles for insert to authenticated
with check (user_id = (select auth.uid()));

create policy "users can change their own profile" on public.profiles for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "users can remove their own profile" on public.profiles for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.profiles from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.profiles to service_role;
grant select, delete on public.profiles to authenticated;
grant insert (user_id, display_name, photo_path, locale, time_zone) on public.profiles to authenticated;
grant update (display_name, photo_path, locale, time_zone) on public.profiles to authenticated;

create trigger profiles_touch_updated_at
before update on public.profiles
for each row execute function private.touch_updated_at();

create trigger profiles_refuse_display_name_length
before insert or update of display_name on public.profiles
for each row when (length(new.display_name) not between 1 and 100)
execute function private.refuse_text_length('display_name', '1', '100');

create trigger profiles_record_photo after delete or update of photo_path on public.profiles
for each row execute function private.record_storage_removal('photo_path');

insert into private.storage_references (table_name, column_name) values ('public.profiles', 'photo_path');
