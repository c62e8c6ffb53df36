-- The money journal: every paid call is written down before it is sent and settled after it. What it buys: after
-- a crash, the next attempt knows that a call may have happened and asks the provider instead of sending again.

create table public.ai_provider_calls (
  id uuid not null default gen_random_uuid(),
  job_id uuid not null,
  user_id uuid not null,
  provider text not null,
  operation text not null,
  attempt integer not null,
  outcome text not null default 'sent',
  provider_object_id text,
  http_status integer,
  error_code text,
  sent_at timestamptz not null default clock_timestamp(),
  unknown_since timestamptz,
  settled_at timestamptz,
  discarded_at timestamptz,
  constraint ai_provider_calls_pkey primary key (id),
  constraint ai_provider_calls_job_id_fkey foreign key (job_id) references public.ai_jobs (id) on delete cascade,
  constraint ai_provider_calls_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint ai_provider_calls_operation_is_word check (operation ~ '^[a-z][a-z0-9_]{1,62}(:[1-9][0-9]{0,3})?$'),
  constraint ai_provider_calls_outcome_is_known
    check (outcome in ('sent', 'unknown', 'succeeded', 'adopted', 'rejected', 'absent')),
  constraint ai_provider_calls_success_has_object
    check (outcome not in ('succeeded', 'adopted') or provider_object_id is not null),
  constraint ai_provider_calls_unknown_since_matches_outcome check ((outcome = 'unknown') = (unknown_since is not null)),
  constraint ai_provider_calls_settled_matches_outcome check ((outcome in ('sent', 'unknown')) = (settled_at is null))
);

comment on table public.ai_provider_calls is
  'One row per paid provider call, committed before the call is sent. The marker by which the provider finds what the '
  'call made is job:<job_id>.';
comment on column public.ai_provider_calls.operation is 'The step of the job, for example create_voice; text_to_speech:2 is the second of several equal ones.';
comment on column public.ai_provider_calls.outcome is
  'sent (in flight, or its sender died), unknown (no usable answer), succeeded, adopted (found at the provider '
  'afterwards), rejected (a definite no, nothing charged), absent (the provider was asked: nothing was made).';
comment on column public.ai_provider_calls.unknown_since is
  'When it became unknown, which is when its sender was known to have gone or given up. reconcile_seconds count from here '
  'and not from sent_at: a call may be with the provider for minutes.';

comment on column public.ai_provider_calls.discarded_at is
  'Since when the janitor removes what the call made: a retry of the job does not go on with it, and sends a new call.';

create function private.date_unknown_outcome()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.unknown_since := case when new.outcome = 'unknown' then clock_timestamp() end;
  return new;
end;
$$;
comment on function private.date_unknown_outcome() is
  'Row trigger: keeps unknown_since, whoever writes the outcome.';

create trigger ai_provider_calls_date_unknown_outcome
before insert or update of outcome on public.ai_provider_calls
for each row execute function private.date_unknown_outcome();

create function private.doubt_unfinished_call()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  update public.ai_provider_calls as c set outcome = 'unknown' where c.job_id = new.id and c.outcome = 'sent';
  return null;
end;
$$;
comment on function private.doubt_unfinished_call() is
  'Row trigger: when a job leaves processing, however it does, nobody waits for its call any more. A call is sent only '
  'while its job is processing; without this one whose answer was lost could be neither asked about nor resolved.';

create trigger ai_jobs_doubt_unfinished_call
after update of status on public.ai_jobs
for each row when (old.status = 'processing' and new.status <> 'processing')
execute function private.doubt_unfinished_call();

-- At most one paid call of a step may be open or have succeeded: the database itself refuses a second one.
create unique index ai_provider_calls_one_per_step_key on public.ai_provider_calls (job_id, operation)
  where outcome in ('sent', 'unknown', 'succeeded', 'adopted') and discarded_at is null;
create index ai_provider_calls_job_id_sent_at_idx on public.ai_provider_calls (job_id, sent_at);
create index ai_provider_calls_user_id_idx on public.ai_provider_calls (user_id);

alter table public.ai_provider_calls enable row level security;

create policy "users can read the provider calls of their own ai jobs"
on public.ai_provider_calls for select to authenticated
using (user_id = (select auth.uid()));

revoke all on public.ai_provider_calls from public, anon, authenticated, service_role;
grant select on public.ai_provider_calls to authenticated;
grant select, insert, update on public.ai_provider_calls to service_role;

create function public.begin_provider_call(
  p_job_id uuid,
  p_lease_token uuid,
  p_operation text,
  p_progress integer,
  p_stage text
)
returns table (call_id uuid, decision text, provider_object_id text, is_lookup_conclusive boolean)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_job public.ai_jobs;
  v_call public.ai_provider_calls;
  v_decision text := 'send';
  v_type public.ai_job_types;
