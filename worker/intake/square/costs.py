"""What lines and charges cost, and the fees among them.

- **Net.** Square's discount is on the price as it is marked and a line's `total_money` holds all
  of its tax, whether added or included. So net = total + discount - tax, without tax either way.
  A line whose price, discount and taxes do not come to its total is refused, and so are
  `total_tax_money` and `total_discount_money` that differ from the sum of the lines'.
- **Fees.** A service charge is the shipping fee if `metadata.fee` is `shipping` or its name has a
  word of `SHIPPING_WORDS` in it, else a service fee. An apportioned charge is in its lines' totals
  already and is not counted again.
"""

from collections.abc import Set as AbstractSet
from typing import Final

from messages import Fee
from worker.intake.cost import Cost, fee_of, mismatch
from worker.intake.node import Node, make
from worker.intake.square.ids import by_given_id
from worker.intake.square.lines import Lines, names_shipping

FEE: Final = {
    "name": "name",
    "net_minor": "total_money",
    "discount_minor": "total_discount_money",
    "tax_minor": "total_tax_money",
}


class Costs:
    """What each line item and each service charge costs."""

    def __init__(self, root: Node, lines: Lines) -> None:
        self.charges = {
            uid: charge
            for uid, charge in by_given_id(root.nodes("service_charges"), "uid").items()
            if not _is_apportioned(charge)
        }
        inclusive = {
            tax.text("uid") for tax in root.nodes("taxes") if tax.text("type") == "INCLUSIVE"
        }
        self.of_lines = {uid: _of_line(item, inclusive) for uid, item in lines.items.items()}
        self.of_charges = {uid: _of_charge(charge) for uid, charge in self.charges.items()}

    def check_sums(self, root: Node) -> None:
        every = (*self.of_lines.values(), *self.of_charges.values())
        sums = {
            "total_tax_money": sum(one.tax_minor for one in every),
            "total_discount_money": sum(one.discount_minor for one in every),
        }
        for key, found in sums.items():
            said = root.money(key)
            if said is not None and said != found:
                raise mismatch(f"{key}: lines and charges sum", found, said, root.currency)

    def fees(self, root: Node, lines: Lines) -> tuple[Fee, ...]:
        fees = [
            fee_of("shipping", item, FEE, self.of_lines[uid])
            for uid, item in lines.shipping.items()
        ]
        fees += [
            fee_of(
                "shipping" if names_shipping(charge) else "service",
                charge,
                FEE,
                self.of_charges[uid],
            )
            for uid, charge in self.charges.items()
        ]
        if tip := root.money("total_tip_money"):
            fees.append(make(Fee, {"net_minor": "total_tip_money"}, kind="tip", net_minor=tip))
        rounding = root.node("rounding_adjustment")
        if minor := rounding.money("amount_money"):
            names = {"net_minor": rounding.at("amount_money"), "name": rounding.at("name")}
            name = rounding.text("name")
            fees.append(make(Fee, names, kind="rounding", name=name, net_minor=minor))
        return tuple(fees)


def _of_line(item: Node, inclusive: AbstractSet[str | None]) -> Cost:
    total = item.required_money("total_money")
    discount = item.money("total_discount_money") or 0
    tax = item.money("total_tax_money") or 0
    price = item.money("gross_sales_money")
    if price is not None:
        base = price - discount + (item.money("total_service_charge_money") or 0)
        added = base + tax - _included_tax(item, tax, inclusive)
        # In the US, Canada and Japan Square takes included tax out of gross sales, elsewhere
        # it leaves it inside: both come to the same total, and both are right.
        if total not in {added, base + tax}:
            what = f"{item.path}: price, discount and tax come"
            raise mismatch(what, added, total, item.currency, sayer="the total")
    return Cost(total + discount - tax, discount, tax)


def _included_tax(item: Node, tax: int, inclusive: AbstractSet[str | None]) -> int:
    applied = item.nodes("applied_taxes")
    if not applied:
        return tax  # not said which kind; either is accepted
    return sum(
        one.money("applied_money") or 0 for one in applied if one.text("tax_uid") in inclusive
    )


def _of_charge(charge: Node) -> Cost:
    total = charge.required_money("total_money")
    tax = charge.money("total_tax_money") or 0
    return Cost(total - tax, tax_minor=tax)


def _is_apportioned(charge: Node) -> bool:
    phase = charge.text("calculation_phase") or ""
    return charge.text("treatment_type") == "APPORTIONED_TREATMENT" or phase.startswith(
        "APPORTIONED_"
    )
