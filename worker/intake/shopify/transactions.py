"""Transactions: their kinds, states and amounts, and which follows from which.

Amounts are the shop's: a transaction in another currency is refused; ask Shopify for
`in_shop_currency`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from worker.intake.node import Node
from worker.intake.refusal import OrderRefused, Why
from worker.intake.shopify.fields import when

KINDS: Final = (
    "authorization",
    "capture",
    "change",
    "emv_authorization",
    "refund",
    "sale",
    "suggested_refund",
    "void",
)
STATUSES: Final = ("awaiting_response", "error", "failure", "pending", "success", "unknown")
PAID_BACK: Final = frozenset({"pending", "success"})


def kind(transaction: Node) -> str:
    return transaction.word("kind", KINDS)


def status(transaction: Node) -> str:
    return transaction.word("status", STATUSES)


def money(transaction: Node) -> int:
    currency = transaction.text("currency") or transaction.currency
    if currency != transaction.currency:
        message = f"{transaction.at('currency')}: is not {transaction.currency}, the shop's; "
        raise OrderRefused(Why.OTHER_CURRENCY, message + "ask for amounts in shop currency")
    return transaction.required_decimal("amount")


def paid_back(transactions: Sequence[Node]) -> list[Node]:
    """Those by which money went back, or is on its way."""
    return [
        one
        for one in transactions
        if kind(one) == "refund" and status(one) in PAID_BACK and money(one)
    ]


def in_time(transactions: Mapping[str, Node]) -> list[tuple[str, Node]]:
    """In order of time; as they are listed when one has no time."""
    dated = [(at, uid, one) for uid, one in transactions.items() if (at := when(one))]
    if len(dated) < len(transactions):
        return list(transactions.items())
    return [(uid, one) for _, uid, one in sorted(dated, key=lambda each: each[0])]


def descendants(
    one: Node, payment_ids: Iterable[str], transactions: Mapping[str, Node]
) -> list[str]:
    """Those of the payments that descend from the transaction's parent, or are it."""
    parent = one.id("parent_id")
    return [
        uid for uid in payment_ids if parent is not None and parent in _line_up(uid, transactions)
    ]


def _line_up(uid: str | None, transactions: Mapping[str, Node]) -> set[str]:
    """A transaction and those that it follows from: a capture and its authorization."""
    found: set[str] = set()
    while uid is not None and uid not in found:
        found.add(uid)
        uid = transactions[uid].id("parent_id") if uid in transactions else None
    return found
