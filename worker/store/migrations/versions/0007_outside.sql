-- Refund parts. `unknown` is asked and not heard. `overpaid` is money that went out although the
-- part had been given up and what it was for has been given out otherwise; a person decides.
alter table refund_parts
  drop constraint refund_parts_state_check,
  add constraint refund_parts_state_check
    check (state in ('pending', 'unknown', 'settled', 'failed', 'overpaid')),
  add provider text,
  -- The provider's own name for the refund.
  add provider_id text,
  -- When the provider was first asked under its idempotency key, since when it keeps that; and last.
  add asked_at timestamptz,
  add last_asked_at timestamptz;
create unique index refund_parts_by_provider_id on refund_parts (provider, provider_id)
  where provider_id is not null;
create index refund_parts_gone_wrong on refund_parts (part_id)
  where state in ('failed', 'overpaid');

-- Beside the balance: the CHECK of `refunded_minor` has no room for what went out beyond it.
alter table payments add overpaid_minor bigint not null default 0 check (overpaid_minor >= 0);

-- Units that were in parcels which were called back. Upstream may go on telling of them.
alter table order_lines add voided integer not null default 0 check (voided >= 0);

alter table shipments
  -- Called back: its units are unfulfilled again.
  add voided_at timestamptz,
  add weight_g integer check (weight_g > 0),
  -- What the carrier says of the parcel, and since when; null as long as it has said nothing.
  add transit text check (transit in ('in_transit', 'delivered', 'returned', 'exception')),
  add transit_at timestamptz;

-- Labels bought from carriers: one row for each time that we asked for one. Its id is the reference
-- under which the carrier can be asked what became of it. `unknown` is asked and not heard; `none`
-- is that nothing was bought.
create table purchases (
  purchase_id      uuid primary key,
  shipment_id      uuid not null references shipments,
  order_id         text not null,
  carrier          text not null,
  state            text not null check (state in ('unknown', 'bought', 'none', 'voided')),
  asked_at         timestamptz not null default now(),
  -- The carrier's own name for the label, to void it by.
  carrier_id       text,
  tracking_number  text,
  cost_minor       bigint,
  currency         text,
  -- The label as it came, until its file is stored.
  label_kind       text check (label_kind in ('label_pdf', 'label_zpl')),
  label            bytea,
  ended_at         timestamptz,
  note             text
);
create index purchases_of_shipment on purchases (shipment_id);
create index purchases_unknown on purchases (asked_at) where state = 'unknown';

-- When each carrier or provider may be called next, for the whole cluster.
create table call_rates (
  name     text primary key,
  next_at  timestamptz not null
);

alter table followups
  drop constraint followups_waits_for_check,
  -- `hand`: until a person ends it. `provider`, `carrier`: it is under way there. `label`: for the
  -- number that comes with the label. `email`: for how an earlier e-mail ends. `rate`: its turn has not come.
  add constraint followups_waits_for_check
    check (waits_for in (
      'lock', 'retry', 'hand', 'provider', 'carrier', 'label', 'email', 'rate'));

create or replace function command_problem(body jsonb) returns text
  language sql immutable parallel safe
  return case
    when jsonb_typeof(body) <> 'object' then 'a command is a JSON object'
    when coalesce(body ->> 'command_id', '') !~
         '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$' then 'command_id must be a UUID'
    when coalesce(body ->> 'kind', '') not in
         ('place', 'ship', 'complete', 'cancel', 'refund', 'void', 'update_tracking')
         then 'kind must be one of place, ship, complete, cancel, refund, void, update_tracking'
    when coalesce(body ->> 'order_id', '') !~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'
         then 'order_id must be 1 to 64 letters, digits or ._:-'
    when coalesce(body ->> 'after', '00000000-0000-0000-0000-000000000000') !~
         '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$' then 'after must be a UUID'
    when pg_column_size(body) > 1048576 then 'a command may not exceed 1 MiB'
  end;
