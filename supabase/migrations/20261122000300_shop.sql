-- The module shop: vendors, orders, payments and deliveries. Needs core and people.
-- Written by `deno task db:baseline` from supabase/schemas. Not to be edited: change the schema file.

-- ===== supabase/schemas/shop/vendors.sql

-- Vendors print and ship keepsakes.
--
-- Lists of ids are written as `= any (array(select …))`, which is evaluated once per statement and can use an index;
-- `in (select …)` next to an `or` would read the whole table.

create table public.vendors (
  id uuid not null default private.uuid_v7(),
  name text not null,
  country text not null,
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint vendors_pkey primary key (id),
  constraint vendors_name_key unique (name),
  constraint vendors_name_length check (length(name) between 1 and 100),
  constraint vendors_country_is_iso check (country ~ '^[A-Z]{2}$')
);
comment on table public.vendors is
  'The companies that print and ship. Maintained by the service; a vendor with orders cannot be deleted, only '
  'deactivated.';
comment on column public.vendors.country is 'Where the vendor ships from, as ISO 3166-1 alpha-2.';
comment on column public.vendors.is_active is 'False: the vendor accepts no new orders; orders in progress continue.';

alter table public.vendors enable row level security;

revoke all on public.vendors from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.vendors to service_role;
grant select on public.vendors to authenticated;

create table public.vendor_members (
  vendor_id uuid not null,
  user_id uuid not null,
  created_at timestamptz not null default now(),
  constraint vendor_members_pkey primary key (vendor_id, user_id),
  constraint vendor_members_vendor_id_fkey foreign key (vendor_id) references public.vendors (id) on delete cascade,
  constraint vendor_members_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade
);
comment on table public.vendor_members is
  'Users who act for a vendor and can therefore read the vendor''s paid orders. Maintained by the service.';

create index vendor_members_user_id_idx on public.vendor_members (user_id);

alter table public.vendor_members enable row level security;

create policy "users can read their own vendor memberships" on public.vendor_members for select to authenticated
using (user_id = (select auth.uid()));

revoke all on public.vendor_members from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.vendor_members to service_role;
grant select on public.vendor_members to authenticated;

-- On vendors, but here because it reads vendor_members.
create policy "signed-in users can read active vendors and their own" on public.vendors for select to authenticated
using (
  is_active
  or id = any (array(select m.vendor_id from public.vendor_members as m where m.user_id = (select auth.uid())))
);

create table public.vendor_products (
  id uuid not null default private.uuid_v7(),
  vendor_id uuid not null,
  sku text not null,
  name text not null,
  unit_price_minor bigint not null,
  currency text not null,
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint vendor_products_pkey primary key (id),
  constraint vendor_products_vendor_id_fkey foreign key (vendor_id) references public.vendors (id) on delete restrict,
  constraint vendor_products_sku_key unique (vendor_id, sku),
  constraint vendor_products_id_vendor_id_currency_key unique (id, vendor_id, currency),
  constraint vendor_products_sku_is_code check (sku ~ '^[A-Z0-9][A-Z0-9-]{1,39}$'),
  constraint vendor_products_name_length check (length(name) between 1 and 200),
  constraint vendor_products_price_in_range check (unit_price_minor between 1 and 10000000),
  constraint vendor_products_currency_is_iso check (currency ~ '^[A-Z]{3}$')
);
comment on table public.vendor_products is
  'The price list, maintained by the service. An order item copies name and price from here while its order is a '
  'draft.';
comment on column public.vendor_products.sku is 'The vendor''s product code, unique in its list.';
comment on column public.vendor_products.unit_price_minor is
  'In the smallest unit of the currency: cents for EUR, whole yen for JPY.';
comment on column public.vendor_products.is_active is
  'False: the product is no longer sold; items of placed orders keep it.';

alter table public.vendor_products enable row level security;

create policy "signed-in users can read what vendors sell" on public.vendor_products for select to authenticated
using (
  (is_active and vendor_id = any (array(select v.id from public.vendors as v where v.is_active)))
  or vendor_id = any (array(select m.vendor_id from public.vendor_members as m where m.user_id = (select auth.uid())))
);

revoke all on public.vendor_products from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.vendor_products to service_role;
grant select on public.vendor_products to authenticated;

create trigger vendors_touch_updated_at
before update on public.vendors
for each row execute function private.touch_updated_at();

create trigger vendor_products_touch_updated_at
before update on public.vendor_products
for each row execute function private.touch_updated_at();

