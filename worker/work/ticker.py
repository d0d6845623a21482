"""One thread per process that looks every second: renews leases, hints for what is due, drains
itself when Redis does not answer, numbers the feed, and says that the process is there. No leader,
and nothing is lost when every hint is.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import explain
from worker.feed.events import number_events
from worker.work.claim import look, renew
from worker.work.drain import Drain, Held
from worker.work.processes import Presence

log = structlog.get_logger()


class Ticker:
    """Started by `start`, ended by `stop`; `problem` is for the watchdog."""

    def __init__(
        self,
        engine: Engine,
        drains: Mapping[str, Drain],
        held: Held,
        *,
        hint: Callable[[str], bool],
        lease_s: float,
        batch_limit_s: float,
        every_s: float = 1.0,
    ) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._drains = drains
        self._held = held
        self._hint = hint
        self._lease_s = lease_s
        self._batch_limit_s = batch_limit_s
        self._every_s = min(every_s, lease_s / 3)
        self._presence = Presence(drains)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)
        self._helper: threading.Thread | None = None
        self._turned_at = time.monotonic()

    def start(self) -> None:
        self._turned_at = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def problem(self) -> str | None:
        """Why this process should end: a batch beyond its limit, or this thread gone or stuck."""
        for batch, held_s in self._held.now():
            if held_s > self._batch_limit_s:
                return f"a batch of {len(batch.rows)} {batch.table.name} runs for {held_s:.0f} s"
        if self._stop.is_set():
            return None
        if not self._thread.is_alive():
            return "the ticker's thread is dead"
        # Each of its statements has a limit of its own, far below this.
        patience_s = max(2 * self._batch_limit_s, 3 * self._every_s)
        if (still_s := time.monotonic() - self._turned_at) > patience_s:
            return f"the ticker has not turned for {still_s:.0f} s"
        return None

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._turned_at = time.monotonic()
            try:
                self.tick()
            except SQLAlchemyError as error:
                log.warning("ticker_waits", reason=explain(error)[0])
            except Exception:
                log.exception("ticker_failed")
        with suppress(SQLAlchemyError), self._engine.connect() as connection:
            self._presence.leave(connection)

    def tick(self) -> None:
        """One look: leases first, since others' patience is short."""
        routes = [(drain.route.table, name) for name, drain in self._drains.items()]
        with self._engine.connect() as connection:
            for batch, held_s in self._held.now():
                if held_s < self._batch_limit_s:
                    renew(connection, batch, lease_s=self._lease_s)
            found = look(connection, routes, lease_s=self._lease_s)
        unheard = []
        for due in found:
            if due.has_suspects:
                self._drains[due.route].has_suspects.set()
            if due.has_bulk:
                self._drains[due.route].has_bulk.set()
            if (due.is_due or due.has_suspects) and not self._hint(due.route):
                unheard.append(due.route)
        if unheard and (self._helper is None or not self._helper.is_alive()):
            # Beside this thread, or leases would not be renewed meanwhile.
            self._helper = threading.Thread(
                target=self._drain, args=(unheard,), name="ticker-drain", daemon=True
            )
            self._helper.start()
        with self._engine.connect() as connection:
            # Last: work goes before those who look at it.
            number_events(connection, patient=False)
            self._presence.tell(connection, self._held.now())

    def _drain(self, routes: list[str]) -> None:
        for route in routes:
            self._drains[route]()
