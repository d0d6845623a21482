-- A shop after three years: `bench.orders` orders of two lines, as if every command had come in by the
-- door. What it is like follows from the order's number alone, so every run has the same shop.

-- One row per order; everything else is made from it.
create unlogged table bench_shop as
with syllables as (
  select '{ba,do,fe,gi,ka,lo,mu,ne,po,ra,sa,te,vi,zo,be,da,fi,ga,ki,la,mo,nu,pe,ri}'::text[] as syllable
), parameters as (
  select current_setting('bench.orders')::bigint as orders
), rolled as (
  select n, orders,
    -- A number for each purpose, of the order's own: hashes of n.
    hashint8extended(n, 1) & 65535 as a, hashint8extended(n, 2) & 65535 as b,
    hashint8extended(n, 3) & 65535 as c, hashint8extended(n, 4) & 65535 as d,
    hashint8extended(n, 5) & 65535 as e, (hashint8extended(n, 6) & 1048575) % 1000 as fate,
    n > orders * 0.97 as is_recent
  from parameters, generate_series(1, orders) n
)
select n, 'S-' || n as order_id,
  now() - interval '3 years' * (1 - n::float8 / (orders + 1)) as placed_at,
  initcap(syllable[1 + a % 24] || syllable[1 + b % 24]) as first_name,
  initcap(syllable[1 + c % 24] || syllable[1 + d % 24] || syllable[1 + e % 24]) as last_name,
  md5('place' || n)::uuid as place_id, md5('act' || n)::uuid as act_id,
  md5('refund' || n)::uuid as refund_id,
  -- Nearly all that is older was shipped; of the newest, most is still to be.
  case
    when is_recent and fate < 600 then 'open'
    when fate < 880 then 'shipped'
    when fate < 920 then 'partly'
    when fate < 960 then 'cancelled'
    when fate < 990 then 'goodwill'
    when fate < 993 then 'pending'
    when fate < 996 then 'unpaid'
    else 'open'
  end as fate,
  1 + a % 5 as quantity_1, 1 + b % 3 as quantity_2,
  100 + c % 9900 as unit_1, 100 + d % 900 as unit_2, c % 5000 as product_1, d % 5000 as product_2,
  (array['dhl', 'ups', 'la-poste', 'royal-mail', 'city-bikes'])[1 + e % 5] as carrier,
  (array['Utrecht', 'Lyon', 'Leeds', 'Porto', 'Bern'])[1 + e % 5] as city,
  n % 2000 = 7 as has_dead
from rolled, syllables;

alter table bench_shop
  add total_minor bigint
    generated always as (quantity_1 * unit_1 + quantity_2 * unit_2 + 490) stored,
  add customer_name text generated always as (first_name || ' ' || last_name) stored,
  add customer_email text generated always as
    (lower(first_name || '.' || last_name) || n % 1000 || '@example.org') stored,
  add sku_1 text generated always as ('SKU-' || product_1) stored,
  add sku_2 text generated always as ('SKU-' || product_2) stored;

-- The others of its carriers are common ones, which a migrated database knows.
insert into carriers (code, name) values ('city-bikes', 'City-Bikes');

insert into orders (
  order_id, number, currency, total_minor, shipping_minor, fulfillment_status, payment_status,
  refund_pending, version, customer_name, customer_email, customer_phone, locale, ship_to,
  placed_at, updated_at)
select order_id, n::text, 'EUR', total_minor, 490,
  case fate when 'partly' then 'partially_fulfilled' when 'cancelled' then 'cancelled'
            when 'open' then 'unfulfilled' when 'unpaid' then 'unfulfilled' else 'fulfilled' end,
  case fate when 'cancelled' then 'partially_refunded' when 'goodwill' then 'partially_refunded'
            when 'unpaid' then 'unpaid' else 'paid' end,
  fate = 'pending',
  case when fate in ('open', 'unpaid') then 1 when fate in ('goodwill', 'pending') then 3 else 2 end,
  customer_name, customer_email,
  '+31 20 ' || lpad((n % 1000000)::text, 6, '0'), 'en',
  jsonb_build_object('name', customer_name, 'lines', jsonb_build_array(
    n % 300 || ' ' || last_name || ' Street'), 'city', city, 'country', 'NL'),
  placed_at, placed_at
from bench_shop order by n;

insert into order_lines (
  order_id, line_id, position, name, sku, item_type, quantity, gross_minor, tax_minor,
  discount_minor, shipped, cancelled, refunded_units, refunded_minor)
