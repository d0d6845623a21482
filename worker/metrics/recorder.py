"""What a worker process counts. Import it only after `PROMETHEUS_MULTIPROC_DIR` is set:
prometheus_client looks at it once, when it is imported.
"""

import re
from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from messages.wire import COMMANDS, KINDS
from worker.work.observer import Observer

BATCH_ROWS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
FOLLOWUP_S: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 21600)
"""From a carrier that answers at once to the last retry; the back-off adds up to five hours."""

_CLASS: Final = re.compile(r"[a-z][a-z0-9_]{0,39}|database_[0-9A-Z]{5}")


def label(word: str) -> str:
    """The word if it is a name from code, else `other`: a text in a label would be a series each,
    and might quote a customer.
    """
    return word if _CLASS.fullmatch(word) else "other"


class Recorder(Observer):
    """Counts what the work tells, some microseconds for each call."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._starts = Counter(
            "fulfillment_worker_starts", "Worker processes that started.", registry=registry
        )
        self._commands = Counter(
            "fulfillment_commands",
            "Commands that ended: applied, rejected or dead.",
            ("kind", "outcome"),
            registry=registry,
        )
        self._batch_rows = Histogram(
            "fulfillment_drain_batch_size",
            "Rows that a drain claimed at once.",
            ("queue",),
            buckets=BATCH_ROWS,
            registry=registry,
        )
        self._followups_s = Histogram(
            "fulfillment_followup_duration_seconds",
            "Time from staging a follow-up to its end, retries included.",
            ("queue", "name", "outcome"),
            buckets=FOLLOWUP_S,
            registry=registry,
        )
        self._failures = Counter(
            "fulfillment_failures",
            "Attempts that failed, whether tried again or dead.",
            ("queue", "reason"),
            registry=registry,
        )
        self._suspects = Counter(
            "fulfillment_suspects",
            "Rows run alone because their lease expired.",
            ("queue",),
            registry=registry,
        )
        self._crashes = Counter(
            "fulfillment_crashes",
            "Times that a row, alone, ended its process; three are poison.",
            ("queue",),
            registry=registry,
        )
        for kind in KINDS:  # from 0, so that the first one is seen as an increase
            for outcome in ("applied", "rejected", "dead"):
                self._commands.labels(kind, outcome)

    def started(self) -> None:
        """A worker process has booted."""
        self._starts.inc()

    def batch(self, route: str, rows: int) -> None:
        self._batch_rows.labels(route).observe(rows)

    def commands(self, ended: Mapping[tuple[str, str], int]) -> None:
        for (kind, state), number in ended.items():
            self._commands.labels(label(kind), state).inc(number)

    def followup(self, route: str, name: str, state: str, seconds: float) -> None:
        self._followups_s.labels(route, label(name), state).observe(seconds)

    def failure(self, route: str, name: str, reason: str, *, is_dead: bool) -> None:
        self._failures.labels(route, label(reason)).inc()
        if is_dead and route == COMMANDS:
            self.commands({(name, "dead"): 1})

    def suspect(self, route: str, *, crashed: bool) -> None:
        self._suspects.labels(route).inc()
        if crashed:
            self._crashes.labels(route).inc()
