-- Orders of keepsakes. Money is whole minor units and an ISO 4217 currency. A user may write a draft order; prices
-- come from the vendor's list, payments and deliveries from the service.
--
-- Every change of an order's status, its items, payments or deliveries locks the order's row first. That makes the
-- rules between these tables hold under races.
--
-- Lists of ids are written as `= any (array(select …))`, which is evaluated once per statement and can use an index;
-- `in (select …)` next to an `or` would read the whole table. The two bounds on vendor_id are redundant. Without them
-- Postgres assumes that a vendor has half of all orders, because there are few vendors, and reads the table for every
-- customer.

create table public.orders (
  id uuid not null default private.uuid_v7(),
  user_id uuid default auth.uid(),
  vendor_id uuid not null,
  status text not null default 'draft',
  currency text not null,
  items_total_minor bigint not null default 0,
  shipping_minor bigint not null default 0,
  tax_minor bigint not null default 0,
  total_minor bigint not null generated always as (items_total_minor + shipping_minor + tax_minor) stored,
  shipping_address jsonb,
  placed_at timestamptz,
  paid_at timestamptz,
  completed_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint orders_pkey primary key (id),
  constraint orders_user_id_fkey foreign key (user_id) references auth.users (id) on delete set null,
  constraint orders_vendor_id_fkey foreign key (vendor_id) references public.vendors (id) on delete restrict,
  constraint orders_id_vendor_id_key unique (id, vendor_id),
  constraint orders_id_vendor_id_currency_key unique (id, vendor_id, currency),
  constraint orders_id_currency_key unique (id, currency),
  constraint orders_status_is_known check (
    status in ('draft', 'placed', 'paid', 'in_production', 'shipped', 'delivered', 'cancelled', 'refunded')
  ),
  constraint orders_currency_is_iso check (currency ~ '^[A-Z]{3}$'),
  constraint orders_amounts_are_not_negative check (items_total_minor >= 0 and shipping_minor >= 0 and tax_minor >= 0),
  constraint orders_address_is_object check (jsonb_typeof(shipping_address) = 'object'),
  constraint orders_address_is_small check (octet_length(shipping_address::text) <= 4096),
  constraint orders_placed_at_matches_status check (status in ('draft', 'cancelled') or placed_at is not null),
  constraint orders_paid_at_matches_status check (
    status not in ('paid', 'in_production', 'shipped', 'delivered', 'refunded') or paid_at is not null
  ),
  constraint orders_placed_has_address check (status in ('draft', 'cancelled') or shipping_address is not null or user_id is null),
  constraint orders_forgotten_has_no_address check (user_id is not null or shipping_address is null),
  constraint orders_completed_at_matches_status check (
    (status in ('delivered', 'cancelled', 'refunded')) = (completed_at is not null)
  )
);
comment on table public.orders is
  'An order of keepsakes. The customer writes drafts, places and cancels; the service does the rest. When the '
  'customer''s account is deleted, the order stays for the books, without name and address.';
comment on column public.orders.user_id is 'The customer; null once their account is deleted.';
comment on column public.orders.status is
  'draft, placed (binding, unpaid), paid, in_production, shipped, delivered, cancelled (before payment), refunded '
  '(completely). private.guard_order defines the transitions. report_payments_to_return lists a payment that is '
  'captured after the order was cancelled.';
comment on column public.orders.total_minor is 'The amount that the payments must cover. Minor units.';
comment on column public.orders.placed_at is 'Set by trigger, like paid_at and completed_at.';
comment on column public.orders.paid_at is 'From this moment on the vendor sees the order.';
comment on column public.orders.completed_at is 'When it was delivered, cancelled or refunded.';
comment on column public.orders.items_total_minor is 'Sum of the items, kept by trigger. Minor units of the currency.';
comment on column public.orders.shipping_minor is 'Set by the service. Minor units.';
comment on column public.orders.tax_minor is 'Set by the service. Minor units.';
comment on column public.orders.shipping_address is 'Removed when the account is deleted.';

create index orders_user_id_created_at_idx on public.orders (user_id, created_at desc, id desc);
create index orders_vendor_id_paid_at_idx on public.orders (vendor_id, paid_at desc, id desc);

alter table public.orders enable row level security;

create policy "customers can read their orders, and vendors those to fulfil" on public.orders for select
to authenticated
using (
  user_id = (select auth.uid())
  or (
    paid_at is not null
    and vendor_id = any (array(select m.vendor_id from public.vendor_members as m where m.user_id = (select auth.uid())))
    and vendor_id >= (
      select m.vendor_id from public.vendor_members as m where m.user_id = (select auth.uid()) order by 1 limit 1
    )
    and vendor_id <= (
      select m.vendor_id from public.vendor_members as m where m.user_id = (select auth.uid()) order by 1 desc limit 1
    )
  )
);

create policy "users can draft orders of their own" on public.orders for insert to authenticated
with check (user_id = (select auth.uid()));

create policy "customers can change their own orders" on public.orders for update to authenticated
using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

create policy "customers can remove their own drafts" on public.orders for delete to authenticated
using (user_id = (select auth.uid()) and status = 'draft');

revoke all on public.orders from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.orders to service_role;
grant select, delete on public.orders to authenticated;
grant insert (user_id, vendor_id, currency, shipping_address) on public.orders to authenticated;
grant update (status, shipping_address) on public.orders to authenticated;

create trigger orders_touch_updated_at
before update on public.orders
for each row execute function private.touch_updated_at();
