"""The doors beside what others do, in the same rounds: dramatiq's no-op and Celery's; the same
transaction by hand, on dramatiq and on procrastinate; the same writes by pgbench.
"""

from collections.abc import Callable, Iterator
from importlib.metadata import version
from statistics import median
from typing import Final

import psycopg
from celery import Celery

from tests.bench import procrastinate_peer
from tests.bench.lab import THREADS, Lab, applied, mark, verify
from tests.bench.measurements import Measurement, broker_door, noop, pgbench_batched, plain
from tests.bench.measurements import store_door_chunks as store_door
from tests.bench.result import Result

DEFER_AT_ONCE: Final = 500
UNFINISHED: Final = (
    "select exists (select from procrastinate_jobs where status in ('todo', 'doing'))"
)


def procrastinate(lab: Lab, count: int) -> float:
    """Transactions per second, all jobs deferred before."""
    commands = lab.commands[:count]
    with lab.database() as url, psycopg.connect(url, autocommit=True) as connection:
        since = mark(connection)
        with procrastinate_peer.made(url).open() as app:
            app.schema_manager.apply_schema()
            bodies = [{"content": command.body()} for command in commands]
            for start in range(0, count, DEFER_AT_ONCE):
                app.configure_task("ship").batch_defer(*bodies[start : start + DEFER_AT_ONCE])
        settings = {"FULFILLMENT_THREADS": str(THREADS)}
        with lab.running(["tests.bench.procrastinate_peer"], url, settings=settings) as worker:
            rate = worker.rate(lambda: applied(connection, since), count, "procrastinate")
            worker.wait(
                lambda: not connection.execute(UNFINISHED).fetchone()[0], "procrastinate, finished"
            )
        verify(url, commands)
    return rate


def celery_threads(lab: Lab, count: int) -> float:
    return _celery(lab, count, pool="threads")


def celery_prefork(lab: Lab, count: int) -> float:
    return _celery(lab, count, pool="prefork")


def _celery(lab: Lab, count: int, *, pool: str) -> float:
    """Messages per second; done is what is neither in the queue nor fetched ahead."""
    lab.redis.flushall()
    with Celery("bench", broker=lab.redis_url) as app:
        send = app.signature("noop", ignore_result=True)
        for _ in range(count):
            send.delay()

    def done() -> int:
        with lab.redis.pipeline(transaction=True) as at_once:
            return count - sum(at_once.llen("celery").hlen("unacked").execute())

    command = ["celery", "-A", "tests.bench.celery_noop", "worker", "--loglevel=WARNING"]
    command += [f"--pool={pool}", f"--concurrency={THREADS}"]
    with lab.running(command, settings={}) as worker:
        return worker.rate(done, count, f"Celery, {pool}")


PEERS: Final = (
    Measurement("no-op", f"dramatiq {version('dramatiq')}, {THREADS} threads", 4000, noop),
    Measurement(
        "Celery's no-op, threads",
        f"Celery {version('celery')}, {THREADS} threads",
        3000,
        celery_threads,
    ),
    Measurement(
        "Celery's no-op, prefork",
        f"Celery {version('celery')}, {THREADS} processes",
        3000,
        celery_prefork,
    ),
    Measurement("plain", "dramatiq, a transaction by hand for each message", 2000, plain),
    Measurement(
        "procrastinate",
        f"procrastinate {version('procrastinate')}, the same transaction, {THREADS} at once",
        1500,
        procrastinate,
    ),
    Measurement("broker door", "a command per message", 4000, broker_door),
    Measurement("store door, chunks", "200 per transaction, one client", 12_000, store_door),
    Measurement(
        "pgbench, batched", "the same writes, 100 per transaction", 8000, pgbench_batched, 800
    ),
)
RATIOS: Final = (
    ("broker door", "no-op", 0.7),
    ("store door, chunks", "no-op", 5.0),
    ("store door, chunks", "pgbench, batched", 0.5),
    ("broker door", "plain", None),
    ("broker door", "procrastinate", None),
    ("broker door", "Celery's no-op, threads", None),
)


def most(*, quick: bool) -> int:
    """How many commands the lab must have."""
    return max(one.count(quick=quick) for one in PEERS)


def peers(lab: Lab, *, rounds: int, quick: bool, say: Callable[[str], None]) -> Iterator[Result]:
    """Rates and ratios, medians of the rounds."""
    found: dict[str, list[float]] = {one.name: [] for one in PEERS}
    for number in range(1, rounds + 1):
        for one in PEERS:
            rate = one.run(lab, one.count(quick=quick))
            found[one.name].append(rate)
            say(f"round {number}  {one.name:<26}{rate:>8,.0f}/s")
    for one in PEERS:
        yield Result(one.name, median(found[one.name]), "/s", note=one.what)
    for name, other, goal in RATIOS:
        ratios = [mine / its for mine, its in zip(found[name], found[other], strict=True)]
        note = " ".join(f"{ratio:.2f}" for ratio in ratios)
        yield Result(f"{name} / {other}", median(ratios), "ratio", at_least=goal, note=note)
