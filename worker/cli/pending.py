"""Why an order's work is not done yet, and what a person can do about it. Pure."""

from collections.abc import Mapping
from typing import Any

from worker.cli.show import moment, plain, why

Document = Mapping[str, Any]


def command_pending(command: Document) -> str:
    """Why a command, as `store.reading.order` found it, is not decided."""
    if command["state"] == "dead":
        return _dead(command, command["command_id"])
    if command["is_paused"] and not command["in_progress"]:
        return "commands are paused"
    return why(command) + _last_error(command)


def followup_pending(followup: Document) -> str:
    """Why a follow-up, as `store.reading.order` found it, is not done."""
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
    if followup["is_due"]:
        return "for a worker: it is due" + _last_error(followup)
    again = f"next try {moment(followup['next_at'])}"
    return f"{again}, after {followup['attempts']} failures" + _last_error(followup)


def _dead(work: Document, work_id: str) -> str:
    return f"dead: {plain(work['dead_reason'])}; fulfillment dead replay {work_id}"


def _last_error(work: Document) -> str:
    error = work["last_error"]
    return f"; last error {plain(error['reason'])}" if error else ""
