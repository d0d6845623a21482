"""The drain of labels: whatever is due is drawn and stored."""

import dramatiq

from messages import wire
from worker.runtime import runtime


@dramatiq.actor(
    queue_name=wire.LABELS,
    actor_name=wire.drain_actor(wire.LABELS),
    max_retries=0,
    priority=1,  # a free thread goes to commands first
)
def drain_labels() -> None:
    """Make every label that is due; a hint that finds none is harmless."""
    runtime().drains[wire.LABELS]()
