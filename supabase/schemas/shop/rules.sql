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
          or (
            o.user_id is null and o.status in ('placed', 'paid', 'in_production')
            -- A parcel is shipped before its order is.
            and not exists (select 1 from public.deliveries as s where s.order_id = o.id and s.status <> 'preparing')
          )
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