select order_id, line_id, position, 'Product ' || product, sku, 'physical', quantity,
  gross_minor, 0, 0,
  case when fate in ('shipped', 'goodwill', 'pending') or (fate = 'partly' and position = 0)
       then quantity else 0 end,
  case fate when 'cancelled' then quantity else 0 end,
  case fate when 'cancelled' then quantity else 0 end,
  case fate when 'cancelled' then gross_minor else 0 end
from bench_shop, lateral (
  values ('A', 0, product_1, sku_1, quantity_1, quantity_1 * unit_1),
         ('B', 1, product_2, sku_2, quantity_2, quantity_2 * unit_2)
) l (line_id, position, product, sku, quantity, gross_minor)
order by n, position;

insert into order_fees (order_id, position, kind, gross_minor, tax_minor, discount_minor)
select order_id, 0, 'shipping', 490, 0, 0 from bench_shop order by n;

insert into payments (
  order_id, payment_id, position, method, captured_minor, captured_at, refunded_minor, settled_minor)
select order_id, 'P1', 0, 'card', total_minor, placed_at,
  case when fate = 'cancelled' then total_minor - 490
       when fate in ('goodwill', 'pending') then 100 else 0 end,
  case fate when 'cancelled' then total_minor - 490 when 'goodwill' then 100 else 0 end
from bench_shop where fate <> 'unpaid' order by n;

insert into commands (
  id, kind, order_id, body, accepted_at, decided_at, outcome, state, next_at, fingerprint)
select made.*, command_fingerprint(made.body) from (
select place_id, 'place', order_id,
  jsonb_build_object('kind', 'place', 'command_id', place_id, 'order_id', order_id, 'order',
    jsonb_build_object('currency', 'EUR', 'total_minor', total_minor, 'number', n::text,
      'lines', jsonb_build_array(
        jsonb_build_object('line_id', 'A', 'name', 'Product ' || product_1,
          'quantity', quantity_1, 'net_minor', quantity_1 * unit_1),
        jsonb_build_object('line_id', 'B', 'name', 'Product ' || product_2,
          'quantity', quantity_2, 'net_minor', quantity_2 * unit_2)),
      'fees', '[{"kind": "shipping", "net_minor": 490}]'::jsonb,
      'customer', jsonb_build_object('name', customer_name))),
  placed_at, placed_at + interval '1 second',
  '{"state": "applied", "order_version": 1, "changed": true, "items": [], "refund": null}'::jsonb,
  'applied', placed_at
from bench_shop order by n
) as made (id, kind, order_id, body, accepted_at, decided_at, outcome, state, next_at);

insert into commands (
  id, kind, order_id, body, accepted_at, decided_at, outcome, state, next_at, fingerprint)
select made.*, command_fingerprint(made.body) from (
select act_id, case fate when 'cancelled' then 'cancel' else 'ship' end, order_id,
  jsonb_build_object('command_id', act_id, 'order_id', order_id) || case fate
    when 'cancelled' then '{"kind": "cancel", "refund": "full"}'
    else jsonb_build_object('kind', 'ship', 'carrier', carrier, 'items', items) end,
  placed_at + interval '1 day', placed_at + interval '1 day 1 second',
  jsonb_build_object('state', 'applied', 'order_version', 2, 'changed', true, 'items', items),
  'applied', placed_at + interval '1 day'
from bench_shop, lateral (
  select jsonb_agg(jsonb_build_object('line_id', line_id, 'quantity', quantity)) as items
  from (values ('A', quantity_1), ('B', quantity_2)) l (line_id, quantity)
  where fate <> 'partly' or line_id = 'A'
) as acted
where fate not in ('open', 'unpaid') order by n
) as made (id, kind, order_id, body, accepted_at, decided_at, outcome, state, next_at);

insert into commands (
  id, kind, order_id, body, accepted_at, decided_at, outcome, state, next_at, fingerprint)
select made.*, command_fingerprint(made.body) from (
select refund_id, 'refund', order_id,
  jsonb_build_object('kind', 'refund', 'command_id', refund_id, 'order_id', order_id,
    'amount', '{"amount_minor": 100, "currency": "EUR"}'::jsonb),
  placed_at + interval '5 days', placed_at + interval '5 days 1 second',
  '{"state": "applied", "order_version": 3, "changed": true, "items": []}'::jsonb,
  'applied', placed_at + interval '5 days'
from bench_shop where fate in ('goodwill', 'pending') order by n
) as made (id, kind, order_id, body, accepted_at, decided_at, outcome, state, next_at);

