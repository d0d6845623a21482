"""A Shopify order (REST Admin API) as a `place` command, with what is done upstream as done.

What was decided where Shopify leaves a choice stands with each part: `lines.py`, `costs.py`,
`fees.py`, `fulfillments.py`, `transactions.py`, `payments.py`, `refunds.py`. Of the order itself:

- **Money** is the shop's (`currency`). Shopify keeps the rounding of cash outside the total, so
  the total here is `total_price` with it, and the rounding is a fee.
- **Done.** With `cancelled_at` what remains is cancelled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from messages import Address, Customer, Fee, OrderLine, Place, PlacedOrder
from worker.intake.cost import Cost
from worker.intake.done import Done
from worker.intake.ids import created_id, place
from worker.intake.node import Node, make
from worker.intake.refusal import OrderRefused, Why
from worker.intake.shopify.costs import costs_of
from worker.intake.shopify.fees import other_fees, shipping_fees
from worker.intake.shopify.fields import amount, required_amount, when
from worker.intake.shopify.fulfillments import done_by, successful
from worker.intake.shopify.lines import Lines, item_type, line_name
from worker.intake.shopify.payments import Payments
from worker.intake.shopify.people import address_by, customer_by
from worker.intake.shopify.refunds import cancelled_units, refunds_of

ADDRESS: Final = {
    "name": "name",
    "company": "company",
    "line_1": "address1",
    "line_2": "address2",
    "city": "city",
    "district": "province",
    "district_code": "province_code",
    "postal_code": "zip",
    "country": "country_code",
    "phone": "phone",
}


def is_shopify(order: Mapping[str, Any]) -> bool:
    """Whether it is Shopify's and not Square's, whose ids are text and whose money is objects."""
    if "total_money" in order:
        return False
    lines = order.get("line_items")
    has_prices = isinstance(lines, list) and any(
        isinstance(line, Mapping) and "price" in line for line in lines
    )
    return "total_price" in order or type(order.get("id")) is int or has_prices


def shopify_to_place(order: Mapping[str, Any]) -> Place:
    """The command that places this Shopify order.

    Raises:
      OrderRefused: It is a draft, lacks an id or totals, does not tie, or holds what our fields
        forbid or we cannot carry exactly; the message says where and by how much.
    """
    root = Node(order)
    order_id = created_id(root.id("id"))
    if "invoice_url" in order:
        raise OrderRefused(Why.DRAFT, "is a draft: it is not ordered yet")
    if not root.nodes("line_items"):
        raise OrderRefused(Why.NO_LINES, "line_items: there are none")
    root = Node(order, currency=root.currency_code("currency"))
    return place(order_id, _placed(root, order_id))


def _placed(root: Node, order_id: str) -> PlacedOrder:
    lines = Lines(root)
    costs = costs_of(root, lines)
    fulfillments = successful(root.nodes("fulfillments"))
    refunds = root.nodes("refunds")
    payments = Payments(root, order_id, refunds)
    number = root.text("name")
    discount_minor = costs.own_discount(root)
    fees = other_fees(root, lines, costs)
    tax_minor = costs.own_tax(root, fees)
    if lines.is_tax_included:
        costs = costs.without_tax(tax_minor, lines, discount_minor)
        tax_minor = 0
    fees = (*shipping_fees(costs), *fees)
    done = done_by(fulfillments, lines)
    ship_to = address_by(root.node("shipping_address"), ADDRESS)
    billing = address_by(root.node("billing_address"), ADDRESS)
    rounding = amount(root, "total_cash_rounding_payment_adjustment") or 0
    total_minor = required_amount(root, "total_price")
    if rounding:
        fees += (make(Fee, {}, kind="rounding", net_minor=rounding),)
    return make(
        PlacedOrder,
        {
            "total_minor": "total_price",
            "discount_minor": "total_discounts",
            "tax_minor": "total_tax",
            "lines": "line_items",
            "fees": "shipping_lines",
            "payments": "transactions",
            "number": "name",
            "placed_at": "processed_at",
            "shipments": "fulfillments",
        },
        currency=root.currency,
        total_minor=total_minor + rounding,
        lines=tuple(
            _line(
                uid,
                item,
                quantity=lines.quantities[uid],
                cost=costs.of_lines[uid],
                done=done,
                refunds=refunds,
                is_cancelled=root.has("cancelled_at"),
            )
            for uid, item in lines.ordered.items()
        ),
        fees=fees,
        payments=payments.placed(),
        discount_minor=discount_minor,
        tax_minor=tax_minor,
        number=None if number == order_id else number,
        placed_at=when(root),
        customer=_customer(root, billing, ship_to),
        billing_address=billing,
        ship_to=ship_to,
        shipments=done.shipments,
        refunds=refunds_of(root, refunds, lines, payments),
        updated_at=root.moment("updated_at"),
    )


def _line(
    uid: str,
    item: Node,
    *,
    quantity: int,
    cost: Cost,
    done: Done,
    refunds: Sequence[Node],
    is_cancelled: bool,
) -> OrderLine:
    units = done.units(uid)
    return make(
        OrderLine,
        {
            "line_id": item.at("id"),
            "name": item.at("name"),
            "sku": item.at("sku"),
            "quantity": item.at("quantity"),
            "net_minor": item.at("price"),
            "discount_minor": item.at("discount_allocations"),
            "tax_minor": item.at("tax_lines"),
            "completed": "fulfillments",
            "cancelled": "refunds",
        },
        line_id=uid,
        name=line_name(item),
        sku=item.text("sku"),
        item_type=item_type(item),
        quantity=quantity,
        **asdict(cost),
        completed=done.completed[uid],
        cancelled=(
            max(0, quantity - units) if is_cancelled else cancelled_units(uid, refunds, units)
        ),
    )


def _customer(root: Node, billing: Address | None, ship_to: Address | None) -> Customer:
    customer = root.node("customer")
    named = (customer.text("first_name"), customer.text("last_name"))
    return customer_by(
        {
            "name": customer.at("first_name"),
            "email": "email",
            "phone": "phone",
            "locale": "customer_locale",
        },
        billing,
        ship_to,
        name=" ".join(part for part in named if part),
        email=root.text("email") or root.text("contact_email") or customer.text("email"),
        phone=root.text("phone") or customer.text("phone"),
        locale=root.text("customer_locale"),
    )
