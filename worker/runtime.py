"""The composition root: everything a worker process needs, made after the fork and handed on.

Tests make a runtime of their own with other rules or routes; nothing has to be patched.
"""

import os
import threading
import time
from collections.abc import Sequence
from functools import cache
from typing import Final

import structlog
from dramatiq import Broker, MessageProxy, Middleware, Worker
from sqlalchemy import Engine

from worker import memory
from worker.broker.admission import Admission
from worker.broker.hints import Hints
from worker.broker.middleware import requeue_current_message
from worker.broker.redis import HardenedRedisBroker, make_broker
from worker.broker.watchdog import Watchdog
from worker.emails.route import emails_route
from worker.heartbeat import Heartbeat, heartbeat
from worker.jobs.route import jobs_route
from worker.labels.making import labels_route
from worker.logs import configure
from worker.metrics.process import instruments
from worker.orders.rules import decide
from worker.postage.adapters import carriers
from worker.postage.tracking import tracking_route
from worker.refunds.providers import Providers, providers, rules
from worker.refunds.route import refunds_route
from worker.retention.schedule import Schedule
from worker.servers import Servers, servers
from worker.settings import Settings, settings
from worker.store.engine import make_engine
from worker.tracing import make_tracing
from worker.work.commands import commands_route
from worker.work.door import Door
from worker.work.drain import Drain, Gate, Held, Route
from worker.work.judging import Decide
from worker.work.observer import SILENT, Observer
from worker.work.ticker import Ticker
from worker.work.tracing import UNTRACED, Tracing

HINT_EVERY_S: Final = 0.25


class Runtime(Middleware):
    """One worker process: its pool, its drains, its ticker; a dramatiq middleware for its life."""

    def __init__(
        self,
        config: Settings,
        where: Servers,
        *,
        engine: Engine | None = None,
        rules: Decide = decide,
        routes: Sequence[Route] = (),
        observer: Observer = SILENT,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self.settings = config
        self.stopping = threading.Event()
        self.engine = engine or worker_engine(config, where)
        self.hints = Hints(where.redis_url, limit=2 * config.processes)
        self.held = Held()
        gate = Gate()
        # What follows may wait for others' servers for long: one thread is left for commands.
        room = threading.Semaphore(max(1, config.threads - 1))
        commands = commands_route(
            self.engine,
            batch_size=config.batch_size,
            grace_s=config.grace_s,
            staged=self._hint,
            rules=rules,
            observer=observer,
        )
        self._tracing = tracing
        self.drains = {
            route.name: Drain(
                self.engine,
                tracing.traced(route),
                lease_s=config.lease_s,
                gate=gate,
                held=self.held,
                hint=self.hints.send,
                stopping=self.stopping,
                room=None if route is commands else room,
                observer=observer,
            )
            for route in (commands, jobs_route(self.engine, hint=self._hint), *routes)
            if route.name in config.queues
        }
        self.ticker = Ticker(
            self.engine,
            self.drains,
            self.held,
            hint=self.hints.send,
            lease_s=config.lease_s,
            batch_limit_s=config.batch_limit_s,
        )
        self._retention = Schedule(where.database_url, config, self.stopping)
        self._hinted: dict[str, float] = {}
        self._heartbeat: Heartbeat | None = None
        self.door = Door(
            self.engine, stopping=self.stopping, requeue=requeue_current_message, tracing=tracing
        )

    def broker(self, redis_url: str, *middleware: Middleware) -> HardenedRedisBroker:
        """The process's broker, with this runtime and the watchdog on board."""
        watchdog = Watchdog(self.settings.stall_limit_s)
        watchdog.watch(self.ticker.problem)
        watchdog.watch(self._beat)  # last: it beats if nothing else was wrong
        config = self.settings
        admission = Admission.of(config.broker_door_kinds, config.signing_keys)
        return make_broker(redis_url, middleware=[self, watchdog, *middleware], admission=admission)

    def _beat(self) -> None:
        if self._heartbeat:
            self._heartbeat.beat()

    def _hint(self, route: str) -> None:
        """Tell of staged follow-ups at once, but not after each of many small batches: whoever is
        draining takes what comes, and the ticker finds the rest within a second.
        """
        now = time.monotonic()
        if route in self.drains and now - self._hinted.get(route, 0) > HINT_EVERY_S:
            self._hinted[route] = now
            self.hints.send(route)

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        del broker
        structlog.contextvars.bind_contextvars(message_id=message.message_id)

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: object = None,
        exception: BaseException | None = None,
    ) -> None:
        del broker, message, result, exception
        structlog.contextvars.unbind_contextvars("message_id")

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        del broker, worker
        memory.tune()

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        del broker, worker
        self.stopping.clear()
        self.ticker.start()
        self._retention.start()
        self._heartbeat = heartbeat(self.settings.run_dir)

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        del broker, worker
        self.stopping.set()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        # Only now: leases of what was finishing had to be renewed.
        del broker, worker
        self._retention.close()
        self.ticker.stop()
        for drain in self.drains.values():
            drain.route.close()
        if self._heartbeat:
            self._heartbeat.close()
        self._tracing.close()
        self.hints.close()
        self.engine.dispose()


def worker_engine(config: Settings, where: Servers) -> Engine:
    """The pool of a worker process: a connection for each thread, and for ticker and watchdog."""
    return make_engine(where.database_url, config, pool_size=config.threads + 3, look_ups_only=True)


def followup_routes(
    engine: Engine, config: Settings, refunding: Providers, *, observer: Observer = SILENT
) -> list[Route]:
    """What follows from a committed command."""
    bought_from = carriers(engine, config)
    return [
        labels_route(engine, config, bought_from, observer=observer),
        # Half of the threads at most, or a slow provider would hold up the commands.
        refunds_route(engine, refunding, drainers=max(1, config.threads // 2), observer=observer),
        emails_route(engine, config, observer=observer),
        tracking_route(engine, config, bought_from, observer=observer),
    ]


@cache
def _runtime(pid: int) -> tuple[Runtime, HardenedRedisBroker]:
    del pid  # one per process: a pool that crossed a fork would mix up two processes' answers
    config = settings()
    configure(config.log_level)
    where = servers(config)
    measured = instruments(config)
    engine = worker_engine(config, where)
    observer = measured.observer
    refunding = providers(config)
    made = Runtime(
        config,
        where,
        engine=engine,
        rules=rules(refunding),
        routes=followup_routes(engine, config, refunding, observer=observer),
        observer=observer,
        tracing=make_tracing(config, engine),
    )
    return made, made.broker(where.redis_url, *measured.middleware)


def runtime() -> Runtime:
    """The runtime of this worker process, made when it is first asked for."""
    return _runtime(os.getpid())[0]


def process_broker() -> HardenedRedisBroker:
    """The broker of this worker process."""
    return _runtime(os.getpid())[1]
