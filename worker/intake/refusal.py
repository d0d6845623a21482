"""Why an order is not imported. The codes are stable; the sentence may change.

A message names fields, ids and amounts, never other values: those may be personal or hostile.
"""

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """Codes of this door. What the rules refuse carries the code of `messages.Reason` instead."""

    UNREADABLE = "unreadable"
    INVALID = "invalid"
    NO_ID = "no_id"
    NO_LINES = "no_lines"
    NO_TOTAL = "no_total"
    TOTAL_MISMATCH = "total_mismatch"
    DRAFT = "draft"
    FRACTIONAL_QUANTITY = "fractional_quantity"
    OTHER_CURRENCY = "other_currency"
    OTHER_ORDER = "other_order"


class OrderRefused(Exception):
    """The order cannot be imported as it is; `reason` is a stable code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Refused:
    """An order that is not imported, and why."""

    position: int
    """Line number in JSON lines and CSV (of the order's first row), else the order's place in the
    document from 1; 0 is the file."""
    order_id: str | None
    reason: str
    message: str
