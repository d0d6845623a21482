"""The watchdog: a worker that does nothing does not live on looking healthy.

It ends the process when a thread died, a consumer's loop stands still, the process that started it
is gone, or a registered check gives a reason. The supervisor starts another.
"""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Final

import structlog
from dramatiq import Broker, Middleware, Worker

from worker.broker.redis import HardenedRedisBroker

EXIT_CODE: Final = 70  # EX_SOFTWARE
LOG_WAIT_S: Final = 2.0

Check = Callable[[], str | None]
"""Gives the reason to end the process, or None. Called every second; must not block."""

log = structlog.get_logger()


class Watchdog(Middleware):
    """Looks every `interval_s`, from the worker's boot until it is asked to stop.

    A stall is counted in looks that found the loop where it was, not by the clock: a process that
    was frozen as a whole (SIGSTOP, a paused machine) has not stalled.
    """

    def __init__(
        self,
        stall_limit_s: float,
        exit: Callable[[int], object] = os._exit,  # noqa: A002 - it is what it does
        *,
        interval_s: float = 1.0,
        parent_pid: Callable[[], int] = os.getppid,
    ) -> None:
        self._stall_looks = max(1, round(stall_limit_s / interval_s))
        self._stall_limit_s = stall_limit_s
        self._exit = exit
        self._interval_s = interval_s
        self._parent_pid = parent_pid
        self._checks: list[Check] = []
        self._stopped = threading.Event()

    def watch(self, check: Check) -> None:
        """Look at this, too."""
        self._checks.append(check)

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        if not isinstance(broker, HardenedRedisBroker):
            raise TypeError(f"a {type(broker).__name__} does not tell when its consumers turn")
        self._stopped.clear()
        threading.Thread(
            target=self._run, args=(broker, worker), name="watchdog", daemon=True
        ).start()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        # From here on threads end by design, and the supervisor holds the stop to its time.
        del broker, worker
        self._stopped.set()

    def _run(self, broker: HardenedRedisBroker, worker: Worker) -> None:
        parent = self._parent_pid()
        looks: dict[str, tuple[float | None, int]] = {}
        while not self._stopped.wait(self._interval_s):
            try:
                reason = next(self._reasons(broker, worker, parent, looks), None)
            except Exception as error:  # noqa: BLE001 - a watchdog that fails must not fail silently
                reason = f"the watchdog failed: {error!r}"
            if reason is not None and not self._stopped.is_set():
                _say(reason)
                self._exit(EXIT_CODE)
                return

    def _reasons(
        self,
        broker: HardenedRedisBroker,
        worker: Worker,
        parent: int,
        looks: dict[str, tuple[float | None, int]],
    ) -> Iterator[str]:
        # An orphan's log lines go nowhere, and nobody counts it among the workers.
        if self._parent_pid() != parent:
            yield "the parent process is gone"
        yield from (
            f"a worker thread is dead: {thread.name}"
            for thread in worker.workers
            if not thread.is_alive()
        )
        for queue, consumer in list(worker.consumers.items()):
            if not consumer.is_alive():
                yield f"the consumer thread of {queue} is dead"
            turned = broker.turned.get(queue)
            before, count = looks.get(queue, (None, 0))
            count = count + 1 if turned == before and not consumer.paused else 0
            looks[queue] = (turned, count)
            if count >= self._stall_looks:
                yield f"the consumer of {queue} has not turned for {self._stall_limit_s:g} s"
        for check in self._checks:
            if reason := check():
                yield reason


def _say(reason: str) -> None:
    # In a thread of its own: what stalled may be holding a lock of the log.
    words = threading.Thread(
        target=lambda: log.critical("watchdog_exit", reason=reason), daemon=True
    )
    words.start()
    words.join(LOG_WAIT_S)