begin
  select t.* into v_type
  from public.ai_job_types as t
  join public.ai_jobs as j on j.job_type = t.job_type
  where j.id = p_job_id;

  select * into v_call
  from public.ai_provider_calls as c
  where c.job_id = p_job_id
    and c.operation = p_operation
    and c.outcome in ('sent', 'unknown', 'succeeded', 'adopted')
    and c.discarded_at is null;
  if found then
    v_decision := case when v_call.outcome in ('sent', 'unknown') then 'reconcile' else 'done' end;
  end if;

  -- Nothing is sent for somebody who no longer wants it.
  if v_decision = 'send' and exists (
    select 1 from public.ai_jobs as j
    where j.id = p_job_id and j.lease_token = p_lease_token and j.cancel_requested_at is not null
  ) then
    return query select null::uuid, 'cancelled', null::text, false;
    return;
  end if;

  update public.ai_jobs as j
  set progress_percentage = greatest(j.progress_percentage, p_progress),
      stage = case v_decision when 'send' then p_stage when 'reconcile' then 'reconciling' else j.stage end,
      billable_calls = j.billable_calls + (v_decision = 'send')::integer,
      spend = case when v_decision = 'send' and j.spend = 'none' then 'unknown' else j.spend end,
      lease_expires_at = clock_timestamp() + make_interval(secs => v_type.lease_seconds),
      event_seq = j.event_seq + 1,
      last_event = case v_decision when 'send' then 'submitted' else 'progress' end
  where j.id = p_job_id and j.lease_token = p_lease_token
  returning j.* into v_job;
  if not found then
    return;
  end if;

  if v_decision = 'send' then
    -- What is sent next cannot be taken back, so this must outlive a crash of Postgres, also in a project that has
    -- chosen otherwise for speed.
    if current_setting('synchronous_commit') = 'off' then
      perform set_config('synchronous_commit', 'on', true);
    end if;
    insert into public.ai_provider_calls (job_id, user_id, provider, operation, attempt)
    values (v_job.id, v_job.user_id, v_job.provider, p_operation, v_job.attempt)
    returning * into v_call;
  elsif v_call.outcome = 'sent' then
    -- Only a begin that is asked twice comes here: whoever sent it is not waiting for an answer.
    update public.ai_provider_calls as c set outcome = 'unknown' where c.id = v_call.id
    returning * into v_call;
  end if;

  return query select
    v_call.id,
    v_decision,
    v_call.provider_object_id,
    coalesce(v_call.unknown_since <= clock_timestamp() - make_interval(secs => v_type.reconcile_seconds), false);
end;
$$;
comment on function public.begin_provider_call(uuid, uuid, text, integer, text) is
  'Journals a paid call before it is sent, and says what to do: send; reconcile (an earlier call of this step has an '
  'unknown outcome: ask the provider first); done (it succeeded: use provider_object_id). is_lookup_conclusive: the '
  'outcome has been unknown for so long that an empty look-up means nothing was made; cancelled: the owner asked for that, send '
  'nothing. 0 rows: the lease is lost. service_role only.';

create function public.settle_provider_call(
  p_call_id uuid,
  p_job_id uuid,
  p_lease_token uuid,
  p_outcome text,
  p_provider_object_id text default null,
  p_http_status integer default null,
  p_error_code text default null,
  p_progress integer default 0
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- The job's row is locked first: whoever holds the lease settles, and nobody takes it over in between.
  perform 1 from public.ai_jobs as j where j.id = p_job_id and j.lease_token = p_lease_token for update;
  if not found then
    return false;
  end if;
  update public.ai_provider_calls as c
  set outcome = p_outcome,
      provider_object_id = p_provider_object_id,
      http_status = p_http_status,
      error_code = p_error_code,
      settled_at = case when p_outcome = 'unknown' then null else clock_timestamp() end
  where c.id = p_call_id and c.job_id = p_job_id and c.outcome in ('sent', 'unknown');
  if not found then
    return false;
  end if;
  update public.ai_jobs as j
  set progress_percentage = greatest(j.progress_percentage, p_progress),
      provider_job_id = coalesce(p_provider_object_id, j.provider_job_id),
      spend = (
        select case
          when bool_or(c.outcome in ('succeeded', 'adopted')) then 'incurred'
          when bool_or(c.outcome in ('sent', 'unknown')) then 'unknown'
          else 'none'
        end
        from public.ai_provider_calls as c
        where c.job_id = p_job_id
      ),
      lease_expires_at = clock_timestamp() + make_interval(secs => t.lease_seconds),
      event_seq = j.event_seq + 1,
      last_event = 'settled'
  from public.ai_job_types as t
  where j.id = p_job_id and t.job_type = j.job_type;
  return true;
end;
$$;
comment on function public.settle_provider_call(uuid, uuid, uuid, text, text, integer, text, integer) is
  'Writes what became of a journalled call, and the provider''s id of what it made onto the job, in one commit. '
  'False: the lease is lost or the call is settled already; nothing changed. service_role only.';

revoke execute on function public.begin_provider_call(uuid, uuid, text, integer, text) from public, anon, authenticated;
grant execute on function public.begin_provider_call(uuid, uuid, text, integer, text) to service_role;
revoke execute on function public.settle_provider_call(uuid, uuid, uuid, text, text, integer, text, integer)
  from public, anon, authenticated;
grant execute on function public.settle_provider_call(uuid, uuid, uuid, text, text, integer, text, integer) to service_role;
