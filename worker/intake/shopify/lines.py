"""Line items: those that are ordered, and those that are a tip.

- **Tips.** A line with `tip_payment_gateway` is a tip and no line.
- **Item type.** `gift_card` -> gift_card; `requires_shipping` false -> digital; else physical.
"""

from worker.intake.node import Node
from worker.intake.refusal import OrderRefused, Why
from worker.intake.shopify.fields import by_own_id


class Lines:
    """The line items of an order by their `id`, and how many of each are ordered."""

    def __init__(self, root: Node) -> None:
        self.is_tax_included = bool(root.flag("taxes_included"))
        """Whether the prices hold their taxes."""
        self.items = by_own_id(root.nodes("line_items"))
        self.tips = {
            uid: item for uid, item in self.items.items() if "tip_payment_gateway" in item.value
        }
        self.ordered = {uid: item for uid, item in self.items.items() if uid not in self.tips}
        if not self.ordered:
            raise OrderRefused(Why.NO_LINES, "line_items: there is nothing but a tip")
        self.quantities = {uid: item.quantity() for uid, item in self.items.items()}

    def named(self, node: Node, key: str) -> str | None:
        """The id of the line that is named there; None when it is a tip."""
        uid = node.id(key)
        if uid in self.tips:
            return None
        if uid not in self.ordered:
            raise OrderRefused(Why.INVALID, f"{node.at(key)}: names no line item")
        return uid


def line_name(item: Node) -> str:
    """The product with its variant, for whoever picks it must not guess the size."""
    name, variant = item.text("name"), item.text("variant_title")
    if name is not None:
        return name
    title = item.text("title") or "Item"
    return title if variant in {None, "Default Title"} else f"{title} - {variant}"


def item_type(item: Node) -> str:
    if item.flag("gift_card"):
        return "gift_card"
    return "digital" if item.flag("requires_shipping") is False else "physical"
