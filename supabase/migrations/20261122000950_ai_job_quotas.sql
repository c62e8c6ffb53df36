-- Quotas per user, exact under any number of parallel inserts: the counts live in one row per user, which each
-- transaction that changes the user's jobs locks and updates itself.

create function private.count_active_ai_jobs(p_changes jsonb)
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_change record;
  v_limits public.ai_limits;
  v_default public.ai_limits;
begin
  select * into v_default from public.ai_limits as l where l.user_id is null;
  -- In the order of the ids, so that two statements over several users cannot wait for each other.
  for v_change in
    select c.user_id, c.active, c.created
    from jsonb_to_recordset(p_changes) as c (user_id uuid, active integer, created integer)
    order by c.user_id
  loop
    insert into public.ai_limits as l (user_id, active_jobs, counted_on, jobs_that_day)
    values (v_change.user_id, greatest(v_change.active, 0), current_date, v_change.created)
    on conflict (user_id) do update
    set active_jobs = greatest(l.active_jobs + v_change.active, 0),
        jobs_that_day = case
          when v_change.created = 0 then l.jobs_that_day
          when l.counted_on = current_date then l.jobs_that_day + v_change.created
          else v_change.created
        end,
        counted_on = case when v_change.created = 0 then l.counted_on else current_date end
    returning l.* into v_limits;

    if v_change.active > 0
      and v_limits.active_jobs > coalesce(v_limits.max_active_jobs, v_default.max_active_jobs) then
      raise exception 'at most % jobs may wait or run at once',
        coalesce(v_limits.max_active_jobs, v_default.max_active_jobs) using errcode = 'AJ034', detail = 'user_id';
    end if;
    if v_change.created > 0
      and v_limits.jobs_that_day > coalesce(v_limits.max_jobs_per_day, v_default.max_jobs_per_day) then
      raise exception 'at most % jobs may be created in a day',
        coalesce(v_limits.max_jobs_per_day, v_default.max_jobs_per_day) using errcode = 'AJ035', detail = 'user_id';
    end if;
  end loop;
end;
$$;
comment on function private.count_active_ai_jobs(jsonb) is
  'Adds to the counts of users: [{user_id, active, created}]. It raises AJ034 or AJ035 when that would exceed a '
  'quota, which undoes the whole statement. Security definer because owners may not write their own counts.';

create function private.count_inserted_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.count_active_ai_jobs(
    (
      select coalesce(jsonb_agg(to_jsonb(g)), '[]')
      from (
        select i.user_id, count(*) filter (where i.status in ('pending', 'processing')) as active, count(*) as created
        from inserted as i
        group by i.user_id
      ) as g
    )
  );
  return null;
end;
$$;
comment on function private.count_inserted_ai_jobs() is 'Statement trigger: counts new jobs. Security definer because it calls a function that is.';

create function private.count_updated_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_changes jsonb;
begin
  select jsonb_agg(to_jsonb(g)) into v_changes
  from (
    select n.user_id,
      sum((n.status in ('pending', 'processing'))::integer - (o.status in ('pending', 'processing'))::integer) as active,
      0 as created
    from updated as n
    join outdated as o on o.id = n.id
    where (n.status in ('pending', 'processing')) <> (o.status in ('pending', 'processing'))
    group by n.user_id
  ) as g;
  if v_changes is not null then
    perform private.count_active_ai_jobs(v_changes);
  end if;
  return null;
end;
$$;
comment on function private.count_updated_ai_jobs() is 'Statement trigger: counts jobs that ended or came back. Security definer because it calls a function that is.';

create function private.count_deleted_ai_jobs()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Of users that are going themselves there is nothing to count.
  update public.ai_limits as l
  set active_jobs = greatest(l.active_jobs - g.active, 0)
  from (
    select d.user_id, count(*) as active
    from deleted as d
    where d.status in ('pending', 'processing')
    group by d.user_id
  ) as g
  where l.user_id = g.user_id;
  return null;
end;
$$;
comment on function private.count_deleted_ai_jobs() is 'Statement trigger: counts jobs that are gone. Security definer because the counts are nobody else''s to write.';

create trigger ai_jobs_after_insert_count
after insert on public.ai_jobs referencing new table as inserted
for each statement execute function private.count_inserted_ai_jobs();

create trigger ai_jobs_after_update_count
after update on public.ai_jobs referencing old table as outdated new table as updated
for each statement execute function private.count_updated_ai_jobs();

create trigger ai_jobs_after_delete_count
after delete on public.ai_jobs referencing old table as deleted
for each statement execute function private.count_deleted_ai_jobs();
