-- Bulk jobs: a file of shipments, loaded in one transaction, then carried out chunk by chunk as work of
-- a route of its own. The id follows from the file's content and from how it was to be read.
create table jobs (
  id           uuid primary key,
  kind         text not null default 'ship' check (kind = 'ship'),
  -- The file's name, for people.
  name         text,
  -- Its columns and how it was written, so that rows can be given back in the same shape.
  layout       jsonb not null,
  -- What goes into each command beside its row.
  options      jsonb not null,
  issued_by    text,
  rows         integer not null default 0,
  last_row     integer not null default 0,
  -- Rows that were looked at, up to the parcel `position`: what is behind it is not sent.
  sent         integer not null default 0,
  position     integer not null default 0,
  -- Up to which row the cells are emptied.
  emptied      integer not null default 0,
  loaded_at    timestamptz not null default now(),
  -- Since when it goes on without a break, and what was sent by then: its rate is counted from there.
  begun_at     timestamptz not null default now(),
  begun_sent   integer not null default 0,
  decided_at   timestamptz,
  state        text not null default 'pending'
               check (state in ('pending', 'done', 'cancelled', 'dead')),
  lane         smallint not null default 0 check (lane in (0, 1)),
  seq          bigint not null default nextval('work_seq'),
  attempts     integer not null default 0,
  crashes      integer not null default 0,
  alone        boolean not null default false,
  claim        bigint,
  next_at      timestamptz not null default now(),
  lease_until  timestamptz,
  waits_for    text check (waits_for in ('lock', 'retry')),
  errors       jsonb not null default '[]',
  dead_reason  text
) with (fillfactor = 50);
create index jobs_due on jobs (lane, next_at, seq)
  where state = 'pending' and decided_at is null;
create index jobs_dead on jobs (seq) where state = 'dead';
-- For retention, which goes through what has ended.
create index jobs_kept on jobs (id) where emptied < last_row;

create table job_rows (
  job_id           uuid not null,
  -- The line of the file on which it begins.
  row              integer not null,
  -- The first row of its parcel; 0 for a parcel that is too large to be one.
  parcel           integer not null,
  -- The row as it came, as JSON: a list of cells, or the object. A text, for jsonb takes no NUL. Null
  -- once it is emptied.
  cells            text,
  order_id         text not null,
  line             text not null,
  sku              text not null,
  quantity         text not null,
  carrier          text not null,
  tracking_number  text not null,
  -- Why it is refused.
  problem          text,
  command_id       uuid,
  -- The command was accepted before, from another file or by another door.
  is_repeated      boolean not null default false,
  -- What would become of it; only within a dry run, which is rolled back.
  foreseen         jsonb,
  primary key (job_id, row)
) with (fillfactor = 70);
create index job_rows_of_parcel on job_rows (job_id, parcel, row);
-- For an order that is forgotten.
create index job_rows_of_order on job_rows (order_id);

-- People write an order's number into files, not its id.
create index orders_by_number on orders (number);
