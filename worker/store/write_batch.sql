-- write_batch: everything that a batch of decided commands writes, in one statement and from one
-- document (six statements instead of one cost twice the time of the whole batch).
-- The rows of `commands` and of changed orders are locked by this transaction already; new rows
-- are inserted in the order of their keys, so that two batches cannot wait for each other.
with document as materialized (
  select %(document)s::jsonb as doc
),
carriers_added as (
  -- Two commands may bring the same new carrier at once: the first one names it.
  insert into carriers (code, name, tracking_url)
  select code, name, tracking_url
  from document, jsonb_to_recordset(doc -> 'carriers')
    as new (code text, name text, tracking_url text)
  order by code
  on conflict do nothing
),
orders_added as (
  insert into orders (
    order_id, number, currency, total_minor, shipping_minor, shipping_refunded_minor,
    fulfillment_status, payment_status, refund_pending, hold, version, customer_name,
    customer_email, customer_phone, customer_opted_out, locale, billing_address, ship_to, ship_from,
    placed_by, placed_at)
  select
    order_id, number, currency, total_minor, shipping_minor, shipping_refunded_minor,
    fulfillment_status, payment_status, refund_pending, hold, version, customer_name,
    customer_email, customer_phone, customer_opted_out, locale, billing_address, ship_to, ship_from,
    placed_by, coalesce(placed_at, now())
  from document, jsonb_to_recordset(doc -> 'new_orders') as new (
    order_id text, number text, currency text, total_minor bigint, shipping_minor bigint,
    shipping_refunded_minor bigint, fulfillment_status text, payment_status text,
    refund_pending boolean, hold text, version integer, customer_name text, customer_email text,
    customer_phone text, customer_opted_out boolean, locale text, billing_address jsonb,
    ship_to jsonb, ship_from jsonb, placed_by uuid, placed_at timestamptz)
  order by order_id
),
lines_added as (
  insert into order_lines (
    order_id, line_id, position, name, sku, item_type, quantity, gross_minor, tax_minor,
    discount_minor, shipped, completed, cancelled, refunded_units, refunded_minor,
    refunded_tax_minor, refunded_discount_minor, voided)
  select
    order_id, line_id, position, name, sku, item_type, quantity, gross_minor, tax_minor,
    discount_minor, shipped, completed, cancelled, refunded_units, refunded_minor,
    refunded_tax_minor, refunded_discount_minor, voided
  from document, jsonb_to_recordset(doc -> 'new_lines') as new (
    order_id text, line_id text, position integer, name text, sku text, item_type text,
    quantity integer, gross_minor bigint, tax_minor bigint, discount_minor bigint,
    shipped integer, completed integer, cancelled integer, refunded_units integer,
    refunded_minor bigint, refunded_tax_minor bigint, refunded_discount_minor bigint,
    voided integer)
),
words_added as (
  -- An order that got more lines has words already.
  insert into order_words (order_id, placed_at, words)
  select order_id, coalesce(placed_at, now()), array_to_tsvector(words)
  from document, jsonb_to_recordset(doc -> 'new_words') as new (
    order_id text, placed_at timestamptz, words text[])
  on conflict (order_id) do update set words = array_to_tsvector((
    tsvector_to_array(order_words.words) || tsvector_to_array(excluded.words)
  )[:5400])  -- words.MAX_WORDS
),
fees_added as (
  insert into order_fees (order_id, position, kind, name, gross_minor, tax_minor, discount_minor)
  select order_id, position, kind, name, gross_minor, tax_minor, discount_minor
  from document, jsonb_to_recordset(doc -> 'new_fees') as new (
    order_id text, position integer, kind text, name text, gross_minor bigint, tax_minor bigint,
    discount_minor bigint)
),
payments_added as (
  insert into payments (
    order_id, payment_id, position, method, captured_minor, captured_at, refunded_minor,
    settled_minor)
  select
    order_id, payment_id, position, method, captured_minor, captured_at, refunded_minor,
    settled_minor
  from document, jsonb_to_recordset(doc -> 'new_payments') as new (
    order_id text, payment_id text, position integer, method text, captured_minor bigint,
    captured_at timestamptz, refunded_minor bigint, settled_minor bigint)
),
orders_changed as (
  update orders o set
    version = new.version,
    shipping_refunded_minor = new.shipping_refunded_minor,
    fulfillment_status = new.fulfillment_status,
    payment_status = new.payment_status,
    refund_pending = new.refund_pending,
    hold = new.hold,
    -- Only upstream, placing the order again, changes these.
    placed_by = coalesce(new.placed_by, o.placed_by),
    total_minor = coalesce(new.total_minor, o.total_minor),
    customer_opted_out = coalesce(new.customer_opted_out, o.customer_opted_out),
    updated_at = now()
  from document, jsonb_to_recordset(doc -> 'orders') as new (
    order_id text, version integer, shipping_refunded_minor bigint, fulfillment_status text,
    payment_status text, refund_pending boolean, placed_by uuid, total_minor bigint, hold text,
    customer_opted_out boolean)
  where o.order_id = new.order_id
),
lines_changed as (
  update order_lines l set
    shipped = new.shipped,
    completed = new.completed,
    cancelled = new.cancelled,
    refunded_units = new.refunded_units,
    refunded_minor = new.refunded_minor,
    refunded_tax_minor = new.refunded_tax_minor,
    refunded_discount_minor = new.refunded_discount_minor,
    voided = new.voided
  from document, jsonb_to_recordset(doc -> 'lines') as new (
    order_id text, line_id text, shipped integer, completed integer, cancelled integer,
    refunded_units integer, refunded_minor bigint, refunded_tax_minor bigint,
    refunded_discount_minor bigint, voided integer)
  where l.order_id = new.order_id and l.line_id = new.line_id
),
payments_changed as (
  update payments p set
    refunded_minor = new.refunded_minor,
    settled_minor = new.settled_minor,
    overpaid_minor = new.overpaid_minor
  from document, jsonb_to_recordset(doc -> 'payments') as new (
    order_id text, payment_id text, refunded_minor bigint, settled_minor bigint,
    overpaid_minor bigint)
  where p.order_id = new.order_id and p.payment_id = new.payment_id
),
shipments_added as (
  insert into shipments (
    shipment_id, order_id, command_id, carrier, carrier_name, tracking_number, tracking_url,
    service, warning, label, weight_g, shipped_at, voided_at)
  select
    shipment_id, order_id, command_id, carrier, carrier_name, tracking_number, tracking_url,
    service, warning, label, weight_g, coalesce(shipped_at, now()), voided_at
  from document, jsonb_to_recordset(doc -> 'shipments') as new (
    shipment_id uuid, order_id text, command_id uuid, carrier text, carrier_name text,
    tracking_number text, tracking_url text, service text, warning text, label text,
    weight_g integer, shipped_at timestamptz, voided_at timestamptz)
),
shipments_changed as (
  update shipments s set
    voided_at = coalesce(new.voided_at, s.voided_at),
    -- A number that came with a label meanwhile stays: who buys it holds no lock of the order.
    carrier = coalesce(new.carrier, s.carrier),
    carrier_name = coalesce(new.carrier_name, s.carrier_name),
    tracking_number = coalesce(new.tracking_number, s.tracking_number),
    tracking_url = case when new.is_retracked then new.tracking_url else s.tracking_url end,
    warning = case when new.is_retracked then new.warning else s.warning end
  from document, jsonb_to_recordset(doc -> 'shipments_changed') as new (
    shipment_id uuid, voided_at timestamptz, is_retracked boolean, carrier text,
    carrier_name text, tracking_number text, tracking_url text, warning text)
  where s.shipment_id = new.shipment_id
),
shipment_lines_added as (
  insert into shipment_lines (shipment_id, line_id, quantity)
  select shipment_id, line_id, quantity
  from document, jsonb_to_recordset(doc -> 'shipment_lines') as new (
    shipment_id uuid, line_id text, quantity integer)
),
refunds_added as (
  insert into refunds (
    refund_id, order_id, command_id, amount_minor, shipping_minor, reason, requested_at)
  select
    refund_id, order_id, command_id, amount_minor, shipping_minor, reason,
    coalesce(refunded_at, now())
  from document, jsonb_to_recordset(doc -> 'refunds') as new (
    refund_id uuid, order_id text, command_id uuid, amount_minor bigint, shipping_minor bigint,
    reason text, refunded_at timestamptz)
),
refund_lines_added as (
  insert into refund_lines (
    refund_id, line_id, quantity, gross_minor, tax_minor, discount_minor)
  select refund_id, line_id, quantity, gross_minor, tax_minor, discount_minor
  from document, jsonb_to_recordset(doc -> 'refund_lines') as new (
    refund_id uuid, line_id text, quantity integer, gross_minor bigint, tax_minor bigint,
    discount_minor bigint)
),
refund_parts_added as (
  insert into refund_parts (part_id, refund_id, order_id, payment_id, amount_minor, state)
  select part_id, refund_id, order_id, payment_id, amount_minor, state
  from document, jsonb_to_recordset(doc -> 'refund_parts') as new (
    part_id uuid, refund_id uuid, order_id text, payment_id text, amount_minor bigint, state text)
),
history_added as (
  insert into history (order_id, at, event, command_id, issued_by, amount_minor, details)
  select order_id, coalesce(at, now()), event, command_id, issued_by, amount_minor, details
  from document, jsonb_to_recordset(doc -> 'history') as new (
    order_id text, at timestamptz, event text, command_id uuid, issued_by text,
    amount_minor bigint, details jsonb)
),
followups_added as (
  insert into followups (
    id, route, name, order_id, command_id, subject_id, lane, state, outcome, decided_at)
  select
    id, route, name, order_id, command_id, subject_id,
    coalesce(lane, (select c.lane from commands c where c.id = command_id), 0), state, outcome,
    case when state = 'skipped' then now() end
  from document, jsonb_to_recordset(doc -> 'followups') as new (
    id uuid, route text, name text, order_id text, command_id uuid, subject_id uuid, lane smallint,
    state text, outcome jsonb)
),
events_added as (
  -- What the table's own trigger does not tell, in the order in which it was decided; not the message,
  -- which may quote somebody.
  insert into events (type, order_id, command_id, data)
  select 'command.' || state, order_id, id,
    jsonb_build_object('kind', kind, 'outcome', outcome - 'message')
  from document, rows from (
    jsonb_to_recordset(doc -> 'commands')
      as (id uuid, kind text, order_id text, state text, outcome jsonb)
  ) with ordinality as new (id, kind, order_id, state, outcome, n)
  where state in ('applied', 'rejected')
  order by n
),
woken as (
  -- Whoever decides a predecessor wakes its successors, and whoever places an order wakes what
  -- waits for it. One that another session holds is in that session's hands: it will look itself.
  update commands c set next_at = now(), waits_for = null
  from (
    select w.id
    from document, jsonb_to_recordset(doc -> 'commands') as ended (
      id uuid, order_id text, state text)
    join commands w on w.order_id = ended.order_id and w.state = 'pending'
      and w.waits_for in ('order', 'predecessor')
      and (w.waits_for = 'order' or w.after_id = ended.id)
    where ended.state <> 'pending' and w.lease_until is null
    order by w.id for no key update of w skip locked
  ) as waiting
  where c.id = waiting.id
  returning c.id
)
update commands c set
  state = new.state,
  outcome = new.outcome,
  decided_at = case when new.state <> 'pending' then now() end,
  next_at = case when new.state = 'pending' and new.delay_s is not null
                 then now() + new.delay_s * interval '1 second' else c.next_at end,
  waits_for = new.waits_for,
  -- Other than before only where an operator replaced the predecessor.
  after_id = coalesce(new.after_id, c.after_id),
  dead_reason = new.dead_reason,
  errors = case when new.error is null then c.errors else c.errors || new.error end,
  crashes = 0,
  alone = false,
  lease_until = null
from document, jsonb_to_recordset(doc -> 'commands') as new (
  id uuid, state text, outcome jsonb, delay_s double precision, waits_for text, after_id uuid,
  dead_reason text, error jsonb)
where c.id = new.id
returning (select count(*) from woken)
