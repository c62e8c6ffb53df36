-- Slideshows, private or shared by link.

create table public.slideshows (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  title text not null,
  description text,
  is_published boolean not null default false,
  share_token text not null default replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint slideshows_pkey primary key (id),
  constraint slideshows_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint slideshows_id_user_id_key unique (id, user_id),
  constraint slideshows_share_token_key unique (share_token),
  constraint slideshows_share_token_is_unguessable check (share_token ~ '^[0-9a-f]{64}$'),
  constraint slideshows_title_length check (length(title) between 1 and 200),
  constraint slideshows_description_length check (length(description) <= 2000)
);
comment on table public.slideshows is 'Photos in an order, with captions. Private, or readable by anyone with the link.';
comment on column public.slideshows.is_published is
  'True lets anyone with the link read it. Switching it off makes the link void for good and lets go of the public copies.';
comment on column public.slideshows.share_token is
  'The secret of the link, drawn by the database: 244 random bits. Who has it can read the slideshow while it is published.';

create index slideshows_user_id_created_at_idx on public.slideshows (user_id, created_at desc, id desc);

alter table public.slideshows enable row level security;

-- A published slideshow is readable by a request that names its token, and cannot be found without it: the policy compares
-- with a setting that only get_shared_slideshow makes, for its own transaction.
create policy "users can read their own slideshows and shared ones by link" on public.slideshows for select
to authenticated
using (
  user_id = (select auth.uid())
  or (is_published and share_token = (select current_setting('app.share_token', true)))
);

create policy "anybody can read a shared slideshow by link" on public.slideshows for select to anon
using (is_published and share_token = (select current_setting('app.share_token', true)));

create policy "users can make slideshows of their own" on public.slideshows for insert to authenticated
with check (user_id = (select auth.uid()));

create policy "users can change their own slideshows" on public.slideshows for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "users can remove their own slideshows" on public.slideshows for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.slideshows from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.slideshows to service_role;
grant select, delete on public.slideshows to authenticated;
grant select (id, title, description, is_published, share_token) on public.slideshows to anon;
grant insert (user_id, title, description, is_published) on public.slideshows to authenticated;
grant update (title, description, is_published) on public.slideshows to authenticated;

create table public.slideshow_items (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  slideshow_id uuid not null,
  media_id uuid not null,
  position integer not null,
  caption text,
  is_full_page boolean not null default false,
  public_path text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint slideshow_items_pkey primary key (id),
  constraint slideshow_items_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint slideshow_items_slideshow_fkey foreign key (slideshow_id, user_id)
    references public.slideshows (id, user_id) on delete cascade,
  constraint slideshow_items_media_fkey foreign key (media_id, user_id)
    references public.media (id, user_id) on delete cascade,
  constraint slideshow_items_position_key unique (slideshow_id, position) deferrable initially deferred,
  constraint slideshow_items_position_in_range check (position between 0 and 999),
  constraint slideshow_items_caption_length check (length(caption) between 1 and 500),
  constraint slideshow_items_public_path_is_owners check (
    public_path ~ '^published-media/[^/]+/.*[^/]$'
    and public_path !~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)'
    and split_part(public_path, '/', 2) = user_id::text
  )
);
comment on table public.slideshow_items is 'The photos of a slideshow in their order. Slideshow and photo belong to the same owner, by foreign key.';
comment on column public.slideshow_items.position is 'From 0. Unique in the slideshow at commit, so that two can be swapped in one transaction.';
comment on column public.slideshow_items.is_full_page is 'In print the photo has a page to itself, up to the edges.';
comment on column public.slideshow_items.public_path is
  'Copy of the photo in the public bucket published-media, made by the owner to be seen by others; forgotten when the '
  'slideshow is withdrawn.';

create index slideshow_items_user_id_idx on public.slideshow_items (user_id);
create index slideshow_items_slideshow_id_idx on public.slideshow_items (slideshow_id, user_id);
create index slideshow_items_media_id_idx on public.slideshow_items (media_id, user_id);

