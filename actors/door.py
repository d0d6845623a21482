"""The broker door: accept what a message carries, then drain. What cannot be accepted is a stray.

A message carries one command or a list of them, as `messages.publish` writes it.
"""

from typing import Any

import dramatiq

from messages import wire
from worker.broker.middleware import traceparent_of_current_message
from worker.runtime import runtime

FOREVER = float("inf")
"""A door waits for an absent database as long as it takes; its statements have limits."""


def _take(kind: str, content: Any) -> None:
    if runtime().door.take(kind, content, traceparent_of_current_message()):
        runtime().drains[wire.COMMANDS]()


@dramatiq.actor(queue_name=wire.INBOX, actor_name=wire.PLACE, max_retries=0, time_limit=FOREVER)
def place(content: Any) -> None:
    """Accept orders to be taken in."""
    _take(wire.PLACE, content)


@dramatiq.actor(queue_name=wire.INBOX, actor_name=wire.SHIP, max_retries=0, time_limit=FOREVER)
def ship(content: Any) -> None:
    """Accept shipments of physical lines."""
    _take(wire.SHIP, content)


@dramatiq.actor(queue_name=wire.INBOX, actor_name=wire.COMPLETE, max_retries=0, time_limit=FOREVER)
def complete(content: Any) -> None:
    """Accept completions of lines that are not physical."""
    _take(wire.COMPLETE, content)


@dramatiq.actor(queue_name=wire.INBOX, actor_name=wire.CANCEL, max_retries=0, time_limit=FOREVER)
def cancel(content: Any) -> None:
    """Accept cancellations, with or without a refund."""
    _take(wire.CANCEL, content)


@dramatiq.actor(queue_name=wire.INBOX, actor_name=wire.REFUND, max_retries=0, time_limit=FOREVER)
def refund(content: Any) -> None:
    """Accept refunds that cancel nothing."""
    _take(wire.REFUND, content)


@dramatiq.actor(queue_name=wire.INBOX, actor_name=wire.VOID, max_retries=0, time_limit=FOREVER)
def void(content: Any) -> None:
    """Accept shipments to be called back."""
    _take(wire.VOID, content)


@dramatiq.actor(
    queue_name=wire.INBOX, actor_name=wire.UPDATE_TRACKING, max_retries=0, time_limit=FOREVER
)
def update_tracking(content: Any) -> None:
    """Accept corrections of how shipments are tracked."""
    _take(wire.UPDATE_TRACKING, content)


@dramatiq.actor(queue_name=wire.INBOX, actor_name=wire.HOLD, max_retries=0, time_limit=FOREVER)
def hold(content: Any) -> None:
    """Accept what stops orders."""
    _take(wire.HOLD, content)


@dramatiq.actor(queue_name=wire.INBOX, actor_name=wire.RELEASE, max_retries=0, time_limit=FOREVER)
def release(content: Any) -> None:
    """Accept what lets orders go on."""
    _take(wire.RELEASE, content)


@dramatiq.actor(queue_name=wire.INBOX, actor_name=wire.STRAY, max_retries=0, time_limit=FOREVER)
def stray(reason: str, body: str) -> None:
    """List what the consumer could not make a message of; called by the consumer alone."""
    runtime().door.stray(reason, body)
