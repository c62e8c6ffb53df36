-- Stand-in for pg_net 0.20: signatures, defaults, tables and grants of the real one. What the real background
-- worker does is done by dev/stack/extensions/pg_net/worker.ts, which listens on the channel `pg_net_wake`. Postgres delivers
-- a notification when the transaction commits and drops it on rollback: the wake-on-commit of the real one.

create schema net;

create domain net.http_method as text
  constraint http_method_check check (
    value ilike 'get' or value ilike 'post' or value ilike 'delete'
  );

create unlogged table net.http_request_queue (
  id bigserial,
  method net.http_method not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds int not null
);

create unlogged table net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out bool,
  error_msg text,
  created timestamptz not null default now()
);
create index on net._http_response (created);

create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');
create type net.http_response as (status_code integer, headers jsonb, body text);
create type net.http_response_result as (
  status net.request_status,
  message text,
  response net.http_response
);

create function net.wake() returns void
language plpgsql set search_path = '' as $$
begin
  perform pg_catalog.pg_notify('pg_net_wake', '');
end
$$;
comment on function net.wake() is 'Wakes the worker when the current transaction commits.';

create function net.worker_restart() returns bool
language plpgsql set search_path = '' as $$
begin
  perform pg_catalog.pg_notify('pg_net_wake', '');
  return true;
end
$$;

-- The real function looks for a background worker of that name; the worker of the stack is a connection with it.
create function net.check_worker_is_up() returns void
language plpgsql security definer set search_path = '' as $$
begin
  if not exists (
    select 1
    from pg_catalog.pg_stat_activity a
    where a.application_name = 'pg_net worker'
      and a.datname = pg_catalog.current_database()
  ) then
    raise exception using
      message = 'the pg_net background worker is not up',
      detail = 'the pg_net background worker is down due to an internal error and cannot process requests',
      hint = 'is the embedded stack running?';
  end if;
end
$$;

create function net.wait_until_running() returns void
language plpgsql set search_path = '' as $$
begin
  loop
    begin
      perform net.check_worker_is_up();
      return;
    exception when raise_exception then
      perform pg_catalog.pg_sleep(0.05);
    end;
  end loop;
end
$$;

create function net._urlencode_string(string varchar) returns text
language sql immutable strict set search_path = '' as $$
  select coalesce(
    pg_catalog.string_agg(
      case
        when b between 48 and 57 or b between 65 and 90 or b between 97 and 122
          or b in (45, 46, 95, 126)
        then pg_catalog.chr(b)
        else '%' || pg_catalog.upper(pg_catalog.lpad(pg_catalog.to_hex(b), 2, '0'))
      end,
      '' order by i
    ),
    ''
  )
  from (
    select i, pg_catalog.get_byte(bytes, i) as b
    from (select pg_catalog.convert_to(string, 'UTF8') as bytes) as encoded,
      pg_catalog.generate_series(0, pg_catalog.length(bytes) - 1) as i
  ) as every_byte
$$;

create function net._encode_url_with_params_array(url text, params_array text[]) returns text
language sql immutable strict set search_path = '' as $$
  select case
    when pg_catalog.cardinality(params_array) = 0 then url
    when url like '%?%' then url || '&' || pg_catalog.array_to_string(params_array, '&')
    else url || '?' || pg_catalog.array_to_string(params_array, '&')
  end
$$;

create function net._encoded_params(params jsonb) returns text[]
language sql immutable set search_path = '' as $$
  select coalesce(
    pg_catalog.array_agg(
      net._urlencode_string(p.key::varchar) || '=' || net._urlencode_string(p.value::varchar)
    ),
    '{}'
  )
  from pg_catalog.jsonb_each_text(params) p
$$;

create function net.http_get(
  url text,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{}'::jsonb,
  timeout_milliseconds int default 5000
) returns bigint
language plpgsql strict volatile parallel safe set search_path = '' as $$
declare
  request_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, timeout_milliseconds)
  values (
    'GET',
    net._encode_url_with_params_array(url, net._encoded_params(params)),
    headers,
    timeout_milliseconds
  )
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.http_post(
  url text,
  body jsonb default '{}'::jsonb,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{"Content-Type": "application/json"}'::jsonb,
  timeout_milliseconds int default 5000
) returns bigint
language plpgsql volatile parallel safe set search_path = '' as $$
declare
  request_id bigint;
  content_type text;
begin
  select h.value into content_type
  from pg_catalog.jsonb_each_text(coalesce(headers, '{}'::jsonb)) h
  where pg_catalog.lower(h.key) = 'content-type'
  limit 1;

  if content_type is null then
    headers := coalesce(headers, '{}'::jsonb) || '{"Content-Type": "application/json"}'::jsonb;
  elsif content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;

  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'POST',
    net._encode_url_with_params_array(url, net._encoded_params(params)),
    headers,
    pg_catalog.convert_to(body::text, 'UTF8'),
    timeout_milliseconds
  )
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.http_delete(
  url text,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{}'::jsonb,
  timeout_milliseconds int default 5000,
  body jsonb default null
) returns bigint
language plpgsql volatile parallel safe set search_path = '' as $$
declare
  request_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'DELETE',
    net._encode_url_with_params_array(url, net._encoded_params(params)),
    headers,
    pg_catalog.convert_to(body::text, 'UTF8'),
    timeout_milliseconds
  )
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net._await_response(request_id bigint) returns bool
language plpgsql volatile parallel safe strict set search_path = '' as $$
begin
  while not exists (select 1 from net._http_response r where r.id = request_id) loop
    perform pg_catalog.pg_sleep(0.05);
  end loop;
  return true;
end
$$;

create function net._http_collect_response(request_id bigint, async bool default true)
returns net.http_response_result
language plpgsql volatile parallel safe strict set search_path = '' as $$
declare
  rec net._http_response;
begin
  if not async then
    perform net._await_response(request_id);
  end if;
  select r.* into rec from net._http_response r where r.id = request_id;
  if rec.id is null then
    if exists (select 1 from net.http_request_queue q where q.id = request_id) then
      return ('PENDING', 'request is pending processing', null)::net.http_response_result;
    end if;
    return ('ERROR', 'request matching request_id not found', null)::net.http_response_result;
  end if;
  if rec.error_msg is not null then
    return ('ERROR', rec.error_msg, null)::net.http_response_result;
  end if;
  return (
    'SUCCESS', 'ok', (rec.status_code, rec.headers, rec.content)::net.http_response
  )::net.http_response_result;
end
$$;

create function net.http_collect_response(request_id bigint, async bool default true)
returns net.http_response_result
language sql volatile parallel safe strict set search_path = '' as $$
  select net._http_collect_response(request_id, async)
$$;

-- As in the real extension: everyone may queue requests and read answers. The schema is not exposed by the Data API.
grant usage on schema net to public;
grant all on all tables in schema net to public;
grant all on all sequences in schema net to public;
