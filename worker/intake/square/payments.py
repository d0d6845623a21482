"""Tenders that captured money, each a payment.

A CARD tender must be CAPTURED; others count unless they say that they are not. A payment goes by
`payment_id`, for that is what a refund is asked of, else by the tender's `id`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from messages import Payment
from worker.intake.node import Node, make
from worker.intake.refusal import OrderRefused, Why
from worker.intake.square.ids import by_given_id

NOT_CAPTURED: Final = frozenset({"AUTHORIZED", "PENDING", "VOIDED", "FAILED"})


def captured_tenders(tenders: Sequence[Node]) -> dict[str, Node]:
    """Those that captured something, by the id of the payment that each is."""
    return {
        payment_id: tender
        for payment_id, tender in by_given_id(tenders, "payment_id", "id").items()
        if _is_captured(tender)
    }


def payments_of(captured: Mapping[str, Node]) -> tuple[Payment, ...]:
    return tuple(
        make(
            Payment,
            {
                "payment_id": tender.at("id"),
                "captured_minor": tender.at("amount_money.amount"),
                "method": tender.at("type"),
            },
            payment_id=payment_id,
            captured_minor=tender.required_money("amount_money"),
            method=(tender.text("type") or "").lower() or None,
            captured_at=tender.moment("created_at"),
        )
        for payment_id, tender in captured.items()
    )


def payment_of(refund: Node, captured: Mapping[str, Node]) -> str:
    """The id of the payment that a refund gave back from."""
    wanted = {refund.text("tender_id"), refund.text("payment_id")} - {None}
    if not wanted and len(captured) == 1:
        return next(iter(captured))
    for payment_id, tender in captured.items():
        if wanted & {payment_id, tender.text("id")}:
            return payment_id
    raise OrderRefused(
        Why.INVALID, f"{refund.at('tender_id')}: names no captured tender of the order"
    )


def _is_captured(tender: Node) -> bool:
    if tender.money("amount_money") == 0:
        return False
    if tender.text("type") == "CARD":
        return tender.node("card_details").text("status") == "CAPTURED"
    details = [tender.node(key) for key in tender.value if key.endswith("_details")]
    return not any(one.text("status") in NOT_CAPTURED for one in details)
