"""Refunds: what units are worth, how a refund is spread over payments, how its parts end.

The penny rule: with k units of a line refunded, refunding q more pays max(0, cum(k+q) - paid),
where `paid` is what those k were paid. So parts sum to the whole in any order, and what a failed
or clamped refund did not pay is caught up by the next. Tax and discount follow the same rule on
their own totals.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import UUID, uuid5

from worker.orders.model import Line, Order, PartState, Refund, RefundLine, RefundPart
from worker.orders.money import cumulative


def line_refund(line: Line, quantity: int) -> RefundLine:
    """What refunding so many more units of the line pays."""
    first = line.refunded_units + quantity

    def due(total_minor: int, paid_minor: int) -> int:
        return max(0, cumulative(total_minor, line.quantity, first) - paid_minor)

    return RefundLine(
        line_id=line.line_id,
        quantity=quantity,
        gross_minor=due(line.gross_minor, line.refunded_minor),
        tax_minor=due(line.tax_minor, line.refunded_tax_minor),
        discount_minor=due(line.discount_minor, line.refunded_discount_minor),
    )


def cut(line: RefundLine, gross_minor: int) -> RefundLine:
    """The line's refund when only so much of it is left to pay; tax and discount shrink alike."""
    if gross_minor >= line.gross_minor:
        return line
    return replace(
        line,
        gross_minor=gross_minor,
        tax_minor=line.tax_minor * gross_minor // line.gross_minor,
        discount_minor=line.discount_minor * gross_minor // line.gross_minor,
    )


def make_refund(
    order: Order,
    refund_id: UUID,
    *,
    lines: tuple[RefundLine, ...],
    shipping_minor: int,
    amount_minor: int,
    reason: str | None,
) -> tuple[Order, Refund]:
    """The refund of all of it, and the order with the money reserved. Payments are drawn on in
    order of capture, each up to its remainder; their sum must suffice.
    """
    total_minor = sum(line.gross_minor for line in lines) + shipping_minor + amount_minor
    parts = []
    payments = []
    left = total_minor
    for payment in order.payments:
        share = min(left, payment.left_minor)
        left -= share
        if share:
            # Derived, so that deciding the same command again asks the provider for the same part.
            part_id = uuid5(refund_id, payment.payment_id)
            parts.append(RefundPart(part_id, payment.payment_id, share))
        payments.append(replace(payment, refunded_minor=payment.refunded_minor + share))
    assert left == 0, "a refund is checked against what is left before it is made"  # noqa: S101  # a precondition, held by CHECK constraints as well
    refund = Refund(
        refund_id=refund_id,
        amount_minor=total_minor,
        shipping_minor=shipping_minor,
        lines=lines,
        parts=tuple(parts),
        reason=reason,
    )
    order = replace(order, payments=tuple(payments))
    return _count(order, refund, sign=1), refund


def end_part(order: Order, refund: Refund, part_id: UUID, state: PartState) -> tuple[Order, Refund]:
    """The order and the refund after news about one part.

    A failed part frees its money. When every part of a refund has failed, its units and shipping
    fee count as not refunded again; when some settled, the units stay refunded.

    Raises:
      ValueError: The part has ended already, or is not of this refund.
    """
    part = next((part for part in refund.parts if part.part_id == part_id), None)
    if part is None or part.state in {"settled", "failed"}:
        raise ValueError(f"part {part_id} of refund {refund.refund_id} is not open")
    parts = tuple(
        replace(one, state=state) if one.part_id == part_id else one for one in refund.parts
    )
    settled = part.amount_minor if state == "settled" else 0
    freed = part.amount_minor if state == "failed" else 0
    payments = tuple(
        replace(
            payment,
            refunded_minor=payment.refunded_minor - freed,
            settled_minor=payment.settled_minor + settled,
        )
        if payment.payment_id == part.payment_id
        else payment
        for payment in order.payments
    )
    order, refund = replace(order, payments=payments), replace(refund, parts=parts)
    if all(one.state == "failed" for one in parts):
        order = _count(order, refund, sign=-1)
    return order, refund


def _count(order: Order, refund: Refund, *, sign: int) -> Order:
    """The order with the refund's units and shipping fee counted, or no longer counted."""
    return replace(
        order,
        lines=count_lines(order.lines, refund.lines, sign=sign),
        shipping_refunded_minor=order.shipping_refunded_minor + sign * refund.shipping_minor,
    )


def count_lines(
    lines: Iterable[Line], refunded: Iterable[RefundLine], *, sign: int = 1
) -> tuple[Line, ...]:
    """The lines with refunded units and their money added (`sign` 1) or taken back (-1)."""
    by_id: Mapping[str, RefundLine] = {one.line_id: one for one in refunded}
    if not by_id:
        return tuple(lines)
    return tuple(
        replace(
            line,
            refunded_units=line.refunded_units + sign * one.quantity,
            refunded_minor=line.refunded_minor + sign * one.gross_minor,
            refunded_tax_minor=line.refunded_tax_minor + sign * one.tax_minor,
            refunded_discount_minor=line.refunded_discount_minor + sign * one.discount_minor,
        )
        if (one := by_id.get(line.line_id))
        else line
        for line in lines
    )
