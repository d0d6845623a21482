"""Line items: those that are ordered, and those that are a shipping fee.

- **Shipping.** A line item is the shipping fee if its `metadata.fee` is `shipping`, or if it is a
  CUSTOM_AMOUNT with a word of `SHIPPING_WORDS` in its name; it is no line then.
"""

from typing import Final

from worker.intake.node import Node
from worker.intake.refusal import OrderRefused, Why
from worker.intake.square.ids import by_given_id

SHIPPING_WORDS: Final = ("shipping", "delivery", "postage", "livraison", "frais de port")


class Lines:
    """The line items of an order by their `uid`, and how many of each are ordered."""

    def __init__(self, items: list[Node]) -> None:
        self.items = by_given_id(items, "uid")
        self.ordered = {uid: one for uid, one in self.items.items() if not _is_shipping(one)}
        self.shipping = {uid: one for uid, one in self.items.items() if uid not in self.ordered}
        if not self.ordered:
            raise OrderRefused(Why.NO_LINES, "line_items: there is nothing but a shipping fee")
        self.quantities = {uid: one.quantity() for uid, one in self.ordered.items()}


def _is_shipping(item: Node) -> bool:
    if item.node("metadata").text("fee") == "shipping":
        return True
    return item.text("item_type") == "CUSTOM_AMOUNT" and names_shipping(item)


def names_shipping(node: Node) -> bool:
    """Whether a line item or a charge says that it is for shipping."""
    if node.node("metadata").text("fee") == "shipping":
        return True
    name = (node.text("name") or "").casefold()
    return any(word in name for word in SHIPPING_WORDS)


def line_name(item: Node) -> str:
    """The item with its variation, for whoever picks it must not guess the size."""
    name, variation = item.text("name"), item.text("variation_name")
    if name is None:
        name, variation = variation, None
    if name is None:
        return "Custom amount" if item.text("item_type") == "CUSTOM_AMOUNT" else "Item"
    return name if variation in {None, "Regular", name} else f"{name} ({variation})"
