-- Who may read and write the shop, and what of it goes with an account: Row Level Security, grants by column, indexes for
-- foreign keys and lists. No migration but this one and the one that made its tables knows the shop, so that a project
-- with orders of its own can do without both.

do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'vendors', 'vendor_members', 'vendor_products', 'orders', 'order_items', 'payments', 'deliveries'
  ] loop
    execute format('alter table public.%I enable row level security', v_table);
    execute format('revoke all on public.%I from public, anon, authenticated, service_role', v_table);
    execute format('grant select, insert, update, delete on public.%I to service_role', v_table);
    if v_table <> 'vendor_members' then
      execute format(
        'create trigger %I before update on public.%I for each row execute function private.touch_updated_at()',
        v_table || '_touch_updated_at', v_table
      );
    end if;
  end loop;
end;
$$;
-- The books: nobody deletes what was paid or sent.
revoke delete on public.payments, public.deliveries from service_role;

-- Lists of ids are written as `= any (array(select …))`: it is found out once per statement and can use an
-- index, where `in (select …)` beside an `or` reads the whole table. The two bounds on vendor_id say nothing new; without
-- them Postgres takes a vendor for half of all orders, as there are few vendors, and reads the table for every customer.

create policy "signed-in users can read active vendors and their own" on public.vendors for select to authenticated
using (
  is_active
  or id = any (array(select m.vendor_id from public.vendor_members as m where m.user_id = (select auth.uid())))
);
grant select on public.vendors to authenticated;

create policy "users can read their own vendor memberships" on public.vendor_members for select to authenticated
using (user_id = (select auth.uid()));
grant select on public.vendor_members to authenticated;

create policy "signed-in users can read what vendors sell" on public.vendor_products for select to authenticated
using (
  (is_active and vendor_id = any (array(select v.id from public.vendors as v where v.is_active)))
  or vendor_id = any (array(select m.vendor_id from public.vendor_members as m where m.user_id = (select auth.uid())))
);
grant select on public.vendor_products to authenticated;

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
grant select, delete on public.orders to authenticated;
grant insert (user_id, vendor_id, currency, shipping_address) on public.orders to authenticated;
grant update (status, shipping_address) on public.orders to authenticated;

create policy "whoever can read an order can read its items" on public.order_items for select to authenticated
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
grant select, delete on public.order_items to authenticated;
grant insert (order_id, product_id, pdf_id, quantity) on public.order_items to authenticated;
grant update (pdf_id, quantity) on public.order_items to authenticated;

create policy "users can read their own payments" on public.payments for select to authenticated
using (user_id = (select auth.uid()));
grant select on public.payments to authenticated;

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
grant select on public.deliveries to authenticated;

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
  'Row trigger before the delete of an account: removes its draft orders. Placed ones stay, without the account. Security '
  'definer because the Auth service deletes users and may touch none of this.';

create trigger users_forget_drafts before delete on auth.users
for each row execute function private.forget_user_drafts();

-- Indexes: each list (owner, newest first) and each foreign key.

create index vendor_members_user_id_idx on public.vendor_members (user_id);
create index orders_user_id_created_at_idx on public.orders (user_id, created_at desc, id desc);
create index orders_vendor_id_paid_at_idx on public.orders (vendor_id, paid_at desc, id desc);
create index order_items_order_id_idx on public.order_items (order_id, vendor_id, currency);
create index order_items_product_id_idx on public.order_items (product_id, vendor_id, currency);
create index order_items_pdf_id_idx on public.order_items (pdf_id);
create index payments_order_id_idx on public.payments (order_id, currency);
create index payments_user_id_created_at_idx on public.payments (user_id, created_at desc, id desc);
create index deliveries_order_id_idx on public.deliveries (order_id, vendor_id);
create index deliveries_user_id_created_at_idx on public.deliveries (user_id, created_at desc, id desc);
create index deliveries_vendor_id_created_at_idx on public.deliveries (vendor_id, created_at desc, id desc);
