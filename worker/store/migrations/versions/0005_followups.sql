alter table orders
  -- The customer wants no e-mails, whatever a command says.
  add customer_opted_out boolean not null default false;

alter table shipments
  -- Of our own, for barcodes of parcels without a carrier's number, and for people.
  add number bigint generated always as identity,
  add service text,
  -- What is odd about it and refuses nothing: a check digit that is wrong.
  add warning text;
create unique index shipments_number on shipments (number);

-- Files made for a shipment, stored under their SHA-256. The row is what counts: a file that no row
-- names is an orphan.
create table documents (
  shipment_id  uuid not null references shipments,
  kind         text not null check (kind in ('label_pdf', 'label_zpl', 'slip_pdf')),
  sha256       bytea not null check (length(sha256) = 32),
  size_bytes   integer not null check (size_bytes > 0),
  made_at      timestamptz not null default now(),
  primary key (shipment_id, kind)
);
create index documents_by_sha256 on documents (sha256);

alter table refund_parts
  add ended_at timestamptz,
  -- Who said how it ended, where a person did, and what that person noted.
  add ended_by text,
  add note text;
create index refund_parts_open on refund_parts (part_id) where state in ('pending', 'unknown');

alter table followups
  -- What an operator set right in a dead letter; the order itself stays as it is.
  add edits jsonb,
  drop constraint followups_waits_for_check,
  -- `hand`: until a person ends it.
  add check (waits_for in ('lock', 'retry', 'hand'));

-- Every act of an operator on work.
create table audit (
  audit_id  bigint generated always as identity primary key,
  at        timestamptz not null default now(),
  actor     text not null,
  act       text not null,
  route     text,
  work_id   uuid,
  order_id  text,
  details   jsonb not null default '{}'
);
create index audit_of_work on audit (work_id) where work_id is not null;
create index audit_of_order on audit (order_id, audit_id) where order_id is not null;