-- ===== supabase/schemas/shop/orders.sql

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

-- ===== supabase/schemas/shop/order_items.sql

-- The items of an order.

create table public.order_items (
  id uuid not null default private.uuid_v7(),
  order_id uuid not null,
  vendor_id uuid not null,
  product_id uuid not null,
  currency text not null,
  pdf_id uuid,
  description text not null,
  quantity integer not null,
  unit_price_minor bigint not null,
  line_total_minor bigint not null generated always as (quantity * unit_price_minor) stored,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint order_items_pkey primary key (id),
  constraint order_items_order_fkey foreign key (order_id, vendor_id, currency)
    references public.orders (id, vendor_id, currency) on delete cascade,
  constraint order_items_product_fkey foreign key (product_id, vendor_id, currency)
    references public.vendor_products (id, vendor_id, currency) on delete restrict,
  constraint order_items_pdf_id_fkey foreign key (pdf_id) references public.pdfs (id) on delete set null,
  constraint order_items_quantity_in_range check (quantity between 1 and 1000),
  constraint order_items_price_is_not_negative check (unit_price_minor >= 0)
);
comment on table public.order_items is
  'The items of an order. Foreign keys make product, order and currency belong to one vendor. A trigger copies name '
  'and price from the price list; the customer cannot write them.';
comment on column public.order_items.vendor_id is 'The order''s vendor, repeated for the foreign keys; set by trigger.';
comment on column public.order_items.currency is 'The order''s currency, repeated for the foreign keys; set by trigger.';
comment on column public.order_items.pdf_id is
  'The keepsake to print; it belongs to the order''s customer (trigger). It cannot be deleted while the order is '
  'placed and not yet shipped.';
comment on column public.order_items.description is 'Name of the product as ordered; set by trigger.';
comment on column public.order_items.unit_price_minor is
  'Minor units. Copied from the price list at every write while the order is a draft, and fixed once the order is '
  'placed.';
comment on column public.order_items.line_total_minor is 'Minor units.';

create index order_items_order_id_idx on public.order_items (order_id, vendor_id, currency);
create index order_items_product_id_idx on public.order_items (product_id, vendor_id, currency);
create index order_items_pdf_id_idx on public.order_items (pdf_id);

alter table public.order_items enable row level security;

create policy "users who can read an order can read its items" on public.order_items for select to authenticated
using (exists (select 1 from public.orders as o where o.id = order_items.order_id));

create policy "customers can add items to their own drafts" on public.order_items for insert to authenticated
with check (
  exists (
    select 1 from public.orders as o where o.id = order_items.order_id and o.user_id = (select auth.uid()) and o.status = 'draft'
  )
);

create policy "customers can change items of their own drafts" on public.order_items for update to authenticated
using (
  exists (
    select 1 from public.orders as o where o.id = order_items.order_id and o.user_id = (select auth.uid()) and o.status = 'draft'
  )
)
with check (
  exists (
    select 1 from public.orders as o where o.id = order_items.order_id and o.user_id = (select auth.uid()) and o.status = 'draft'
  )
);

create policy "customers can remove items of their own drafts" on public.order_items for delete to authenticated
using (
  exists (
    select 1 from public.orders as o where o.id = order_items.order_id and o.user_id = (select auth.uid()) and o.status = 'draft'
  )
);

revoke all on public.order_items from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.order_items to service_role;
grant select, delete on public.order_items to authenticated;
grant insert (order_id, product_id, pdf_id, quantity) on public.order_items to authenticated;
grant update (pdf_id, quantity) on public.order_items to authenticated;

create trigger order_items_touch_updated_at
before update on public.order_items
for each row execute function private.touch_updated_at();

-- ===== supabase/schemas/shop/payments.sql

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

-- ===== supabase/schemas/shop/deliveries.sql

-- Deliveries of orders. For the bounds on vendor_id see orders.sql.

