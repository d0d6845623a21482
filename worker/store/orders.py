"""Orders in sets: lock, read, write. The one place that locks orders.

Lock and load are two statements on purpose. READ COMMITTED re-reads only the row it waited for: in
one statement the order would come fresh and its lines from before the wait.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import orjson
from sqlalchemy import Connection

from messages import Address, Command, PlacedOrder
from worker.orders.intake import gross
from worker.orders.model import (
    Decision,
    Entry,
    FollowUp,
    Line,
    Order,
    Payment,
    RefundLine,
    RefundPart,
    Shipment,
)
from worker.orders.status import fulfillment_status, payment_status, refund_pending
from worker.store import words

LOCK_ORDERS = """
-- lock_orders: in the order of their ids, so that no two batches can wait for each other
select order_id from orders where order_id = any(%(order_ids)s)
order by order_id for no key update
"""

WRITE_BATCH = Path(__file__).with_name("write_batch.sql").read_text()

LOCK_FREE_ORDERS = f"""{LOCK_ORDERS} skip locked"""

ORDERS = """
  (select coalesce(json_agg(json_build_array(
     order_id, currency, total_minor, shipping_minor, shipping_refunded_minor, hold, version,
     forgotten_at is not null)), '[]')
   from orders where order_id = any(%(order_ids)s)),
  (select coalesce(json_agg(json_build_array(
     order_id, line_id, item_type, quantity, gross_minor, tax_minor, discount_minor, shipped,
     completed, cancelled, refunded_units, refunded_minor, refunded_tax_minor,
     refunded_discount_minor, voided) order by order_id, position), '[]')
   from order_lines where order_id = any(%(order_ids)s)),
  (select coalesce(json_agg(json_build_array(
     order_id, payment_id, captured_minor, refunded_minor, settled_minor, overpaid_minor, method)
     order by order_id, position), '[]')
   from payments where order_id = any(%(order_ids)s))
"""
"""What the rules see of the orders: three columns for a statement to select; `read` reads them."""

SHIPMENTS = """
  select coalesce(json_agg(json_build_array(s.order_id, json_build_object(
     'shipment_id', s.shipment_id, 'items', (
       select json_object_agg(i.line_id, i.quantity order by i.line_id)
       from shipment_lines i where i.shipment_id = s.shipment_id),
     'carrier', s.carrier, 'carrier_name', s.carrier_name, 'tracking_number', s.tracking_number,
     'tracking_url', s.tracking_url, 'service', s.service, 'warning', s.warning, 'label', s.label,
     'weight_g', s.weight_g, 'shipped_at', s.shipped_at, 'voided_at', s.voided_at,
     'transit', s.transit, 'number', s.number)) order by s.number), '[]')
   from shipments s
"""
"""What the rules see of shipments: a column that wants a condition; `read_shipments` reads it."""

Shipments = dict[tuple[str, UUID], Shipment]
"""By order id and their own."""


def lock(connection: Connection, order_ids: Iterable[str], *, wait: bool = True) -> set[str]:
    """Lock the orders; the ids of those that are there and ours now.

    With `wait` false, orders that another session holds are left out instead of waited for.

    Raises:
      sqlalchemy.exc.OperationalError: An order was not to be had within `lock_timeout`.
    """
    statement = LOCK_ORDERS if wait else LOCK_FREE_ORDERS
    rows = connection.exec_driver_sql(statement, {"order_ids": sorted(order_ids)})
    return {order_id for (order_id,) in rows}


def load(connection: Connection, order_ids: Iterable[str]) -> dict[str, Order]:
    """The orders as they are at this moment, by id; nothing is locked."""
    statement = f"-- load_orders\nselect {ORDERS}"
    return read(*connection.exec_driver_sql(statement, {"order_ids": list(order_ids)}).one())


def read(
    orders: Sequence[Any], lines_: Sequence[Any], payments_: Sequence[Any]
) -> dict[str, Order]:
    """The orders in the three columns of `ORDERS`, by id."""
    lines: defaultdict[str, list[Line]] = defaultdict(list)
    for order_id, *columns in lines_:
        lines[order_id].append(Line(*columns))
    payments: defaultdict[str, list[Payment]] = defaultdict(list)
    for order_id, *columns in payments_:
        payments[order_id].append(Payment(*columns))
    return {
        order_id: Order(
            order_id=order_id,
            currency=currency,
            total_minor=total_minor,
            lines=tuple(lines[order_id]),
            payments=tuple(payments[order_id]),
            shipping_minor=shipping_minor,
            shipping_refunded_minor=shipping_refunded_minor,
            hold=hold,
            version=version,
            is_forgotten=is_forgotten,
        )
        for (
            order_id,
            currency,
            total_minor,
            shipping_minor,
            shipping_refunded_minor,
            hold,
            version,
            is_forgotten,
        ) in orders
    }


def shipments_of(connection: Connection, order_id: str) -> Shipments:
    """The order's shipments at this moment, in the order in which they left."""
    statement = f"-- load_shipments\n{SHIPMENTS} where s.order_id = %(order_id)s"
    return read_shipments(connection.exec_driver_sql(statement, {"order_id": order_id}).scalar())


