-- What all users together have spent at a provider in a month.

create table public.ai_provider_spend (
  provider text not null,
  slot smallint not null,
  month date not null,
  spent_micros bigint not null default 0,
  constraint ai_provider_spend_pkey primary key (provider, slot),
  constraint ai_provider_spend_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint ai_provider_spend_slot_in_range check (slot between 0 and 15),
  constraint ai_provider_spend_is_not_negative check (spent_micros >= 0)
);
comment on table public.ai_provider_spend is
  'What all users together have spent at a provider in a calendar month (UTC), in millionths of a US dollar: the sum '
  'of its slots. A separate table, because the amount stays when jobs and accounts are deleted.';
comment on column public.ai_provider_spend.slot is
  'Derived from the user''s id, so that calls that end at the same time rarely wait for each other.';
comment on column public.ai_provider_spend.month is 'First day of the month that spent_micros counts.';

alter table public.ai_provider_spend enable row level security;
revoke all on public.ai_provider_spend from public, anon, authenticated, service_role;
grant select on public.ai_provider_spend to service_role;
