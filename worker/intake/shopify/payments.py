"""Payments: what was captured, and which payment a transaction is about.

`transactions` tell, where they are merged into the order: each successful sale or capture is a
payment of its own, less its `change`; a successful void takes it back; an authorization is none.
Without them `financial_status` tells: all or nothing, or the total less `total_outstanding`. That
one payment has the id that the refunds name as parent, else the order's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from messages import Payment
from worker.intake.node import Node, make
from worker.intake.refusal import OrderRefused, Why
from worker.intake.shopify.fields import amount, by_own_id, when
from worker.intake.shopify.money import captured_by_status
from worker.intake.shopify.transactions import descendants, in_time, kind, money, paid_back, status


@dataclass(frozen=True, slots=True)
class Captured:
    """A payment and what tells of it: its transaction, else the order."""

    amount_minor: int
    node: Node
    method: str | None


class Payments:
    """The payments of an order, and the transactions of each refund that gave money back."""

    def __init__(self, root: Node, order_id: str, refunds: Sequence[Node]) -> None:
        self.transactions = by_own_id(root.nodes("transactions"))
        self.paid_back = [paid_back(one.nodes("transactions")) for one in refunds]
        self.captured = (
            _by_transactions(self.transactions)
            if self.transactions
            else _by_status(root, order_id, self.paid_back)
        )

    def placed(self) -> tuple[Payment, ...]:
        return tuple(
            make(
                Payment,
                {
                    "payment_id": one.node.at("id"),
                    "captured_minor": one.node.at("amount"),
                    "method": one.node.at("gateway"),
                    "captured_at": one.node.at("processed_at"),
                },
                payment_id=payment_id,
                captured_minor=one.amount_minor,
                method=one.method,
                captured_at=when(one.node) if self.transactions else None,
            )
            for payment_id, one in self.captured.items()
        )

    def given_back(self, refunds: Sequence[Sequence[Node]]) -> list[Counter[str]]:
        """What each refund gave back on each payment: on the parent that its transactions name,
        else in order of capture on what the named ones leave.
        """
        parts: list[Counter[str]] = [Counter() for _ in refunds]
        left = {payment_id: one.amount_minor for payment_id, one in self.captured.items()}
        unnamed = []
        for number, transactions in enumerate(refunds):
            for one in transactions:
                payment_id = self._payment_of(one)
                if payment_id is None:
                    unnamed.append((number, one))
                else:
                    parts[number][payment_id] += money(one)
                    left[payment_id] -= money(one)
        for number, one in unnamed:
            open_minor = money(one)
            for payment_id, room in left.items():
                share = min(open_minor, max(0, room))
                parts[number] += Counter({payment_id: share})
                left[payment_id] -= share
                open_minor -= share
            if open_minor:
                message = f"{one.at('amount')}: is {open_minor} more than was captured"
                raise OrderRefused(Why.INVALID, message)
        return parts

    def _payment_of(self, transaction: Node) -> str | None:
        if not transaction.has("parent_id"):
            return None
        if not self.transactions and len(self.captured) == 1:
            return next(iter(self.captured))
        descending = descendants(transaction, self.captured, self.transactions)
        if len(descending) != 1:
            message = f"{transaction.at('parent_id')}: names no captured payment of the order"
            raise OrderRefused(Why.INVALID, message)
        return descending[0]


def _by_transactions(transactions: Mapping[str, Node]) -> dict[str, Captured]:
    captured: dict[str, Captured] = {}
    takes: list[tuple[str, Node]] = []
    for uid, one in in_time(transactions):
        what, is_success = kind(one), status(one) == "success"
        if is_success and what in {"sale", "capture"} and (minor := money(one)):
            captured[uid] = Captured(minor, one, one.text("gateway"))
        elif is_success and what in {"void", "change"}:
            takes.append((what, one))
    for what, one in takes:
        for payment_id in descendants(one, captured, transactions):
            paid = captured[payment_id]
            left = paid.amount_minor - money(one) if what == "change" else 0
            captured[payment_id] = replace(paid, amount_minor=left)
    return {uid: paid for uid, paid in captured.items() if paid.amount_minor}


def _by_status(root: Node, order_id: str, refunds: Sequence[Sequence[Node]]) -> dict[str, Captured]:
    total = amount(root, "total_price") or 0
    minor = captured_by_status(
        root,
        "financial_status",
        "total_outstanding",
        total_minor=total,
        is_changed=bool(refunds),
    )
    if minor == total:
        minor += amount(root, "total_cash_rounding_payment_adjustment") or 0
    if not minor:
        return {}
    parents = {one.id("parent_id") for refund in refunds for one in refund} - {None}
    if len(parents) > 1:
        message = "refunds: they are of several payments; the order's transactions are needed"
        raise OrderRefused(Why.INVALID, message)
    gateways = root.value.get("payment_gateway_names")
    method = gateways[0] if isinstance(gateways, list) and len(gateways) == 1 else None
    if not isinstance(method, str):
        method = root.text("gateway")
    payment_id = next((one for one in parents if one), order_id)
    return {payment_id: Captured(minor, root, method)}
