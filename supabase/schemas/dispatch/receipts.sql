-- Ids of recent dispatches, so that a replay is refused.

create table private.dispatch_receipts (
  message_id text not null,
  received_at timestamptz not null default clock_timestamp(),
  constraint dispatch_receipts_pkey primary key (message_id),
  constraint dispatch_receipts_message_id_length check (length(message_id) between 1 and 128)
);
comment on table private.dispatch_receipts is
  'Ids of the dispatches of the last minutes, so that a recorded request cannot be replayed. The sweep prunes it.';

create index dispatch_receipts_received_at_idx on private.dispatch_receipts (received_at);

alter table private.dispatch_receipts enable row level security;
revoke all on private.dispatch_receipts from public, anon, authenticated, service_role;
