-- Of a deleted account, an order of which a parcel was shipped is not refunded in full, also while the order itself is not
-- marked as shipped. Replaces a function; locks no table.

create or replace function public.report_payments_to_return(p_limit integer default 1000)
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
