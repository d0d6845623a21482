"""The work with somebody who counts it."""

import threading

from prometheus_client import CollectorRegistry

from tests.metrics.reading import exposed
from worker.metrics.recorder import Recorder
from worker.orders.rules import decide
from worker.work.commands import commands_route
from worker.work.drain import Drain, Gate, Held
from worker.work.followups import followups_route


class Watched:
    """Drains of a process of its own, and what they count."""

    def __init__(self, engine):
        self.engine = engine
        self.registry = CollectorRegistry()
        self.recorder = Recorder(self.registry)

    def series(self):
        return exposed(self.registry)

    def commands(self, rules=decide):
        route = commands_route(
            self.engine,
            batch_size=200,
            grace_s=900,
            staged=lambda _: None,
            rules=rules,
            observer=self.recorder,
        )
        return self._drain(route)

    def emails(self, call):
        return self._drain(followups_route(self.engine, "emails", call, observer=self.recorder))

    def _drain(self, route):
        return Drain(
            self.engine,
            route,
            lease_s=1,
            gate=Gate(),
            held=Held(),
            hint=lambda _: True,
            stopping=threading.Event(),
            observer=self.recorder,
        )
