"""A Square `Order` as a `place` command, with everything that is done upstream imported as done.

What was decided where Square leaves a choice stands with each part: `lines.py`, `costs.py`,
`fulfillments.py`, `payments.py`, `refunds.py`. Of the order itself: its state COMPLETED says paid
and closed, so what no completed fulfillment holds stays to be done. In a CANCELED order all of
that is cancelled.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from messages import OrderLine, Place, PlacedOrder
from worker.intake.cost import Cost
from worker.intake.done import Done
from worker.intake.ids import created_id, is_id, place
from worker.intake.node import Node, make
from worker.intake.refusal import OrderRefused, Why
from worker.intake.square.costs import Costs
from worker.intake.square.fulfillments import Fulfillments
from worker.intake.square.lines import Lines, line_name
from worker.intake.square.payments import captured_tenders, payments_of
from worker.intake.square.people import customer_of, recipient_of
from worker.intake.square.refunds import refunds_of, returned_units

STATES: Final = frozenset({"OPEN", "COMPLETED", "CANCELED"})


def to_place(order: Mapping[str, Any]) -> Place:
    """The command that places this Square order.

    Raises:
      OrderRefused: It is a draft, lacks an id or totals, does not tie, or holds what our fields
        forbid; the message says where and by how much.
    """
    root = Node(order)
    order_id = created_id(root.text("id"))
    if root.text("state") == "DRAFT":
        raise OrderRefused(Why.DRAFT, "is a draft: it is not ordered yet")
    if (root.text("state") or "OPEN") not in STATES:
        raise OrderRefused(Why.INVALID, "state: must be OPEN, COMPLETED, CANCELED or DRAFT")
    if not root.nodes("line_items"):
        raise OrderRefused(Why.NO_LINES, _no_lines(root))
    root = Node(order, currency=_currency(root))
    return place(order_id, _placed(root, order_id))


def _no_lines(root: Node) -> str:
    for one in root.nodes("returns"):
        source = one.text("source_order_id")
        if is_id(source):
            return f"line_items: there are none; it is a return of order {source}"
    return "line_items: there are none"


def _currency(root: Node) -> str:
    if not root.has("total_money"):
        raise OrderRefused(Why.NO_TOTAL, "total_money: is missing")
    return root.node("total_money").currency_code("currency")


def _placed(root: Node, order_id: str) -> PlacedOrder:
    lines = Lines(root.nodes("line_items"))
    costs = Costs(root, lines)
    fulfillments = Fulfillments(root.nodes("fulfillments"), lines)
    captured = captured_tenders(root.nodes("tenders"))
    costs.check_sums(root)
    number = root.text("reference_id")
    done = fulfillments.done()
    returned = returned_units(root, lines)
    recipient, ship_to = recipient_of(fulfillments.fulfillments)
    is_canceled = root.text("state") == "CANCELED"
    return make(
        PlacedOrder,
        {
            "total_minor": "total_money.amount",
            "lines": "line_items",
            "fees": "service_charges",
            "payments": "tenders",
            "number": "reference_id",
            "shipments": "fulfillments",
            "upstream_version": "version",
        },
        currency=root.currency,
        total_minor=root.money("total_money"),
        lines=tuple(
            _line(
                uid,
                item,
                quantity=lines.quantities[uid],
                item_type=fulfillments.item_types[uid],
                cost=costs.of_lines[uid],
                done=done,
                gone=lines.quantities[uid] if is_canceled else returned[uid],
            )
            for uid, item in lines.ordered.items()
        ),
        fees=costs.fees(root, lines),
        payments=payments_of(captured),
        number=None if number == order_id else number,
        placed_at=root.moment("created_at"),
        customer=customer_of(root, recipient),
        ship_to=ship_to,
        shipments=done.shipments,
        refunds=refunds_of(root, order_id, lines=lines, charges=costs.charges, captured=captured),
        upstream_version=_version(root),
        updated_at=root.moment("updated_at"),
    )


def _line(
    uid: str,
    item: Node,
    *,
    quantity: int,
    item_type: str,
    cost: Cost,
    done: Done,
    gone: int,
) -> OrderLine:
    """`gone`: units that nobody will get any more; those not handed over are cancelled."""
    return make(
        OrderLine,
        {
            "line_id": item.at("uid"),
            "name": item.at("name"),
            "sku": item.at("metadata.sku"),
            "quantity": item.at("quantity"),
            "net_minor": item.at("total_money"),
            "discount_minor": item.at("total_discount_money"),
            "tax_minor": item.at("total_tax_money"),
            "completed": "fulfillments",
        },
        line_id=uid,
        name=line_name(item),
        sku=item.node("metadata").text("sku"),
        item_type=item_type,
        quantity=quantity,
        **asdict(cost),
        completed=done.completed[uid],
        cancelled=max(0, gone - done.units(uid)),
    )


def _version(root: Node) -> int | None:
    version = root.value.get("version")
    if version is not None and type(version) is not int:  # True is an int, too
        raise OrderRefused(Why.INVALID, "version: must be a whole number")
    return version
