-- The promise P4 stands here as CHECK constraints, so that not even a bug can break it.
-- Amounts are minor units of the order's currency.

create table carriers (
  code          text primary key,
  name          text not null,
  tracking_url  text,
  added_at      timestamptz not null default now()
);

create table orders (
  order_id                 text primary key,
  number                   text,
  currency                 text not null,
  total_minor              bigint not null check (total_minor >= 0),
  shipping_minor           bigint not null,
  shipping_refunded_minor  bigint not null default 0,
  fulfillment_status       text not null,
  payment_status           text not null,
  refund_pending           boolean not null default false,
  hold                     text,
  version                  integer not null,
  customer_name            text,
  customer_email           text,
  customer_phone           text,
  locale                   text,
  billing_address          jsonb,
  ship_to                  jsonb,
  ship_from                jsonb,
  placed_at                timestamptz not null,
  updated_at               timestamptz not null default now(),
  check (0 <= shipping_refunded_minor and shipping_refunded_minor <= shipping_minor)
) with (fillfactor = 85);

create table order_lines (
  order_id                 text not null references orders,
  line_id                  text not null,
  position                 integer not null,
  name                     text not null,
  sku                      text,
  item_type                text not null,
  quantity                 integer not null check (quantity > 0),
  gross_minor              bigint not null check (gross_minor >= 0),
  tax_minor                bigint not null check (tax_minor >= 0),
  discount_minor           bigint not null check (discount_minor >= 0),
  shipped                  integer not null default 0 check (shipped >= 0),
  completed                integer not null default 0 check (completed >= 0),
  cancelled                integer not null default 0 check (cancelled >= 0),
  refunded_units           integer not null default 0,
  refunded_minor           bigint not null default 0 check (refunded_minor >= 0),
  refunded_tax_minor       bigint not null default 0 check (refunded_tax_minor >= 0),
  refunded_discount_minor  bigint not null default 0 check (refunded_discount_minor >= 0),
  primary key (order_id, line_id),
  check (shipped + completed + cancelled <= quantity),
  check (0 <= refunded_units and refunded_units <= quantity)
) with (fillfactor = 85);

create table order_fees (
  order_id        text not null references orders,
  position        integer not null,
  kind            text not null,
  name            text,
  gross_minor     bigint not null,
  tax_minor       bigint not null,
  discount_minor  bigint not null,
  primary key (order_id, position)
);

create table payments (
  order_id        text not null references orders,
  payment_id      text not null,
  position        integer not null,
  method          text,
  captured_minor  bigint not null check (captured_minor >= 0),
  captured_at     timestamptz,
  refunded_minor  bigint not null default 0,
  settled_minor   bigint not null default 0,
  primary key (order_id, payment_id),
  -- refunded = pending + unknown + settled
  check (0 <= settled_minor and settled_minor <= refunded_minor and refunded_minor <= captured_minor)
) with (fillfactor = 85);

-- Work. Commands and follow-ups share the columns from `state` to `dead_reason`.
create sequence work_seq cache 1;
create sequence work_claim;

-- What is the same command: everything but its id, when and by whom. jsonb's text is canonical.
create function command_fingerprint(body jsonb) returns bytea
  language sql immutable parallel safe
  return sha256(convert_to((body - 'command_id' - 'issued_at' - 'issued_by')::text, 'UTF8'));

