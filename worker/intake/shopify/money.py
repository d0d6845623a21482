"""Shopify's money, as its JSON and its CSV have it alike: prices that may hold their tax, and what
a financial status says of the payments.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from worker.intake.cost import Cost
from worker.intake.node import Node
from worker.intake.refusal import OrderRefused, Why
from worker.orders.money import spread

CAPTURED: Final = frozenset({"paid", "partially_refunded", "refunded"})
NOT_CAPTURED: Final = frozenset({"pending", "authorized", "voided", "expired", "unpaid"})
PARTIALLY: Final = "partially_paid"


def take_out(
    tax_minor: int, lines: Sequence[Cost], shipping: Sequence[Cost], discount_minor: int
) -> tuple[list[Cost], list[Cost]]:
    """Lines and shipping with an order's included tax taken out of their prices.

    It is spread over the lines by what they cost. Only what is more than they cost after the
    order's own discount can be the shipping fee's.

    Raises:
      OrderRefused: It is more than all of them cost.
    """
    room = [max(0, one.net_minor - one.discount_minor) for one in lines]
    fees = [max(0, one.net_minor - one.discount_minor) for one in shipping]
    of_lines = min(tax_minor, max(0, sum(room) - discount_minor))
    try:
        shares = spread(of_lines, room, room)
        fee_shares = spread(tax_minor - of_lines, fees, fees)
    except ValueError:
        message = f"the included tax of {tax_minor} is more than lines and shipping cost"
        raise OrderRefused(Why.TOTAL_MISMATCH, message) from None
    return (
        [_with_tax(one, share) for one, share in zip(lines, shares, strict=True)],
        [_with_tax(one, share) for one, share in zip(shipping, fee_shares, strict=True)],
    )


def _with_tax(cost: Cost, more_minor: int) -> Cost:
    return replace(
        cost, net_minor=cost.net_minor - more_minor, tax_minor=cost.tax_minor + more_minor
    )


def captured_by_status(
    node: Node, status_key: str, outstanding_key: str, *, total_minor: int, is_changed: bool
) -> int:
    """What was captured, where only the financial status tells.

    `is_changed`: units or money went back, so what is outstanding is not of the total.

    Raises:
      OrderRefused: It does not tell; the payments themselves are needed.
    """
    status = (node.text(status_key) or "").casefold()
    outstanding = node.decimal(outstanding_key)
    if status in NOT_CAPTURED or (not status and total_minor == 0):
        return 0
    if status in CAPTURED and (outstanding or 0) <= 0:
        return total_minor
    if status == PARTIALLY and outstanding is not None and not is_changed:
        return total_minor - outstanding
    if status in CAPTURED | {PARTIALLY}:
        message = f"{node.at(status_key)}: is {status}; how much was captured is not known "
        raise OrderRefused(Why.INVALID, f"{message}without the order's transactions")
    allowed = ", ".join(sorted(CAPTURED | NOT_CAPTURED | {PARTIALLY}))
    raise OrderRefused(Why.INVALID, f"{node.at(status_key)}: must be one of {allowed}")
