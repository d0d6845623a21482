"""The only consumer of work: claim (A), carry out (B), again until nothing is due or time is up.

One bad row cannot hurt its neighbours: what fails as a batch is run one by one, and rows whose
worker vanished run alone in their process.
"""

import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import Transient, explain
from worker.work.accept import BULK, URGENT, Lane
from worker.work.claim import (
    MAX_CRASHES,
    Batch,
    Table,
    claim,
    claim_suspect,
    fail,
)
from worker.work.observer import SILENT, Observer

log = structlog.get_logger()

TURN_S: Final = 3.0
"""How long one drain goes on before it leaves the rest to a fresh hint."""
BACK_OFF_S: Final = (10, 30, 120, 600, 1800, 7200)
"""A person sees a failure within hours; dramatiq's own back-off would take 35 days."""
BUG_TRIES: Final = 3
BULK_LOOK_S: Final = 1.0
"""How often a drain that knows of no due bulk work looks for some."""
ALONE_S: Final = 0.5
"""For how long suspects are run one after the other before others may go on."""
HELD_UP_S: Final = 1.0
"""For how long a process that found most of a batch held up drains with one thread only."""


@dataclass(frozen=True, slots=True)
class Route:
    """A queue of work: where its rows are and how they are carried out."""

    name: str
    table: Table
    carry_out: Callable[[Batch], bool]
    """Carry a batch out; False when others are in the way of most of it, so that there is no use in
    going on at once. What it raises is counted.
    """
    batch_size: int
    drainers: int | None = None
    """At most so many threads of a process drain at once, and more than one only while batches are
    full: alone it makes bigger batches; together one computes while another waits for PostgreSQL.
    None: every thread that comes.
    """
    row_by_row: bool = False
    """Rows of a batch share nothing but their claim: each is carried out, and fails, by itself."""
    back_off_s: tuple[float, ...] = BACK_OFF_S
    due_again: threading.Event = field(default_factory=threading.Event)
    """Set by `carry_out` when it left rows due: woken ones, or given back."""
    close: Callable[[], object] = lambda: None
    """Lets go of what `carry_out` keeps open, when the process has ended its work."""


class Gate:
    """Many batches at once, or one suspect alone: a lock with readers and a preferred writer."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._together = 0
        self._alone = False

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._alone)
            self._together += 1
        try:
            yield
        finally:
            with self._condition:
                self._together -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._alone)
            self._alone = True
            self._condition.wait_for(lambda: self._together == 0)
        try:
            yield
        finally:
            with self._condition:
                self._alone = False
                self._condition.notify_all()


@dataclass(slots=True)
class Held:
    """Batches in progress in this process: what the ticker renews and the watchdog times."""

    batches: dict[int, tuple[Batch, float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def hold(self, batch: Batch) -> Iterator[None]:
        with self.lock:
            self.batches[batch.claim] = (batch, time.monotonic())
        try:
            yield
        finally:
            with self.lock:
                del self.batches[batch.claim]

    def now(self) -> list[tuple[Batch, float]]:
        """Batches and for how many seconds they have been held."""
        with self.lock:
            return [(batch, time.monotonic() - since) for batch, since in self.batches.values()]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of looking for a batch."""

    is_any: bool = False
    is_full: bool = False
    is_held_up: bool = False


