"""Retention, from its first to its last step: small batches, each a transaction of its own, with
pauses, so that the work beside it goes on as before.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from sqlalchemy import Connection, Engine

from worker.emails.folder import removed
from worker.labels.files import Files
from worker.labels.prune import MIN_AGE_S
from worker.labels.prune import prune as prune_orphans
from worker.retention import bodies, files, rows
from worker.settings import Settings

BATCH: Final = 500
"""Rows that are looked at in one transaction, for some 20 ms."""
_PAUSES: Final = 4
"""How many times as long as a batch took it rests: a fifth of one connection's time at most."""
_SHORTEST_PAUSE_S: Final = 0.02
_ALL: Final = 2**31 - 1
_DAY_S: Final = 86_400.0

What = Literal[
    "bodies",
    "edits",
    "audit",
    "job_rows",
    "traces",
    "strays",
    "events",
    "sign_ins",
    "bought_labels",
    "labels",
    "emails",
    "orphans",
]
WHAT: Final[dict[What, str]] = {
    "bodies": "bodies of commands",
    "edits": "corrections of follow-ups",
    "audit": "contents in the audit",
    "job_rows": "rows of files",
    "traces": "places of commands in traces",
    "strays": "bodies of strays",
    "events": "events of the feed",
    "sign_ins": "sessions of the console that are over",
    "bought_labels": "bought labels in the database",
    "labels": "files of labels and slips",
    "emails": "e-mails in files",
    "orphans": "files that no shipment names",
}
"""What goes, in words, in the order in which it does."""

ENSURE: Final = """
-- ensure: a walk that was never begun is at its beginning
insert into retention (what) select unnest(%(what)s::text[]) on conflict do nothing
"""

BEGUN: Final = """
-- begun: for the doctor, and for who would run it by itself
update retention set ran_at = now() where what = 'run'
"""

Act = Callable[[Connection, Any], tuple[Any, int]]
"""Does the next batch after a place; the place that it reached, None at the end, and how many."""


class Stop(Protocol):
    """Whether to stop, as `threading.Event` has it."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float) -> bool: ...


class Pruning:
    """One run. `stop` ends it between two batches; what was done stays done."""

    def __init__(
        self, engine: Engine, config: Settings, store: Files, *, stop: Stop, dry_run: bool = False
    ) -> None:
        self._engine = engine
        self._config = config
        self._store = store
        self._stop = stop
        self._dry_run = dry_run

    def run(self, *, orphans: bool = True) -> Iterator[tuple[What, int]]:
        """Everything that is old enough; what was emptied or removed, batch by batch.

        Raises:
          Transient: The label store or the folder of e-mails cannot be used.
          sqlalchemy.exc.SQLAlchemyError: The database cannot.
        """
        with self._engine.begin() as connection:
            walks = [*bodies.ENDS, "strays", "audit", "events", "run"]
            connection.exec_driver_sql(ENSURE, {"what": walks})
            if not self._dry_run:
                connection.exec_driver_sql(BEGUN)
        if days := self._config.keep_payloads_days:
            yield from self._bodies(days)
            yield from self._rows("edits", rows.EMPTY_EDITS, days)
            yield from self._rows("audit", rows.EMPTY_AUDIT, days)
            yield from self._rows("job_rows", rows.EMPTY_JOB_ROWS, days)
            yield from self._rows("traces", rows.REMOVE_TRACES, days)
            yield from self._emails(days)
        if days := self._config.keep_strays_days:
            yield from self._rows("strays", rows.EMPTY_STRAYS, days)
        if days := self._config.keep_events_days:
            yield from self._rows("events", rows.REMOVE_EVENTS, days)
        yield from self._rows("sign_ins", rows.REMOVE_SIGN_INS, 0)
        if days := self._config.keep_labels_days:
            yield from self._rows("bought_labels", rows.EMPTY_PURCHASES, days)
            yield from self._labels(days)
        if orphans and not self._stop.is_set():  # it looks at every file before it finds one
            yield from self._orphans()

    def _bodies(self, days: int) -> Iterator[tuple[What, int]]:
        limits: Any = {"days": days, "limit": BATCH, "dry_run": self._dry_run}
        if not self._dry_run:
            with self._engine.begin() as connection:
                bodies.note_undecided(connection, days=days)
        begin = UUID(int=0)
        for count in self._batches(lambda c, at: bodies.empty_left(c, at, **limits), begin):
            yield "bodies", count
        for state in bodies.ENDS:

            def act(connection: Connection, at: int, state: str = state) -> tuple[int | None, int]:
                return bodies.empty_next(connection, state, at, **limits)

            for count in self._batches(act, 0):
                yield "bodies", count

    def _rows(self, what: What, statement: str, days: int) -> Iterator[tuple[What, int]]:
        is_walk = what in {"strays", "audit", "events"}
        limits: Any = {"days": days, "dry_run": self._dry_run}
        # What has no walk is found anew by each batch: counting, that would go on for ever.
        limits["limit"] = BATCH if is_walk or not self._dry_run else _ALL

        def act(connection: Connection, at: int) -> tuple[int | None, int]:
            place, count = rows.empty(connection, statement, at, **limits)
            goes_on = not is_walk and not self._dry_run and count == BATCH
            return (at if goes_on else place), count

        for count in self._batches(act, 0):
            yield what, count

    def _labels(self, days: int) -> Iterator[tuple[What, int]]:
        if self._dry_run:
            with self._engine.connect() as connection:
                if count := files.count_documents(connection, days=days):
                    yield "labels", count
            return
        gone: list[files.Document] = []

        def act(connection: Connection, at: int) -> tuple[int | None, int]:
            gone[:] = files.prune_documents(connection, days=days, limit=BATCH)
            return (at if len(gone) == BATCH else None), len(gone)

        for count in self._batches(act, 0):
            files.remove(self._engine, self._store, gone, older_than_s=MIN_AGE_S)
            yield "labels", count

    def _emails(self, days: int) -> Iterator[tuple[What, int]]:
        for path in files.mail_folder(self._config).old(days * _DAY_S):
            if self._stop.is_set():
                return
            if self._dry_run or removed(path):
                yield "emails", 1

    def _orphans(self) -> Iterator[tuple[What, int]]:
        for _ in prune_orphans(self._engine, self._store, dry_run=self._dry_run):
            yield "orphans", 1
            if self._stop.is_set():
                return

    def _batches(self, act: Act, begin: Any) -> Iterator[int]:
        """Batches until there is none, or it is to stop; how many each did."""
        place = begin
        while place is not None and not self._stop.is_set():
            began_s = time.monotonic()
            with self._engine.begin() as connection:
                place, count = act(connection, place)
            took_s = time.monotonic() - began_s
            if count:
                yield count
            if place is not None and not self._dry_run:
                self._stop.wait(max(_SHORTEST_PAUSE_S, _PAUSES * took_s))


def waiting(connection: Connection, config: Settings) -> int:
    """How many bodies and files wait for being emptied or removed, as far as one batch of each kind
    tells. The caller rolls the transaction back.
    """
    some = 0
    if days := config.keep_payloads_days:
        connection.exec_driver_sql(ENSURE, {"what": [*bodies.ENDS]})
        for state in bodies.ENDS:
            _, count = bodies.empty_next(connection, state, 0, days=days, limit=BATCH, dry_run=True)
            some += count
    if days := config.keep_labels_days:
        some += files.count_documents(connection, days=days)
    return some
