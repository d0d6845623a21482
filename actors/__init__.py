"""The edge: dramatiq's actors. Run them as `dramatiq actors`, or supervised: `fulfillment worker`.

The door takes commands from messages; a drain per route does what is due. Importing this package
makes the process's broker, so only worker processes import it.
"""

import dramatiq

from worker.runtime import process_broker

broker = process_broker()
dramatiq.set_broker(broker)

from actors import (  # noqa: E402  # actors register with the broker set above
    commands,
    door,
    emails,
    jobs,
    labels,
    refunds,
    tracking,
)

__all__ = ["broker", "commands", "door", "emails", "jobs", "labels", "refunds", "tracking"]