class Drain:
    """Drains one route in this process; any number of threads may call it.

    Urgent work goes first. While its batches are full it alone is done, else a batch of bulk work
    after each of its: what is urgent waits for one such batch at most, and a trickle of it holds
    up no bulk.
    """

    def __init__(
        self,
        engine: Engine,
        route: Route,
        *,
        lease_s: float,
        gate: Gate,
        held: Held,
        hint: Callable[[str], object],
        stopping: threading.Event,
        room: threading.Semaphore | None = None,
        turn_s: float = TURN_S,
        alone_s: float = ALONE_S,
        bulk_look_s: float = BULK_LOOK_S,
        observer: Observer = SILENT,
    ) -> None:
        """`room` has a place for each thread that may drain at once, in all routes that share it;
        who finds none leaves, and the ticker asks again within a second.
        """
        self._room = room
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.route = route
        self._lease_s = lease_s
        self._gate = gate
        self._held = held
        self._hint = hint
        self._stopping = stopping
        self._turn_s = turn_s
        self._alone_s = alone_s
        self._bulk_look_s = bulk_look_s
        self._observer = observer
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._drainers = 0
        self._is_backlog = False
        self._held_up_until = 0.0
        self.has_suspects = threading.Event()
        self.has_bulk = threading.Event()
        self._bulk_look_at = 0.0

    def __call__(self) -> None:
        """Drain what is due. A call that comes while another thread drains returns at once; the
        other one looks again before it stops. A database that is away is left to the ticker.
        """
        if self._room is None:
            self._drain()
        elif self._room.acquire(blocking=False):
            try:
                self._drain()
            finally:
                self._room.release()

    def _drain(self) -> None:
        if self.route.drainers is None:
            self._turn()
            return
        self._wanted.set()
        while self._wanted.is_set() and self._enter(self.route.drainers):
            try:
                self._wanted.clear()
                self._turn()
            finally:
                with self._lock:
                    self._drainers -= 1

    def _enter(self, most: int) -> bool:
        is_crowded = not self._is_backlog or time.monotonic() < self._held_up_until
        with self._lock:
            if self._drainers >= (1 if is_crowded else most):
                return False
            self._drainers += 1
            return True

    def _turn(self) -> None:
        until = time.monotonic() + self._turn_s
        try:
            while not self._stopping.is_set():
                if not self._next():
                    return
                if time.monotonic() > until:
                    self._hint(self.route.name)
                    return
        except SQLAlchemyError as error:
            reason, _, message = explain(error)
            log.warning("drain_failed", route=self.route.name, reason=reason, error=message)

    def _next(self) -> bool:
        """Claim and carry out a batch of each lane; False when that was all that is due."""
        had_suspect = self.has_suspects.is_set() and self._next_suspects()
        urgent = self._next_batch(URGENT)
        # What is held up may be so by bulk work.
        is_alone = urgent.is_full and not urgent.is_held_up
        bulk = Taken() if is_alone or self._stopping.is_set() else self._next_bulk()
        is_full = urgent.is_full or bulk.is_full
        self._is_backlog = is_full
        if urgent.is_held_up or bulk.is_held_up:
            return self._let_others()
        if not (urgent.is_any or bulk.is_any):
            return had_suspect
        # A batch that was not full took all there was; what came since has its own call or hint.
        due_again = self.route.due_again.is_set()
        self.route.due_again.clear()
        return had_suspect or due_again or is_full

    def _next_bulk(self) -> Taken:
        """A batch of bulk work, if there may be some: a shop that has none is spared the claim."""
        if not self.has_bulk.is_set() and time.monotonic() < self._bulk_look_at:
            return Taken()
        bulk = self._next_batch(BULK)
        if bulk.is_any:
            self.has_bulk.set()
        else:
            self.has_bulk.clear()
            self._bulk_look_at = time.monotonic() + self._bulk_look_s
        return bulk

    def _next_batch(self, lane: Lane) -> Taken:
        """Claim and carry out one batch of the lane."""
        with self._gate.together():
            batch = self._claim(lane)
            if batch is None:
                return Taken()
            self._observer.batch(self.route.name, len(batch.rows))
            is_full = len(batch.rows) == self.route.batch_size
            if is_full and not self._is_backlog:
                self._hint(self.route.name)
                self._is_backlog = True
            with self._held.hold(batch):
                return Taken(is_any=True, is_full=is_full, is_held_up=not self._carry_out(batch))

    def _let_others(self) -> bool:
        """Others hold what these rows need. With several threads here they may be our own, which
        hand the rows of one order round among them out of turn: one is enough, so leave.
        """
        time.sleep(0.02)
        if self.route.drainers is None:
            return True
        self._held_up_until = time.monotonic() + HELD_UP_S
        self._wanted.set()  # whoever turns out to be the last goes on
        return False

    def _next_suspects(self) -> bool:
        """Run suspects, each alone in the process; False when there is none.

        One after the other for a while: whoever wants to be alone waits for what is in progress
        here, and fifty rows of a killed worker must not do that fifty times.
        """
        until = time.monotonic() + self._alone_s
        had_one = False
        with self._gate.alone():
            while not self._stopping.is_set() and self._next_suspect():
                had_one = True
                if time.monotonic() > until:
                    break
        return had_one

    def _next_suspect(self) -> bool:
        with self._autocommit.connect() as connection:
            batch = claim_suspect(
                connection, self.route.table, self.route.name, lease_s=self._lease_s
            )
        if batch is None:
            self.has_suspects.clear()
            return False
        (row,) = batch.rows
        log.warning("suspect_alone", route=self.route.name, id=str(row.id), crashes=row.crashes)
        self._observer.suspect(self.route.name, crashed=row.crashes > 0)
        if row.crashes >= MAX_CRASHES:
            message = f"its worker died {row.crashes} times while it ran alone"
            self._fail(batch, "poison", message, None)
            log.error("poison", route=self.route.name, id=str(row.id))
            return True
        with self._held.hold(batch):
            self._carry_out(batch)
        return True

    def _claim(self, lane: Lane) -> Batch | None:
        with self._autocommit.connect() as connection:
            return claim(
                connection,
                self.route.table,
                self.route.name,
                limit=self.route.batch_size,
                lease_s=self._lease_s,
                lane=lane,
            )

    def _carry_out(self, batch: Batch) -> bool:
        """Carry the batch out, one by one where it fails as a whole; False when it is held up.

        Raises:
          sqlalchemy.exc.SQLAlchemyError: The database is away, so that not even a failure can be
            written. Nothing is counted: the leases end by themselves.
        """
        if self.route.row_by_row and len(batch.rows) > 1:
            return self._one_by_one(batch)
        try:
            return self.route.carry_out(batch)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is counted and kept
            if len(batch.rows) == 1:
                self._failed(batch, error)
                return True
            log.warning("batch_failed", route=self.route.name, reason=explain(error)[0])
        return self._one_by_one(batch)

    def _one_by_one(self, batch: Batch) -> bool:
        ended = [self._carry_out(batch.of([row])) for row in batch.rows]
        return any(ended)

    def _failed(self, batch: Batch, error: Exception) -> None:
        (row,) = batch.rows
        reason, may_heal, message = explain(error)
        tries = BUG_TRIES if reason == "bug" else len(self.route.back_off_s)
        retry_after_s: float | None = None
        if may_heal and row.attempts < tries - (reason == "bug"):
            asked = error.retry_after_s if isinstance(error, Transient) else None
            back_off_s = self.route.back_off_s[min(row.attempts, len(self.route.back_off_s) - 1)]
            retry_after_s = asked or back_off_s * random.uniform(0.9, 1.1)  # noqa: S311  # jitter
        log.log(
            30 if retry_after_s else 40,
            "work_failed" if retry_after_s else "work_dead",
            route=self.route.name,
            id=str(row.id),
            order_id=row.order_id,
            reason=reason,
            # Where, not what: the text of an exception may quote a customer.
            where=traceback.format_tb(error.__traceback__)[-8:] if reason == "bug" else None,
        )
        self._fail(batch, reason, message, retry_after_s)

    def _fail(self, batch: Batch, reason: str, message: str, retry_after_s: float | None) -> None:
        with self._autocommit.connect() as connection:
            fail(connection, batch, reason=reason, message=message, retry_after_s=retry_after_s)
        for row in batch.rows:
            name = str(row.values[0])  # a command's kind, a follow-up's name
            is_dead = retry_after_s is None
            self._observer.failure(self.route.name, name, reason, is_dead=is_dead)
