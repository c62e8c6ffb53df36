-- The job type pdf_render: which slideshows it accepts, and what it reads of them.

insert into public.ai_job_types (
  job_type, provider, worker, max_attempts, is_input_required, input_buckets, input_mime_types, input_max_bytes,
  cache_ttl_seconds, hooks
) values (
  'pdf_render', 'internal', 'render-ai-job', 3,
  -- The input is a slideshow; input_max_bytes limits the sum of its photos.
  false, '{}', '{}', 503316480,
  -- Not cached: a slideshow can change while the parameters stay the same, and rendering it again costs nothing.
  0,
  array['check']
);

create function private.check_pdf_render(p_job public.ai_jobs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_uuid constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  v_max_slides constant integer := 100;
  v_max_characters constant integer := 30000;
  v_named text := lower(p_job.metadata ->> 'slideshow_id');
  v_slideshow uuid := case when v_named ~ v_uuid then v_named::uuid end;
  v_max_bytes bigint;
  v_slides integer;
  v_bytes numeric;
  v_characters bigint;
begin
  if v_named is null then
    raise exception 'metadata.slideshow_id is required' using errcode = 'AJ020', detail = 'metadata.slideshow_id';
  end if;
  if not exists (
    select 1 from public.slideshows as s where s.id = v_slideshow and s.user_id = p_job.user_id
  ) then
    raise exception 'metadata.slideshow_id must name one of your slideshows'
      using errcode = 'AJ090', detail = 'metadata.slideshow_id';
  end if;
  -- The job detects photos that are not in Storage, because it can name the slide.
  select sum(p.slides), sum(p.characters), coalesce(sum((o.metadata ->> 'size')::bigint), 0)
  into v_slides, v_characters, v_bytes
  from (
    -- A photo on several slides is stored in the book once.
    select m.storage_path, count(*) as slides, coalesce(sum(length(i.caption)), 0) as characters
    from public.slideshow_items as i
    join public.media as m on m.id = i.media_id and m.user_id = i.user_id
    where i.slideshow_id = v_slideshow and i.user_id = p_job.user_id
    group by m.storage_path
  ) as p
  left join storage.objects as o
    on o.bucket_id = split_part(p.storage_path, '/', 1)
    and o.name = substr(p.storage_path, strpos(p.storage_path, '/') + 1);
  select t.input_max_bytes into v_max_bytes from public.ai_job_types as t where t.job_type = p_job.job_type;
  if v_slides is null then
    raise exception 'the slideshow has no photos' using errcode = 'AJ091', detail = 'metadata.slideshow_id';
  end if;
  if v_slides > v_max_slides or v_bytes > v_max_bytes or v_characters > v_max_characters then
    raise exception
      'the slideshow has % slides, photos of % bytes and captions of % characters; the limits are %, % and %',
      v_slides, v_bytes, v_characters, v_max_slides, v_max_bytes, v_max_characters
      using errcode = 'AJ092', detail = 'metadata.slideshow_id';
  end if;
end;
$$;
comment on function private.check_pdf_render(public.ai_jobs) is
  'Raises AJ090 unless metadata.slideshow_id names a slideshow of the job''s owner; the error is the same for another '
  'user''s slideshow and for none. Raises AJ091 when it is empty, AJ092 when it is too large. Called by '
  'private.admit_ai_job, which runs with its owner''s rights, so this function checks the owner.';

create function public.get_keepsake_contents(p_slideshow_id uuid, p_user_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'id', s.id,
    'title', s.title,
    'description', s.description,
    'created_at', s.created_at,
    'author', p.display_name,
    'locale', coalesce(p.locale, 'en'),
    'time_zone', coalesce(p.time_zone, 'UTC'),
    'slides', coalesce(
      (
        select jsonb_agg(
          jsonb_build_object(
            'caption', i.caption,
            'is_full_page', i.is_full_page,
            'object', m.storage_path,
            'size', (o.metadata ->> 'size')::bigint,
            'version', concat_ws('/', o.id, o.version, o.metadata ->> 'eTag')
          )
          order by i.position
        )
        from public.slideshow_items as i
        left join public.media as m on m.id = i.media_id and m.user_id = i.user_id
        left join storage.objects as o
          on o.bucket_id = split_part(m.storage_path, '/', 1)
          and o.name = substr(m.storage_path, strpos(m.storage_path, '/') + 1)
        where i.slideshow_id = s.id and i.user_id = s.user_id
      ),
      '[]'
    )
  )
  from public.slideshows as s
  left join public.profiles as p on p.user_id = s.user_id
  where s.id = p_slideshow_id and s.user_id = p_user_id;
$$;
comment on function public.get_keepsake_contents(uuid, uuid) is
  'All contents of a keepsake in one result: the slideshow, its owner''s display name, and the slides in order, each '
  'with the object of its photo, that object''s size (null: not in Storage) and its version. Null unless the slideshow '
  'belongs to that user; media of other users are null. service_role only.';
revoke execute on function public.get_keepsake_contents(uuid, uuid) from public, anon, authenticated;
grant execute on function public.get_keepsake_contents(uuid, uuid) to service_role;

insert into private.ai_job_products (kind) values ('pdf');

create function private.save_pdf(p_items jsonb, p_job_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  -- The voice, photo or slideshow may have been deleted meanwhile. That is no reason to discard a result that was
  -- paid for.
  insert into public.pdfs (user_id, job_id, slideshow_id, title, pdf_url, page_count, size_bytes)
  select
    j.user_id, j.id,
    (select o.id from public.slideshows as o where o.id = p.slideshow_id and o.user_id = j.user_id),
    p.title, j.output_url, p.page_count, p.size_bytes
  from jsonb_to_recordset(p_items) as i (job_id uuid, product jsonb)
  join public.ai_jobs as j on j.id = i.job_id
  cross join lateral jsonb_to_record(i.product) as p (title text, slideshow_id uuid, page_count integer, size_bytes bigint)
  where j.id = any (p_job_ids) and i.product ->> 'kind' = 'pdf'
  order by j.id;
end;
$$;
comment on function private.save_pdf(jsonb, uuid[]) is
  'Writes the keepsakes that jobs rendered (title, slideshow_id, page_count, size_bytes). See private.ai_job_products.';
