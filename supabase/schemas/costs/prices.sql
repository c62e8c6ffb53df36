-- What a paid call costs. The unit is the millionth of a US dollar everywhere.

create table public.ai_prices (
  job_type text not null,
  provider text not null,
  unit text not null,
  per_units bigint not null,
  price_micros bigint not null,
  currency text not null default 'USD',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint ai_prices_pkey primary key (job_type, provider),
  constraint ai_prices_job_type_fkey foreign key (job_type) references public.ai_job_types (job_type),
  constraint ai_prices_provider_fkey foreign key (provider) references public.ai_providers (provider),
  constraint ai_prices_unit_is_known check (unit in ('character', 'second', 'creation')),
  constraint ai_prices_per_units_in_range check (per_units between 1 and 1000000000),
  constraint ai_prices_price_in_range check (price_micros between 0 and 1000000000),
  constraint ai_prices_currency_is_that_of_budgets check (currency = 'USD')
);
comment on table public.ai_prices is
  'What each paid call of a job type costs at a provider: price_micros for per_units units, rounded up. The operator '
  'keeps it equal to their plan; a type and provider without a row cost nothing.';
comment on column public.ai_prices.unit is
  'What the processor of the type counts: characters as the provider bills them, seconds of sound or video, or '
  'creations. For information only; changing it changes no processor.';
comment on column public.ai_prices.price_micros is
  'In millionths of currency, for per_units units. Calls in flight keep their price.';
comment on column public.ai_prices.currency is 'The same for all prices, because budgets and sums cover all of them.';

create index ai_prices_provider_idx on public.ai_prices (provider);

alter table public.ai_prices enable row level security;
revoke all on public.ai_prices from public, anon, authenticated, service_role;
grant select, insert, update on public.ai_prices to service_role;

create trigger ai_prices_touch_updated_at
before update on public.ai_prices
for each row execute function private.touch_updated_at();
