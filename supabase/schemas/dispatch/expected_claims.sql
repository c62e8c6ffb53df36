-- Inserts that send no dispatch: which of them rely on a claim that a worker is going to make anyway.

create table private.expected_claims (
  id text not null,
  worker text not null,
  is_poll boolean not null,
  expected_at timestamptz not null default clock_timestamp(),
  constraint expected_claims_pkey primary key (id)
);
comment on table private.expected_claims is
  'Claims that a worker is going to make: one for each dispatch that was sent and not received yet, and one for each busy '
  'isolate that polls. Inserts rely on one of the last half second instead of sending a dispatch. A row commits with the '
  'transaction that causes the claim, so that no insert relies on a dispatch that is rolled back. The sweep prunes it.';
comment on column private.expected_claims.id is 'The message id of the dispatch, or the id of the poll.';
comment on column private.expected_claims.is_poll is
  'True: a worker that polls (poll_ai_jobs). Its row lasts until its last poll. False: a dispatch, until it is received.';
comment on column private.expected_claims.expected_at is 'When the dispatch was sent, or the worker last polled.';
create index expected_claims_worker_expected_at_idx on private.expected_claims (worker, expected_at);
alter table private.expected_claims enable row level security;
revoke all on private.expected_claims from public, anon, authenticated, service_role;

create function private.relies_on_expected_claim(p_worker text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  if not exists (
    select 1 from private.expected_claims as e
    where e.worker = p_worker and e.expected_at > clock_timestamp() - interval '500 milliseconds'
  ) then
    return false;
  end if;
  -- Held until this transaction ends: the expected claim waits for it, and finds the jobs. Not available while such a
  -- claim runs, because it may no longer find them.
  return pg_try_advisory_xact_lock_shared(hashtextextended('expected_claims:' || p_worker, 0))
    -- Again, since that claim may have ended in between.
    and exists (
      select 1 from private.expected_claims as e
      where e.worker = p_worker and e.expected_at > clock_timestamp() - interval '500 milliseconds'
    );
end;
$$;
comment on function private.relies_on_expected_claim(text) is
  'Whether a claim that the worker is going to make will find the jobs of this transaction, so that it need not send a '
  'dispatch. Security definer because inserting roles may not read schema private.';

create function private.wait_for_relying_inserts(p_worker text)
returns void
language plpgsql
volatile
security definer
set search_path = ''
-- An insert whose transaction stays open for longer is left to the sweep.
set lock_timeout = '50ms'
as $$
begin
  -- Until this transaction ends, no insert relies on the claim that it makes.
  perform pg_advisory_xact_lock(hashtextextended('expected_claims:' || p_worker, 0));
exception when lock_not_available then
  null;
end;
$$;
comment on function private.wait_for_relying_inserts(text) is
  'Waits until the inserts that rely on the claim that the caller makes have committed, so that it sees their jobs; 50 ms '
  'at most. Security definer because it is called by functions that are.';

create function private.is_polled(p_worker text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  -- The last poll deletes its row, so it waits for the caller's transaction, and then for the inserts that rely on either
  -- claim. One that is already being deleted does not count.
  perform 1
  from private.expected_claims as e
  where e.worker = p_worker and e.is_poll and e.expected_at > clock_timestamp() - interval '250 milliseconds'
  limit 1
  for key share skip locked;
  return found;
end;
$$;
comment on function private.is_polled(text) is
  'Whether a busy worker polls, and its last poll comes after this transaction: an insert that relies on the claim that the '
  'caller makes may then be left to that poll. Security definer because it is called by functions that are.';
