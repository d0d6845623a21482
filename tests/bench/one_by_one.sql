-- pgbench: the writes of one `ship` per transaction, statement by statement as in plain.py.
-- What the rules would decide is known beforehand and stands here.
\set i :i + 1
\set n :i * :clients + :client_id

begin;
insert into commands (id, kind, order_id, body, fingerprint)
select command_id, 'ship', order_id, body, command_fingerprint(body) from bench_commands where n = :n
on conflict do nothing
returning id as command_id, order_id
\gset
select order_id, currency, total_minor, shipping_minor, shipping_refunded_minor, hold, version
from orders where order_id = :order_id for no key update;
select line_id, item_type, quantity, gross_minor, tax_minor, discount_minor, shipped, completed,
  cancelled, refunded_units, refunded_minor, refunded_tax_minor, refunded_discount_minor
from order_lines where order_id = :order_id order by position;
select payment_id, captured_minor, refunded_minor, settled_minor
from payments where order_id = :order_id order by position;
update orders set version = 2, fulfillment_status = 'partially_fulfilled', payment_status = 'paid',
  refund_pending = false, updated_at = now()
where order_id = :order_id;
update order_lines set shipped = 1 where order_id = :order_id and line_id = 'A';
insert into shipments (
  shipment_id, order_id, command_id, tracking_number, label, shipped_at)
values (:command_id, :order_id, :command_id, '00340434161094021501', 'none', now());
insert into shipment_lines (shipment_id, line_id, quantity) values (:command_id, 'A', 1);
insert into history (order_id, event, command_id, details)
values (:order_id, 'shipped', :command_id,
  '{"items": {"A": 1}, "tracking_number": "00340434161094021501"}');
insert into followups (id, route, name, order_id, command_id, subject_id)
values (gen_random_uuid(), 'emails', 'shipped', :order_id, :command_id, :command_id);
update commands set state = 'applied', decided_at = now(), outcome =
  '{"state": "applied", "order_version": 2, "changed": true, "items": [{"line_id": "A", "quantity": 1}], "refund": null}'
where id = :command_id;
commit;
