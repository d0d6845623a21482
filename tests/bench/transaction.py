"""The transaction that a competent team writes by hand: a statement per table, exactly once, with
the same rules, tables, constraints and writes as the worker's.
"""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, text

from messages import Command, Rejected, parse
from worker.orders.model import Decision, Line, Order, Payment
from worker.orders.rules import World, decide
from worker.orders.status import fulfillment_status, payment_status, refund_pending

TAKE_ID = text("""
insert into commands (id, kind, order_id, body, fingerprint)
values (:id, :kind, :order_id, cast(:body as jsonb), command_fingerprint(cast(:body as jsonb)))
on conflict do nothing
""")
LOCK_ORDER = text("""
select order_id, currency, total_minor, shipping_minor, shipping_refunded_minor, hold, version
from orders where order_id = :order_id for no key update
""")
LOAD_LINES = text("""
select line_id, item_type, quantity, gross_minor, tax_minor, discount_minor, shipped, completed,
  cancelled, refunded_units, refunded_minor, refunded_tax_minor, refunded_discount_minor
from order_lines where order_id = :order_id order by position
""")
LOAD_PAYMENTS = text("""
select payment_id, captured_minor, refunded_minor, settled_minor
from payments where order_id = :order_id order by position
""")
UPDATE_ORDER = text("""
update orders set version = :version, fulfillment_status = :fulfillment_status,
  payment_status = :payment_status, refund_pending = :refund_pending, updated_at = now()
where order_id = :order_id
""")
UPDATE_LINE = text("""
update order_lines set shipped = :shipped where order_id = :order_id and line_id = :line_id
""")
ADD_SHIPMENT = text("""
insert into shipments (
  shipment_id, order_id, command_id, carrier, carrier_name, tracking_number, tracking_url, label,
  shipped_at)
values (
  :shipment_id, :order_id, :command_id, :carrier, :carrier_name, :tracking_number, :tracking_url,
  :label, :shipped_at)
""")
ADD_SHIPMENT_LINE = text("""
insert into shipment_lines (shipment_id, line_id, quantity)
values (:shipment_id, :line_id, :quantity)
""")
ADD_HISTORY = text("""
insert into history (order_id, event, command_id, issued_by, amount_minor, details)
values (:order_id, :event, :command_id, :issued_by, :amount_minor, cast(:details as jsonb))
""")
ADD_FOLLOWUP = text("""
insert into followups (id, route, name, order_id, command_id, subject_id)
values (:id, :route, :name, :order_id, :command_id, :subject_id)
""")
END = text("""
update commands set state = :state, outcome = cast(:outcome as jsonb), decided_at = now()
where id = :id
""")


def carry_out(engine: Engine, content: dict[str, Any]) -> None:
    """Carry one command out, from its content to the commit; a known one is left alone."""
    body = json.dumps(content)
    command = parse(body)
    with engine.begin() as connection:
        taken = {
            "id": command.command_id,
            "kind": command.kind,
            "order_id": command.order_id,
            "body": body,
        }
        if connection.execute(TAKE_ID, taken).rowcount:
            _decide(connection, command)


def _decide(connection: Connection, command: Command) -> None:
    order = _load(connection, command.order_id)
    decision = decide(order, command, World(datetime.now(UTC), {}))
    if isinstance(decision, Decision):
        _write(connection, order, command, decision)
        state, outcome = "applied", decision.outcome.model_dump_json()
    else:
        refused = Rejected(reason=decision.reason, message=decision.message)
        state, outcome = "rejected", refused.model_dump_json()
    connection.execute(END, {"id": command.command_id, "state": state, "outcome": outcome})


def _load(connection: Connection, order_id: str) -> Order:
    key = {"order_id": order_id}
    row = connection.execute(LOCK_ORDER, key).mappings().one()
    lines = connection.execute(LOAD_LINES, key)
    payments = connection.execute(LOAD_PAYMENTS, key)
    return Order(
        **row,
        lines=tuple(Line(*line) for line in lines),
        payments=tuple(Payment(*payment) for payment in payments),
    )


def _write(connection: Connection, before: Order, command: Command, decision: Decision) -> None:
    order = decision.order
    base = {"order_id": order.order_id, "command_id": command.command_id}
    state = {
        "order_id": order.order_id,
        "version": order.version,
        "fulfillment_status": fulfillment_status(order),
        "payment_status": payment_status(order),
        "refund_pending": refund_pending(order),
    }
    connection.execute(UPDATE_ORDER, state)
    for line, old in zip(order.lines, before.lines, strict=True):
        if line is not old:
            key = {"order_id": order.order_id, "line_id": line.line_id}
            connection.execute(UPDATE_LINE, {**key, "shipped": line.shipped})
    for shipment in decision.shipments:
        fields = {name: getattr(shipment, name) for name in shipment.__slots__ if name != "items"}
        connection.execute(ADD_SHIPMENT, {**base, **fields})
        for line_id, quantity in shipment.items.items():
            item = {"line_id": line_id, "quantity": quantity}
            connection.execute(ADD_SHIPMENT_LINE, {"shipment_id": shipment.shipment_id, **item})
    for entry in decision.history:
        said = {
            "event": entry.event,
            "issued_by": command.issued_by,
            "amount_minor": entry.amount_minor,
            "details": json.dumps(entry.details),
        }
        connection.execute(ADD_HISTORY, {**base, **said})
    for one in decision.followups:
        staged = {
            "id": uuid4(),
            "route": one.route,
            "name": one.name,
            "subject_id": one.subject_id,
        }
        connection.execute(ADD_FOLLOWUP, {**base, **staged})
