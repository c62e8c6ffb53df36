-- What a row named outside of the database, when the row goes: files in Storage and what providers made. Neither can be
-- deleted in SQL, so it is written down here, in the transaction that deletes the row, to be worked off later. Nothing
-- is left behind without a trace.

create table private.storage_removals (
  id bigint not null generated always as identity,
  object_path text not null,
  user_id uuid not null,
  reason text not null,
  requested_at timestamptz not null default now(),
  done_at timestamptz,
  constraint storage_removals_pkey primary key (id)
);
comment on table private.storage_removals is
  'Objects of Storage whose row, or whose owner, was deleted. private.due_storage_removals says which may go.';
comment on column private.storage_removals.object_path is 'As <bucket>/<path>.';
comment on column private.storage_removals.user_id is 'Whose it was. Not a foreign key: the account may be gone.';
comment on column private.storage_removals.reason is 'The table whose row named it, or users when the account was deleted.';
comment on column private.storage_removals.done_at is 'When the object was found to be gone from Storage.';
create unique index storage_removals_object_path_key on private.storage_removals (object_path) where done_at is null;
create index storage_removals_id_idx on private.storage_removals (id) where done_at is null;

create table private.provider_removals (
  id bigint not null generated always as identity,
  provider text not null,
  object_type text not null,
  provider_object_id text,
  marker text,
  requested_at timestamptz not null default now(),
  done_at timestamptz,
  constraint provider_removals_pkey primary key (id),
  constraint provider_removals_can_be_found check (provider_object_id is not null or marker is not null)
);
comment on table private.provider_removals is
  'What providers hold for us and no row names any more: a voice that takes a place of the plan, a rendered video.';
comment on column private.provider_removals.object_type is 'voice, avatar, or the operation of a journalled call.';
comment on column private.provider_removals.provider_object_id is 'The provider''s id; null when its answer never came.';
comment on column private.provider_removals.marker is
  'By which the provider finds what a call made (job:<id>), for a call whose outcome was unknown.';
comment on column private.provider_removals.done_at is 'When the provider was found not to have it any more.';
create unique index provider_removals_object_key on private.provider_removals (
  provider, coalesce(provider_object_id, marker)
) where done_at is null;
create index provider_removals_id_idx on private.provider_removals (id) where done_at is null;

alter table private.storage_removals enable row level security;
alter table private.provider_removals enable row level security;
revoke all on private.storage_removals, private.provider_removals from public, anon, authenticated, service_role;

create function private.record_storage_removal()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_column text := tg_argv[0];
  v_path text := to_jsonb(old) ->> v_column;
begin
  if v_path is not null and (tg_op = 'DELETE' or v_path is distinct from to_jsonb(new) ->> v_column) then
    insert into private.storage_removals (object_path, user_id, reason)
    values (v_path, old.user_id, tg_table_name)
    on conflict (object_path) where done_at is null do nothing;
  end if;
  return null;
end;
$$;
comment on function private.record_storage_removal() is
  'Row trigger: writes down the object that the column (first argument) of a deleted or changed row named. Security '
  'definer because nobody is granted anything in schema private.';

create function private.record_provider_removal()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_column text := tg_argv[1];
begin
  if old.provider <> 'internal' then
    insert into private.provider_removals (provider, object_type, provider_object_id)
    values (old.provider, tg_argv[0], to_jsonb(old) ->> v_column)
    on conflict (provider, coalesce(provider_object_id, marker)) where done_at is null do nothing;
  end if;
  return null;
end;
$$;
comment on function private.record_provider_removal() is
  'Row trigger: writes down what a provider made for the deleted row; arguments: what it is, and the column with its id. '
  'Security definer because nobody is granted anything in schema private.';

create function private.record_provider_call_removal()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- A call that was refused, or found to have made nothing, leaves nothing; what has a row of its own goes with that row.
  if old.provider = 'internal' or old.outcome in ('rejected', 'absent')
    or exists (
      select 1 from public.voices as v where v.provider = old.provider and v.provider_voice_id = old.provider_object_id
    )
    or exists (
      select 1 from public.avatars as a where a.provider = old.provider and a.provider_avatar_id = old.provider_object_id
    ) then
    return null;
  end if;
  insert into private.provider_removals (provider, object_type, provider_object_id, marker)
  values (
    old.provider, old.operation, old.provider_object_id,
    case when old.provider_object_id is null then 'job:' || old.job_id end
  )
  on conflict (provider, coalesce(provider_object_id, marker)) where done_at is null do nothing;
  return null;
