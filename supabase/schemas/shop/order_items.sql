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
  is_pdf_deleted boolean not null default false,
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
comment on column public.order_items.is_pdf_deleted is
  'Whether the item had a keepsake that was deleted since; set by trigger. An order with such an item cannot be placed.';
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
