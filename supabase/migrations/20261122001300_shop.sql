-- The shop: vendors print and ship keepsakes. Money is whole minor units (cents) and an ISO 4217 currency. What a
-- user may write is a draft order; prices come from the vendor's list, payments and deliveries from the service.

create table public.vendors (
  id uuid not null default gen_random_uuid(),
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
comment on table public.vendors is 'Who prints and ships. Kept by the service; a vendor with orders cannot be deleted, only made inactive.';

create table public.vendor_members (
  vendor_id uuid not null,
  user_id uuid not null,
  created_at timestamptz not null default now(),
  constraint vendor_members_pkey primary key (vendor_id, user_id),
  constraint vendor_members_vendor_id_fkey foreign key (vendor_id) references public.vendors (id) on delete cascade,
  constraint vendor_members_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade
);
comment on table public.vendor_members is 'Which users act for a vendor. Kept by the service.';

create table public.vendor_products (
  id uuid not null default gen_random_uuid(),
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
comment on table public.vendor_products is 'The price list. An order item copies name and price from here when it is added.';
comment on column public.vendor_products.unit_price_minor is 'In minor units of the currency (cents).';

create table public.orders (
  id uuid not null default gen_random_uuid(),
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
  constraint orders_completed_at_matches_status check (
    (status in ('delivered', 'cancelled', 'refunded')) = (completed_at is not null)
  )
);
comment on table public.orders is
  'A keepsake somebody ordered. The customer writes drafts, places and cancels; the service does the rest. When the '
  'customer''s account is deleted the order stays for the books, without name and address.';
comment on column public.orders.user_id is 'The customer; null once their account is deleted.';
comment on column public.orders.items_total_minor is 'Sum of the items, kept by trigger. Minor units of the currency.';
comment on column public.orders.shipping_minor is 'Set by the service. Minor units.';
comment on column public.orders.tax_minor is 'Set by the service. Minor units.';
comment on column public.orders.shipping_address is 'Where to; removed when the account is deleted.';

create table public.order_items (
  id uuid not null default gen_random_uuid(),
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
  'What an order is made of. Product, order and currency belong to one vendor by foreign key; name and price are copied '
  'from the price list by trigger and are not the customer''s to write.';
comment on column public.order_items.pdf_id is 'The keepsake to print; the order''s customer owns it (trigger).';
comment on column public.order_items.unit_price_minor is 'The price when the item was added, in minor units.';

create table public.payments (
  id uuid not null default gen_random_uuid(),
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
  constraint payments_currency_is_iso check (currency ~ '^[A-Z]{3}$')
);
comment on table public.payments is
  'Money moved for an order, as the payment provider tells it. Written by the service only; kept when the account is deleted.';
comment on column public.payments.provider_payment_id is 'The provider''s id: the same notification twice is one row.';
comment on column public.payments.refunded_minor is 'Given back so far. Minor units.';

create table public.deliveries (
  id uuid not null default gen_random_uuid(),
  order_id uuid not null,
  vendor_id uuid not null,
  carrier text,
  tracking_number text,
  status text not null default 'preparing',
  shipped_at timestamptz,
  delivered_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint deliveries_pkey primary key (id),
  constraint deliveries_order_fkey foreign key (order_id, vendor_id) references public.orders (id, vendor_id) on delete restrict,
  constraint deliveries_tracking_number_key unique (carrier, tracking_number),
  constraint deliveries_status_is_known check (status in ('preparing', 'shipped', 'delivered', 'returned', 'lost')),
  constraint deliveries_tracking_has_carrier check ((carrier is null) = (tracking_number is null)),
  constraint deliveries_shipped_has_tracking check (status = 'preparing' or (shipped_at is not null and tracking_number is not null)),
  constraint deliveries_delivered_at_matches_status check ((status = 'delivered') = (delivered_at is not null)),
  constraint deliveries_delivered_after_shipped check (delivered_at >= shipped_at)
);
comment on table public.deliveries is 'A parcel of an order. Written by the service only; customer and vendor can read it.';

create function private.fill_order_item()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_order public.orders;
  v_product public.vendor_products;
begin
  -- A keepsake that its owner deletes leaves the item as it is, whatever has become of the order.
  if tg_op = 'UPDATE' and new.pdf_id is null
    and (new.order_id, new.product_id, new.quantity) is not distinct from (old.order_id, old.product_id, old.quantity) then
    return new;
  end if;
  -- Locked, so that an item cannot slip into an order that is being placed at the same moment.
  select * into v_order from public.orders as o
  where o.id = case when tg_op = 'DELETE' then old.order_id else new.order_id end
  for update;
  if v_order.status <> 'draft' then
    raise exception 'the items of an order that is % cannot change', v_order.status
      using errcode = 'AJ060', detail = 'order_id';
  end if;
  if tg_op = 'DELETE' then
    return old;
  end if;
  if tg_op = 'UPDATE' and (new.order_id, new.product_id) is distinct from (old.order_id, old.product_id) then
    raise exception 'an item keeps its order and its product' using errcode = 'AJ060', detail = 'product_id';
  end if;
  if new.pdf_id is not null and not exists (
    select 1 from public.pdfs as p where p.id = new.pdf_id and p.user_id = v_order.user_id
  ) then
    raise exception 'pdf_id names no keepsake of the customer' using errcode = 'AJ061', detail = 'pdf_id';
  end if;
  if tg_op = 'INSERT' then
    select * into v_product from public.vendor_products as p
    where p.id = new.product_id and p.vendor_id = v_order.vendor_id and p.currency = v_order.currency and p.is_active;
    if not found then
      raise exception 'product_id names no product that this vendor sells in %', v_order.currency
        using errcode = 'AJ061', detail = 'product_id';
    end if;
    new.vendor_id := v_product.vendor_id;
    new.currency := v_product.currency;
    new.description := v_product.name;
    new.unit_price_minor := v_product.unit_price_minor;
  end if;
  return new;
end;
$$;
comment on function private.fill_order_item() is
  'Row trigger: items change only while their order is a draft, keep their order and product, name a keepsake of the '
  'customer''s own, and take name and price from the price list. Security definer because customers may write neither.';

create function private.total_order_items()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_order_id uuid := case when tg_op = 'DELETE' then old.order_id else new.order_id end;
begin
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

create function private.guard_order()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_is_customer boolean := coalesce(auth.role(), '') = 'authenticated';
  v_captured bigint;
begin
  -- The account was deleted: what is left is for the books.
  if old.user_id is not null and new.user_id is null then
    new.shipping_address := null;
    if new.status = 'draft' then
      new.status := 'cancelled';
    end if;
  end if;

  if (new.vendor_id, new.currency) is distinct from (old.vendor_id, old.currency) then
    raise exception 'an order keeps its vendor and its currency' using errcode = 'AJ060', detail = 'vendor_id';
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
    raise exception 'the total of an order equals the sum of its items' using errcode = 'AJ060', detail = 'items_total_minor';
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
    raise exception 'an order cannot go from % to %', old.status, new.status using errcode = 'AJ062', detail = 'status';
  end if;

  if new.status = 'placed' then
    if not exists (select 1 from public.order_items as i where i.order_id = new.id) then
      raise exception 'an order without items cannot be placed' using errcode = 'AJ062', detail = 'status';
    end if;
    if new.shipping_address is null then
      raise exception 'an order without an address cannot be placed' using errcode = 'AJ062', detail = 'shipping_address';
    end if;
    new.placed_at := now();
  elsif new.status = 'paid' then
    select coalesce(sum(p.amount_minor - p.refunded_minor), 0) into v_captured
    from public.payments as p
    where p.order_id = new.id and p.status in ('captured', 'partially_refunded');
    if v_captured < new.total_minor then
      raise exception 'an order of % is not paid with %', new.total_minor, v_captured using errcode = 'AJ062', detail = 'status';
    end if;
    new.paid_at := now();
  end if;
  if new.status in ('delivered', 'cancelled', 'refunded') then
    new.completed_at := now();
  end if;
  return new;
end;
$$;
comment on function private.guard_order() is
  'Row trigger: allowed changes of an order, and its times. A customer may place and cancel; paid needs captured payments '
  'that cover the total; totals equal their items; a deleted account leaves neither name nor address. Security definer '
  'because it reads payments and items whatever the caller may see.';

create function private.guard_payment()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if (new.order_id, new.provider, new.provider_payment_id, new.amount_minor, new.currency)
    is distinct from (old.order_id, old.provider, old.provider_payment_id, old.amount_minor, old.currency) then
    raise exception 'a payment keeps its order, its amount and its provider''s id' using errcode = 'AJ063', detail = 'amount_minor';
  end if;
  if new.refunded_minor < old.refunded_minor then
    raise exception 'a refund cannot be taken back' using errcode = 'AJ063', detail = 'refunded_minor';
  end if;
  if new.status <> old.status and (old.status, new.status) not in (
    ('pending', 'authorised'), ('pending', 'captured'), ('pending', 'failed'), ('pending', 'cancelled'),
    ('authorised', 'captured'), ('authorised', 'failed'), ('authorised', 'cancelled'),
    ('captured', 'partially_refunded'), ('captured', 'refunded'),
    ('partially_refunded', 'refunded')
  ) then
    raise exception 'a payment cannot go from % to %', old.status, new.status using errcode = 'AJ063', detail = 'status';
  end if;
  if old.captured_at is not null and new.captured_at is distinct from old.captured_at then
    raise exception 'a capture keeps its time' using errcode = 'AJ063', detail = 'captured_at';
  end if;
  return new;
end;
$$;
comment on function private.guard_payment() is
  'Row trigger: allowed changes of a payment. What was captured cannot be un-captured, only refunded, and a refund only grows.';

create function private.guard_delivery()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if (new.order_id, new.vendor_id) is distinct from (old.order_id, old.vendor_id) then
    raise exception 'a delivery keeps its order' using errcode = 'AJ064', detail = 'order_id';
  end if;
  if new.status <> old.status and (old.status, new.status) not in (
    ('preparing', 'shipped'), ('shipped', 'delivered'), ('shipped', 'returned'), ('shipped', 'lost'), ('lost', 'delivered')
  ) then
    raise exception 'a delivery cannot go from % to %', old.status, new.status using errcode = 'AJ064', detail = 'status';
  end if;
  return new;
end;
$$;
comment on function private.guard_delivery() is 'Row trigger: allowed changes of a delivery; it keeps its order.';

create trigger order_items_fill
before insert or update or delete on public.order_items
for each row execute function private.fill_order_item();

create trigger order_items_total
after insert or update or delete on public.order_items
for each row execute function private.total_order_items();

create trigger orders_guard
before update on public.orders
for each row execute function private.guard_order();

create trigger payments_guard
before update on public.payments
for each row execute function private.guard_payment();

create trigger deliveries_guard
before update on public.deliveries
for each row execute function private.guard_delivery();
