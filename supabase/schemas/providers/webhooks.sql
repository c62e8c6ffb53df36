-- Webhooks of providers. A webhook only makes a waiting job poll sooner; the job reads the result from the provider
-- itself. A webhook that is lost, late, repeated or out of order affects nothing but the time.

create table private.provider_webhook_receipts (
  provider text not null,
  event_id text not null,
  received_at timestamptz not null default clock_timestamp(),
  constraint provider_webhook_receipts_pkey primary key (provider, event_id),
  constraint provider_webhook_receipts_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint provider_webhook_receipts_event_id_length check (length(event_id) between 1 and 255)
);
comment on table private.provider_webhook_receipts is
  'Webhook events that were received, so that a recorded delivery cannot be replayed. Deleted after two days.';

create index provider_webhook_receipts_received_at_idx on private.provider_webhook_receipts (received_at);

alter table private.provider_webhook_receipts enable row level security;
revoke all on private.provider_webhook_receipts from public, anon, authenticated, service_role;

create function public.receive_provider_webhook(
  p_provider text,
  p_event_ids text[],
  p_job_id uuid default null,
  p_provider_job_id text default null,
  p_sent_at_unix double precision default null,
  p_tolerance_seconds integer default 300,
  p_submission_id text default null
)
returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_event_id text;
  v_submitted uuid;
  v_woken uuid[];
begin
  if p_sent_at_unix is not null
    and abs(extract(epoch from clock_timestamp()) - p_sent_at_unix) > p_tolerance_seconds then
    raise exception 'the webhook is more than % seconds old or ahead', p_tolerance_seconds using errcode = 'AJ042';
  end if;
  foreach v_event_id in array coalesce(p_event_ids, '{}') loop
    insert into private.provider_webhook_receipts (provider, event_id) values (p_provider, v_event_id)
    on conflict do nothing;
    if not found then
      return 'replayed';
    end if;
  end loop;

  if p_submission_id <> p_provider_job_id then
    -- The response to the request did not contain the id of the result. No lease is needed to store it: it records
    -- what was paid for and does not affect who owns the job.
    update public.ai_jobs as j
    set provider_job_id = p_provider_job_id
    where j.id = p_job_id and j.provider = p_provider and j.provider_job_id = p_submission_id
      and j.status in ('pending', 'processing')
      -- Someone who has the webhook's secret must not make a job read another job's result.
      and not exists (
        select 1 from public.ai_provider_calls as c
        where c.provider = p_provider and c.provider_object_id = p_provider_job_id
      )
    returning j.id into v_submitted;
    update public.ai_provider_calls as c
    set provider_object_id = p_provider_job_id
    where c.job_id = v_submitted and c.provider_object_id = p_submission_id;
  end if;

  with woken as (
    update public.ai_jobs as j
    set scheduled_at = clock_timestamp()
    where j.id in (
      select w.id
      from public.ai_jobs as w
      where w.status = 'pending' and w.last_event = 'snoozed' and w.provider = p_provider
        and w.scheduled_at > clock_timestamp()
        and (w.id = p_job_id or w.provider_job_id = p_provider_job_id)
      for update skip locked
    )
    returning j.id
  )
  select array_agg(w.id) into v_woken from woken as w;
  if v_woken is null then
    return 'nothing_waits';
  end if;
  perform private.dispatch_ai_jobs(v_woken);
  return 'woken';
end;
$$;
comment on function public.receive_provider_webhook(text, text[], uuid, text, double precision, integer, text) is
  'A webhook whose signature the caller has verified. Refuses one that is older or further ahead than the tolerance by '
  'this clock (AJ042), records its events, and makes the job that it names due immediately, if that job waits for this '
  'provider. p_submission_id: the provider''s id of the request, if the webhook has one in addition to the id of the result; '
  'a job that knows only the former gets the latter. Returns woken, nothing_waits or replayed; nothing else about any '
  'job changes. service_role only; security definer because the receipts and the dispatch are in schema private.';
revoke execute on function public.receive_provider_webhook(text, text[], uuid, text, double precision, integer, text)
  from public, anon, authenticated;
grant execute on function public.receive_provider_webhook(text, text[], uuid, text, double precision, integer, text) to service_role;

create function private.prune_provider_webhook_receipts()
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  delete from private.provider_webhook_receipts as r where r.received_at < clock_timestamp() - interval '2 days';
$$;
comment on function private.prune_provider_webhook_receipts() is
  'Hourly: deletes receipts older than two days; a provider retries for at most one day.';
