-- The journal of paid calls: each call is recorded before it is sent and settled afterwards. After a crash, the next
-- attempt sees that a call may have been sent, and queries the provider instead of sending again. See journal.sql.

create table public.ai_provider_calls (
  id uuid not null default private.uuid_v7(),
  job_id uuid not null,
  user_id uuid not null,
  provider text not null,
  operation text not null,
  attempt integer not null,
  outcome text not null default 'sent',
  provider_object_id text,
  http_status integer,
  error_code text,
  units bigint not null default 1,
  price_micros bigint not null default 0,
  price_units bigint not null default 1,
  estimated_cost_micros bigint not null default 0,
  cost_micros bigint,
  sent_at timestamptz not null default clock_timestamp(),
  unknown_since timestamptz,
  repeated_at timestamptz,
  settled_at timestamptz,
  discarded_at timestamptz,
  answered_at timestamptz,
  trace_id text,
  constraint ai_provider_calls_pkey primary key (id),
  constraint ai_provider_calls_job_id_fkey foreign key (job_id) references public.ai_jobs (id) on delete cascade,
  -- Lengths apart: for a bounded repetition Postgres takes ten times as long.
  constraint ai_provider_calls_operation_is_word check (
    operation ~ '^[a-z][a-z0-9_]+(:[1-9][0-9]*)?$'
    and length(split_part(operation, ':', 1)) <= 63 and length(split_part(operation, ':', 2)) <= 4
  ),
  constraint ai_provider_calls_outcome_is_known
    check (outcome in ('sent', 'unknown', 'succeeded', 'adopted', 'rejected', 'absent')),
  constraint ai_provider_calls_success_has_object
    check (outcome not in ('succeeded', 'adopted') or provider_object_id is not null),
  constraint ai_provider_calls_unknown_since_matches_outcome check ((outcome = 'unknown') = (unknown_since is not null)),
  constraint ai_provider_calls_units_in_range check (units between 0 and 1000000000),
  constraint ai_provider_calls_price_in_range check (price_micros between 0 and 1000000000 and price_units between 1 and 1000000000),
  constraint ai_provider_calls_cost_is_not_negative check (estimated_cost_micros >= 0 and cost_micros >= 0),
  constraint ai_provider_calls_cost_matches_outcome check (
    case
      when outcome in ('sent', 'unknown') then cost_micros is null
      when outcome in ('succeeded', 'adopted', 'rejected', 'absent') then cost_micros is not null
      else true
    end
  ),
  constraint ai_provider_calls_settled_matches_outcome check ((outcome in ('sent', 'unknown')) = (settled_at is null)),
  constraint ai_provider_calls_answer_is_adopted_or_absent check (answered_at is null or outcome in ('adopted', 'absent'))
);
comment on table public.ai_provider_calls is
  'One row per paid provider call, committed before the call is sent. The provider finds what the call created by the '
  'marker job:<job_id>.';
comment on column public.ai_provider_calls.user_id is
  'The job''s owner. No foreign key: the row is deleted with its job, and a check at each call would wait for an '
  'account that is being deleted, which waits for the job.';
comment on column public.ai_provider_calls.operation is 'The step of the job, for example create_voice; text_to_speech:2 is the second of several equal ones.';
comment on column public.ai_provider_calls.trace_id is 'The trace of the job''s traceparent: finds the call in the logs.';
comment on column public.ai_provider_calls.outcome is
  'sent (in flight, or its sender died), unknown (no usable response), succeeded, adopted (found at the provider '
  'later), rejected (definitely refused, nothing charged), absent (the provider was queried: nothing was created).';
comment on column public.ai_provider_calls.units is
  'The amount, in the unit of its price (ai_prices): an estimate while the call is open, then the usage that the '
  'provider reports, if it does.';
comment on column public.ai_provider_calls.price_micros is
  'The price as it was when the call was sent, in millionths of a US dollar for price_units units. A later change of '
  'ai_prices does not touch it.';
comment on column public.ai_provider_calls.estimated_cost_micros is
  'The estimated cost when it was sent, in millionths of a US dollar; reserved in ai_limits until it is settled.';
comment on column public.ai_provider_calls.cost_micros is
  'The actual cost: the price of its units, rounded up; 0 when nothing was created. Null while the call is open.';
comment on column public.ai_provider_calls.unknown_since is
  'When the outcome became unknown: when its sender was known to have died or given up. reconcile_seconds count from '
  'here and not from sent_at, because a provider may work on a call for minutes.';
comment on column public.ai_provider_calls.repeated_at is
  'When its request was last sent once more, after an unknown outcome: the provider recognises it by its idempotency key.';
comment on column public.ai_provider_calls.discarded_at is
  'Since when the janitor removes what the call created: a retry of the job does not use it, and sends a new call.';
comment on column public.ai_provider_calls.answered_at is
  'When an operator recorded the outcome; null when the worker or the janitor found it out.';

-- At most one paid call of a step may be open or have succeeded; the database refuses a second one.
create unique index ai_provider_calls_one_per_step_key on public.ai_provider_calls (job_id, operation)
  where outcome in ('sent', 'unknown', 'succeeded', 'adopted') and discarded_at is null;
create index ai_provider_calls_job_id_sent_at_idx on public.ai_provider_calls (job_id, sent_at);
-- Serves the budget of a provider.
create index ai_provider_calls_open_idx on public.ai_provider_calls (provider) include (estimated_cost_micros)
  where outcome in ('sent', 'unknown');
create index ai_provider_calls_user_id_idx on public.ai_provider_calls (user_id, id);
create index ai_provider_calls_voices_idx on public.ai_provider_calls (provider, job_id)
  where operation = 'create_voice' and outcome in ('sent', 'unknown', 'succeeded', 'adopted') and discarded_at is null;
create index ai_provider_calls_object_idx on public.ai_provider_calls (provider, provider_object_id)
  where provider_object_id is not null;

alter table public.ai_provider_calls enable row level security;

create policy "users can read the provider calls of their own ai jobs"
on public.ai_provider_calls for select to authenticated
using (user_id = (select auth.uid()));

revoke all on public.ai_provider_calls from public, anon, authenticated, service_role;
grant select on public.ai_provider_calls to authenticated;
grant select, insert, update on public.ai_provider_calls to service_role;

create function private.derive_call_outcome()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or new.outcome is distinct from old.outcome then
    new.unknown_since := case when new.outcome = 'unknown' then clock_timestamp() end;
  end if;
  new.cost_micros := case
    when new.outcome in ('succeeded', 'adopted')
      then (new.units * new.price_micros + new.price_units - 1) / new.price_units
    when new.outcome in ('rejected', 'absent') then 0
  end;
  return new;
end;
$$;
comment on function private.derive_call_outcome() is
  'Row trigger: derives the cost and unknown_since for every writer of the outcome or the units.';

create trigger ai_provider_calls_derive_call_outcome
before insert or update of outcome, units on public.ai_provider_calls
for each row execute function private.derive_call_outcome();

create trigger ai_provider_calls_record_object after delete on public.ai_provider_calls
for each row execute function private.record_provider_call_removal();