create table public.deliveries (
  id uuid not null default private.uuid_v7(),
  order_id uuid not null,
  vendor_id uuid not null,
  user_id uuid,
  carrier text,
  tracking_number text,
  status text not null default 'preparing',
  shipped_at timestamptz,
  delivered_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint deliveries_pkey primary key (id),
  constraint deliveries_order_fkey foreign key (order_id, vendor_id) references public.orders (id, vendor_id) on delete restrict,
  constraint deliveries_user_id_fkey foreign key (user_id) references auth.users (id) on delete set null,
  constraint deliveries_tracking_number_key unique (carrier, tracking_number),
  constraint deliveries_status_is_known check (status in ('preparing', 'shipped', 'delivered', 'returned', 'lost')),
  constraint deliveries_tracking_has_carrier check ((carrier is null) = (tracking_number is null)),
  constraint deliveries_carrier_is_word check (carrier ~ '^[a-z][a-z0-9-]{1,62}$'),
  -- One spelling, so that the unique constraint is effective.
  constraint deliveries_tracking_number_is_code check (tracking_number ~ '^[A-Z0-9][A-Z0-9-]{3,39}$'),
  constraint deliveries_shipped_at_matches_status check (status = 'preparing' or shipped_at is not null),
  constraint deliveries_shipped_has_tracking check (status = 'preparing' or tracking_number is not null or user_id is null),
  constraint deliveries_forgotten_has_no_tracking check (user_id is not null or tracking_number is null),
  constraint deliveries_delivered_at_matches_status check ((status = 'delivered') = (delivered_at is not null)),
  constraint deliveries_delivered_after_shipped check (delivered_at >= shipped_at)
);
comment on table public.deliveries is
  'A parcel of an order. Only the service writes it; customer and vendor can read it. When the customer''s account is '
  'deleted, the delivery stays for the books, without the tracking number.';
comment on column public.deliveries.vendor_id is 'The order''s vendor, set by trigger.';
comment on column public.deliveries.user_id is
  'The order''s customer, set by trigger so that the policy needs no join; null once their account is deleted.';
comment on column public.deliveries.carrier is
  'The carrier, in one spelling: dhl, post-at, ups. Removed with the tracking number.';
comment on column public.deliveries.tracking_number is
  'Unique per carrier; capitals, digits and hyphens. Removed when the account is deleted, and none is accepted '
  'afterwards.';
comment on column public.deliveries.status is
  'preparing, shipped, delivered, returned, lost. private.guard_delivery defines the transitions.';

create index deliveries_order_id_idx on public.deliveries (order_id, vendor_id);
create index deliveries_user_id_created_at_idx on public.deliveries (user_id, created_at desc, id desc);
create index deliveries_vendor_id_created_at_idx on public.deliveries (vendor_id, created_at desc, id desc);

alter table public.deliveries enable row level security;

create policy "customers can read their deliveries, and vendors their own" on public.deliveries for select
to authenticated
using (
  user_id = (select auth.uid())
  or (
    vendor_id = any (array(select m.vendor_id from public.vendor_members as m where m.user_id = (select auth.uid())))
    and vendor_id >= (
      select m.vendor_id from public.vendor_members as m where m.user_id = (select auth.uid()) order by 1 limit 1
    )
    and vendor_id <= (
      select m.vendor_id from public.vendor_members as m where m.user_id = (select auth.uid()) order by 1 desc limit 1
    )
  )
);

revoke all on public.deliveries from public, anon, authenticated, service_role;

-- These are accounting records: no role may delete them.
grant select, insert, update on public.deliveries to service_role;
grant select on public.deliveries to authenticated;

create trigger deliveries_touch_updated_at
before update on public.deliveries
for each row execute function private.touch_updated_at();

-- ===== supabase/schemas/shop/rules.sql

-- The rules between orders, items, payments and deliveries, and their triggers.

create function private.fill_order_item()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_is_customer boolean := current_setting('role') = 'authenticated';
  v_order public.orders;
  v_product public.vendor_products;
