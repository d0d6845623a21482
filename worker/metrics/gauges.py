"""What only the database knows: work due, waiting and dead. A scrape never hangs on it."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from worker import __version__
from worker.errors import explain
from worker.metrics.recorder import label
from worker.probe import redis_answers
from worker.work.queues import queues
from worker.work.strays import ChosenStrays
from worker.work.strays import count as count_strays

FRESH_S: Final = 5.0
"""Scrapes that come faster get the same numbers."""
PATIENCE_S: Final = 2.0
"""How long a scrape waits for the database; Prometheus itself gives up after ten seconds."""

DEAD_BY_REASON = """
-- dead_by_reason
select 'commands', coalesce(dead_reason, ''), count(*) from commands
where state = 'dead' group by dead_reason
union all
select route, coalesce(dead_reason, ''), count(*) from followups
where state = 'dead' group by route, dead_reason
union all
select 'jobs', coalesce(dead_reason, ''), count(*) from jobs
where state = 'dead' group by dead_reason
"""

REFUND_PARTS = """
-- refund_parts_by_state: of those that are not as they should be
select state, count(*) from refund_parts where state = 'unknown' group by state
union all
select state, count(*) from refund_parts where state in ('failed', 'overpaid') group by state
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reading:
    """What the database said, and when, on the monotonic clock."""

    queues: list[dict[str, Any]]
    dead: list[tuple[str, str, int]]
    strays: int
    refund_parts: dict[str, int]
    at: float


class WorkGauges(Collector):
    """Gauges of the whole cluster's work. While the database is away only
    `fulfillment_database_up` is there, as 0.
    """

    def __init__(
        self, engine: Engine, *, fresh_s: float = FRESH_S, patience_s: float = PATIENCE_S
    ) -> None:
        self._engine = engine
        self._fresh_s = fresh_s
        self._patience_s = patience_s
        self._wanted = threading.Event()
        self._answered = threading.Condition()
        self._reading: Reading | None = None
        self._answers = 0
        # A thread of its own: a connection that fell silent can be waited for, not interrupted.
        threading.Thread(target=self._run, name="work-gauges", daemon=True).start()

    def collect(self) -> Iterable[Any]:
        reading = self._recent()
        yield GaugeMetricFamily(
            "fulfillment_database_up", "Whether the database answers.", int(reading is not None)
        )
        yield InfoMetricFamily("fulfillment_build", "This version.", {"version": __version__})
        if reading is not None:
            yield from _families(reading)

    def _recent(self) -> Reading | None:
        with self._answered:
            if not self._is_fresh():
                answers = self._answers
                self._wanted.set()
                self._answered.wait_for(lambda: self._answers > answers, self._patience_s)
            return self._reading if self._is_fresh() else None

    def _is_fresh(self) -> bool:
        return self._reading is not None and time.monotonic() - self._reading.at < self._fresh_s

    def _run(self) -> None:
        was_up = True
        while self._wanted.wait():
            self._wanted.clear()
            reading, reason = self._read()
            if was_up and reason:
                log.warning("metrics_without_database", reason=reason)
            was_up = not reason
            with self._answered:
                self._reading = reading
                self._answers += 1
                self._answered.notify_all()

    def _read(self) -> tuple[Reading | None, str | None]:
        try:
            with self._engine.connect() as connection:
                dead = [
                    (route, reason, count)
                    for route, reason, count in connection.exec_driver_sql(DEAD_BY_REASON)
                ]
                strays = count_strays(connection, ChosenStrays())
                parts = {
                    str(state): int(count)
                    for state, count in connection.exec_driver_sql(REFUND_PARTS)
                }
                return Reading(queues(connection), dead, strays, parts, time.monotonic()), None
        except SQLAlchemyError as error:
            return None, explain(error)[0]
        except Exception as error:  # noqa: BLE001  # this thread must live as long as its process
            return None, type(error).__name__


class RedisGauge(Collector):
    """Whether Redis answers. Without it work takes longer to start, and nothing else shows it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def collect(self) -> Iterable[Any]:
        yield GaugeMetricFamily(
            "fulfillment_redis_up", "Whether Redis answers.", int(redis_answers(self._url))
        )


def _families(reading: Reading) -> Iterable[Any]:
    due = _family("fulfillment_work_due", "Rows that could be worked on now.")
    in_progress = _family("fulfillment_work_in_progress", "Rows that a worker holds.")
    oldest = _family("fulfillment_work_oldest_seconds", "Age of the oldest row that has not ended.")
    overdue = _family("fulfillment_work_overdue_seconds", "How long the longest due row has been.")
    paused = _family("fulfillment_queue_paused", "Whether the queue is paused.")
    waiting = _family("fulfillment_work_waiting", "Rows that are not due yet.", "waits_for")
    dead = _family("fulfillment_dead_letters", "Rows that wait for a person.", "reason")
    for row in reading.queues:
        queue = (row["route"],)
        due.add_metric(queue, row["due"])
        in_progress.add_metric(queue, row["in_progress"])
        oldest.add_metric(queue, row["oldest_s"] or 0)
        overdue.add_metric(queue, row["overdue_s"] or 0)
        paused.add_metric(queue, 1 if row["paused"] else 0)
        for waits_for, count in row["waiting_for"].items():
            waiting.add_metric((*queue, waits_for), count)
    by_reason: Counter[tuple[str, str]] = Counter()
    for route, reason, count in reading.dead:
        by_reason[route, label(reason)] += count
    for labels, count in by_reason.items():
        dead.add_metric(labels, count)
    strays = GaugeMetricFamily(
        "fulfillment_strays", "What came in and is no command.", reading.strays
    )
    parts = GaugeMetricFamily(
        "fulfillment_refund_parts", "Refunds' parts by what went wrong.", labels=("state",)
    )
    for state in ("unknown", "failed", "overpaid"):
        parts.add_metric((state,), reading.refund_parts.get(state, 0))
    return due, waiting, in_progress, oldest, overdue, paused, dead, strays, parts


def _family(name: str, help_text: str, *more: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, labels=("queue", *more))
