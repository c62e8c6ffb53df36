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