end;
$$;
comment on function private.record_provider_call_removal() is
  'Row trigger on the journal of paid calls: a job that is deleted between the call and its result leaves something at '
  'the provider that no other row names. Security definer because nobody is granted anything in schema private.';

create trigger profiles_record_photo after delete or update of photo_path on public.profiles
for each row execute function private.record_storage_removal('photo_path');
create trigger media_record_object after delete or update of storage_path on public.media
for each row execute function private.record_storage_removal('storage_path');
create trigger slideshow_items_record_copy after delete or update of public_path on public.slideshow_items
for each row execute function private.record_storage_removal('public_path');
create trigger avatars_record_video after delete or update of video_url on public.avatars
for each row execute function private.record_storage_removal('video_url');
create trigger pdfs_record_file after delete or update of pdf_url on public.pdfs
for each row execute function private.record_storage_removal('pdf_url');
create trigger voices_record_sample after delete on public.voices
for each row execute function private.record_storage_removal('sample_url');
create trigger ai_jobs_record_output after delete on public.ai_jobs
for each row execute function private.record_storage_removal('output_url');

create trigger voices_record_voice after delete on public.voices
for each row execute function private.record_provider_removal('voice', 'provider_voice_id');
create trigger avatars_record_avatar after delete on public.avatars
for each row execute function private.record_provider_removal('avatar', 'provider_avatar_id');
create trigger ai_provider_calls_record_object after delete on public.ai_provider_calls
for each row execute function private.record_provider_call_removal();

create function private.forget_user()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from public.orders as o where o.user_id = old.id and o.status = 'draft';
  -- Everything in the user's folders, named by a row or not. As text, so that the planner sees a prefix and uses the
  -- index over names; a uuid has nothing in it to quote.
  execute format(
    'insert into private.storage_removals (object_path, user_id, reason)
     select o.bucket_id || ''/'' || o.name, %1$L, ''users'' from storage.objects as o where o.name like %2$L
     on conflict (object_path) where done_at is null do nothing',
    old.id, old.id || '/%'
  );
  return old;
end;
$$;
comment on function private.forget_user() is
  'Row trigger before the delete of an account: removes its drafts, and writes down every object in its folders. What '
  'else is theirs goes, or is made anonymous, by foreign keys and their triggers. Security definer because the Auth '
  'service deletes users and may touch none of this.';

create trigger users_forget before delete on auth.users
for each row execute function private.forget_user();

create function private.is_object_named(p_removal private.storage_removals)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select
    exists (select 1 from public.media as m where m.storage_path = p_removal.object_path)
    or exists (
      select 1 from public.profiles as p where p.user_id = p_removal.user_id and p.photo_path = p_removal.object_path
    )
    or exists (
      select 1 from public.slideshow_items as i
      where i.user_id = p_removal.user_id and i.public_path = p_removal.object_path
    )
    or exists (
      select 1 from public.avatars as a where a.user_id = p_removal.user_id and a.video_url = p_removal.object_path
    )
    or exists (select 1 from public.pdfs as p where p.user_id = p_removal.user_id and p.pdf_url = p_removal.object_path)
    or exists (
      select 1 from public.voices as v where v.user_id = p_removal.user_id and v.sample_url = p_removal.object_path
    )
    or exists (
      select 1 from public.ai_jobs as j
      where j.user_id = p_removal.user_id
        and (
          -- A failed job may be tried again.
          (j.input_url = p_removal.object_path and j.status in ('pending', 'processing', 'failed'))
          -- Jobs that the cache answered share an output.
          or (j.output_url = p_removal.object_path and p_removal.reason = 'ai_jobs')
        )
    );
$$;
comment on function private.is_object_named(private.storage_removals) is
  'Whether a row still needs the object: a row of the library names it, a job may still read it, or, if a deleted job '
  'asked for the removal, another job shares it as its output.';

create function private.due_storage_removals(p_limit integer, p_after_id bigint default 0)
returns setof private.storage_removals
language sql
stable
security invoker
set search_path = ''
as $$
  select r.*
  from private.storage_removals as r
  where r.done_at is null and r.id > p_after_id and not private.is_object_named(r)
  order by r.id
  limit p_limit;
$$;
comment on function private.due_storage_removals(integer, bigint) is
  'Open removals, oldest first and after the given id, whose object no row needs any more; the rest waits. To be asked '
  'anew right before an object is deleted.';
