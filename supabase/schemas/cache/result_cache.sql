-- The result cache in Postgres, used when no Redis is configured. A value is only the id of an earlier job: the database
-- decides from that job's own row what may be reused, so a wrong entry costs time and nothing else. complete_ai_jobs writes
-- the entries, and claim_ai_jobs reads them.

create table public.ai_result_cache (
  cache_key text not null,
  user_id uuid not null,
  value jsonb not null,
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  constraint ai_result_cache_pkey primary key (cache_key),
  constraint ai_result_cache_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  -- Not as {64}, for which Postgres takes ten times as long.
  constraint ai_result_cache_key_is_hash check (length(cache_key) = 71 and cache_key ~ '^ai_job:[0-9a-f]+$')
);
comment on table public.ai_result_cache is 'The earlier job with the same request, by the hash of the request; kept for cache_ttl_seconds.';
comment on column public.ai_result_cache.value is '{"job_id": "<uuid>"}';

create index ai_result_cache_user_id_idx on public.ai_result_cache (user_id, cache_key);
create index ai_result_cache_expires_at_idx on public.ai_result_cache (expires_at);

alter table public.ai_result_cache enable row level security;

create policy "users can read their own cache entries"
on public.ai_result_cache for select to authenticated
using (user_id = (select auth.uid()));

revoke all on public.ai_result_cache from public, anon, authenticated, service_role;
grant select on public.ai_result_cache to authenticated;
grant select, insert, update, delete on public.ai_result_cache to service_role;

create function public.get_ai_result_cache(p_cache_key text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (select c.value from public.ai_result_cache as c where c.cache_key = p_cache_key and c.expires_at > now());
end;
$$;
comment on function public.get_ai_result_cache(text) is
  'The value of an entry that has not ended, or null. Security invoker: an owner sees only entries of their own.';
revoke execute on function public.get_ai_result_cache(text) from public, anon;
grant execute on function public.get_ai_result_cache(text) to authenticated, service_role;
