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
