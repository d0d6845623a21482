"""Orders and commands with sensible defaults; a test names only what it is about.

`order` is what the rules see, `placed_order` what an upstream system sends. Each command has a
command id of its own.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from messages import (
    Cancel,
    Complete,
    Fee,
    Hold,
    Item,
    Money,
    OrderLine,
    Place,
    PlacedOrder,
    Refund,
    Release,
    Ship,
    UpdateTracking,
    Void,
)
from worker.orders.model import Line, Order, Payment, Shipment
from worker.orders.rules import World

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ORDER_ID = "O-1"


def world(**fields: Any) -> World:
    """Noon of the first of March, with one known carrier."""
    return World(**{"now": NOW, "carriers": {"dhl": "DHL"}} | fields)


def line(line_id: str = "A", quantity: int = 3, **fields: Any) -> Line:
    """A physical line, one euro a unit."""
    fields = {"item_type": "physical", "gross_minor": 100 * quantity} | fields
    return Line(line_id=line_id, quantity=quantity, **fields)


def payments(*captured_minor: int) -> tuple[Payment, ...]:
    """Payments P1, P2 and so on."""
    return tuple(Payment(f"P{n}", captured) for n, captured in enumerate(captured_minor, start=1))


def order(*lines: Line, **fields: Any) -> Order:
    """An order as the rules see it: one line, placed, and paid in full by P1."""
    lines = lines or (line(),)
    total_minor = sum(one.gross_minor for one in lines) + fields.get("shipping_minor", 0)
    defaults = {
        "order_id": ORDER_ID,
        "currency": "EUR",
        "total_minor": total_minor,
        "payments": payments(total_minor),
        "version": 1,
    }
    return Order(lines=lines, **defaults | fields)


def order_line(line_id: str = "A", quantity: int = 3, **fields: Any) -> OrderLine:
    """A line as an upstream system sends it, one euro a unit."""
    fields = {"name": f"Product {line_id}", "net_minor": 100 * quantity} | fields
    return OrderLine(line_id=line_id, quantity=quantity, **fields)


def placed_order(*lines: OrderLine, **fields: Any) -> PlacedOrder:
    """An order as an upstream system sends it, in EUR; the total is what its parts sum to."""
    lines = lines or (order_line(),)
    fees: tuple[Fee, ...] = fields.get("fees", ())
    total_minor = (
        sum(one.net_minor - one.discount_minor + one.tax_minor for one in (*lines, *fees))
        - fields.get("discount_minor", 0)
        + fields.get("tax_minor", 0)
    )
    return PlacedOrder(**{"currency": "EUR", "total_minor": total_minor, "lines": lines} | fields)


def items(**quantities: int) -> tuple[Item, ...]:
    """`items(A=2, B=0)`: two of line A, none of line B."""
    return tuple(Item(line_id=line_id, quantity=n) for line_id, n in quantities.items())


def money(amount_minor: int, currency: str = "EUR") -> Money:
    return Money(amount_minor=amount_minor, currency=currency)


def place(**fields: Any) -> Place:
    """Take `placed_order()` in."""
    return Place(**_envelope() | {"order": placed_order()} | fields)


def ship(**fields: Any) -> Ship:
    """Ship all that remains."""
    return Ship(**_envelope() | fields)


def complete(**fields: Any) -> Complete:
    """Complete all that remains."""
    return Complete(**_envelope() | fields)


def cancel(**fields: Any) -> Cancel:
    """Cancel all that remains, without a refund."""
    return Cancel(**_envelope() | fields)


def refund(**fields: Any) -> Refund:
    """Refund what the fields say; by themselves nothing."""
    return Refund(**_envelope() | fields)


def void(shipment_id: UUID | Ship, **fields: Any) -> Void:
    """Call a shipment back: one with this id, or that of this command."""
    return Void(**_envelope() | {"shipment_id": _id_of(shipment_id)} | fields)


def update_tracking(shipment_id: UUID | Ship, **fields: Any) -> UpdateTracking:
    """Correct a shipment's tracking."""
    return UpdateTracking(**_envelope() | {"shipment_id": _id_of(shipment_id)} | fields)


def hold(reason: str = "fraud check", **fields: Any) -> Hold:
    """Let nothing leave."""
    return Hold(**_envelope() | {"reason": reason} | fields)


def release(**fields: Any) -> Release:
    """Let it go on."""
    return Release(**_envelope() | fields)


def shipment(**fields: Any) -> Shipment:
    """A parcel with two of line A, as the rules see it."""
    return Shipment(**{"shipment_id": uuid4(), "items": {"A": 2}, "shipped_at": NOW} | fields)


def world_with(*shipments: Shipment, **fields: Any) -> World:
    """The same with shipments of the order that commands name."""
    return world(shipments={(ORDER_ID, one.shipment_id): one for one in shipments}, **fields)


def _id_of(shipment: UUID | Ship) -> UUID:
    return shipment.command_id if isinstance(shipment, Ship) else shipment


def _envelope() -> dict[str, Any]:
    return {"command_id": uuid4(), "order_id": ORDER_ID}
