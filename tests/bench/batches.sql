-- pgbench: the writes of a batch of `ship`s per transaction, the statements of one_by_one.sql on
-- sets. What the rules would decide is known beforehand and stands here.
\set i :i + 1
\set first (:i * :clients + :client_id) * :batch
\set last :first + :batch - 1

begin;
insert into commands (id, kind, order_id, body, fingerprint)
select command_id, 'ship', order_id, body, command_fingerprint(body) from bench_commands where n between :first and :last
order by command_id
on conflict do nothing;
select order_id, currency, total_minor, shipping_minor, shipping_refunded_minor, hold, version
from orders where order_id in (
  select order_id from bench_commands where n between :first and :last)
order by order_id for no key update;
select l.order_id, line_id, item_type, quantity, gross_minor, tax_minor, discount_minor, shipped,
  completed, cancelled, refunded_units, refunded_minor, refunded_tax_minor, refunded_discount_minor
from order_lines l join bench_commands b using (order_id) where b.n between :first and :last
order by order_id, position;
select p.order_id, payment_id, captured_minor, refunded_minor, settled_minor
from payments p join bench_commands b using (order_id) where b.n between :first and :last
order by order_id, position;
update orders o set version = 2, fulfillment_status = 'partially_fulfilled',
  payment_status = 'paid', refund_pending = false, updated_at = now()
from bench_commands b where b.n between :first and :last and o.order_id = b.order_id;
update order_lines l set shipped = 1
from bench_commands b
where b.n between :first and :last and l.order_id = b.order_id and l.line_id = 'A';
insert into shipments (
  shipment_id, order_id, command_id, tracking_number, label, shipped_at)
select command_id, order_id, command_id, '00340434161094021501', 'none', now()
from bench_commands where n between :first and :last;
insert into shipment_lines (shipment_id, line_id, quantity)
select command_id, 'A', 1 from bench_commands where n between :first and :last;
insert into history (order_id, event, command_id, details)
select order_id, 'shipped', command_id,
  '{"items": {"A": 1}, "tracking_number": "00340434161094021501"}'
from bench_commands where n between :first and :last;
insert into followups (id, route, name, order_id, command_id, subject_id)
select gen_random_uuid(), 'emails', 'shipped', order_id, command_id, command_id
from bench_commands where n between :first and :last;
update commands c set state = 'applied', decided_at = now(), outcome =
  '{"state": "applied", "order_version": 2, "changed": true, "items": [{"line_id": "A", "quantity": 1}], "refund": null}'
from bench_commands b where b.n between :first and :last and c.id = b.command_id;
commit;
