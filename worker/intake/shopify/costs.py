"""What lines and shipping lines cost, and what of discount and tax is the order's own.

- **Discounts.** `discount_allocations` of a line or a shipping line, else the line's
  `total_discount`, else `discounted_price` of the shipping line. What remains of
  `total_discounts` is the order's own. Where the lines alone come to `total_discounts`, those of
  the shipping lines stand beside it.
- **Taxes.** `tax_lines` of lines, shipping lines and duties. They must sum to `total_tax`; only
  where no line has any is the rest the order's tax. With `taxes_included` all of it is taken out
  of the prices first, an order's own from the lines before the shipping fee.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from messages import Fee
from worker.intake.cost import Cost, mismatch
from worker.intake.node import Node
from worker.intake.shopify.fields import amount, required_amount, total_of
from worker.intake.shopify.lines import Lines
from worker.intake.shopify.money import take_out


@dataclass(frozen=True, slots=True)
class Costs:
    """What each line item (tips as well) and each shipping line costs."""

    of_lines: Mapping[str, Cost]
    shipping_lines: Sequence[Node]
    of_shipping: Sequence[Cost]

    def own_discount(self, root: Node) -> int:
        """What of `total_discounts` is not in the lines."""
        total = amount(root, "total_discounts")
        of_lines = sum(one.discount_minor for one in self.of_lines.values())
        found = of_lines + sum(one.discount_minor for one in self.of_shipping)
        if total is None or total == of_lines:
            return 0
        if total < found:
            raise mismatch("total_discounts: those of the lines sum", found, total, root.currency)
        return total - found

    def own_tax(self, root: Node, fees: Sequence[Fee]) -> int:
        """What of `total_tax` is neither in the lines nor in these fees."""
        of_lines = sum(one.tax_minor for one in self.of_lines.values())
        found = of_lines + sum(one.tax_minor for one in self.of_shipping)
        found += sum(fee.tax_minor for fee in fees if fee.kind == "service")
        total = amount(root, "total_tax")
        left = 0 if total is None else total - found
        if left and (left < 0 or of_lines):
            raise mismatch("total_tax: tax lines sum", found, found + left, root.currency)
        return left

    def without_tax(self, tax_minor: int, lines: Lines, discount_minor: int) -> "Costs":
        """With the order's own tax taken out of the prices, which hold it."""
        of_lines, of_shipping = take_out(
            tax_minor,
            [self.of_lines[uid] for uid in lines.ordered],
            self.of_shipping,
            discount_minor,
        )
        found = dict(zip(lines.ordered, of_lines, strict=True))
        return replace(self, of_lines={**self.of_lines, **found}, of_shipping=of_shipping)


def costs_of(root: Node, lines: Lines) -> Costs:
    shipping_lines = [one for one in root.nodes("shipping_lines") if not one.flag("is_removed")]
    is_included = lines.is_tax_included
    return Costs(
        of_lines={
            uid: _of_line(item, lines.quantities[uid], is_tax_included=is_included)
            for uid, item in lines.items.items()
        },
        shipping_lines=shipping_lines,
        of_shipping=[of_shipping_line(one, is_tax_included=is_included) for one in shipping_lines],
    )


def _of_line(item: Node, quantity: int, *, is_tax_included: bool) -> Cost:
    allocated = total_of(item.nodes("discount_allocations"), "amount")
    price = required_amount(item, "price") * quantity
    discount = amount(item, "total_discount") or 0 if allocated is None else allocated
    tax = total_of(item.nodes("tax_lines"), "price") or 0
    return Cost(price - tax if is_tax_included else price, discount, tax)


def of_shipping_line(line: Node, *, is_tax_included: bool) -> Cost:
    price = required_amount(line, "price")
    discount = total_of(line.nodes("discount_allocations"), "amount")
    if discount is None:
        discounted = amount(line, "discounted_price")
        discount = 0 if discounted is None else price - discounted
    tax = total_of(line.nodes("tax_lines"), "price") or 0
    return Cost(price - tax if is_tax_included else price, discount, tax)
