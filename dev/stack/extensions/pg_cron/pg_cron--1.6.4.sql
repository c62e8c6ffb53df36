-- Stand-in for pg_cron 1.6: the same tables, functions and rules. The jobs are run by dev/stack/extensions/pg_cron/ticker.ts,
-- which listens on the channel `pg_cron_changed`.

create schema cron;

create table cron.job (
  jobid bigserial primary key,
  schedule text not null,
  command text not null,
  nodename text not null default 'localhost',
  nodeport int not null default coalesce(inet_server_port(), 5432),
  database text not null default current_database(),
  username text not null default current_user,
  active boolean not null default true,
  jobname text
);
create unique index jobname_username_uniq on cron.job (jobname, username);
alter table cron.job enable row level security;
create policy cron_job_policy on cron.job using (username = current_user);

create sequence cron.runid_seq;
create table cron.job_run_details (
  jobid bigint,
  runid bigint primary key default nextval('cron.runid_seq'),
  job_pid integer,
  database text,
  username text,
  command text,
  status text,
  return_message text,
  start_time timestamptz,
  end_time timestamptz
);
alter table cron.job_run_details enable row level security;
create policy cron_job_run_details_policy on cron.job_run_details
  using (username = current_user);

create function cron._field_is_valid(field text, lowest int, highest int, names text[])
returns boolean
language plpgsql immutable set search_path = '' as $$
declare
  part text;
  bounds text[];
  low int;
  high int;
begin
  if field = '$' and highest = 31 then
    return true; -- the last day of the month
  end if;
  foreach part in array pg_catalog.string_to_array(pg_catalog.lower(field), ',') loop
    for i in 1..coalesce(pg_catalog.cardinality(names), 0) loop
      part := pg_catalog.regexp_replace(
        part, '\m' || names[i] || '\M', (lowest + i - 1)::text, 'g'
      );
    end loop;
    bounds := pg_catalog.regexp_match(part, '^(?:\*|(\d{1,3})(?:-(\d{1,3}))?)(?:/(\d{1,3}))?$');
    if bounds is null then
      return false;
    end if;
    low := coalesce(bounds[1]::int, lowest);
    high := coalesce(bounds[2]::int, bounds[1]::int, highest);
    if low < lowest or high > highest or low > high or bounds[3]::int < 1 then
      return false;
    end if;
  end loop;
  return field <> '';
end
$$;

create function cron._schedule_is_valid(schedule text) returns boolean
language plpgsql immutable set search_path = '' as $$
declare
  seconds text[] := pg_catalog.regexp_match(schedule, '^\s*(\d{1,2})\s+seconds?\s*$', 'i');
  fields text[] := pg_catalog.regexp_split_to_array(pg_catalog.btrim(schedule), '\s+');
begin
  if seconds is not null then
    return seconds[1]::int between 1 and 59;
  end if;
  if pg_catalog.lower(pg_catalog.btrim(schedule)) in (
    '@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'
  ) then
    return true;
  end if;
  return pg_catalog.cardinality(fields) = 5
    and cron._field_is_valid(fields[1], 0, 59, null)
    and cron._field_is_valid(fields[2], 0, 23, null)
    and cron._field_is_valid(fields[3], 1, 31, null)
    and cron._field_is_valid(
      fields[4], 1, 12,
      array['jan','feb','mar','apr','may','jun','jul','aug','sep','oct','nov','dec']
    )
    and cron._field_is_valid(
      fields[5], 0, 7, array['sun','mon','tue','wed','thu','fri','sat']
    );
end
$$;

-- The real functions are written in C and act with the rights of the server. These do it as SECURITY DEFINER;
-- the name of the caller is therefore a parameter, and is checked against the session.
create function cron._put(
  job_name text, schedule text, command text, database text, username text, active boolean
) returns bigint
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
  id bigint;
