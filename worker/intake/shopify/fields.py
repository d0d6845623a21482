"""What every part of Shopify's JSON writes alike: amounts, ids, moments.

Amounts are the shop's: read from `price`, else from `price_set.shop_money`.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from worker.intake.node import Node, by_id
from worker.intake.refusal import OrderRefused, Why


def amount(node: Node, key: str) -> int | None:
    """The amount there, else the shop's in its `_set`."""
    minor = node.decimal(key)
    return node.node(f"{key}_set").node("shop_money").decimal("amount") if minor is None else minor


def required_amount(node: Node, key: str) -> int:
    return node.required(key, amount(node, key))


def total_of(nodes: Sequence[Node], key: str) -> int | None:
    """None when there are none: that is not the same as nothing."""
    return sum(required_amount(one, key) for one in nodes) if nodes else None


def by_own_id(nodes: Sequence[Node]) -> dict[str, Node]:
    """Nodes by their `id`, which each of them must have."""

    def identified() -> Iterator[tuple[str, Node]]:
        for node in nodes:
            uid = node.id("id")
            if uid is None:
                raise OrderRefused(Why.INVALID, f"{node.at('id')}: is missing")
            yield uid, node

    return by_id(identified(), "id")


def when(node: Node) -> datetime | None:
    """When it happened; `created_at` of what was imported is when it was imported."""
    return node.moment("processed_at") or node.moment("created_at")
