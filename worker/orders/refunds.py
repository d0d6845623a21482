"""Refunds: what units are worth, how a refund is spread over payments, how its parts end.

The penny rule: with k units of a line refunded, refunding q more pays max(0, cum(k+q) - paid),
where `paid` is what those k were paid. So parts sum to the whole in any order, and what a failed
or clamped refund did not pay is caught up by the next. Tax and discount follow the same rule on
their own totals.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from uuid import UUID, uuid5

from worker.orders.model import (
    OPEN,
    RESERVING,
    Line,
    Order,
    PartState,
    Payment,
    Refund,
    RefundLine,
    RefundPart,
)
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


Step = Callable[[Payment], int]
"""The smallest step, in minor units, of what can go back on the payment."""


def shares(order: Order, total_minor: int, step_minor: Step) -> list[int]:
    """What each payment gives of the total: they are drawn on in order of capture, each up to its
    remainder, in steps that can be paid. They sum to less where no steps come to the total.
    """
    left, found = total_minor, []
    for payment in order.payments:
        share = min(left, payment.left_minor)
        if share:
            share -= share % step_minor(payment)
        left -= share
        found.append(share)
    return found


def make_refund(
    order: Order,
    refund_id: UUID,
    *,
    lines: tuple[RefundLine, ...],
    shipping_minor: int,
    amount_minor: int,
    reason: str | None,
    step_minor: Step,
) -> tuple[Order, Refund]:
    """The refund of all of it, and the order with the money reserved: the payments' `shares` must
    suffice.
    """
    total_minor = sum(line.gross_minor for line in lines) + shipping_minor + amount_minor
    parts = []
    payments = []
    found = shares(order, total_minor, step_minor)
    assert sum(found) == total_minor, "a refund is checked before it is made"  # noqa: S101  # a precondition, held by CHECK constraints as well
    for payment, share in zip(order.payments, found, strict=True):
        if share:
            # Derived, so that deciding the same command again asks the provider for the same part.
            part_id = uuid5(refund_id, payment.payment_id)
            parts.append(RefundPart(part_id, payment.payment_id, share))
        payments.append(replace(payment, refunded_minor=payment.refunded_minor + share))
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


def end_part(order: Order, refund: Refund, part_id: UUID, news: PartState) -> tuple[Order, Refund]:
    """The order and the refund after news about one part, whatever was known of it before.

    Pending, unknown and settled parts reserve their money; while there is any, the refund's units
    and shipping fee count. So a part that failed frees what it held, and units and fee as well when
    it was the last. A part that settled after all takes it again; where it has been given out
    otherwise meanwhile, the part is `overpaid`: beside the balance, and its units do not count.
    News of an open part is old when the part has ended. What is known already changes nothing.

    Raises:
      ValueError: The part is not of this refund.
    """
    part = next((part for part in refund.parts if part.part_id == part_id), None)
    if part is None:
        raise ValueError(f"part {part_id} is not of refund {refund.refund_id}")
    if news in OPEN and part.state not in OPEN:
        return order, refund
    after = _with_state(order, refund, part, news)
    takes_again = news in RESERVING and part.state not in RESERVING
    if takes_again and not _fits(order, after[0]):
        after = _with_state(order, refund, part, "overpaid")
    return after


def _with_state(
    order: Order, refund: Refund, part: RefundPart, state: PartState
) -> tuple[Order, Refund]:
    if part.state == state:
        return order, refund
    parts = tuple(replace(one, state=state) if one is part else one for one in refund.parts)
    ended = replace(refund, parts=parts)
    without = _book(order, refund, sign=-1)
    return _kept(order, _book(without, ended, sign=1)), ended


def _book(order: Order, refund: Refund, *, sign: int) -> Order:
    """The order with what the refund stands for added (`sign` 1) or taken back (-1)."""
    for part in refund.parts:
        reserved = sign * part.amount_minor if part.state in RESERVING else 0
        settled = sign * part.amount_minor if part.state == "settled" else 0
        overpaid = sign * part.amount_minor if part.state == "overpaid" else 0
        payments = tuple(
            replace(
                payment,
                refunded_minor=payment.refunded_minor + reserved,
                settled_minor=payment.settled_minor + settled,
                overpaid_minor=payment.overpaid_minor + overpaid,
            )
            if payment.payment_id == part.payment_id
            else payment
            for payment in order.payments
        )
        order = replace(order, payments=payments)
    is_counted = any(part.state in RESERVING for part in refund.parts)
    return _count(order, refund, sign=sign) if is_counted else order


def _fits(before: Order, after: Order) -> bool:
    """Whether what was taken again was there to take."""
    return (
        all(payment.left_minor >= 0 for payment in after.payments)
        and all(
            line is old
            or (
                line.refundable_units >= 0
                and line.refunded_minor <= line.gross_minor
                and line.refunded_tax_minor <= line.tax_minor
                and line.refunded_discount_minor <= line.discount_minor
            )
            for line, old in zip(after.lines, before.lines, strict=True)
        )
        and after.shipping_refunded_minor <= after.shipping_minor
    )


def _kept(before: Order, after: Order) -> Order:
    """The order after, with those lines and payments themselves that are as before: the store
    writes the others only.
    """
    return replace(
        after,
        lines=tuple(b if a == b else a for a, b in zip(after.lines, before.lines, strict=True)),
        payments=tuple(
            b if a == b else a for a, b in zip(after.payments, before.payments, strict=True)
        ),
    )


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
