-- Who may read and write profiles, calls, avatars, slideshows and keepsakes: Row Level Security, grants by column,
-- indexes for foreign keys and lists. Nothing is granted that is not written here; ids are for the database alone to draw.

do $$
declare
  v_table text;
begin
  foreach v_table in array array['profiles', 'calls', 'avatars', 'slideshows', 'slideshow_items', 'pdfs'] loop
    execute format('alter table public.%I enable row level security', v_table);
    execute format('revoke all on public.%I from public, anon, authenticated, service_role', v_table);
    execute format('grant select, insert, update, delete on public.%I to service_role', v_table);
    execute format(
      'create trigger %I before update on public.%I for each row execute function private.touch_updated_at()',
      v_table || '_touch_updated_at', v_table
    );
  end loop;
end;
$$;

-- Profiles, calls, slideshows: the owner writes what describes them.

create policy "users can read their own profile" on public.profiles for select to authenticated
using (user_id = (select auth.uid()));
create policy "users can make their own profile" on public.profiles for insert to authenticated
with check (user_id = (select auth.uid()));
create policy "users can change their own profile" on public.profiles for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy "users can remove their own profile" on public.profiles for delete to authenticated
using (user_id = (select auth.uid()));
grant select, delete on public.profiles to authenticated;
grant insert (user_id, display_name, photo_path, locale, time_zone) on public.profiles to authenticated;
grant update (display_name, photo_path, locale, time_zone) on public.profiles to authenticated;

create policy "users can read their own calls" on public.calls for select to authenticated
using (user_id = (select auth.uid()));
create policy "users can add calls of their own" on public.calls for insert to authenticated
with check (user_id = (select auth.uid()));
create policy "users can change their own calls" on public.calls for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy "users can remove their own calls" on public.calls for delete to authenticated
using (user_id = (select auth.uid()));
grant select, delete on public.calls to authenticated;
grant insert (user_id, title, recording_id, held_at, duration_seconds) on public.calls to authenticated;
grant update (title, recording_id, held_at, duration_seconds) on public.calls to authenticated;

create policy "users can read their own avatars" on public.avatars for select to authenticated
using (user_id = (select auth.uid()));
create policy "users can rename their own avatars" on public.avatars for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy "users can remove their own avatars" on public.avatars for delete to authenticated
using (user_id = (select auth.uid()));
grant select, delete on public.avatars to authenticated;
grant update (name) on public.avatars to authenticated;

-- voices stands in the migration that made it; like an avatar it may be removed by its owner, and its provider is told.
create policy "users can remove their own voices" on public.voices for delete to authenticated
using (user_id = (select auth.uid()));
grant delete on public.voices to authenticated;

create policy "users can read their own pdfs" on public.pdfs for select to authenticated
using (user_id = (select auth.uid()));
create policy "users can retitle their own pdfs" on public.pdfs for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy "users can remove their own pdfs" on public.pdfs for delete to authenticated
using (user_id = (select auth.uid()));
grant select, delete on public.pdfs to authenticated;
grant update (title) on public.pdfs to authenticated;

-- A published slideshow is readable by whoever names its token, and cannot be found without it: the policy compares
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
grant select, delete on public.slideshows to authenticated;
grant select (id, title, description, is_published, share_token) on public.slideshows to anon;
grant insert (user_id, title, description, is_published) on public.slideshows to authenticated;
grant update (title, description, is_published) on public.slideshows to authenticated;

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
grant select, delete on public.slideshow_items to authenticated;
grant select (slideshow_id, position, caption, public_path) on public.slideshow_items to anon;
grant insert (user_id, slideshow_id, media_id, position, caption, is_full_page, public_path) on public.slideshow_items
  to authenticated;
grant update (media_id, position, caption, is_full_page, public_path) on public.slideshow_items to authenticated;

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

-- Indexes: each list (owner, newest first) and each foreign key.

create index calls_user_id_held_at_idx on public.calls (user_id, held_at desc, id desc);
create index calls_recording_id_idx on public.calls (recording_id, user_id);
create index avatars_user_id_created_at_idx on public.avatars (user_id, created_at desc, id desc);
create index avatars_voice_id_idx on public.avatars (voice_id, user_id);
create index avatars_photo_id_idx on public.avatars (photo_id, user_id);
create index slideshows_user_id_created_at_idx on public.slideshows (user_id, created_at desc, id desc);
create index slideshow_items_user_id_idx on public.slideshow_items (user_id);
create index slideshow_items_slideshow_id_idx on public.slideshow_items (slideshow_id, user_id);
create index slideshow_items_media_id_idx on public.slideshow_items (media_id, user_id);
create index pdfs_user_id_created_at_idx on public.pdfs (user_id, created_at desc, id desc);
create index pdfs_slideshow_id_idx on public.pdfs (slideshow_id, user_id);
