"""What a dry run says, as JSON: the outcome a command would have, and what would follow."""

from typing import Any

from worker.orders.model import Decision, Rejection, Shipment
from worker.work.accept import Receipt
from worker.work.judging import Dead, Wait
from worker.work.preview import Preview


def state(one: Preview) -> str:
    """`applied`, `rejected`, `waiting`, `dead`; `known` or `id_reused` if it was sent before."""
    match one.verdict:
        case Decision():
            return "applied"
        case Rejection():
            return "rejected"
        case Wait():
            return "waiting"
        case Dead():
            return "dead"
        case Receipt():
            return one.verdict.answer


def document(one: Preview) -> dict[str, Any]:
    """The preview as JSON."""
    verdict = one.verdict
    ended: Any = None
    if isinstance(verdict, Decision | Rejection):
        ended = verdict.outcome.model_dump(mode="json")
    elif isinstance(verdict, Receipt):
        ended = verdict.outcome
    return {
        "dry_run": True,
        "command_id": one.command.command_id,
        "kind": one.command.kind,
        "order_id": one.command.order_id,
        "would_be": state(one),
        "outcome": ended,
        "waits_for": verdict.waits_for if isinstance(verdict, Wait) else None,
        "warnings": [
            shipment.warning
            for shipment in (tracked(verdict) if isinstance(verdict, Decision) else ())
            if shipment.warning
        ],
        "followups": [
            {"route": work.route, "name": work.name, "skipped": work.skipped}
            for work in (verdict.followups if isinstance(verdict, Decision) else ())
        ],
        "undecided": one.undecided,
        "scheduled_at": one.scheduled_at,
    }


def tracked(decision: Decision) -> tuple[Shipment, ...]:
    """The shipments whose tracking the decision sets."""
    return (*decision.shipments, *filter(None, [decision.retracked]))
