"""The drain of e-mails: whatever customers are to be told is sent."""

import dramatiq

from messages import wire
from worker.runtime import runtime


@dramatiq.actor(
    queue_name=wire.EMAILS,
    actor_name=wire.drain_actor(wire.EMAILS),
    max_retries=0,
    priority=1,  # a free thread goes to commands first
)
def drain_emails() -> None:
    """Send every e-mail that is due; a hint that finds none is harmless."""
    runtime().drains[wire.EMAILS]()
