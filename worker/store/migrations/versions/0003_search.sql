-- What an order is found by. A table of its own: orders change with every command, and would drag
-- the index of the words along.
create table order_words (
  order_id   text primary key,
  placed_at  timestamptz not null,  -- the order's, which never changes: matches sort without it
  words      tsvector not null
);
-- Nobody places an order meanwhile: it would have no words.
lock table orders, order_lines in share mode;

-- filled here
-- No pending list: a search would read all of it, and one order in thousands would clean it up. It
-- would spare the others 15 µs.
create index order_words_words on order_words using gin (words) with (fastupdate = off);

-- Newest first, for any choice of statuses: each pair of them is a walk of its own, to be merged.
create index orders_by_status on orders (fulfillment_status, payment_status, placed_at, order_id);
create index orders_refund_pending on orders (placed_at, order_id) where refund_pending;

-- ASCII letters and digits in lower case: people write spaces and hyphens as they like. A column, as
-- no index on an expression is read alone: to count matches it must be.
alter table shipments add tracking_key text collate "C" generated always as (
  regexp_replace(lower(tracking_number collate "C"), '[^a-z0-9]', '', 'g')) stored;
create index shipments_by_tracking_key on shipments (tracking_key) where tracking_key is not null;
create index shipments_by_carrier on shipments (carrier) where carrier is not null;

create index commands_ended_by_state on commands (state, seq) where state <> 'pending';