def read_shipments(found: Any) -> Shipments:
    """The shipments in the column of `SHIPMENTS`, by order id and their own."""
    shipments: Shipments = {}
    for order_id, one in found:
        times = {name: one[name] and datetime.fromisoformat(one[name]) for name in _TIMES}
        shipment = Shipment(**one | times | {"shipment_id": UUID(one["shipment_id"])})
        shipments[order_id, shipment.shipment_id] = shipment
    return shipments


_TIMES = ("shipped_at", "voided_at")

Rows = defaultdict[str, list[dict[str, Any]]]
"""Rows to write, by the name that `write_batch.sql` gives them."""


def changes(before: Mapping[str, Order], decided: Iterable[tuple[Command, Decision]]) -> Rows:
    """What the decisions write: the final state of each order, and every row that they add."""
    rows: Rows = defaultdict(list)
    after: dict[str, Order] = {}
    placed: dict[str, Placed] = {}
    for command, decision in decided:
        after[command.order_id] = decision.order
        if decision.placed:
            placed[command.order_id] = command.command_id, decision.placed
        _add(rows, command, decision)
    for order_id, order in after.items():
        if order_id in before:
            change(rows, before[order_id], order, placed.get(order_id))
        else:
            _new_order(rows, order, placed[order_id])
    return rows


def write(connection: Connection, rows: Rows) -> int:
    """Write them all, in one statement; how many waiting commands that woke."""
    document = orjson.dumps(rows).decode()
    return connection.exec_driver_sql(WRITE_BATCH, {"document": document}).scalar() or 0


Placed = tuple[UUID, PlacedOrder]
"""The form in which upstream placed an order last, and the command that brought it."""


def _new_order(rows: Rows, order: Order, by: Placed) -> None:
    placed = by[1]
    customer = placed.customer
    rows["new_orders"].append(
        {
            **_state(order),
            **_upstream(order, by),
            "number": placed.number,
            "currency": order.currency,
            "shipping_minor": order.shipping_minor,
            "customer_name": customer.name,
            "customer_email": customer.email,
            "customer_phone": customer.phone,
            "locale": customer.locale,
            "billing_address": _address(placed.billing_address),
            "ship_to": _address(placed.ship_to),
            "ship_from": _address(placed.ship_from),
            "placed_at": placed.placed_at,
        }
    )
    rows["new_words"].append(
        {
            "order_id": order.order_id,
            "placed_at": placed.placed_at,
            "words": words.of_order(order.order_id, placed),
        }
    )
    _new_parts(rows, order, placed, lines_here=0, payments_here=0)
    for position, fee in enumerate(placed.fees):
        rows["new_fees"].append(
            {
                "order_id": order.order_id,
                "position": position,
                "kind": fee.kind,
                "name": fee.name,
                "gross_minor": gross(fee),
                "tax_minor": fee.tax_minor,
                "discount_minor": fee.discount_minor,
            }
        )


def _new_parts(
    rows: Rows, order: Order, placed: PlacedOrder, *, lines_here: int, payments_here: int
) -> None:
    """Rows of lines and payments behind those that are here."""
    known = {line.line_id: line for line in placed.lines}
    for position, line in enumerate(order.lines[lines_here:], start=lines_here):
        as_placed = known[line.line_id]
        static = {"position": position, "name": as_placed.name, "sku": as_placed.sku}
        rows["new_lines"].append({"order_id": order.order_id, **static, **asdict(line)})
    paid = {payment.payment_id: payment for payment in placed.payments}
    for position, payment in enumerate(order.payments[payments_here:], start=payments_here):
        static = {"position": position, "captured_at": paid[payment.payment_id].captured_at}
        rows["new_payments"].append({"order_id": order.order_id, **static, **asdict(payment)})


def change(rows: Rows, before: Order, order: Order, by: Placed | None = None) -> None:
    """Add what is different about an order that is here."""
    if order is before and by is None:
        return
    rows["orders"].append(_state(order))
    if by is not None:
        placed = by[1]
        rows["orders"][-1] |= _upstream(order, by)
        _new_parts(
            rows,
            order,
            placed,
            lines_here=len(before.lines),
            payments_here=len(before.payments),
        )
        if len(order.lines) > len(before.lines):
            skus = words.of_texts(*(line.sku for line in placed.lines))
            rows["new_words"].append({"order_id": order.order_id, "words": skus})
    # What was added stands behind what was here.
    for line, old in zip(order.lines, before.lines, strict=False):
        if line is not old:
            rows["lines"].append(_counters(order.order_id, line))
    for payment, was in zip(order.payments, before.payments, strict=False):
        if payment is not was:
            rows["payments"].append({"order_id": order.order_id, **asdict(payment)})


