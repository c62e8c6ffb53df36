-- Checks of a job before its row exists, for create-ai-job and for plain inserts with supabase-js. Errors have their
-- own SQLSTATE (AJ…), and the name of the field in DETAIL.

create function private.blank_ai_job_text(p_metadata jsonb)
returns text
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  return case
    -- Only a condition that is false ends the evaluation of the others: one that is null does not.
    when p_metadata ? 'text' and jsonb_typeof(p_metadata -> 'text') = 'string'
      and not private.has_visible_text(p_metadata ->> 'text') then 'text'
    when p_metadata ? 'voice_name' and jsonb_typeof(p_metadata -> 'voice_name') = 'string'
      and not private.has_visible_text(p_metadata ->> 'voice_name') then 'voice_name'
    when p_metadata ? 'name' and jsonb_typeof(p_metadata -> 'name') = 'string'
      and not private.has_visible_text(p_metadata ->> 'name') then 'name'
    when p_metadata ? 'description' and jsonb_typeof(p_metadata -> 'description') = 'string'
      and not private.has_visible_text(p_metadata ->> 'description') then 'description'
    when p_metadata ? 'title' and jsonb_typeof(p_metadata -> 'title') = 'string'
      and not private.has_visible_text(p_metadata ->> 'title') then 'title'
  end;
end;
$$;
comment on function private.blank_ai_job_text(jsonb) is
  'The first text among the parameters that has only spaces and invisible characters, or null. The processor checks the '
  'other rules of its type.';

create function private.check_ai_job_object(
  p_user_id uuid,
  p_url text,
  p_name text,
  p_field text,
  p_taker text,
  p_buckets text[],
  p_mime_types text[],
  p_max_bytes bigint
)
returns text
language plpgsql
stable
security invoker
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  v_bucket text := split_part(p_url, '/', 1);
  v_name text := substr(p_url, strpos(p_url, '/') + 1);
  v_mime_type text;
  v_size bigint;
  v_version text;
begin
  if p_url !~ '^[a-z0-9][a-z0-9_-]*/[^/]+/.*[^/]$' or strpos(p_url, '/') > 64 or p_url ~ '[[:cntrl:]\\]|(^|/)\.{1,2}(/|$)' then
    raise exception '% must name an object of this project''s Storage as <bucket>/<path>', p_name
      using errcode = 'AJ011', detail = p_field;
  end if;

  if v_bucket <> all (p_buckets) then
    raise exception '% must be in one of these buckets: %', p_name, array_to_string(p_buckets, ', ')
      using errcode = 'AJ011', detail = p_field;
  end if;

  -- Before any lookup: the error for another user's folder must not depend on what is in it.
  if split_part(v_name, '/', 1) is distinct from p_user_id::text then
    raise exception '% is outside your own folder; its path must begin with your user id', p_name using errcode = 'AJ015', detail = p_field;
  end if;

  select o.metadata ->> 'mimetype', (o.metadata ->> 'size')::bigint,
    -- As ai_job_input_hash reads it.
    concat_ws(':', coalesce(o.version, concat_ws(':', o.metadata ->> 'eTag', extract(epoch from o.updated_at))), o.id)
  into v_mime_type, v_size, v_version
  from storage.objects as o
  where o.bucket_id = v_bucket and o.name = v_name;
  if not found then
    raise exception '% does not exist; upload it first', p_name using errcode = 'AJ012', detail = p_field;
  end if;

  -- The types that are accepted have canonical names.
  if (v_mime_type = any (p_mime_types)) is not true then
    v_mime_type := private.canonical_mime_type(v_mime_type);
  end if;
  if v_mime_type is null or v_mime_type <> all (p_mime_types) then
    raise exception '% has the content type %; % accepts %',
      p_name, coalesce(v_mime_type, 'unknown'), p_taker, array_to_string(p_mime_types, ', ')
      using errcode = 'AJ013', detail = p_field;
  end if;

  if v_size is null or v_size < 1 then
    raise exception '% is empty', p_name using errcode = 'AJ014', detail = p_field;
  end if;
  if v_size > p_max_bytes then
    raise exception '% has % bytes; % accepts at most %', p_name, v_size, p_taker, p_max_bytes
      using errcode = 'AJ014', detail = p_field;
  end if;
  return v_version;
end;
$$;
comment on function private.check_ai_job_object(uuid, text, text, text, text, text[], text[], bigint) is
  'Raises AJ011 to AJ015 unless p_url names an existing object in the owner''s folder, of an allowed bucket, type and '
  'size, and returns the version of that object, for ai_job_input_hash. Messages use p_name for the object and p_taker for what accepts it; p_field is the wrong field. It runs with '
  'its owner''s rights, so it checks the folder itself.';

create function private.admit_ai_job()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_type record;
  v_source public.ai_jobs;
  v_blank_text text;
  v_input_version text;
