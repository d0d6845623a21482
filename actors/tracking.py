"""The drain of tracking: carriers are asked where parcels are."""

import dramatiq

from messages import wire
from worker.runtime import runtime


@dramatiq.actor(
    queue_name=wire.TRACKING,
    actor_name=wire.drain_actor(wire.TRACKING),
    max_retries=0,
    priority=1,  # a free thread goes to commands first
)
def drain_tracking() -> None:
    """Ask for every parcel that is due; a hint that finds none is harmless."""
    runtime().drains[wire.TRACKING]()
