"""The drain of commands: whatever is due is decided, whichever door it came through."""

import dramatiq

from messages import wire
from worker.runtime import runtime


@dramatiq.actor(queue_name=wire.COMMANDS, actor_name=wire.drain_actor(wire.COMMANDS), max_retries=0)
def drain_commands() -> None:
    """Decide every command that is due; a hint that finds none is harmless."""
    runtime().drains[wire.COMMANDS]()