begin
  -- Deleting a keepsake leaves the item unchanged, in any state of the order.
  if tg_op = 'UPDATE' and old.pdf_id is not null and new.pdf_id is null
    and (new.order_id, new.product_id, new.quantity) is not distinct from (old.order_id, old.product_id, old.quantity)
    and not exists (select 1 from public.pdfs as p where p.id = old.pdf_id) then
    return new;
  end if;

  -- Locked, so that no item can be added to an order that is being placed at the same moment. The policy sees the row
  -- only after this trigger, so the errors below must reveal nothing about another customer's order.
  select * into v_order from public.orders as o
  where o.id = case when tg_op = 'DELETE' then old.order_id else new.order_id end
    and (not v_is_customer or o.user_id = auth.uid())
  for update;
  if not found then
    if tg_op = 'DELETE' then
      return old; -- with its order
    elsif v_is_customer then
      raise exception 'new row violates row-level security policy for table "order_items"' using errcode = '42501';
    end if;
    raise exception 'order_id must name an order' using errcode = 'AJ061', detail = 'order_id';
  end if;
  if v_order.status <> 'draft' then
    raise exception 'the order is %; only the items of a draft can change', v_order.status
      using errcode = 'AJ060', detail = 'order_id';
  end if;
  if tg_op = 'DELETE' then
    return old;
  end if;
  if tg_op = 'UPDATE' and (new.order_id, new.product_id) is distinct from (old.order_id, old.product_id) then
    raise exception 'the order and product of an item cannot change; add another item' using errcode = 'AJ060', detail = 'product_id';
  end if;
  if new.pdf_id is not null and not exists (
    select 1 from public.pdfs as p where p.id = new.pdf_id and p.user_id = v_order.user_id
  ) then
    raise exception 'pdf_id must name a keepsake of the customer' using errcode = 'AJ061', detail = 'pdf_id';
  end if;
  select p.* into v_product
  from public.vendor_products as p
  join public.vendors as v on v.id = p.vendor_id
  where p.id = new.product_id and p.vendor_id = v_order.vendor_id and p.currency = v_order.currency
    and p.is_active and v.is_active;
  if not found then
    raise exception 'product_id must name a product that this vendor sells in %', v_order.currency
      using errcode = 'AJ061', detail = 'product_id';
  end if;
  new.vendor_id := v_product.vendor_id;
  new.currency := v_product.currency;
  new.description := v_product.name;
  new.unit_price_minor := v_product.unit_price_minor;
  return new;
end;
$$;
comment on function private.fill_order_item() is
  'Row trigger: an item changes only while its order is a draft, keeps its order and product, and may name only a '
  'keepsake of the customer; name and price are copied from the price list. Security definer because customers may not '
  'write name and price; therefore it checks the owner of the order itself.';

create function private.total_order_items()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_order_id uuid := case when tg_op = 'DELETE' then old.order_id else new.order_id end;
begin
  if tg_op = 'UPDATE' and new.line_total_minor = old.line_total_minor then
    return null;
  end if;
  update public.orders as o
  set items_total_minor = (
    select coalesce(sum(i.line_total_minor), 0) from public.order_items as i where i.order_id = v_order_id
  )
  where o.id = v_order_id;
  return null;
end;
$$;
comment on function private.total_order_items() is
  'Row trigger: keeps orders.items_total_minor equal to the sum of the items. Security definer because nobody else may '
  'write that column.';

create function private.captured_for_order(p_order_id uuid)
returns bigint
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(sum(p.amount_minor - p.refunded_minor), 0)::bigint
  from public.payments as p
  where p.order_id = p_order_id and p.captured_at is not null;
$$;
comment on function private.captured_for_order(uuid) is
  'The customer''s money that we hold for an order: captured and not refunded. Minor units.';

create function private.guard_order()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_is_customer boolean := current_setting('role') = 'authenticated';
  -- Not new.total_minor: a generated column has no value yet in a trigger that runs before the write.
  v_total bigint;
  v_captured bigint;
