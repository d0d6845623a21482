"""What is printed for a parcel, as the database has it: one document.

It is the order as it was when the parcel left. What was shipped or cancelled since, and lines that
upstream added, are taken out again, and parcels that were called back since count, so that a label
made late or twice says the same.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError
from sqlalchemy import Connection

from messages.order import Address
from worker.errors import Terminal
from worker.orders.value import value

PARCEL_FACTS = """
-- parcel_facts: a shipment and its order as they were when it left, one document
with parcel as (
  select s.*, (select max(h.history_id) from history h
               where h.order_id = s.order_id and h.command_id = s.command_id) as left_at
  from shipments s where s.shipment_id = %(shipment_id)s
),
later as (
  select h.event, h.details -> 'items' as items
  from parcel p join history h on h.order_id = p.order_id and h.history_id > p.left_at
  where h.event in ('cancelled', 'changed_upstream') and h.details ? 'items'
),
until_then as (
  -- Parcels up to this one, but for those that had been called back.
  select e.shipment_id
  from parcel p join shipments e on e.order_id = p.order_id and e.number <= p.number
  where e.voided_at is null or not exists (
    select from history h
    where h.order_id = p.order_id and h.history_id < p.left_at and h.event = 'voided'
      and h.details ->> 'shipment_id' = e.shipment_id::text)
)
select jsonb_build_object(
  'order_id', p.order_id,
  'order_number', o.number,
  'shipment_id', p.shipment_id,
  'number', p.number,
  'carrier', p.carrier_name,
  'service', p.service,
  'tracking_number', p.tracking_number,
  'shipped_at', p.shipped_at,
  'customer_name', o.customer_name,
  'locale', o.locale,
  'ship_from', o.ship_from,
  'ship_to', coalesce((
    select f.edits -> 'ship_to' from followups f
    where f.order_id = p.order_id and f.route = 'labels' and f.subject_id = p.shipment_id
      and f.edits ? 'ship_to'
    order by f.seq desc limit 1), o.ship_to),
  'is_voided', p.voided_at is not null,
  'is_forgotten', o.forgotten_at is not null,
  'position', (select count(*) from until_then),
  'lines', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', l.name, 'sku', l.sku,
      'quantity', coalesce((
        select i.quantity from shipment_lines i
        where i.shipment_id = p.shipment_id and i.line_id = l.line_id), 0),
      'to_come', l.quantity
        - (l.cancelled - coalesce((
            select sum((later.items ->> l.line_id)::integer) from later
            where later.event = 'cancelled'), 0))
        - coalesce((
            select sum(i.quantity) from until_then e
            join shipment_lines i on i.shipment_id = e.shipment_id and i.line_id = l.line_id), 0)
      ) order by l.position), '[]')
    from order_lines l
    where l.order_id = p.order_id and l.item_type = 'physical'
      and not exists (
        select from later where later.event = 'changed_upstream' and later.items ? l.line_id))
)
from parcel p join orders o on o.order_id = p.order_id
"""

ORDER_FACTS = """
-- order_facts: what is left of an order, as a parcel that has not left
select jsonb_build_object(
  'order_id', o.order_id,
  'order_number', o.number,
  'customer_name', o.customer_name,
  'locale', o.locale,
  'ship_from', o.ship_from,
  'ship_to', o.ship_to,
  'is_forgotten', o.forgotten_at is not null,
  'lines', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', l.name, 'sku', l.sku, 'to_come', 0,
      'quantity', l.quantity - l.shipped - l.cancelled) order by l.position), '[]')
    from order_lines l where l.order_id = o.order_id and l.item_type = 'physical')
)
from orders o where o.order_id = %(order_id)s
"""


@value
class Line:
    """A physical line of the order: units in this parcel, and units that come with others."""

    name: str
    sku: str | None
    quantity: int
    to_come: int


@value
class Parcel:
    """What is on a label and a slip. Without a `number` nothing was shipped yet."""

    order_id: str
    order_reference: str
    ship_to: Address | None
    ship_from: Address | None
    customer_name: str | None
    locale: str | None
    lines: tuple[Line, ...]
    shipment_id: UUID | None = None
    number: int | None = None
    carrier: str | None = None
    service: str | None = None
    tracking_number: str | None = None
    shipped_at: datetime | None = None
    is_voided: bool = False
    """Whether it was called back, by now."""
    is_forgotten: bool = False
    """Whether whom its order belonged to is not known any more."""
    position: int | None = None
    """The how manieth parcel of the order it is, without those called back before. Numbers are
    drawn under the order's lock, so no parcel with a smaller number can come later.
    """

    @property
    def is_last(self) -> bool:
        """Whether nothing was left to send when this parcel left; only then the number of parcels
        is known. An order that grows later does not change what this one said.
        """
        return all(line.to_come <= 0 for line in self.lines)


def parcel(connection: Connection, shipment_id: UUID) -> Parcel | None:
    """The facts of a shipment; None if there is none with the id.

    Raises:
      Terminal: An operator's edit of the address is none.
    """
    parameters = {"shipment_id": shipment_id}
    found = connection.exec_driver_sql(PARCEL_FACTS, parameters).scalar()
    return _parcel(found) if found else None


def left_of_order(connection: Connection, order_id: str) -> Parcel | None:
    """What is left of an order, as if it were shipped at once; None if the order is not here."""
    found = connection.exec_driver_sql(ORDER_FACTS, {"order_id": order_id}).scalar()
    return _parcel(found) if found else None


def _parcel(found: dict[str, Any]) -> Parcel:
    number = found.pop("order_number")
    shipped_at = found.pop("shipped_at", None)
    shipment_id = found.pop("shipment_id", None)
    return Parcel(
        **found
        | {
            "order_reference": number or found["order_id"],
            "ship_to": _address(found["ship_to"], "ship_to"),
            "ship_from": _address(found["ship_from"], "ship_from"),
            "shipment_id": UUID(shipment_id) if shipment_id else None,
            "shipped_at": datetime.fromisoformat(shipped_at) if shipped_at else None,
            "lines": tuple(Line(**line) for line in found["lines"]),
        }
    )


def _address(found: Any, whose: str) -> Address | None:
    if found is None:
        return None
    try:
        return Address.model_validate_json(orjson.dumps(found))
    except ValidationError as error:
        raise bad_address(
            whose, [".".join(map(str, one["loc"])) for one in error.errors()]
        ) from None


def bad_address(whose: str, fields: Sequence[str]) -> Terminal:
    """The failure of an address that nothing can be posted to: which parts to correct, but not what
    they say.
    """
    return Terminal("bad_address", f"correct {whose}: {', '.join(fields) or 'the whole address'}")