insert into commands (
  id, kind, order_id, body, accepted_at, decided_at, state, next_at, attempts, dead_reason,
  fingerprint)
select made.*, command_fingerprint(made.body) from (
select id, 'ship', order_id,
  jsonb_build_object('kind', 'ship', 'command_id', id, 'order_id', order_id),
  placed_at, placed_at, 'dead', placed_at, 3, 'bug'
from bench_shop, lateral (select md5('dead' || n)::uuid as id) dead where has_dead order by n
) as made (id, kind, order_id, body, accepted_at, decided_at, state, next_at, attempts, dead_reason);

insert into shipments (
  shipment_id, order_id, command_id, carrier, carrier_name, tracking_number, label, shipped_at)
select act_id, order_id, act_id, carrier, initcap(carrier), '0034' || lpad(n::text, 14, '0'), 'none',
  placed_at + interval '1 day'
from bench_shop where fate in ('shipped', 'partly', 'goodwill', 'pending') order by n;

insert into shipment_lines (shipment_id, line_id, quantity)
select act_id, line_id, quantity
from bench_shop, lateral (values ('A', quantity_1), ('B', quantity_2)) l (line_id, quantity)
where fate in ('shipped', 'goodwill', 'pending') or (fate = 'partly' and line_id = 'A') order by n;

insert into refunds (
  refund_id, order_id, command_id, amount_minor, shipping_minor, requested_at)
select id, order_id, id, amount_minor, 0, placed_at + interval '5 days'
from bench_shop, lateral (select
  case fate when 'cancelled' then act_id else refund_id end,
  case fate when 'cancelled' then total_minor - 490 else 100 end) r (id, amount_minor)
where fate in ('cancelled', 'goodwill', 'pending') order by n;

insert into refund_lines (refund_id, line_id, quantity, gross_minor, tax_minor, discount_minor)
select act_id, line_id, quantity, gross_minor, 0, 0
from bench_shop, lateral (
  values ('A', quantity_1, quantity_1 * unit_1), ('B', quantity_2, quantity_2 * unit_2)
) l (line_id, quantity, gross_minor)
where fate = 'cancelled' order by n;

insert into refund_parts (part_id, refund_id, order_id, payment_id, amount_minor, state)
select md5('part' || n)::uuid, refund_id, order_id, 'P1', amount_minor,
  case fate when 'pending' then 'pending' else 'settled' end
from refunds join (select n, order_id, fate from bench_shop) shop using (order_id) order by n;

insert into history (order_id, at, event, command_id, amount_minor, details)
select order_id, at, event, command_id, amount_minor, details::jsonb
from bench_shop, lateral (values
  (placed_at, 'placed', place_id, total_minor, '{"lines": 2}', true),
  (placed_at + interval '1 day', case fate when 'cancelled' then 'cancelled' else 'shipped' end,
    act_id, null, '{"items": {"A": ' || quantity_1 || '}}', fate not in ('open', 'unpaid')),
  (placed_at + interval '5 days', 'refund_requested',
    case fate when 'cancelled' then act_id else refund_id end,
    case fate when 'cancelled' then total_minor - 490 else 100 end, '{}',
    fate in ('cancelled', 'goodwill', 'pending'))
) h (at, event, command_id, amount_minor, details, is_so)
where is_so order by at;

insert into followups (
  id, route, name, order_id, command_id, subject_id, staged_at, decided_at, outcome, state, next_at)
select md5(route || command_id)::uuid, route, name, order_id, command_id, subject_id, at,
  case when is_done then at + interval '2 seconds' end,
  case when is_done then '{}'::jsonb end,
  case when is_done then 'done' else 'pending' end,
  -- Nobody looks at what is due during a measurement.
  case when is_done then at else now() + interval '1 year' end
from bench_shop, lateral (values
  ('emails', case fate when 'cancelled' then 'cancelled' else 'shipped' end, act_id, act_id,
    placed_at + interval '1 day', true, fate not in ('open', 'unpaid')),
  ('refunds', 'settle', case fate when 'cancelled' then act_id else refund_id end,
    md5('part' || n)::uuid, placed_at + interval '5 days', fate <> 'pending',
    fate in ('cancelled', 'goodwill', 'pending'))
) f (route, name, command_id, subject_id, at, is_done, is_so)
where is_so order by at