begin
  if tg_op = 'DELETE' then
    if old.status <> 'draft' then
      raise exception 'the order is %; only a draft can be deleted', old.status using errcode = 'AJ060', detail = 'status';
    end if;
    return old;
  end if;

  if tg_op = 'INSERT' then
    if new.status <> 'draft' or new.items_total_minor <> 0 then
      raise exception 'a new order must be an empty draft' using errcode = 'AJ062', detail = 'status';
    end if;
    if new.user_id is null then
      raise exception 'an order must have a customer (user_id)' using errcode = 'AJ060', detail = 'user_id';
    end if;
    -- Before the foreign key, whose error would reveal that a vendor exists which the customer cannot see.
    if v_is_customer and not exists (select 1 from public.vendors as v where v.id = new.vendor_id and v.is_active) then
      raise exception 'vendor_id must name a vendor that accepts orders' using errcode = 'AJ061', detail = 'vendor_id';
    end if;
    return new;
  end if;

  if (new.vendor_id, new.currency) is distinct from (old.vendor_id, old.currency) then
    raise exception 'the vendor and currency of an order cannot change; create another order' using errcode = 'AJ060', detail = 'vendor_id';
  end if;
  if new.user_id is distinct from old.user_id then
    if new.user_id is not null then
      raise exception 'the customer of an order cannot change' using errcode = 'AJ060', detail = 'user_id';
    end if;
    -- The account is deleted. Unpaid orders are cancelled; the others are kept for the books.
    new.shipping_address := null;
    if old.status in ('draft', 'placed') and private.captured_for_order(old.id) = 0 then
      new.status := 'cancelled';
    end if;
  end if;
  if (new.shipping_minor, new.tax_minor) is distinct from (old.shipping_minor, old.tax_minor)
    and old.status not in ('draft', 'placed') then
    raise exception 'the amounts of an order that is % cannot change', old.status using errcode = 'AJ060', detail = 'status';
  end if;
  if v_is_customer and new.shipping_address is distinct from old.shipping_address and old.status <> 'draft' then
    raise exception 'the address of an order that is % cannot change', old.status
      using errcode = 'AJ060', detail = 'shipping_address';
  end if;
  if new.items_total_minor is distinct from old.items_total_minor
    and new.items_total_minor <> (
      select coalesce(sum(i.line_total_minor), 0) from public.order_items as i where i.order_id = new.id
    ) then
    raise exception 'items_total_minor must equal the sum of the items' using errcode = 'AJ060', detail = 'items_total_minor';
  end if;

  if new.status = old.status then
    return new;
  end if;
  if (old.status, new.status) not in (
    ('draft', 'placed'), ('draft', 'cancelled'),
    ('placed', 'paid'), ('placed', 'cancelled'),
    ('paid', 'in_production'), ('paid', 'refunded'),
    ('in_production', 'shipped'), ('in_production', 'refunded'),
    ('shipped', 'delivered'), ('shipped', 'refunded'),
    ('delivered', 'refunded')
  ) or (v_is_customer and new.status not in ('placed', 'cancelled')) then
    raise exception 'an order cannot change from % to %', old.status, new.status using errcode = 'AJ062', detail = 'status';
  end if;

  v_total := new.items_total_minor + new.shipping_minor + new.tax_minor;
  v_captured := private.captured_for_order(new.id);
  if new.status = 'placed' then
    if not exists (select 1 from public.order_items as i where i.order_id = new.id) then
      raise exception 'an order without items cannot be placed' using errcode = 'AJ062', detail = 'status';
    end if;
    if new.shipping_address is null then
      raise exception 'an order without an address cannot be placed' using errcode = 'AJ062', detail = 'shipping_address';
    end if;
    -- The draft may be a year old, so the prices are checked again.
    if exists (
      select 1
      from public.order_items as i
      join public.vendor_products as p on p.id = i.product_id
      join public.vendors as v on v.id = p.vendor_id
      where i.order_id = new.id and not (p.is_active and v.is_active and p.unit_price_minor = i.unit_price_minor)
    ) then
      raise exception 'an item is no longer sold at its price; update it to get the current price, or remove it'
        using errcode = 'AJ062', detail = 'order_items';
    end if;
    new.placed_at := now();
  elsif new.status = 'paid' then
    if v_captured < v_total then
      raise exception 'the order costs %, but only % are captured', v_total, v_captured using errcode = 'AJ062', detail = 'status';
    end if;
    new.paid_at := now();
  elsif new.status in ('cancelled', 'refunded') then
    if v_captured <> 0 then
      raise exception 'an order cannot be % before its payments are refunded; % are left', new.status, v_captured
        using errcode = 'AJ062', detail = 'status';
    end if;
  elsif new.status = 'shipped' then
    if not exists (select 1 from public.deliveries as d where d.order_id = new.id and d.shipped_at is not null) then
      raise exception 'an order without a shipped delivery cannot be shipped' using errcode = 'AJ062', detail = 'status';
    end if;
  elsif new.status = 'delivered' then
    if not exists (select 1 from public.deliveries as d where d.order_id = new.id and d.status = 'delivered')
      or exists (select 1 from public.deliveries as d where d.order_id = new.id and d.status in ('preparing', 'shipped')) then
      raise exception 'an order cannot be delivered before all its deliveries are' using errcode = 'AJ062', detail = 'status';
    end if;
  end if;
  if new.status in ('delivered', 'cancelled', 'refunded') then
    new.completed_at := now();
  end if;
  return new;
