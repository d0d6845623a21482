"""Refunds, with the lines they were for and the payments they gave back on.

- **Units** with restock type `cancel` are cancelled. Of the others those beyond what was handed
  over are, too: Shopify does not let refunded units be fulfilled.
- **Money** is what the transactions say. Pending ones count: money that is on its way must not be
  paid twice, and the reason says so. What lines and shipping were paid less is taken from the
  later lines first, if a `refund_discrepancy` explains it; else the order is refused. What was
  paid beyond them is an amount. A refund without a transaction paid nothing.
- **Refunded, but how.** A status `refunded` without refunds is one refund over all of it;
  `partially_refunded` without refunds is refused, for it does not say how much.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from messages import DoneRefund, DoneRefundPart
from worker.intake.cost import mismatch
from worker.intake.done import add_refund_line, refund_items, refund_parts
from worker.intake.node import Node, make
from worker.intake.refusal import OrderRefused, Why
from worker.intake.shopify.costs import of_shipping_line
from worker.intake.shopify.fields import amount, required_amount, when
from worker.intake.shopify.lines import Lines
from worker.intake.shopify.payments import Captured, Payments
from worker.intake.shopify.transactions import paid_back
from worker.orders.model import RefundLine


def cancelled_units(uid: str, refunds: Sequence[Node], done: int) -> int:
    """Units of the line that were refunded instead of being handed over."""
    units: Counter[bool] = Counter()
    for refund in refunds:
        for item in refund.nodes("refund_line_items"):
            if item.id("line_item_id") == uid:
                units[item.text("restock_type") == "cancel"] += item.quantity()
    return units[True] + max(0, units[False] - done)


def refunds_of(
    root: Node, refunds: Sequence[Node], lines: Lines, payments: Payments
) -> tuple[DoneRefund, ...]:
    """Every refund that gave money back, also those that only a transaction tells of."""
    told = {one.id("id") for paid in payments.paid_back for one in paid}
    untold = [
        one for one in paid_back(list(payments.transactions.values())) if one.id("id") not in told
    ]
    asked = [*zip(refunds, payments.paid_back, strict=True), *((one, [one]) for one in untold)]
    status = root.text("financial_status")
    if not any(paid for _, paid in asked):
        if status == "refunded" and not payments.transactions:
            return (_whole_refund(payments.captured),) if payments.captured else ()
        if status in {"refunded", "partially_refunded"}:
            message = f"financial_status: is {status}; what was refunded is not known "
            raise OrderRefused(Why.INVALID, f"{message}without the order's refunds")
    parts = payments.given_back([paid for _, paid in asked])
    return tuple(
        _refund(refund, paid, of_payments, lines)
        for (refund, paid), of_payments in zip(asked, parts, strict=True)
        if paid
    )


def _whole_refund(captured: Mapping[str, Captured]) -> DoneRefund:
    return DoneRefund(
        parts=tuple(
            DoneRefundPart(payment_id=payment_id, amount_minor=one.amount_minor)
            for payment_id, one in captured.items()
        )
    )


def _refund(
    refund: Node, transactions: Sequence[Node], parts: Counter[str], lines: Lines
) -> DoneRefund:
    paid = sum(parts.values())
    of_lines = _lines(refund, lines)
    shipping = _shipping(refund, is_tax_included=lines.is_tax_included)
    itemised = sum(line.gross_minor for line in of_lines) + shipping
    less = itemised - paid
    if less > 0 and less != -_adjusted(refund, "refund_discrepancy"):
        what = f"{refund.at('transactions')}: lines and shipping sum"
        raise mismatch(what, itemised, paid, refund.currency)
    at = refund.at("refund_line_items")
    names = {"gross_minor": at, "tax_minor": at, "quantity": at}
    items, left = refund_items(of_lines, paid, names)
    return make(
        DoneRefund,
        {"reason": refund.at("note"), "shipping_minor": refund.at("order_adjustments")},
        parts=refund_parts(parts, refund.at("transactions")),
        items=items,
        shipping_minor=min(shipping, left),
        reason=_reason(refund, transactions),
        refunded_at=when(refund),
    )


def _lines(refund: Node, lines: Lines) -> list[RefundLine]:
    found: dict[str, RefundLine] = {}
    for item in refund.nodes("refund_line_items"):
        uid = lines.named(item, "line_item_id")
        quantity = item.quantity()
        if uid is None or quantity == 0:
            continue
        subtotal, tax = required_amount(item, "subtotal"), amount(item, "total_tax") or 0
        full = required_amount(lines.ordered[uid], "price") * quantity
        more = RefundLine(
            line_id=uid,
            quantity=quantity,
            gross_minor=subtotal + (0 if lines.is_tax_included else tax),
            tax_minor=tax,
            discount_minor=max(0, full - subtotal),
        )
        add_refund_line(found, more)
    return list(found.values())


def _shipping(refund: Node, *, is_tax_included: bool) -> int:
    """Older versions of the API tell it as an adjustment, newer ones as shipping lines."""
    if adjusted := _adjusted(refund, "shipping_refund"):
        return adjusted
    minor = 0
    for one in refund.nodes("refund_shipping_lines"):
        subtotal = required_amount(one, "subtotal_amount")
        if subtotal == 0:
            continue
        cost = of_shipping_line(one.node("shipping_line"), is_tax_included=is_tax_included)
        minor += subtotal
        if cost.tax_minor and not is_tax_included:
            if subtotal != cost.net_minor - cost.discount_minor:
                message = f"{one.path}: is part of a taxed shipping line; its tax is not named"
                raise OrderRefused(Why.INVALID, message)
            minor += cost.tax_minor
    return minor


def _adjusted(refund: Node, kind: str) -> int:
    """What adjustments of a kind gave back; Shopify writes that as an amount below zero."""
    return -sum(
        required_amount(one, "amount") + (amount(one, "tax_amount") or 0)
        for one in refund.nodes("order_adjustments")
        if one.text("kind") == kind
    )


def _reason(refund: Node, transactions: Sequence[Node]) -> str | None:
    """The note, and that the money is still on its way."""
    reasons = [" ".join(note.split())] if (note := refund.text("note")) else []
    if any(one.text("status") == "pending" for one in transactions):
        reasons.insert(0, "pending at Shopify")
    return "; ".join(reasons) or None
