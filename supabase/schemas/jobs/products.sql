-- Products: the rows that jobs create as results. Each module registers the kinds that it saves.

create table private.ai_job_products (
  kind text not null,
  constraint ai_job_products_pkey primary key (kind),
  constraint ai_job_products_kind_is_word check (kind ~ '^[a-z][a-z_]{0,39}$')
);
comment on table private.ai_job_products is
  'The kinds of product that complete_ai_jobs accepts. It saves each with private.save_<kind>(public.ai_jobs, jsonb), '
  'as its owner and in the commit that completes the job.';

alter table private.ai_job_products enable row level security;
revoke all on private.ai_job_products from public, anon, authenticated, service_role;
