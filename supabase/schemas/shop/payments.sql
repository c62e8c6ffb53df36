-- Payments of orders.

create table public.payments (
  id uuid not null default private.uuid_v7(),
  order_id uuid not null,
  user_id uuid,
  provider text not null,
  provider_payment_id text not null,
  status text not null default 'pending',
  amount_minor bigint not null,
  refunded_minor bigint not null default 0,
  currency text not null,
  captured_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint payments_pkey primary key (id),
  constraint payments_order_fkey foreign key (order_id, currency) references public.orders (id, currency) on delete restrict,
  constraint payments_user_id_fkey foreign key (user_id) references auth.users (id) on delete set null,
  constraint payments_provider_payment_id_key unique (provider, provider_payment_id),
  constraint payments_status_is_known check (
    status in ('pending', 'authorised', 'captured', 'partially_refunded', 'refunded', 'failed', 'cancelled')
  ),
  constraint payments_amount_is_positive check (amount_minor > 0),
  constraint payments_refund_within_amount check (refunded_minor between 0 and amount_minor),
  constraint payments_refund_matches_status check (
    (status = 'refunded') = (refunded_minor = amount_minor)
    and (status = 'partially_refunded') = (refunded_minor > 0 and refunded_minor < amount_minor)
  ),
  constraint payments_captured_at_matches_status check (
    (status in ('captured', 'partially_refunded', 'refunded')) = (captured_at is not null)
  ),
  constraint payments_currency_is_iso check (currency ~ '^[A-Z]{3}$'),
  constraint payments_provider_is_word check (provider ~ '^[a-z][a-z0-9-]{1,62}$'),
  constraint payments_provider_payment_id_length check (length(provider_payment_id) between 1 and 255)
);
comment on table public.payments is
  'A payment of an order, as the payment provider reports it. Only the service writes it; it stays when the account is '
  'deleted.';
comment on column public.payments.user_id is
  'The order''s customer, set by trigger so that the policy needs no join; null once their account is deleted.';
comment on column public.payments.provider is 'The payment provider, for example stripe.';
comment on column public.payments.provider_payment_id is
  'The provider''s id: a notification that arrives twice creates one row.';
comment on column public.payments.status is
  'pending, authorised (reserved), captured (charged), partially_refunded, refunded, failed, cancelled. '
  'private.guard_payment defines the transitions.';
comment on column public.payments.amount_minor is 'Minor units.';
comment on column public.payments.refunded_minor is 'Refunded so far. Minor units.';
comment on column public.payments.captured_at is 'When the payment was captured; never changes afterwards.';

create index payments_order_id_idx on public.payments (order_id, currency);
create index payments_user_id_created_at_idx on public.payments (user_id, created_at desc, id desc);

alter table public.payments enable row level security;

create policy "users can read their own payments" on public.payments for select to authenticated
using (user_id = (select auth.uid()));

revoke all on public.payments from public, anon, authenticated, service_role;

-- These are accounting records: no role may delete them.
grant select, insert, update on public.payments to service_role;
grant select on public.payments to authenticated;

create trigger payments_touch_updated_at
before update on public.payments
for each row execute function private.touch_updated_at();
