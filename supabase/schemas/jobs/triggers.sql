-- The triggers of ai_jobs, in the order in which they fire. Postgres fires the triggers of one event in the order of
-- their names, so name a new trigger to fit its place, and write it here in that place.
--
-- The order matters: ai_jobs_admit fills in columns that the others read; triggers that change the status fire before
-- ai_jobs_guard_transition checks the change; locks are taken from the least to the most shared (advisory lock of the
-- provider, row of the user), so that two statements cannot deadlock.

-- Before insert, each row.

create trigger ai_jobs_admit
before insert on public.ai_jobs
for each row execute function private.admit_ai_job();

-- After ai_jobs_admit, which sets the provider.
create trigger ai_jobs_lock_voice_places
before insert on public.ai_jobs
for each row when (new.job_type = 'voice_clone')
execute function private.lock_voice_places();

-- After the triggers that change these columns. An update of other columns costs no check.
create trigger ai_jobs_validate_written_once
before insert or update of
  metadata, input_url, idempotency_key, max_attempts, priority, cost_currency, traceparent, depends_on_job_id, id
on public.ai_jobs
for each row execute function private.validate_written_once();

-- After insert, each statement.

create trigger ai_jobs_after_insert_follow
after insert on public.ai_jobs referencing new table as inserted
for each statement execute function private.follow_inserted_ai_jobs();

-- Before update, each row.

create trigger ai_jobs_apply_owner_request
before update of cancel_requested_at, retry_requested_at on public.ai_jobs
for each row execute function private.apply_owner_request();

create trigger ai_jobs_finish_instead_of_requeue
before update on public.ai_jobs
for each row
when (
  old.status = 'processing'
  and (new.status = 'pending' or (new.status = 'failed' and new.cancel_requested_at is not null))
)
execute function private.finish_instead_of_requeue();

create trigger ai_jobs_fix_dependency
before update of depends_on_job_id on public.ai_jobs
for each row when (old.depends_on_job_id is distinct from new.depends_on_job_id)
execute function private.keep_ai_job_dependency();

-- After the triggers that change the status themselves.
create trigger ai_jobs_guard_transition
before update on public.ai_jobs
for each row when (old.status is distinct from new.status)
execute function private.guard_ai_job_transition();

-- Also after them, because only a waiting job has a turn.
create trigger ai_jobs_leave_queue
before update on public.ai_jobs
for each row
when (
  new.queue_key is not null
  and (
    new.status <> 'pending'
    or new.scheduled_at is distinct from old.scheduled_at
    or new.priority is distinct from old.priority
  )
)
execute function private.leave_ai_job_queue();

-- Before the row of the user is locked (ai_jobs_after_update_follow), as on insert.
create trigger ai_jobs_lock_voice_places_again
before update on public.ai_jobs
for each row when (new.job_type = 'voice_clone' and old.status = 'failed' and new.status = 'pending')
execute function private.lock_voice_places();

create trigger ai_jobs_touch_updated_at
before update on public.ai_jobs
for each row execute function private.touch_updated_at();

-- Apart from the columns above, because every completion sets it, and only those with a file to a value.
create trigger ai_jobs_validate_written_output
before update of output_url on public.ai_jobs
for each row when (new.output_url is not null)
execute function private.validate_written_once();

-- After update, each statement.

create trigger ai_jobs_after_update_follow
after update on public.ai_jobs referencing old table as outdated new table as updated
for each statement execute function private.follow_updated_ai_jobs();

-- After delete, each row.

create trigger ai_jobs_record_output after delete on public.ai_jobs
for each row execute function private.record_storage_removal('output_url');

-- After delete, each statement.

create trigger ai_jobs_after_delete_count
after delete on public.ai_jobs referencing old table as deleted
for each statement execute function private.count_deleted_ai_jobs();
