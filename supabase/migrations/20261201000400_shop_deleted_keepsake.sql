-- An order cannot be placed for a keepsake that was deleted, also at the same moment. Replaces two functions, and adds a
-- column with a constant default: order_items is locked only for an instant.

alter table public.order_items add column is_pdf_deleted boolean not null default false;
comment on column public.order_items.is_pdf_deleted is
  'Whether the item had a keepsake that was deleted since; set by trigger. An order with such an item cannot be placed.';

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
  -- Deleting a keepsake changes nothing else of the item, in any state of the order.
  if tg_op = 'UPDATE' and old.pdf_id is not null and new.pdf_id is null
    and (new.order_id, new.product_id, new.quantity) is not distinct from (old.order_id, old.product_id, old.quantity)
    and not exists (select 1 from public.pdfs as p where p.id = old.pdf_id) then
    new.is_pdf_deleted := true;
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
  new.is_pdf_deleted := tg_op = 'UPDATE' and old.is_pdf_deleted and new.pdf_id is null;
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

create or replace function private.guard_order()
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
    -- Locked, so that no keepsake is deleted at the same moment: the deletion then waits, and is refused.
    perform 1
    from public.pdfs as p
    where p.id in (select i.pdf_id from public.order_items as i where i.order_id = new.id)
    order by p.id
    for key share;
    if exists (select 1 from public.order_items as i where i.order_id = new.id and i.is_pdf_deleted) then
      raise exception 'the keepsake of an item was deleted; remove the item, or give it another keepsake'
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
  'whose keepsakes exist, and an address; paid: captured payments that cover the total; cancelled or refunded: all money refunded; shipped or '
  'delivered: deliveries. A customer may place and cancel. When the account is deleted, name and address are removed. '
  'Security definer because it reads payments, deliveries and items that the caller may not see.';
