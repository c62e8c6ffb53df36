-- Products: the rows that jobs create as results. Each module registers the kinds that it saves.

create table private.ai_job_products (
  kind text not null,
  constraint ai_job_products_pkey primary key (kind),
  constraint ai_job_products_kind_is_word check (kind ~ '^[a-z][a-z_]{0,39}$')
);
comment on table private.ai_job_products is
  'The kinds of product that complete_ai_jobs accepts. It saves all of a kind with private.save_<kind>(p_items jsonb, '
  'p_job_ids uuid[]), as its owner and in the commit that completes the jobs: p_items is [{job_id, product, …}], and '
  'p_job_ids are the jobs that were completed, with items of other kinds among them.';

alter table private.ai_job_products enable row level security;
revoke all on private.ai_job_products from public, anon, authenticated, service_role;
