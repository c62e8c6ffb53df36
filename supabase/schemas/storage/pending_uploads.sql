-- Limits unused Storage per user: upload URLs that may still be used, and files that no row names. Exact under
-- parallel requests and for every way in which a file arrives: the checks of one user wait for each other, and files
-- that turn out to be named no longer count.

create table public.pending_uploads (
  object_path text not null,
  user_id uuid not null default auth.uid(),
  size_bytes bigint not null,
  stored_at timestamptz,
  expires_at timestamptz not null default now() + interval '2 hours',
  created_at timestamptz not null default now(),
  constraint pending_uploads_pkey primary key (object_path),
  constraint pending_uploads_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint pending_uploads_object_path_is_owners
    check (
      object_path ~ '^[a-z0-9][a-z0-9_-]{0,62}/[^/]+/.*[^/]$' and split_part(object_path, '/', 2) = user_id::text
    ),
  -- The buckets into which users upload; an app's own buckets have their own rules.
  constraint pending_uploads_object_path_names_a_bucket_for_uploads
    check (
      split_part(object_path, '/', 1) in ('voice-samples', 'uploads', 'recordings', 'profile-photos', 'published-media')
    ),
  constraint pending_uploads_size_is_not_negative check (size_bytes >= 0)
);
comment on table public.pending_uploads is
  'Storage that a user occupies without a row that names it: an upload URL, from its request until it expires or is '
  'used, and a stored file, until a row names it or it is removed. Whether a row names a file is checked only before a '
  'refusal, so the table may contain files that are named by now.';
comment on column public.pending_uploads.object_path is 'As <bucket>/<path>; its first folder is the owner''s id.';
comment on column public.pending_uploads.size_bytes is 'As declared; after the upload, as stored.';
comment on column public.pending_uploads.stored_at is 'When the file was stored; null: not yet.';
comment on column public.pending_uploads.expires_at is
  'Until when an upload URL that was not used counts: as long as Storage accepts it.';

-- Serves the sums, and the removal of expired URLs.
create index pending_uploads_user_id_idx on public.pending_uploads (user_id) include (size_bytes, stored_at, expires_at);
create index pending_uploads_expires_at_idx on public.pending_uploads (expires_at) where stored_at is null;

alter table public.pending_uploads enable row level security;

create policy "users can read their own pending uploads"
on public.pending_uploads for select to authenticated
using (user_id = (select auth.uid()));

create policy "users can record their own uploads"
on public.pending_uploads for insert to authenticated
with check (user_id = (select auth.uid()));

create policy "users can discard their own unused upload URLs"
on public.pending_uploads for delete to authenticated
using (user_id = (select auth.uid()) and stored_at is null);

revoke all on public.pending_uploads from public, anon, authenticated, service_role;
grant select, delete on public.pending_uploads to authenticated;
grant insert (object_path, user_id, size_bytes) on public.pending_uploads to authenticated;
grant select on public.pending_uploads to service_role;

create function private.find_upload_room(
  p_user_id uuid,
  p_object_path text,
  p_size_bytes bigint,
  out code text,
  out message text
)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_max_files integer;
  v_max_bytes bigint;
  v_files bigint;
  v_bytes bigint;
begin
  perform pg_advisory_xact_lock(hashtextextended('pending_uploads:' || p_user_id, 0));
  select coalesce(l.max_unused_uploads, d.max_unused_uploads), coalesce(l.max_unused_upload_bytes, d.max_unused_upload_bytes)
  into v_max_files, v_max_bytes
  from public.ai_limits as d
  left join public.ai_limits as l on l.user_id = p_user_id
  where d.user_id is null;
  for v_round in 1..2 loop
    select count(*) + 1, coalesce(sum(u.size_bytes), 0) + p_size_bytes into v_files, v_bytes
    from public.pending_uploads as u
    where u.user_id = p_user_id and u.object_path <> p_object_path and (u.stored_at is not null or u.expires_at > now());
    if v_files <= v_max_files and v_bytes <= v_max_bytes then
      return;
    end if;
    if v_round = 1 then
      delete from public.pending_uploads as u
      where u.user_id = p_user_id and u.stored_at is not null
        and (
          u.object_path in (
            select m.storage_path from public.media as m where m.user_id = p_user_id
            union all
            select o.path from private.referenced_objects(p_user_id) as o (path)
            union all
            select v.sample_url from public.voices as v where v.user_id = p_user_id and v.sample_url is not null
            union all
            select j.input_url from public.ai_jobs as j where j.user_id = p_user_id and j.input_url is not null
            union all
            select j.metadata ->> 'audio_url' from public.ai_jobs as j where j.user_id = p_user_id and j.metadata ? 'audio_url'
          )
          or not exists (
            select 1 from storage.objects as o
            where o.bucket_id = split_part(u.object_path, '/', 1)
              and o.name = substr(u.object_path, strpos(u.object_path, '/') + 1)
          )
        );
    end if;
  end loop;
  if v_files > v_max_files then
    code := 'unused_uploads_exceeded';
    message := format('you may have at most %s unused upload URLs and files; use or delete some', v_max_files);
  else
    code := 'unused_upload_bytes_exceeded';
    message := format('your unused upload URLs and files may have at most %s bytes together; use or delete some', v_max_bytes);
  end if;
