-- Everything that runs on a schedule.

select cron.schedule('sweep-ai-jobs', '2 seconds', 'select private.sweep_ai_jobs()');

select cron.schedule('prune-ai-job-leftovers', '17 * * * *', 'select private.prune_ai_job_leftovers()');

select cron.schedule('prune-provider-webhook-receipts', '23 * * * *', 'select private.prune_provider_webhook_receipts()');

select cron.schedule('run-janitor', '*/15 * * * *', 'select private.run_janitor()');

select cron.schedule('fold-ai-counters', '5 seconds', 'select private.fold_ai_counters()');

select cron.schedule('prune-ai-counters', '29 * * * *', 'select private.prune_ai_counters()');
