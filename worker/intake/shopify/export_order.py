"""One order of Shopify's orders export as a `place` command, with what is done upstream as done.

What was decided where the export leaves a choice (of discounts and taxes: in `export_costs.py`):

- **Ids.** The order's is `Id`, else `Name` without its `#`; a JSON of the same order has the same
  `Id`, but other line ids. Lines have none in the export: theirs are their positions, from 1.
- **Payments.** One, by `Financial Status`: an export does not tell several apart, so an order that
  was paid by several methods is refused. Its id is `Payment ID` or `Payment Reference`, else the
  order's. `Refunded Amount` is an amount without lines on it.
- **Done.** A line that is `fulfilled` was in the one parcel that the export knows of. `partial`
  does not say how much and is refused. With `Cancelled at`, or `restocked`, what remains is
  cancelled.
- **Guards.** The apostrophe that keeps spreadsheets from eating a leading zero or plus is removed
  from postal codes and phone numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from messages import (
    Address,
    Customer,
    DoneRefund,
    DoneShipment,
    OrderLine,
    Payment,
    Place,
    PlacedOrder,
)
from messages.fields import MAX_LINES
from worker.intake.cost import Cost, mismatch
from worker.intake.done import parcel_items, refund_parts
from worker.intake.ids import is_id, place
from worker.intake.node import Node, make
from worker.intake.refusal import OrderRefused, Why
from worker.intake.shopify.export_costs import costs_of
from worker.intake.shopify.export_rows import Row
from worker.intake.shopify.money import captured_by_status
from worker.intake.shopify.people import address_by, customer_by

MAX_ROWS: Final = 2 * MAX_LINES
"""Of one order: its lines, and each of them repeated."""
FULFILLED: Final = frozenset({None, "pending", "unfulfilled", "fulfilled", "restocked"})


def place_rows(rows: Sequence[Row]) -> Place:
    if len(rows) > MAX_ROWS:
        raise OrderRefused(Why.INVALID, f"has more than {MAX_ROWS} rows")
    for row in rows:
        if row.problem:
            raise OrderRefused(Why.UNREADABLE, f"row {row.number} {row.problem}")
    order_id = _order_id(rows[0])
    if not rows[0].begins_order:
        raise OrderRefused(Why.NO_TOTAL, "Total: is missing; the first row of an order has it")
    currency = Node(rows[0].values).currency_code("Currency")
    return place(order_id, _placed(rows, order_id, currency))


def _order_id(row: Row) -> str:
    node = Node(row.values)
    given = node.text("Id")
    if given is not None and not given.isdecimal():  # a spreadsheet made it 4.5E+12
        raise OrderRefused(Why.INVALID, "Id: must be digits; a spreadsheet may have rounded it")
    order_id = given or row.name.removeprefix("#")
    if not order_id:
        raise OrderRefused(Why.NO_ID, "Name: is missing")
    if not is_id(order_id):
        raise OrderRefused(Why.INVALID, "Name: must be letters, digits and ._:-, at most 64")
    return order_id


def known_id(row: Row) -> str | None:
    try:
        return _order_id(row)
    except OrderRefused:
        return None


def _placed(rows: Sequence[Row], order_id: str, currency: str) -> PlacedOrder:
    first = Node(rows[0].values, currency=currency)
    items = {
        str(position): Node(row.values, f"row {row.number}", currency)
        for position, row in enumerate(rows, start=1)
    }
    quantities = {uid: item.quantity("Lineitem quantity") for uid, item in items.items()}
    # What was taken from an order before it was fulfilled stays there with nothing of it.
    lines = {uid: item for uid, item in items.items() if quantities[uid]}
    if not lines:
        raise OrderRefused(Why.NO_LINES, "Lineitem quantity: there is nothing in it")
    total = first.required_decimal("Total")
    costs = costs_of(first, lines, quantities, total)
    captured = captured_by_status(
        first,
        "Financial Status",
        "Outstanding Balance",
        total_minor=total,
        is_changed=bool(first.decimal("Refunded Amount")),
    )
    billing, ship_to = _address(first, "Billing"), _address(first, "Shipping")
    number = first.text("Name")
    payment_id = _payment_id(first, order_id)
    return make(
        PlacedOrder,
        {
            "total_minor": "Total",
            "discount_minor": "Discount Amount",
            "tax_minor": "Taxes",
            "lines": "Lineitem quantity",
            "number": "Name",
            "placed_at": "Created at",
        },
        currency=first.currency,
        total_minor=total,
        lines=tuple(
            _line(uid, item, first, quantities[uid], costs.of_lines[uid])
            for uid, item in lines.items()
        ),
        fees=costs.fees,
        payments=_payments(first, payment_id, captured),
        discount_minor=costs.discount_minor,
        tax_minor=costs.tax_minor,
        number=None if number == order_id else number,
        placed_at=first.moment("Created at"),
        customer=_customer(first, billing, ship_to),
        billing_address=billing,
        ship_to=ship_to,
        shipments=_shipments(first, lines, quantities),
        refunds=_refunds(first, payment_id, captured),
    )


# Lines and what is done with them


def _line(uid: str, item: Node, first: Node, quantity: int, cost: Cost) -> OrderLine:
    status = _status(item, first)
    is_done = status == "fulfilled"
    item_type = _item_type(item)
    is_cancelled = bool(first.text("Cancelled at")) or status == "restocked"
    return make(
        OrderLine,
        {
            "name": item.at("Lineitem name"),
            "sku": item.at("Lineitem sku"),
            "quantity": item.at("Lineitem quantity"),
            "net_minor": item.at("Lineitem price"),
            "discount_minor": item.at("Lineitem discount"),
            "tax_minor": "Taxes",
        },
        line_id=uid,
        name=item.text("Lineitem name") or "Item",
        sku=item.text("Lineitem sku"),
        item_type=item_type,
        quantity=quantity,
        **asdict(cost),
        completed=quantity if is_done and item_type != "physical" else 0,
        cancelled=quantity if is_cancelled and not is_done else 0,
    )


def _status(item: Node, first: Node) -> str | None:
    """The line's fulfillment status, else the order's."""
    key, node = "Lineitem fulfillment status", item
    if not node.text(key):
        key, node = "Fulfillment Status", first
    status = node.text(key)
    if status == "partial":
        message = f"{node.at(key)}: is partial; import the order's JSON, which says how much"
        raise OrderRefused(Why.INVALID, message)
    if status not in FULFILLED:
        allowed = ", ".join(sorted(filter(None, FULFILLED)))
        raise OrderRefused(Why.INVALID, f"{node.at(key)}: must be one of {allowed}")
    return status


def _item_type(item: Node) -> str:
    return "digital" if item.flag("Lineitem requires shipping") is False else "physical"


def _shipments(
    first: Node, lines: Mapping[str, Node], quantities: Mapping[str, int]
) -> tuple[DoneShipment, ...]:
    parcel = {
        uid: quantities[uid]
        for uid, item in lines.items()
        if _item_type(item) == "physical" and _status(item, first) == "fulfilled"
    }
    if not parcel:
        return ()
    names = {"shipped_at": "Fulfilled at"}
    at = first.moment("Fulfilled at")
    return (
        make(DoneShipment, names, items=parcel_items(parcel, "Lineitem quantity"), shipped_at=at),
    )


# Payments and refunds


def _payment_id(first: Node, order_id: str) -> str:
    given = (first.text(key) for key in ("Payment ID", "Payment Reference"))
    return next((one for one in given if is_id(one) and one), order_id)


def _payments(first: Node, payment_id: str, captured: int) -> tuple[Payment, ...]:
    if not captured:
        return ()
    method = first.text("Payment Method")
    if method and "+" in method:
        message = "Payment Method: names several; import the order's JSON with its transactions"
        raise OrderRefused(Why.INVALID, message)
    names = {"captured_minor": "Total", "method": "Payment Method", "captured_at": "Paid at"}
    return (
        make(
            Payment,
            names,
            payment_id=payment_id,
            captured_minor=captured,
            method=method,
            captured_at=first.moment("Paid at"),
        ),
    )


def _refunds(first: Node, payment_id: str, captured: int) -> tuple[DoneRefund, ...]:
    status = (first.text("Financial Status") or "").casefold()
    refunded = first.decimal("Refunded Amount") or (captured if status == "refunded" else 0)
    if status == "partially_refunded" and not refunded:
        message = "Refunded Amount: is missing, yet the order is partially_refunded"
        raise OrderRefused(Why.NO_TOTAL, message)
    if not refunded:
        return ()
    if refunded > captured:
        raise mismatch("Refunded Amount: payments sum", captured, refunded, first.currency)
    return (DoneRefund(parts=refund_parts({payment_id: refunded}, "Refunded Amount")),)


# People


def _address(first: Node, whose: str) -> Address | None:
    values = dict(first.value)
    for part in ("Zip", "Phone"):
        values[f"{whose} {part}"] = _unguarded(values.get(f"{whose} {part}"))
    keys = {
        "name": "Name",
        "company": "Company",
        "line_1": "Address1" if values.get(f"{whose} Address1") else "Street",
        "line_2": "Address2",
        "city": "City",
        "district": "Province Name",
        "district_code": "Province",
        "postal_code": "Zip",
        "country": "Country",
        "phone": "Phone",
    }
    return address_by(Node(values), {part: f"{whose} {key}" for part, key in keys.items()})


def _customer(first: Node, billing: Address | None, ship_to: Address | None) -> Customer:
    return customer_by(
        {"name": "Billing Name", "email": "Email", "phone": "Phone"},
        billing,
        ship_to,
        email=first.text("Email"),
        phone=Node({"Phone": _unguarded(first.value.get("Phone"))}).text("Phone"),
    )


def _unguarded(text: str | None) -> str | None:
    return text.strip().removeprefix("'") if text else None
