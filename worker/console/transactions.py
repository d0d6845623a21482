"""All that was done for an order, and is still to be done, newest first. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from worker.store.reading import Document

_FOLLOWUP: Final = "followup_"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One thing that happened, or is to happen."""

    at: str
    what: str
    """An event of the history, an act of an operator; `command`, or a follow-up's route."""
    name: str | None = None
    """The command's kind, or which follow-up of its route."""
    state: str = "done"
    """As the database has it."""
    by: str | None = None
    amount_minor: int | None = None
    command_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    """Why it was refused, skipped or is dead: a code; of what is pending, what it waits for."""
    message: str | None = None


def transactions(order: Document) -> list[Transaction]:
    """Of an order as `store.reading.order` found it."""
    found = [*_history(order), *_commands(order), *_followups(order)]
    found.sort(key=lambda one: datetime.fromisoformat(one.at))  # stable: the history has an order
    return found[::-1]


def _history(order: Document) -> Iterator[Transaction]:
    for entry in order["history"]:
        details = dict(entry["details"])
        route, name = details.pop("route", None), details.pop("name", None)
        is_followup = entry["event"].startswith(_FOLLOWUP)
        details.pop("followup_id", None)
        yield Transaction(
            at=entry["at"],
            what=route if is_followup else entry["event"],
            name=name,
            state=entry["event"].removeprefix(_FOLLOWUP) if is_followup else "done",
            by=entry["issued_by"],
            amount_minor=entry["amount_minor"],
            command_id=entry["command_id"],
            reason=_popped(details, "skipped", "dead_reason", "reason") if is_followup else None,
            details=details,
        )


def _popped(details: dict[str, Any], *names: str) -> str | None:
    found = [details.pop(name, None) for name in names]
    return next((str(one) for one in found if one), None)


def _commands(order: Document) -> Iterator[Transaction]:
    """Those that were not applied: what the others did is in the history."""
    for one in order["open_commands"]:
        outcome = one["outcome"] or {}
        yield Transaction(
            at=one["accepted_at"],
            what="command",
            name=one["kind"],
            state=one["state"],
            by=one["issued_by"],
            command_id=one["command_id"],
            reason=outcome.get("reason") or one["dead_reason"] or one["waits_for"],
            message=outcome.get("message") or outcome.get("discarded") or _error(one),
        )


def _followups(order: Document) -> Iterator[Transaction]:
    """Those that have not ended: how the others did is in the history."""
    for one in order["followups"]:
        if one["state"] == "pending":
            yield Transaction(
                at=one["staged_at"],
                what=one["route"],
                name=one["name"],
                state="pending",
                command_id=one["command_id"],
                reason=one["waits_for"],
                message=_error(one),
            )


def _error(work: Document) -> str | None:
    error = work["last_error"]
    return f"{error['reason']}: {error['message']}" if error else None
