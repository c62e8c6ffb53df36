-- A keepsake that is deleted is removed from drafts, which could be placed without it before, and an order that is being
-- placed at the same moment waits for the deletion, or the deletion for the order. Replaces two functions; locks no table.

create or replace function private.fill_order_item()
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

  -- Before the order, as the deletion of the keepsake locks them: otherwise the two could deadlock.
  if tg_op = 'INSERT' or (tg_op = 'UPDATE' and new.pdf_id is distinct from old.pdf_id) then
    perform 1 from public.pdfs as p
    where p.id = new.pdf_id and (not v_is_customer or p.user_id = auth.uid())
    for key share;
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

create or replace function private.guard_pdf()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Everything is deleted together with its owner's account.
  if not exists (select 1 from auth.users as u where u.id = old.user_id) then
    return old;
  end if;
  -- Locked, so that no order is placed with the keepsake while it is deleted: the items first, as a change of one does.
  perform 1 from public.order_items as i where i.pdf_id = old.id order by i.id for update;
  perform 1 from public.orders as o
  where o.status in ('draft', 'placed', 'paid', 'in_production')
    and o.id in (select i.order_id from public.order_items as i where i.pdf_id = old.id)
  order by o.id
  for update;
  if exists (
    select 1
    from public.order_items as i
    join public.orders as o on o.id = i.order_id
    where i.pdf_id = old.id and o.status in ('placed', 'paid', 'in_production')
  ) then
    raise exception 'the keepsake is in an order that is not shipped yet; delete it after the order is shipped or cancelled' using errcode = 'AJ065', detail = 'pdf_id';
  end if;
  delete from public.order_items as i
  using public.orders as o
  where o.id = i.order_id and o.status = 'draft' and i.pdf_id = old.id;
  return old;
end;
$$;
comment on function private.guard_pdf() is
  'Row trigger: a keepsake that is ordered but not yet shipped cannot be deleted, except together with its owner''s '
  'account. From drafts its items are removed, because an order for a keepsake that is gone could not be printed. '
  'Security definer because it checks whether the account still exists.';

comment on column public.order_items.pdf_id is
  'The keepsake to print; it belongs to the order''s customer (trigger). It cannot be deleted while the order is '
  'placed and not yet shipped; from a draft the item is removed with it.';
