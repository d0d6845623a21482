"""The drain of jobs: files of shipments are sent, chunk by chunk."""

import dramatiq

from messages import wire
from worker.runtime import runtime


@dramatiq.actor(
    queue_name=wire.JOBS,
    actor_name=wire.drain_actor(wire.JOBS),
    max_retries=0,
    priority=1,  # a free thread goes to commands first
)
def drain_jobs() -> None:
    """Send the next chunk of every job that is due; a hint that finds none is harmless."""
    runtime().drains[wire.JOBS]()