end;
$$;
comment on function private.find_upload_room(uuid, text, bigint) is
  'Whether the user has room for a file of that size at that path: nulls, or the limit that would be exceeded and a '
  'message. Locks out other checks of the user until the transaction ends. Before a refusal it forgets rows whose file '
  'is named or gone.';

create function private.reserve_upload()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_code text;
  v_message text;
begin
  select f.code, f.message into v_code, v_message
  from private.find_upload_room(new.user_id, new.object_path, new.size_bytes) as f;
  if v_code = 'unused_uploads_exceeded' then
    raise exception '%', v_message using errcode = 'AJ039', detail = 'size_bytes';
  elsif v_code is not null then
    raise exception '%', v_message using errcode = 'AJ043', detail = 'size_bytes';
  end if;
  -- Replaces an expired one.
  delete from public.pending_uploads as u
  where u.object_path = new.object_path and u.user_id = new.user_id and u.stored_at is null and u.expires_at <= now();
  return new;
end;
$$;
comment on function private.reserve_upload() is
  'Row trigger: lets a user record a planned upload while there is room (AJ039, AJ043). Security definer because it '
  'deletes rows, which users may not.';

create function private.count_stored_upload()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_path text;
  v_owner text;
  v_bytes bigint;
  v_code text;
  v_message text;
begin
  if tg_op <> 'INSERT' and (tg_op = 'DELETE' or (old.bucket_id, old.name) is distinct from (new.bucket_id, new.name)) then
    delete from public.pending_uploads as u where u.object_path = old.bucket_id || '/' || old.name;
  end if;
  if tg_op = 'DELETE' then
    return null;
  end if;
  v_path := new.bucket_id || '/' || new.name;
  v_owner := coalesce(new.owner_id, new.owner::text);
  -- Objects that the service writes have no owner.
  if v_owner is distinct from split_part(new.name, '/', 1)
    or new.bucket_id not in ('voice-samples', 'uploads', 'recordings', 'profile-photos', 'published-media')
    or v_owner !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    return null;
  end if;
  v_bytes := coalesce(new.metadata ->> 'size', new.metadata ->> 'contentLength', '0')::bigint;
  select f.code, f.message into v_code, v_message from private.find_upload_room(v_owner::uuid, v_path, v_bytes) as f;
  if v_code is not null then
    -- 42501 is the only SQLSTATE whose message Storage returns, with 403.
    raise exception '%: %', v_code, v_message using errcode = '42501';
  end if;
  insert into public.pending_uploads as u (object_path, user_id, size_bytes, stored_at)
  values (v_path, v_owner::uuid, v_bytes, now())
  on conflict (object_path) do update set size_bytes = excluded.size_bytes, stored_at = excluded.stored_at;
  return null;
end;
$$;
comment on function private.count_stored_upload() is
  'Row trigger on storage.objects: counts what users store in our buckets, however it arrives, and refuses it where '
  'there is no room (42501); a removed object no longer counts. Storage also runs it to check for permission and rolls '
  'that back. Security definer because the roles of Storage may not write these tables.';

create trigger pending_uploads_reserve
before insert on public.pending_uploads
for each row when (new.stored_at is null)
execute function private.reserve_upload();

-- Named so that it fires after the trigger that checks the account.
create trigger objects_count_upload
after insert or update of bucket_id, name, metadata on storage.objects
for each row execute function private.count_stored_upload();

create trigger objects_forget_upload
after delete on storage.objects
for each row execute function private.count_stored_upload();
