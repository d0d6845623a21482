"""What an actor may ask of its broker: to have its message again later, and whether to hurry."""

import threading
from typing import Any

from dramatiq import Broker, Middleware, Worker
from dramatiq.middleware import CurrentMessage

from messages.wire import TRACEPARENT

REQUEUE = "requeue"
"""The option, in memory only, by which a message asks not to be acknowledged."""


def requeue_current_message() -> None:
    """Put the message that runs in this thread back on its queue when its actor returns.

    For an actor that was told to stop before its work could be done.

    Raises:
      RuntimeError: No actor runs in this thread.
    """
    message = CurrentMessage.get_current_message()
    if message is None:
        raise RuntimeError("requeue_current_message() was called outside an actor")
    message.options[REQUEUE] = True


def traceparent_of_current_message() -> str | None:
    """Where in a trace the message that runs in this thread belongs, if it says so."""
    message = CurrentMessage.get_current_message()
    return message.options.get(TRACEPARENT) if message else None


class Stopping(Middleware):
    """Tells that the worker was asked to stop, from that moment on."""

    def __init__(self) -> None:
        self.event = threading.Event()

    @property
    def actor_options(self) -> set[str]:
        # Nothing retries and nothing interrupts here. The options are accepted all the same: actors
        # say so and hold to it on a broker with dramatiq's own middleware, as StubBroker has it.
        return {"max_retries", "time_limit"}

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        del broker, worker
        self.event.clear()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        del broker, worker
        self.event.set()


def is_requested_again(options: dict[str, Any]) -> bool:
    """Whether an actor asked for its message to be put back."""
    return options.get(REQUEUE) is True