begin
  if not cron._schedule_is_valid(_put.schedule) then
    raise exception 'invalid schedule: %', _put.schedule
      using hint = 'Use cron format (e.g. 5 4 * * *), or interval format ''[1-59] seconds''';
  end if;
  if not pg_catalog.pg_has_role(session_user, _put.username, 'member') then
    raise exception 'must be a member of role % to create a job for it', _put.username
      using errcode = '42501';
  end if;
  insert into cron.job as j (jobname, schedule, command, database, username, active)
  values (
    _put.job_name, _put.schedule, _put.command,
    coalesce(_put.database, pg_catalog.current_database()), _put.username, _put.active
  )
  on conflict (jobname, username) do update
    set schedule = excluded.schedule,
      command = excluded.command,
      database = excluded.database
  returning j.jobid into id;
  perform pg_catalog.pg_notify('pg_cron_changed', '');
  return id;
end
$$;

create function cron._remove(id bigint, username text) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  if not pg_catalog.pg_has_role(session_user, _remove.username, 'member') then
    raise exception 'permission denied' using errcode = '42501';
  end if;
  delete from cron.job j where j.jobid = _remove.id and j.username = _remove.username;
  perform pg_catalog.pg_notify('pg_cron_changed', '');
  return found;
end
$$;

create function cron._alter(
  id bigint, caller text, schedule text, command text, database text, username text,
  active boolean
) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if _alter.schedule is not null and not cron._schedule_is_valid(_alter.schedule) then
    raise exception 'invalid schedule: %', _alter.schedule;
  end if;
  if not pg_catalog.pg_has_role(session_user, _alter.caller, 'member')
    or (
      _alter.username is not null
      and not pg_catalog.pg_has_role(session_user, _alter.username, 'member')
    )
  then
    raise exception 'permission denied' using errcode = '42501';
  end if;
  update cron.job j
  set schedule = coalesce(_alter.schedule, j.schedule),
    command = coalesce(_alter.command, j.command),
    database = coalesce(_alter.database, j.database),
    username = coalesce(_alter.username, j.username),
    active = coalesce(_alter.active, j.active)
  where j.jobid = _alter.id and j.username = _alter.caller;
  if not found then
    raise exception 'Job % does not exist or you don''t own it', _alter.id;
  end if;
  perform pg_catalog.pg_notify('pg_cron_changed', '');
end
$$;

create function cron.schedule(job_name text, schedule text, command text) returns bigint
language sql set search_path = '' as $$
  select cron._put(job_name, schedule, command, null, current_user::text, true)
$$;
comment on function cron.schedule(text, text, text) is
  'Adds a job, or replaces the schedule and command of the job of that name; returns its id.';

create function cron.schedule(schedule text, command text) returns bigint
language sql set search_path = '' as $$
  select cron._put(null, schedule, command, null, current_user::text, true)
$$;

create function cron.schedule_in_database(
  job_name text,
  schedule text,
  command text,
  database text,
  username text default null,
  active boolean default true
) returns bigint
language sql set search_path = '' as $$
  select cron._put(
    job_name, schedule, command, database, coalesce(username, current_user::text), active
  )
$$;

create function cron.unschedule(job_id bigint) returns boolean
language plpgsql set search_path = '' as $$
begin
  if not cron._remove(job_id, current_user::text) then
    raise exception 'could not find valid entry for job ''%''', job_id;
  end if;
  return true;
end
$$;

create function cron.unschedule(job_name text) returns boolean
language plpgsql set search_path = '' as $$
declare
  id bigint;
begin
  select j.jobid into id
  from cron.job j
  where j.jobname = job_name and j.username = current_user;
  if id is null then
    raise exception 'could not find valid entry for job ''%''', job_name;
  end if;
  return cron._remove(id, current_user::text);
end
$$;

create function cron.alter_job(
  job_id bigint,
  schedule text default null,
  command text default null,
  database text default null,
  username text default null,
  active boolean default null
) returns void
language sql set search_path = '' as $$
  select cron._alter(job_id, current_user::text, schedule, command, database, username, active)
$$;

-- What `postgres` may do here is granted by the platform, after `create extension` (bootstrap/80-grants.sql).
revoke execute on all functions in schema cron from public;