create table commands (
  id           uuid primary key,
  kind         text not null,
  order_id     text not null,
  after_id     uuid,
  body         jsonb not null,
  fingerprint  bytea not null generated always as (command_fingerprint(body)) stored,
  accepted_at  timestamptz not null default now(),
  decided_at   timestamptz,
  outcome      jsonb,
  state        text not null default 'pending'
               check (state in ('pending', 'applied', 'rejected', 'dead', 'discarded')),
  seq          bigint not null default nextval('work_seq'),
  attempts     integer not null default 0,
  crashes      integer not null default 0,
  alone        boolean not null default false,
  claim        bigint,
  next_at      timestamptz not null default now(),
  lease_until  timestamptz,
  waits_for    text check (waits_for in ('order', 'predecessor', 'lock', 'retry')),
  errors       jsonb not null default '[]',
  dead_reason  text
  -- Room for a second version of a row on its page: the claim touches no indexed column.
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

create index commands_due on commands (next_at, seq) where state = 'pending';
create index commands_open_of_order on commands (order_id, seq) where state = 'pending';
create index commands_ended_of_order on commands (order_id, seq) where state <> 'pending';
create index commands_waiting on commands (order_id)
  where state = 'pending' and waits_for in ('order', 'predecessor');
create index commands_dead on commands (seq) where state = 'dead';

create table followups (
  id           uuid primary key,
  route        text not null,
  name         text not null,
  order_id     text not null,
  command_id   uuid not null,
  subject_id   uuid not null,
  staged_at    timestamptz not null default now(),
  decided_at   timestamptz,
  outcome      jsonb,
  state        text not null default 'pending'
               check (state in ('pending', 'done', 'skipped', 'dead', 'discarded')),
  seq          bigint not null default nextval('work_seq'),
  attempts     integer not null default 0,
  crashes      integer not null default 0,
  alone        boolean not null default false,
  claim        bigint,
  next_at      timestamptz not null default now(),
  lease_until  timestamptz,
  waits_for    text check (waits_for in ('order', 'predecessor', 'lock', 'retry')),
  errors       jsonb not null default '[]',
  dead_reason  text,
  -- A refund part is never given up: only the money's way ends it.
  check (route <> 'refunds' or state <> 'discarded')
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

create index followups_due on followups (route, next_at, seq) where state = 'pending';
create index followups_of_order on followups (order_id, seq);
create index followups_dead on followups (seq) where state = 'dead';

-- A paused route is claimed by nobody, in the whole cluster; its work waits as it is.
create table paused_routes (
  route      text primary key,
  reason     text,
  paused_at  timestamptz not null default now()
);

create table shipments (
  shipment_id      uuid primary key,
  order_id         text not null references orders,
  command_id       uuid not null,
  carrier          text references carriers,
  carrier_name     text,
  tracking_number  text,
  tracking_url     text,
  label            text not null,
  shipped_at       timestamptz not null
);
create index shipments_of_order on shipments (order_id);

-- No foreign keys from here on where a row is only ever written beside its parent, by the same
-- statement: checking each of them was a tenth of a batch's time.
create table shipment_lines (
  shipment_id  uuid not null,
  line_id      text not null,
  quantity     integer not null check (quantity > 0),
  primary key (shipment_id, line_id)
);

create table refunds (
  refund_id       uuid primary key,
  order_id        text not null references orders,
  command_id      uuid not null,
  amount_minor    bigint not null check (amount_minor > 0),
  shipping_minor  bigint not null check (shipping_minor >= 0),
  reason          text,
  requested_at    timestamptz not null
);
create index refunds_of_order on refunds (order_id);

create table refund_lines (
  refund_id       uuid not null,
  line_id         text not null,
  quantity        integer not null check (quantity >= 0),
  gross_minor     bigint not null check (gross_minor >= 0),
  tax_minor       bigint not null,
  discount_minor  bigint not null,
  primary key (refund_id, line_id)
);

create table refund_parts (
  part_id       uuid primary key,
  refund_id     uuid not null references refunds,
  order_id      text not null,
  payment_id    text not null,
  amount_minor  bigint not null check (amount_minor > 0),
  state         text not null check (state in ('pending', 'unknown', 'settled', 'failed')),
  foreign key (order_id, payment_id) references payments
);
create index refund_parts_of_refund on refund_parts (refund_id);

create table history (
  order_id      text not null,
  history_id    bigint generated always as identity,
  at            timestamptz not null default now(),
  event         text not null,
  command_id    uuid,
  issued_by     text,
  amount_minor  bigint,
  details       jsonb not null,
  primary key (order_id, history_id)
);

create table strays (
  stray_id    bigint generated always as identity primary key,
  at          timestamptz not null default now(),
  reason      text not null,
  command_id  uuid,
  problem     text,
  body        text not null
);

-- Why a JSON value cannot be accepted as a command at all; null when it can. Everything else about
-- it is judged when it is decided, so that a producer gets the answer under the command's id.
create function command_problem(body jsonb) returns text
  language sql immutable parallel safe
  return case
    when jsonb_typeof(body) <> 'object' then 'a command is a JSON object'
    when coalesce(body ->> 'command_id', '') !~
         '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$' then 'command_id must be a UUID'
    when coalesce(body ->> 'kind', '') not in ('place', 'ship', 'complete', 'cancel', 'refund')
         then 'kind must be one of place, ship, complete, cancel, refund'
    when coalesce(body ->> 'order_id', '') !~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'
         then 'order_id must be 1 to 64 letters, digits or ._:-'
    when coalesce(body ->> 'after', '00000000-0000-0000-0000-000000000000') !~
         '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$' then 'after must be a UUID'
    when pg_column_size(body) > 1048576 then 'a command may not exceed 1 MiB'
  end;

-- The door. One insert, then the comparison of what was not inserted, in the caller's transaction.
-- Producers with a database role of their own get EXECUTE on this and nothing else. Per command:
--   accepted   it is in, now
--   known      the same command was accepted before; state and outcome so far
--   id_reused  its id belongs to another command; nothing changed, listed as a stray
--   refused    it cannot be accepted; `problem` says why, nothing changed
create function accept_commands(bodies jsonb)
  returns table (n integer, command_id uuid, answer text, state text, outcome jsonb, problem text)
  language plpgsql security definer set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
  accepted uuid[];
begin
  if jsonb_typeof(bodies) is distinct from 'array' or jsonb_array_length(bodies) > 5000 then
    raise exception 'accept_commands takes a JSON array of at most 5000 commands'
      using errcode = '22023';
  end if;

  with numbered as materialized (
    -- Numbered in the caller's order, inserted by id: two batches of the same ids cannot deadlock.
    select body, (body ->> 'command_id')::uuid as id, nextval('work_seq') as seq
    from (
      select body from jsonb_array_elements(bodies) with ordinality as incoming (body, n)
      where command_problem(body) is null order by n
    ) as acceptable
  ), inserted as (
    insert into commands (id, kind, order_id, after_id, body, seq)
    select id, body ->> 'kind', body ->> 'order_id', (body ->> 'after')::uuid, body, seq
    from numbered order by id, seq
    on conflict do nothing
    returning id
  )
  select coalesce(array_agg(id), '{}') into accepted from inserted;

  if cardinality(accepted) = jsonb_array_length(bodies) then
    -- Nearly always: nothing to compare.
    return query
    select n::integer, (body ->> 'command_id')::uuid, 'accepted', 'pending', null::jsonb, null
    from jsonb_array_elements(bodies) with ordinality as incoming (body, n);
    return;
  end if;

  insert into strays (reason, command_id, problem, body)
  select 'id_reused', c.id, 'another command has this id', left(i.body::text, 65536)
  from jsonb_array_elements(bodies) as i (body)
  join commands c on c.id = case when command_problem(i.body) is null
                                 then (i.body ->> 'command_id')::uuid end
  where c.fingerprint <> command_fingerprint(i.body);

  return query
  with incoming as materialized (
    select n::integer, body, command_problem(body) as problem
    from jsonb_array_elements(bodies) with ordinality as incoming (body, n)
  ), identified as (
    select n, body, problem, case when problem is null then (body ->> 'command_id')::uuid end as id
    from incoming
  ), answered as (
    select i.n, i.id, i.problem, c.state, c.outcome,
      case
        when i.problem is not null then 'refused'
        when i.id = any (accepted) and i.n = min(i.n) over (partition by i.id) then 'accepted'
        when c.fingerprint = command_fingerprint(i.body) then 'known'
        else 'id_reused'
      end as answer
    from identified i left join commands c on c.id = i.id
  )
  select n, id, answer,
    case when answer in ('accepted', 'known') then state end,
    case when answer = 'known' then outcome end,
    problem
  from answered order by n;
end
$$;
revoke all on function accept_commands (jsonb) from public;
