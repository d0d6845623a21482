"""Fees: shipping lines that were not removed, tips, duties.

`total_tip_received` counts for what it names beyond the lines that are tips. Duties (unless
`duties_included`) and additional fees are service fees.
"""

from typing import Final

from messages import Fee
from worker.intake.cost import fee_of
from worker.intake.node import Node, make
from worker.intake.shopify.costs import Costs
from worker.intake.shopify.fields import amount, total_of
from worker.intake.shopify.lines import Lines

FEE: Final = {
    "name": "title",
    "net_minor": "price",
    "discount_minor": "discount_allocations",
    "tax_minor": "tax_lines",
}


def shipping_fees(costs: Costs) -> tuple[Fee, ...]:
    return tuple(
        fee_of("shipping", line, FEE, cost)
        for line, cost in zip(costs.shipping_lines, costs.of_shipping, strict=True)
    )


def other_fees(root: Node, lines: Lines, costs: Costs) -> tuple[Fee, ...]:
    fees = [fee_of("tip", tip, FEE, costs.of_lines[uid]) for uid, tip in lines.tips.items()]
    tipped = sum(fee.net_minor - fee.discount_minor for fee in fees)
    if (tip := amount(root, "total_tip_received") or 0) > tipped:
        fees.append(make(Fee, {}, kind="tip", net_minor=tip - tipped))
    return (*fees, *_duties(root, lines))


def _duties(root: Node, lines: Lines) -> list[Fee]:
    fees = []
    duties = [one for item in lines.ordered.values() for one in item.nodes("duties")]
    if not root.flag("duties_included"):
        net = amount(root, "original_total_duties")
        if net is None:
            net = sum(one.node("shop_money").required_decimal("amount") for one in duties)
        tax = sum(total_of(one.nodes("tax_lines"), "price") or 0 for one in duties)
        if net or tax:
            names = {"net_minor": "original_total_duties_set"}
            fees.append(
                make(Fee, names, kind="service", name="Duties", net_minor=net, tax_minor=tax)
            )
    if more := amount(root, "original_total_additional_fees"):
        names = {"net_minor": "original_total_additional_fees_set"}
        fees.append(make(Fee, names, kind="service", name="Additional fees", net_minor=more))
    return fees