alter table public.slideshow_items enable row level security;

create policy "users can read their own slides and shared ones by link" on public.slideshow_items for select
to authenticated
using (
  user_id = (select auth.uid())
  or slideshow_id = any (array(
    select s.id from public.slideshows as s
    where s.is_published and s.share_token = (select current_setting('app.share_token', true))
  ))
);

create policy "anybody can read the slides of a shared slideshow by link" on public.slideshow_items for select to anon
using (
  slideshow_id = any (array(
    select s.id from public.slideshows as s
    where s.is_published and s.share_token = (select current_setting('app.share_token', true))
  ))
);

create policy "users can add slides to their own slideshows" on public.slideshow_items for insert to authenticated
with check (user_id = (select auth.uid()));

create policy "users can change their own slides" on public.slideshow_items for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "users can remove their own slides" on public.slideshow_items for delete to authenticated
using (user_id = (select auth.uid()));

revoke all on public.slideshow_items from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.slideshow_items to service_role;
grant select, delete on public.slideshow_items to authenticated;
grant select (slideshow_id, position, caption, public_path) on public.slideshow_items to anon;
grant insert (user_id, slideshow_id, media_id, position, caption, is_full_page, public_path) on public.slideshow_items
  to authenticated;
grant update (media_id, position, caption, is_full_page, public_path) on public.slideshow_items to authenticated;

create function private.withdraw_slideshow()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.share_token := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  update public.slideshow_items as i set public_path = null where i.slideshow_id = new.id and i.public_path is not null;
  return new;
end;
$$;
comment on function private.withdraw_slideshow() is
  'Row trigger: a slideshow that is no longer published gets a new secret, so that links that were given away stay void '
  'when it is published again, and its slides let go of their public copies.';

create function public.reorder_slideshow(p_slideshow_id uuid, p_item_ids uuid[])
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  update public.slideshow_items as i
  set position = given.number - 1
  from unnest(p_item_ids) with ordinality as given (id, number)
  where i.id = given.id and i.slideshow_id = p_slideshow_id;
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function public.reorder_slideshow(uuid, uuid[]) is
  'Puts the slides of one slideshow into the given order, in one transaction; name all of them. Returns how many were '
  'placed. Security invoker: the policies decide whose slides these may be.';
revoke execute on function public.reorder_slideshow(uuid, uuid[]) from public, anon;
grant execute on function public.reorder_slideshow(uuid, uuid[]) to authenticated, service_role;

create function public.get_shared_slideshow(p_share_token text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform set_config('app.share_token', p_share_token, true);
  return (
    select jsonb_build_object(
      'title', s.title,
      'description', s.description,
      'slides', coalesce((
        select jsonb_agg(jsonb_build_object('caption', i.caption, 'public_path', i.public_path) order by i.position)
        from public.slideshow_items as i
        where i.slideshow_id = s.id and i.public_path is not null
      ), '[]')
    )
    from public.slideshows as s
    where s.share_token = p_share_token and s.is_published
  );
end;
$$;
comment on function public.get_shared_slideshow(text) is
  'The published slideshow behind a link: title, description and its public slides; null when there is none. For '
  'anybody. Security invoker: the policies decide, by the token that it sets for its own transaction.';
revoke execute on function public.get_shared_slideshow(text) from public, anon, authenticated, service_role;
grant execute on function public.get_shared_slideshow(text) to anon, authenticated;

create trigger slideshows_withdraw
before update of is_published on public.slideshows
for each row when (old.is_published and not new.is_published)
execute function private.withdraw_slideshow();

create trigger slideshows_touch_updated_at
before update on public.slideshows
for each row execute function private.touch_updated_at();

create trigger slideshow_items_touch_updated_at
before update on public.slideshow_items
for each row execute function private.touch_updated_at();

create trigger slideshow_items_record_copy after delete or update of public_path on public.slideshow_items
for each row execute function private.record_storage_removal('public_path');

insert into private.storage_references (table_name, column_name) values ('public.slideshow_items', 'public_path');
