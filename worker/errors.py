"""What failures mean; nothing else decides about retries.

* Transient    the world may heal: later, by `next_at`
* Uncertain    likewise, and it may have happened although we did not hear so
* Terminal     a person must look: dead at once
* anything else is a bug: tried again a few times, then dead

A refusal by the rules is no error: it is returned, stored and logged at info.
"""

import re
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

RETRY_AT_ONCE: Final = {"40P01", "40001", "23505"}
"""Deadlock, serialization, unique violation: decided again on fresh data."""
LOCK_TIMEOUT: Final = "55P03"
FORBIDDEN: Final = "42501"
_WRONG: Final = ("22", "23", "42", "54")
"""Data, constraint, statement, program limit: the same again would fail again."""


class Transient(Exception):
    """The world may heal; `reason` is the class that operators see, should it not heal in time.
    `retry_after_s` overrides the route's back-off.
    """

    def __init__(self, reason: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class Uncertain(Transient):
    """A call that costs money may have taken effect: who asks again must ask in a way that cannot
    do it twice.
    """


class Terminal(Exception):
    """No retry can help; `reason` is the class that operators see."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's code for the error, or an empty text."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def is_disconnect(error: BaseException) -> bool:
    """Whether the database went away, so that nothing about the transaction is known."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, OperationalError | InterfaceError) and (
        not sqlstate(error) or sqlstate(error).startswith(("08", "57P", "53300", "25P03"))
    )


def explain(error: BaseException) -> tuple[str, bool, str]:
    """Reason class, whether a retry can help, and a message without values.

    PostgreSQL's primary message names constraints and columns, its detail would hold values; only
    what it says of data (class 22) quotes those in the message itself.
    """
    if isinstance(error, Terminal):
        return error.reason, False, str(error)
    if isinstance(error, Transient):
        return error.reason, True, str(error)
    if state := sqlstate(error):
        message = getattr(getattr(error, "orig", None), "diag", None)
        primary = getattr(message, "message_primary", None) or "database error"
        if state.startswith("22"):
            primary = re.sub(r'".*"', "a value", primary, flags=re.DOTALL)
        return f"database_{state}", not state.startswith(_WRONG), primary
    if is_disconnect(error):
        return "database_away", True, "the database went away"
    return "bug", True, type(error).__name__


def storable(text: str) -> str:
    """The text as PostgreSQL takes it: what it would refuse is escaped."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
