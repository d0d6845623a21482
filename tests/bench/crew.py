"""Worker processes that are up before their load begins, so that booting is no part of it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from uuid import uuid4

from dramatiq import Message

from messages import wire
from tests.bench.lab import THREADS, WAIT_S, Lab, Worker

SETTLE_S: Final = 1.2
"""dramatiq's own consumer sleeps up to a second where there is nothing; then all have woken."""


class Crew:
    """So many processes of a module, each a dramatiq group of its own, as in production."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = workers

    def wait(self, is_done: Callable[[], bool], what: str, within_s: float = WAIT_S) -> None:
        """Poll until it is so.

        Raises:
          BenchFailed: Not within this time, or the first worker ended.
        """
        self.workers[0].wait(is_done, what, within_s)

    def rate(self, done: Callable[[], int], count: int, what: str) -> float:
        """Done per second up to `count`, from when all have woken; where all was done by then, from
        the first on.
        """
        looks = [(0, time.monotonic())]

        def is_done() -> bool:
            looks.append((done(), time.monotonic()))
            return looks[-1][0] >= count

        self.wait(is_done, what, 2 * WAIT_S)
        first = next(n for n, (is_any, _) in enumerate(looks) if is_any)
        begun = looks[max(first - 1, 0)]
        end = looks[-1]
        settled = next((look for look in looks if look[1] >= begun[1] + SETTLE_S), end)
        since = begun if settled[0] >= count else settled
        return (end[0] - since[0]) / (end[1] - since[1])


@contextmanager
def crew(
    lab: Lab,
    module: str,
    url: str | None = None,
    *,
    processes: int = 1,
    threads: int = THREADS,
    namespace: str = wire.NAMESPACE,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Crew]:
    """Processes that have booted and turn; Valkey must be empty of others' signs of life."""
    with ExitStack() as stack:
        found = Crew(
            [
                stack.enter_context(
                    lab.worker(module, url, processes=processes, threads=threads, settings=settings)
                )
                for _ in range(processes)
            ]
        )
        beats = f"{namespace}:__heartbeats__"
        found.wait(lambda: lab.redis.zcard(beats) >= processes, f"{module} is there")
        yield found


class AtOnce:
    """A producer whose messages come into their queues all at the same moment, each as dramatiq's
    broker puts one there.
    """

    def __init__(self, lab: Lab, namespace: str = wire.NAMESPACE) -> None:
        self._pipeline = lab.redis.pipeline(transaction=True)
        self._namespace = namespace

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        key = str(uuid4())
        kept = message.copy(options={"redis_message_id": key})
        queue = f"{self._namespace}:{message.queue_name}"
        self._pipeline.hset(f"{queue}.msgs", key, kept.encode())
        self._pipeline.rpush(queue, key)
        return kept

    def deliver(self) -> None:
        self._pipeline.execute()