begin
  -- The policy on the table sees the row only after this trigger. If another user's id were accepted here, the errors
  -- below would reveal to a caller what is in that user's folder.
  if current_setting('role') = 'authenticated' and new.user_id is distinct from auth.uid() then
    raise exception 'new row violates row-level security policy for table "ai_jobs"' using errcode = '42501';
  end if;
  if new.job_type = 'voice_clone' and jsonb_typeof(new.metadata) = 'object' then
    -- Before anything compares the parameters: a request without a name equals one that has the default name.
    new.metadata := jsonb_build_object('voice_name', 'Cloned Voice') || new.metadata;
  end if;
  if new.idempotency_key is not null then
    -- Parallel inserts with the same key do not see each other here. They wait at the unique index, which accepts one
    -- and refuses the others (23505); when those are sent again, this code answers them. No lock per key: all
    -- connections share one lock table, and a bulk insert would fill it.
    select * into v_source from public.ai_jobs as j
    where j.user_id = new.user_id and j.idempotency_key = new.idempotency_key;
    if found then
      if (v_source.job_type, v_source.input_url, v_source.metadata, v_source.depends_on_job_id)
        is not distinct from (new.job_type, new.input_url, new.metadata, new.depends_on_job_id) then
        raise exception 'a job with this idempotency key exists' using
          errcode = 'AJ032', detail = 'idempotency_key', hint = v_source.id::text;
      end if;
      raise exception 'this idempotency key was used for a different request; use a new key' using
        errcode = 'AJ030', detail = 'idempotency_key';
    end if;
  end if;

  select t.is_enabled, t.provider, t.other_providers, t.max_attempts, t.is_input_required, t.input_name, t.input_buckets,
    t.input_mime_types, t.input_max_bytes, t.hooks
  into v_type
  from public.ai_job_types as t
  where t.job_type = new.job_type;
  if not found then
    raise exception 'job_type % is unknown', coalesce(new.job_type, '(none)') using errcode = 'AJ001', detail = 'job_type';
  end if;
  if not v_type.is_enabled then
    raise exception 'job_type % is disabled', new.job_type using errcode = 'AJ002', detail = 'job_type';
  end if;
  if jsonb_typeof(new.metadata) is distinct from 'object' then
    raise exception 'metadata must be a JSON object' using errcode = 'AJ020', detail = 'metadata';
  end if;
  if octet_length(new.metadata::text) > 65536 then
    raise exception 'metadata must have at most 65536 bytes' using errcode = 'AJ020', detail = 'metadata';
  end if;
  v_blank_text := private.blank_ai_job_text(new.metadata);
  if v_blank_text is not null then
    raise exception 'metadata.% must contain a visible character', v_blank_text
      using errcode = 'AJ020', detail = 'metadata.' || v_blank_text;
  end if;
  if new.input_url is not null then
    if v_type.input_buckets = '{}' then
      raise exception '% accepts no input_url; omit it', new.job_type using errcode = 'AJ011', detail = 'input_url';
    end if;
    v_input_version := private.check_ai_job_object(
      new.user_id, new.input_url, 'the ' || v_type.input_name || ' (input_url)', 'input_url', new.job_type,
      v_type.input_buckets, v_type.input_mime_types, v_type.input_max_bytes
    );
  elsif v_type.is_input_required then
    raise exception 'input_url is required for %: the %', new.job_type, v_type.input_name
      using errcode = 'AJ010', detail = 'input_url';
  end if;

  new.provider := v_type.provider;
  if new.metadata ? 'provider' and v_type.other_providers <> '{}' then
    new.provider := new.metadata ->> 'provider';
    if (new.provider = v_type.provider or new.provider = any (v_type.other_providers)) is not true then
      raise exception 'metadata.provider must be one of these: %',
        array_to_string(v_type.provider || v_type.other_providers, ', ')
        using errcode = 'AJ020', detail = 'metadata.provider';
    end if;
  end if;
  if 'check' = any (v_type.hooks) then
    execute format('select private.%I($1)', 'check_' || new.job_type) using new;
  end if;
  new.max_attempts := v_type.max_attempts;
  new.scheduled_at := greatest(new.scheduled_at, now());
  if new.depends_on_job_id is not null then
    -- Before the other job, because deleting an account locks the account first and then its jobs.
    perform 1 from auth.users as u where u.id = new.user_id for key share;
  end if;
  new.is_blocked := new.depends_on_job_id is not null
    and private.is_dependency_unfinished(new.user_id, new.depends_on_job_id);
  if new.is_blocked then
    new.stage := 'waiting_for_dependency';
  elsif new.scheduled_at <= now() then
    new.queue_key := private.next_queue_key(new.user_id, new.job_type, new.provider, new.priority);
  end if;
  new.input_hash := public.ai_job_input_hash(
    new.user_id, new.job_type, new.input_url, new.metadata, v_input_version
  );
  if new.depends_on_job_id is not null then
    -- The same parameters with another dependency are a different request.
    new.input_hash := encode(
      sha256(convert_to(
        new.input_hash || ':' || (
          select coalesce(d.cached_from_job_id, d.id) from public.ai_jobs as d where d.id = new.depends_on_job_id
        ),
        'UTF8'
      )),
      'hex'
    );
  end if;

  if new.cached_from_job_id is not null then
    select * into v_source from public.ai_jobs as j where j.id = new.cached_from_job_id;
    if private.is_ai_job_result_reusable(v_source, new.user_id, new.input_hash) then
      new.status := 'completed';
      new.queue_key := null;
      new.is_blocked := false;
      new.stage := null;
      new.progress_percentage := 100;
      new.result_data := v_source.result_data;
      new.output_url := v_source.output_url;
      new.started_at := now();
      new.completed_at := now();
      new.event_seq := 2;
      new.last_event := 'completed';
    else
      new.cached_from_job_id := null;
    end if;
  end if;
  return new;
end;
$$;
comment on function private.admit_ai_job() is
  'Row trigger before insert: checks type, parameters and input object, fills in the policy of the type, and completes '
  'the job immediately when it names an earlier equal job. Security definer because an owner may neither read the policy '
  'columns nor set the columns that this sets; so it checks the owner of the input itself.';

