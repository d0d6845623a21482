"""How values look to a person. Pure: no console, no clock, no database."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from worker.orders.money import to_decimal

_C1: Final = re.compile("[\x7f-\x9f]")
_STEPS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def money(amount_minor: int | None, currency: str) -> str:
    """`12.50 EUR`; nothing for no amount."""
    return "" if amount_minor is None else f"{to_decimal(amount_minor, currency)} {currency}"


def moment(value: datetime | str | None) -> str:
    """A time in UTC to the second, as `2026-03-01 12:00:00`; nothing for none."""
    if value is None:
        return ""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float | None) -> str:
    """A length of time in its largest unit: `5 s`, `3 min`, `2 h`, `9 d`; nothing for none."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    step, unit = next(((step, unit) for step, unit in _STEPS if whole >= step), _STEPS[-1])
    return f"{whole // step} {unit}"


def count(quantity: int) -> str:
    """`1 unit`, `2 units`."""
    return f"{quantity} unit{'s' * (quantity != 1)}"


def items(units: Mapping[str, int]) -> str:
    """Units by line: `A 2, B 1`."""
    return ", ".join(f"{line_id} {quantity}" for line_id, quantity in units.items())


def printable(text: str) -> str:
    """The text with what a terminal would obey made visible."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def facts(values: Mapping[str, str], errors: Iterable[Mapping[str, Any]] = ()) -> str:
    """A name and its value a line, without names that have none; then each error, with its time."""
    lines = [f"{name:<10}{value}" for name, value in values.items() if value]
    lines += [
        f"{'error':<10}{moment(error.get('at'))} {error['reason']}: {plain(error['message'])}"
        for error in errors
    ]
    return "\n".join(lines)


def plain(value: Any) -> str:
    """Any JSON value on one line; nothing for none."""
    if value is None:
        return ""
    return printable(value if isinstance(value, str) else to_json(value))


def to_json(value: Any) -> str:
    """A JSON document on one line; also of what is nested deeper than orjson writes."""
    try:
        text = orjson.dumps(value, default=str).decode()
    except orjson.JSONEncodeError:
        return json.dumps(value, default=str)
    # JSON lets them stand as they are, and a terminal may obey them: U+009B begins what ESC [ does.
    return _C1.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def outcome(state: str, outcome: Mapping[str, Any] | None, dead_reason: str | None = None) -> str:
    """How a command ended, or how far it is."""
    if state == "rejected" and outcome:
        return f"rejected: {outcome['reason']}: {plain(outcome['message'])}"
    if state == "applied" and outcome:
        parts = [f"applied: order version {outcome['order_version']}"]
        if outcome.get("items"):
            parts.append(items({one["line_id"]: one["quantity"] for one in outcome["items"]}))
        if refund := outcome.get("refund"):
            parts.append(f"refund {money(refund['amount_minor'], refund['currency'])}")
        return "; ".join(parts)
    if state == "dead":
        return f"dead: {dead_reason}"
    if state == "discarded" and outcome:
        new = outcome.get("replaced_by")
        return f"discarded: {plain(outcome['discarded'])}" + (f" by {new}" if new else "")
    return state


def why(command: Mapping[str, Any]) -> str:
    """Why a command is not decided yet, from what `store.reading.command` found."""
    if command["state"] != "pending":
        return ""
    if command["in_progress"]:
        return "a worker is deciding it"
    again = f"; next look {moment(command['next_at'])}"
    match command["waits_for"]:
        case "order":
            return f"for order {command['order_id']}, which is not here{again}"
        case "predecessor":
            state = command.get("predecessor_state") or "not here"
            return f"for command {command['after_id']}, which is {state}{again}"
        case "lock":
            return f"for order {command['order_id']}, which another session held{again}"
        case "retry":
            return f"after {command['attempts']} failures{again}"
        case "schedule" if not command["is_due"]:
            return f"scheduled for {moment(command['next_at'])}"
        case _ if command["is_due"]:
            return "for a worker: it is due"
        case _:
            return f"until {moment(command['next_at'])}"