def _counters(order_id: str, line: Line) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "line_id": line.line_id,
        "shipped": line.shipped,
        "completed": line.completed,
        "cancelled": line.cancelled,
        "refunded_units": line.refunded_units,
        "refunded_minor": line.refunded_minor,
        "refunded_tax_minor": line.refunded_tax_minor,
        "refunded_discount_minor": line.refunded_discount_minor,
        "voided": line.voided,
    }


def _state(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "version": order.version,
        "shipping_refunded_minor": order.shipping_refunded_minor,
        "fulfillment_status": fulfillment_status(order),
        "payment_status": payment_status(order),
        "refund_pending": refund_pending(order),
        "hold": order.hold,
    }


def _upstream(order: Order, by: Placed) -> dict[str, Any]:
    """What only upstream's word changes."""
    placed_by, placed = by
    return {
        "placed_by": placed_by,
        "total_minor": order.total_minor,
        "customer_opted_out": placed.customer.opted_out,
    }


def _add(rows: Rows, command: Command, decision: Decision) -> None:
    """The rows that one decision adds; their ids follow from the command's."""
    base = {"order_id": command.order_id, "command_id": command.command_id}
    if decision.carrier:
        rows["carriers"].append(decision.carrier.model_dump())
    for shipment in decision.shipments:
        rows["shipments"].append(
            {
                **base,
                "shipment_id": shipment.shipment_id,
                "carrier": shipment.carrier,
                "carrier_name": shipment.carrier_name,
                "tracking_number": shipment.tracking_number,
                "tracking_url": shipment.tracking_url,
                "service": shipment.service,
                "warning": shipment.warning,
                "label": shipment.label,
                "weight_g": shipment.weight_g,
                "shipped_at": shipment.shipped_at,
            }
        )
        rows["shipment_lines"].extend(
            {"shipment_id": shipment.shipment_id, "line_id": line_id, "quantity": quantity}
            for line_id, quantity in shipment.items.items()
        )
    if one := decision.voided:
        _change_shipment(rows, one.shipment_id, {"voided_at": one.voided_at})
    if one := decision.retracked:
        tracking = ("carrier", "carrier_name", "tracking_number", "tracking_url", "warning")
        changed = {name: getattr(one, name) for name in tracking}
        _change_shipment(rows, one.shipment_id, {"is_retracked": True, **changed})
    for refund in decision.refunds:
        rows["refunds"].append(
            {
                **base,
                "refund_id": refund.refund_id,
                "amount_minor": refund.amount_minor,
                "shipping_minor": refund.shipping_minor,
                "reason": refund.reason,
                "refunded_at": refund.refunded_at,
            }
        )
        key = {"refund_id": refund.refund_id}
        rows["refund_lines"].extend({**key, **asdict(line)} for line in refund.lines)
        rows["refund_parts"].extend(
            {"order_id": command.order_id, **key, **asdict(part)} for part in refund.parts
        )
    rows["history"].extend(
        {**base, "issued_by": command.issued_by, **asdict(entry)} for entry in decision.history
    )
    rows["followups"].extend(
        followup(command.command_id, command.order_id, one) for one in decision.followups
    )


def _change_shipment(rows: Rows, shipment_id: UUID, changed: Mapping[str, Any]) -> None:
    """One row for each shipment, for a statement changes a row once, and none that it adds."""
    for row in (*rows["shipments"], *rows["shipments_changed"]):
        if row["shipment_id"] == shipment_id:
            row.update(changed)
            return
    rows["shipments_changed"].append({"shipment_id": shipment_id, **changed})


def followup(command_id: UUID, order_id: str, one: FollowUp) -> dict[str, Any]:
    """The row of a follow-up. Its id is derived from its command's, and near it in the index: the
    first 48 bits are the same.
    """
    derived = uuid5(command_id, f"{one.route} {one.name} {one.subject_id}")
    return {
        "id": UUID(int=command_id.int >> 80 << 80 | derived.int & (1 << 80) - 1),
        "route": one.route,
        "name": one.name,
        "order_id": order_id,
        "command_id": command_id,
        "subject_id": one.subject_id,
        "state": "skipped" if one.skipped else "pending",
        "outcome": {"skipped": one.skipped} if one.skipped else None,
    }


def _address(address: Address | None) -> dict[str, Any] | None:
    return address.model_dump(exclude_none=True) if address else None


def asdict(thing: Line | Payment | RefundLine | RefundPart | Entry) -> dict[str, Any]:
    """The fields by name, without the deep copy that `dataclasses.asdict` makes."""
    return {name: getattr(thing, name) for name in thing.__slots__}  # type: ignore[union-attr]  # every value has them
