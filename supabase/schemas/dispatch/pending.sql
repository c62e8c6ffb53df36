-- Inserts that share a dispatch: which of them rely on one that is in flight.

create table private.pending_dispatches (
  message_id text not null,
  worker text not null,
  sent_at timestamptz not null default clock_timestamp(),
  constraint pending_dispatches_pkey primary key (message_id)
);
comment on table private.pending_dispatches is
  'Dispatches that were sent and not received yet, as far as is known: inserts rely on one of the last half second '
  'instead of '
  'sending another. A row commits with the transaction that sends it, so that no insert relies on a dispatch that is '
  'rolled back. The sweep prunes it.';
create index pending_dispatches_worker_sent_at_idx on private.pending_dispatches (worker, sent_at);
alter table private.pending_dispatches enable row level security;
revoke all on private.pending_dispatches from public, anon, authenticated, service_role;

create function private.relies_on_dispatch(p_worker text)
returns boolean
language plpgsql
volatile
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
begin
  if not exists (
    select 1 from private.pending_dispatches as d
    where d.worker = p_worker and d.sent_at > clock_timestamp() - interval '500 milliseconds'
  ) then
    return false;
  end if;
  -- Held until this transaction ends: the claim that the dispatch causes waits for it, and finds the jobs. Not available
  -- while such a claim runs, because it may no longer find them.
  return pg_try_advisory_xact_lock_shared(hashtextextended('pending_dispatches:' || p_worker, 0))
    -- Again, since that claim may have ended in between.
    and exists (
      select 1 from private.pending_dispatches as d
      where d.worker = p_worker and d.sent_at > clock_timestamp() - interval '500 milliseconds'
    );
end;
$$;
comment on function private.relies_on_dispatch(text) is
  'Whether a dispatch that is in flight to the worker will find the jobs of this transaction, so that it need not send one. '
  'Security definer because inserting roles may not read schema private.';

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
  -- Until this transaction ends, no insert relies on a dispatch that has been received.
  perform pg_advisory_xact_lock(hashtextextended('pending_dispatches:' || p_worker, 0));
exception when lock_not_available then
  null;
end;
$$;
comment on function private.wait_for_relying_inserts(text) is
  'Waits until the inserts that rely on the dispatch that the caller answers have committed, so that its claim sees their '
  'jobs; 50 ms at most. Security definer because it is called by functions that are.';
