-- Photos that talk.

create table public.avatars (
  id uuid not null default private.uuid_v7(),
  user_id uuid not null,
  job_id uuid,
  voice_id uuid,
  photo_id uuid,
  name text not null,
  provider text not null,
  provider_video_id text not null,
  video_url text not null,
  duration_seconds numeric(10, 3),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  provider_missing_since timestamptz,
  constraint avatars_pkey primary key (id),
  constraint avatars_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint avatars_job_fkey foreign key (job_id, user_id) references public.ai_jobs (id, user_id)
    on delete set null (job_id),
  constraint avatars_voice_fkey foreign key (voice_id, user_id) references public.voices (id, user_id)
    on delete set null (voice_id),
  constraint avatars_photo_fkey foreign key (photo_id, user_id) references public.media (id, user_id)
    on delete set null (photo_id),
  constraint avatars_job_key unique (job_id, user_id),
  constraint avatars_provider_video_id_key unique (provider, provider_video_id),
  constraint avatars_provider_is_word check (provider ~ '^[a-z][a-z0-9-]{1,62}$'),
  constraint avatars_provider_video_id_length check (length(provider_video_id) between 1 and 255),
  constraint avatars_name_length check (length(name) between 1 and 100),
  constraint avatars_video_url_is_owners check (
    video_url ~ '^outputs/[^/]+/.*[^/]$'
    and video_url !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'
    and split_part(video_url, '/', 2) = user_id::text
  ),
  constraint avatars_duration_is_positive check (duration_seconds > 0)
);
comment on table public.avatars is
  'A talking photo: the finished video of an avatar job. The job writes it; the owner may rename or delete it.';
comment on column public.avatars.job_id is 'The job that created it, of the same owner; null once that job is deleted.';
comment on column public.avatars.provider_video_id is 'The provider''s id of the rendered video or talk.';
comment on column public.avatars.video_url is 'The video in our Storage, as outputs/<path>.';
comment on column public.avatars.provider_missing_since is
  'Since when the provider no longer has the video; our copy in Storage remains.';

create index avatars_user_id_created_at_idx on public.avatars (user_id, created_at desc, id desc);
create index avatars_voice_id_idx on public.avatars (voice_id, user_id);
create index avatars_photo_id_idx on public.avatars (photo_id, user_id);

alter table public.avatars enable row level security;

create policy "users can read their own avatars" on public.avatars for select to authenticated
using (user_id = (select auth.uid()));

create policy "users can rename their own avatars" on public.avatars for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "users can remove their own avatars" on public.avatars for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.avatars from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.avatars to service_role;
grant select, delete on public.avatars to authenticated;
grant update (name) on public.avatars to authenticated;

create trigger avatars_touch_updated_at
before update on public.avatars
for each row execute function private.touch_updated_at();

create trigger avatars_refuse_name_length
before update of name on public.avatars
for each row when (length(new.name) not between 1 and 100)
execute function private.refuse_text_length('name', '1', '100');

create trigger avatars_record_video after delete or update of video_url on public.avatars
for each row execute function private.record_storage_removal('video_url');

create trigger avatars_record_avatar after delete on public.avatars
for each row execute function private.record_provider_removal('avatar', 'provider_video_id');

insert into private.storage_references (table_name, column_name) values ('public.avatars', 'video_url');

insert into private.provider_references (table_name, object_type, column_name, operation)
values ('public.avatars', 'avatar', 'provider_video_id', 'create_video');