end;
$$;
comment on function private.guard_order() is
  'Row trigger: an order begins as an empty draft with an active vendor, keeps customer, vendor and currency, and '
  'changes only along its transitions. Only a draft can be deleted. To become placed it needs items at current prices '
  'and an address; paid: captured payments that cover the total; cancelled or refunded: all money refunded; shipped or '
  'delivered: deliveries. A customer may place and cancel. When the account is deleted, name and address are removed. '
  'Security definer because it reads payments, deliveries and items that the caller may not see.';

create function private.guard_payment()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_order public.orders;
begin
  if tg_op = 'INSERT' then
    select * into v_order from public.orders as o where o.id = new.order_id for update;
    if v_order.status = 'draft' then
      raise exception 'a draft cannot be paid; place the order first' using errcode = 'AJ063', detail = 'order_id';
    end if;
    new.user_id := v_order.user_id;
  else
    if (new.order_id, new.provider, new.provider_payment_id, new.amount_minor, new.currency)
      is distinct from (old.order_id, old.provider, old.provider_payment_id, old.amount_minor, old.currency) then
      raise exception 'the order, amount, currency and provider''s id of a payment cannot change'
        using errcode = 'AJ063', detail = 'amount_minor';
    end if;
    if new.user_id is distinct from old.user_id and new.user_id is not null then
      raise exception 'the customer of a payment cannot change' using errcode = 'AJ063', detail = 'user_id';
    end if;
    if new.refunded_minor < old.refunded_minor then
      raise exception 'refunded_minor cannot decrease' using errcode = 'AJ063', detail = 'refunded_minor';
    end if;
    if new.status <> old.status and (old.status, new.status) not in (
      ('pending', 'authorised'), ('pending', 'captured'), ('pending', 'failed'), ('pending', 'cancelled'),
      ('authorised', 'captured'), ('authorised', 'failed'), ('authorised', 'cancelled'),
      ('captured', 'partially_refunded'), ('captured', 'refunded'),
      ('partially_refunded', 'refunded')
    ) then
      raise exception 'a payment cannot change from % to %', old.status, new.status using errcode = 'AJ063', detail = 'status';
    end if;
    if old.captured_at is not null and new.captured_at is distinct from old.captured_at then
      raise exception 'captured_at cannot change' using errcode = 'AJ063', detail = 'captured_at';
    end if;
    if (new.status, new.refunded_minor) is distinct from (old.status, old.refunded_minor) then
      perform 1 from public.orders as o where o.id = new.order_id for update;
    end if;
  end if;
  if new.status = 'captured' then
    new.captured_at := coalesce(new.captured_at, now());
  end if;
  return new;
end;
$$;
comment on function private.guard_payment() is
  'Row trigger: a payment belongs to a placed order and its customer, keeps its amount, and changes only along its '
  'transitions. A capture cannot be undone, only refunded, and the refunded amount only grows.';

create function public.report_payments_to_return(p_limit integer default 1000)
returns table (
  payment_id uuid,
  order_id uuid,
  order_status text,
  provider text,
  provider_payment_id text,
  payment_status text,
  action text,
  amount_minor bigint,
  currency text
)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    d.id, d.order_id, d.order_status, d.provider, d.provider_payment_id, d.status,
    case when d.captured_at is null then 'cancel' else 'refund' end,
    case when d.captured_at is null then d.amount_minor else least(d.left_minor, d.held_until_minor - d.owed_minor) end,
    d.currency
  from (
    select
      p.*,
      o.status as order_status,
      p.amount_minor - p.refunded_minor as left_minor,
      case
        when o.status in ('cancelled', 'refunded')
          or (o.user_id is null and o.status in ('placed', 'paid', 'in_production'))
        then 0
        else o.total_minor
      end as owed_minor,
      -- Captured up to this payment, in order: an excess is refunded from the last ones.
      coalesce(
        sum(p.amount_minor - p.refunded_minor) filter (where p.captured_at is not null)
          over (partition by p.order_id order by p.captured_at, p.id rows unbounded preceding),
        0
      )::bigint as held_until_minor
    from public.payments as p
    join public.orders as o on o.id = p.order_id
    where p.status not in ('refunded', 'failed', 'cancelled')
  ) as d
  -- Payments that are not captured come last in the window, so their held_until_minor is everything that we hold.
  where (d.captured_at is not null and d.left_minor > 0 and d.held_until_minor > d.owed_minor)
    or (d.captured_at is null and d.held_until_minor >= d.owed_minor)
  order by d.captured_at, d.created_at, d.id
  limit p_limit;
