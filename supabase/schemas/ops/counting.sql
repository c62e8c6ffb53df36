-- What appends to the counters: statement triggers with transition tables, so that a batch costs as much as one job.

create function private.count_deleted_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into private.ai_counter_queue (counted_at, event, job_type, provider, from_status, amount)
  select date_trunc('minute', clock_timestamp()), 'deleted', d.job_type, d.provider, d.status, count(*)
  from deleted as d
  where d.status in ('pending', 'processing')
  group by 3, 4, 5;
  return null;
end;
$$;
comment on function private.count_deleted_ai_jobs() is
  'Statement trigger: jobs that are deleted while they wait or run no longer count as such. Security definer because the '
  'roles that delete accounts may not write counts.';
