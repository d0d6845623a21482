"""Why an order's work is not done yet, and what a person can do about it. Pure."""

from collections.abc import Mapping
from typing import Any

from worker.cli.show import moment, plain, why

Document = Mapping[str, Any]


_WAITS_FOR = {
    "provider": "the payment provider has not done it yet",
    "carrier": "for what the carrier says",
    "label": "waits for its label",
    "rate": "its turn at the carrier has not come",
}


def command_pending(command: Document) -> str:
    """Why a command, as `store.reading.order` found it, is not decided."""
    if command["state"] == "dead":
        return _dead(command, command["command_id"])
    if command["is_paused"] and not command["in_progress"]:
        return "commands are paused"
    return why(command) + _last_error(command)


def followup_pending(followup: Document) -> str:
    """Why a follow-up, as `store.reading.order` found it, is not done."""
    told = part_pending(followup.get("part") or {})
    told = f"{told}; " if told else ""
    return told + _followup_pending(followup)


def part_pending(part: Document) -> str:
    """How far its provider is with a refund part; nothing where none was asked."""
    provider = plain(part.get("provider"))
    match part.get("state"):
        case "unknown":
            return f"asked {provider}, not heard"
        case "pending" if part.get("provider_id"):
            return f"under way at {provider}"
        case _:
            return ""


def _followup_pending(followup: Document) -> str:
    if followup["state"] == "dead":
        return _dead(followup, followup["id"])
    if followup["waits_for"] == "hand":
        part = followup["subject_id"]
        return f"a person does it: fulfillment refunds settle|fail {part}"
    if followup["in_progress"]:
        return "a worker is at it"
    if followup["waits_for"] == "email":
        again = moment(followup["next_at"])
        return f"for how the e-mail ends that told of the parcel; next look {again}"
    if followup["is_paused"]:
        return f"{followup['route']} are paused" + _last_error(followup)
    if (what := followup["waits_for"]) in _WAITS_FOR:
        return f"{_WAITS_FOR[what]}; next look {moment(followup['next_at'])}"
    if followup["is_due"]:
        return "for a worker: it is due" + _last_error(followup)
    if followup["waits_for"] == "provider":
        return f"next look {moment(followup['next_at'])}" + _last_error(followup)
    again = f"next try {moment(followup['next_at'])}"
    return f"{again}, after {followup['attempts']} failures" + _last_error(followup)


def _dead(work: Document, work_id: str) -> str:
    return f"dead: {plain(work['dead_reason'])}; fulfillment dead replay {work_id}"


def _last_error(work: Document) -> str:
    error = work["last_error"]
    return f"; last error {plain(error['reason'])}" if error else ""