$$;
comment on function public.report_payments_to_return(integer) is
  'What the service has to undo at the payment provider. action refund: we hold money that is not owed, because the '
  'order was cancelled or refunded before the capture, the customer''s account was deleted before anything was '
  'shipped, or the order was paid twice; amount_minor is the amount. action cancel: a pending or authorised payment '
  'that could still be captured for an order that needs no more. A row disappears when the payment''s row records the '
  'refund or cancellation. Reads all payments that are open or captured. service_role only.';
revoke execute on function public.report_payments_to_return(integer) from public, anon, authenticated;
grant execute on function public.report_payments_to_return(integer) to service_role;

create function private.guard_delivery()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_order public.orders;
begin
  if tg_op = 'INSERT' then
    select * into v_order from public.orders as o where o.id = new.order_id for update;
    if v_order.status not in ('paid', 'in_production', 'shipped') then
      raise exception 'the order is %; only a paid order can have deliveries', v_order.status using errcode = 'AJ064', detail = 'order_id';
    end if;
    if new.status not in ('preparing', 'shipped') then
      raise exception 'a new delivery cannot be %; use preparing or shipped', new.status using errcode = 'AJ064', detail = 'status';
    end if;
    new.vendor_id := v_order.vendor_id;
    new.user_id := v_order.user_id;
  else
    if (new.order_id, new.vendor_id) is distinct from (old.order_id, old.vendor_id) then
      raise exception 'the order of a delivery cannot change' using errcode = 'AJ064', detail = 'order_id';
    end if;
    if new.user_id is distinct from old.user_id then
      if new.user_id is not null then
        raise exception 'the customer of a delivery cannot change' using errcode = 'AJ064', detail = 'user_id';
      end if;
      -- The account is deleted, and with the number anyone can see at the carrier where the parcel went.
      new.carrier := null;
      new.tracking_number := null;
    end if;
    if new.status <> old.status and (old.status, new.status) not in (
      ('preparing', 'shipped'), ('shipped', 'delivered'), ('shipped', 'returned'), ('shipped', 'lost'), ('lost', 'delivered')
    ) then
      raise exception 'a delivery cannot change from % to %', old.status, new.status using errcode = 'AJ064', detail = 'status';
    end if;
  end if;
  if new.status = 'shipped' then
    new.shipped_at := coalesce(new.shipped_at, now());
  elsif new.status = 'delivered' then
    new.delivered_at := coalesce(new.delivered_at, now());
  end if;
  return new;
end;
$$;
comment on function private.guard_delivery() is
  'Row trigger: a delivery belongs to a paid order, keeps it, and changes only along its transitions. When the account '
  'is deleted, the tracking number is removed.';

create function private.guard_pdf()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (
    select 1
    from public.order_items as i
    join public.orders as o on o.id = i.order_id
    where i.pdf_id = old.id and o.status in ('placed', 'paid', 'in_production')
  ) and exists (select 1 from auth.users as u where u.id = old.user_id) then
    raise exception 'the keepsake is in an order that is not shipped yet; delete it after the order is shipped or cancelled' using errcode = 'AJ065', detail = 'pdf_id';
  end if;
  return old;
end;
$$;
comment on function private.guard_pdf() is
  'Row trigger: a keepsake that is ordered but not yet shipped cannot be deleted, except together with its owner''s '
  'account. Security definer because it checks whether the account still exists.';

create trigger order_items_fill
before insert or update or delete on public.order_items
for each row execute function private.fill_order_item();

create trigger order_items_total
after insert or update or delete on public.order_items
for each row execute function private.total_order_items();

create trigger orders_guard
before insert or update or delete on public.orders
for each row execute function private.guard_order();

create trigger payments_guard
before insert or update on public.payments
for each row execute function private.guard_payment();

create trigger deliveries_guard
before insert or update on public.deliveries
for each row execute function private.guard_delivery();

create trigger pdfs_guard
before delete on public.pdfs
for each row execute function private.guard_pdf();

-- ===== supabase/schemas/shop/deleted_users.sql

-- Deletes the draft orders of a deleted account.

create function private.forget_user_drafts()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from public.orders as o where o.user_id = old.id and o.status = 'draft';
  return old;
end;
$$;
comment on function private.forget_user_drafts() is
  'Row trigger before the delete of an account: removes its draft orders. Placed orders stay, without the account. '
  'Security definer because the Auth service deletes users and has no rights on orders.';

create trigger users_forget_drafts before delete on auth.users
for each row execute function private.forget_user_drafts();
