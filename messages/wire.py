"""Every name that travels: queues, actors, the Redis namespace.

Rows and messages store these strings. A name here is an interface: producers that are not Python
write them by hand, rows keep them for years. Add, never change.
"""

from typing import Final

NAMESPACE: Final = "fulfillment"
"""Prefix of all Redis keys, so that one Redis can be shared with other programs."""

INBOX: Final = "inbox"
"""The broker door: messages that carry commands, for producers that reach only Redis."""

COMMANDS: Final = "commands"
LABELS: Final = "labels"
REFUNDS: Final = "refunds"
EMAILS: Final = "emails"
TRACKING: Final = "tracking"
JOBS: Final = "jobs"
"""One queue per route of work; its messages are empty hints, the work itself is in PostgreSQL."""
ROUTES: Final = (COMMANDS, LABELS, REFUNDS, EMAILS, TRACKING, JOBS)

PLACE: Final = "place"
SHIP: Final = "ship"
COMPLETE: Final = "complete"
CANCEL: Final = "cancel"
REFUND: Final = "refund"
VOID: Final = "void"
UPDATE_TRACKING: Final = "update_tracking"
HOLD: Final = "hold"
RELEASE: Final = "release"
KINDS: Final = (PLACE, SHIP, COMPLETE, CANCEL, REFUND, VOID, UPDATE_TRACKING, HOLD, RELEASE)
"""Kinds of command; each is also the name of its door actor on INBOX."""

TRACEPARENT: Final = "traceparent"
"""The option, and the header, by which a sender says to which trace a command belongs (W3C)."""
TRACEPARENT_LENGTH: Final = 55

STRAY: Final = "stray"
"""The actor that records what cannot be accepted: called by the consumer, never by producers."""


def drain_actor(route: str) -> str:
    """Name of the actor that drains a route's due work."""
    return f"drain_{route}"
