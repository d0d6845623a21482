"""What an applied command comes to: the order, its outcome, its history, what follows from it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from messages import Applied, Command, Item, PlacedOrder
from messages.outcomes import RefundedLine, RefundedPart, RefundGranted
from messages.wire import EMAILS, REFUNDS
from worker.orders.model import Decision, Entry, FollowUp, Line, Order, Refund, Shipment


def applied(
    order: Order,
    *,
    history: tuple[Entry, ...],
    lines: tuple[Line, ...] | None = None,
    items: Mapping[str, int] | None = None,
    refund: Refund | None = None,
    shipments: tuple[Shipment, ...] = (),
    refunds: tuple[Refund, ...] = (),
    followups: tuple[FollowUp, ...] = (),
    **rest: object,
) -> Decision:
    """The order one version on. With a `refund` come its line of history and the follow-ups of its
    parts; `refunds` are those that upstream made.
    """
    order = replace(order, version=order.version + 1, lines=lines or order.lines)
    granted = None
    if refund is not None:
        granted = _granted(order, refund)
        history += (Entry("refund_requested", refund_details(refund), refund.amount_minor),)
        refunds += (refund,)
        followups += tuple(FollowUp(REFUNDS, "settle", part.part_id) for part in refund.parts)
    outcome = Applied(
        order_version=order.version,
        items=tuple(Item(line_id=k, quantity=v) for k, v in (items or {}).items()),
        refund=granted,
    )
    return Decision(
        order=order,
        outcome=outcome,
        history=history,
        shipments=shipments,
        refunds=refunds,
        followups=followups,
        **rest,  # type: ignore[arg-type]  # carrier, placed and changed shipments, by name
    )


def unchanged(order: Order, *, placed: PlacedOrder | None = None) -> Decision:
    """Nothing new: the version counts what changed the order, so that nobody's `expected_version`
    is spoilt by upstream saying the same again.
    """
    outcome = Applied(order_version=order.version, changed=False)
    return Decision(order=order, outcome=outcome, history=(), placed=placed)


def email(name: str, command: Command, subject_id: UUID | None = None) -> FollowUp:
    """The e-mail about what the command does, or about the shipment it does it to."""
    skipped = None if command.notify_customer else "switched_off"
    return FollowUp(EMAILS, name, subject_id or command.command_id, skipped)


def _granted(order: Order, refund: Refund) -> RefundGranted:
    return RefundGranted(
        amount_minor=refund.amount_minor,
        currency=order.currency,
        shipping_minor=refund.shipping_minor,
        lines=tuple(
            RefundedLine(
                line_id=line.line_id,
                quantity=line.quantity,
                gross_minor=line.gross_minor,
                tax_minor=line.tax_minor,
                discount_minor=line.discount_minor,
            )
            for line in refund.lines
        ),
        parts=tuple(
            RefundedPart(
                part_id=part.part_id, payment_id=part.payment_id, amount_minor=part.amount_minor
            )
            for part in refund.parts
        ),
    )


def refund_details(refund: Refund) -> dict[str, Any]:
    """What the history tells of a refund."""
    return known(
        {
            "items": {line.line_id: line.quantity for line in refund.lines},
            "shipping_minor": refund.shipping_minor,
            "parts": {part.payment_id: part.amount_minor for part in refund.parts},
            "reason": refund.reason,
        }
    )


def known(details: dict[str, Any]) -> dict[str, Any]:
    """The details that say something."""
    return {name: value for name, value in details.items() if value}
