"""What the lines of an exported order cost, its fees, and what of discount and tax is its own.

- **Discounts.** `Lineitem discount` is the line's. What the lines are more than `Subtotal` is the
  order's own discount, if `Discount Amount` says so, with or without the lines'. A
  `Discount Amount` that the lines do not have can be the shipping fee's.
- **Taxes** are the order's: their columns must sum to `Taxes`. Included in the prices when
  `Total` is `Subtotal` and `Shipping` (and `Duties`) by themselves, else added.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from messages import Fee
from worker.intake.cost import Cost, fee_of, mismatch
from worker.intake.node import Node, make
from worker.intake.refusal import OrderRefused, Why
from worker.intake.shopify.money import take_out

TAXES: Final = tuple(f"Tax {number} Value" for number in range(1, 6))


@dataclass(frozen=True, slots=True)
class Costs:
    """What each line costs, the fees, and what discount and tax the order has beside them."""

    of_lines: Mapping[str, Cost]
    fees: tuple[Fee, ...]
    discount_minor: int
    tax_minor: int


def costs_of(
    first: Node, lines: Mapping[str, Node], quantities: Mapping[str, int], total: int
) -> Costs:
    subtotal = first.required_decimal("Subtotal")
    shipping, duties = first.decimal("Shipping") or 0, first.decimal("Duties") or 0
    costs = [_of_line(item, quantities[uid]) for uid, item in lines.items()]
    discount = _own_discount(first, costs, subtotal)
    tax = _tax(first)
    unused = 0 if discount else _unused_discount(first, costs)
    is_included, of_shipping = _read_total(first, total, subtotal + shipping + duties, tax, unused)
    fee = Cost(shipping, of_shipping)
    if is_included:
        costs, (fee,) = take_out(tax, costs, [fee], discount)
    return Costs(
        of_lines=dict(zip(lines, costs, strict=True)),
        fees=_fees(first, fee if shipping else None, duties),
        discount_minor=discount,
        tax_minor=0 if is_included else tax,
    )


def _of_line(item: Node, quantity: int) -> Cost:
    price = item.required_decimal("Lineitem price") * quantity
    return Cost(price, item.decimal("Lineitem discount") or 0)


def _own_discount(first: Node, costs: Collection[Cost], subtotal: int) -> int:
    of_lines = sum(one.discount_minor for one in costs)
    found = sum(one.net_minor for one in costs) - of_lines
    discount = first.decimal("Discount Amount") or 0
    if found < subtotal or found - subtotal not in {0, discount, discount - of_lines}:
        raise mismatch("Subtotal: lines sum", found, subtotal, first.currency)
    return found - subtotal


def _unused_discount(first: Node, costs: Collection[Cost]) -> int:
    """`Discount Amount` where neither the order nor its lines have it."""
    discount = first.decimal("Discount Amount") or 0
    return 0 if discount == sum(one.discount_minor for one in costs) else discount


def _tax(first: Node) -> int:
    columns = [minor for key in TAXES if (minor := first.decimal(key)) is not None]
    taxes = first.decimal("Taxes")
    if taxes is None:
        return sum(columns)
    if columns and sum(columns) != taxes:
        raise mismatch("Taxes: their columns sum", sum(columns), taxes, first.currency)
    return taxes


def _read_total(first: Node, total: int, base: int, tax: int, unused: int) -> tuple[bool, int]:
    """Whether the prices hold the tax, and what was taken off the shipping fee."""
    readings = {
        (is_included, less)
        for is_included in ({True, False} if tax else {False})
        for less in (0, unused)
        if base + (0 if is_included else tax) - less == total
    }
    if not readings:
        raise mismatch("Total: its parts sum", base + tax, total, first.currency)
    if len(readings) > 1:
        message = "Taxes: are as much as Discount Amount; included or not cannot be told"
        raise OrderRefused(Why.INVALID, message)
    return readings.pop()


def _fees(first: Node, shipping: Cost | None, duties: int) -> tuple[Fee, ...]:
    fees = []
    if shipping is not None:
        keys = {"name": "Shipping Method", "net_minor": "Shipping"}
        fees.append(fee_of("shipping", first, keys, shipping))
    if duties:
        names = {"net_minor": "Duties"}
        fees.append(make(Fee, names, kind="service", name="Duties", net_minor=duties))
    return tuple(fees)
