"""What is measured: commands that ship one unit, each of an order of its own. Every run verifies
that all of them were applied, once.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from dramatiq import Message

from messages import Ship, publish, publish_many, wire
from tests.bench import pgbench
from tests.bench.lab import WARM, BenchFailed, Lab, shipped, verify
from worker.broker.hints import Hints
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.accept import accept

CHUNK: Final = 200
PGBENCH_BATCH: Final = 100
QUICK: Final = 400
NOOP_NAMESPACE: Final = "dramatiq"
SINCE_ACCEPTANCE: Final = """
select extract(epoch from clock_timestamp() - min(accepted_at))::double precision from commands
"""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row: what it is, how many commands, and the run that gives commands per second."""

    name: str
    what: str
    commands: int
    run: Callable[[Lab, int], float]
    quick_commands: int = QUICK

    def count(self, *, quick: bool) -> int:
        return self.quick_commands if quick else self.commands


def noop(lab: Lab, count: int) -> float:
    """The framework itself; done is what has been acknowledged."""
    lab.redis.flushall()
    broker = lab.broker(NOOP_NAMESPACE)
    broker.declare_queue("default")
    for _ in range(count):
        broker.enqueue(Message("default", "noop", (), {}, {}))
    broker.close()
    with lab.worker("tests.bench.noop") as worker:
        rate = worker.rate(
            lambda: count - lab.redis.hlen(f"{NOOP_NAMESPACE}:default.msgs"), count, "no-op"
        )
    if any(lab.redis.exists(f"{NOOP_NAMESPACE}:default.{kind}") for kind in ("DQ", "XQ")):
        raise BenchFailed("no-op: messages failed")
    return rate


def plain(lab: Lab, count: int) -> float:
    return _through_broker(lab, count, "tests.bench.plain", _one_by_one)


def broker_door(lab: Lab, count: int) -> float:
    return _through_broker(lab, count, "actors", _one_by_one)


def broker_door_chunks(lab: Lab, count: int) -> float:
    # Nearly half of the chunks are accepted before the first is decided: that time counts too.
    return _through_broker(lab, count, "actors", publish_many, from_acceptance=True)


def store_door(lab: Lab, count: int) -> float:
    return _through_store(lab, count, chunk=1)


def store_door_chunks(lab: Lab, count: int) -> float:
    return _through_store(lab, count, chunk=CHUNK)


def pgbench_one_by_one(lab: Lab, count: int) -> float:
    return _pgbench(lab, count, "one_by_one.sql", batch=1)


def pgbench_batched(lab: Lab, count: int) -> float:
    return _pgbench(lab, count, "batches.sql", batch=PGBENCH_BATCH)


def _one_by_one(broker: object, commands: Sequence[Ship]) -> None:
    for command in commands:
        publish(broker, command)


def _through_broker(
    lab: Lab,
    count: int,
    module: str,
    send: Callable[[object, Sequence[Ship]], None],
    *,
    from_acceptance: bool = False,
) -> float:
    """From enqueued messages to outcomes."""
    with lab.database() as url, psycopg.connect(url, autocommit=True) as connection:
        broker = lab.broker()
        broker.declare_queue(wire.INBOX)
        send(broker, lab.commands[:count])
        broker.close()
        with lab.worker(module, url) as worker:
            rate = worker.rate(lambda: shipped(connection), count, module)
            if from_acceptance:
                rate = count / connection.execute(SINCE_ACCEPTANCE).fetchone()[0]
            # Acknowledged as well: an outcome whose message comes back is not the end of it.
            messages = f"{wire.NAMESPACE}:{wire.INBOX}.msgs"
            worker.wait(lambda: not lab.redis.exists(messages), f"{module}, acknowledged")
        verify(url, count)
    return rate


def _through_store(lab: Lab, count: int, *, chunk: int) -> float:
    """From the first acceptance to the last outcome; one client thread accepts meanwhile."""
    with lab.database() as url, psycopg.connect(url, autocommit=True) as connection:
        engine = make_engine(url, Settings())
        hints = Hints(lab.redis_url, limit=2)

        def send(commands: Sequence[Ship]) -> None:
            with engine.begin() as transaction:
                receipts = accept(transaction, commands)
            receipts.hint(hints)

        try:
            with lab.worker("actors", url) as worker:
                send(lab.commands[:WARM])
                worker.wait(lambda: shipped(connection) == WARM, "store door, warming up")
                began = time.monotonic()
                for start in range(WARM, count, chunk):
                    send(lab.commands[start : min(start + chunk, count)])
                worker.wait(lambda: shipped(connection) == count, "store door")
                took_s = time.monotonic() - began
        finally:
            hints.close()
            engine.dispose()
        verify(url, count)
    return (count - WARM) / took_s


def _pgbench(lab: Lab, count: int, script: str, *, batch: int) -> float:
    with lab.database() as url:
        rate = pgbench.run(lab.pgbench, url, script, count=count, batch=batch)
        verify(url, count)
    return rate


MEASUREMENTS: Final = (
    Measurement("no-op", "dramatiq as it comes, an empty actor", 4000, noop),
    Measurement("plain", "a message, a transaction, a statement per table", 2000, plain),
    Measurement("broker door", "a command per message", 3000, broker_door),
    Measurement("broker door, chunks", "200 commands per message", 4000, broker_door_chunks),
    Measurement("store door", "a command per transaction, one client", 2000, store_door),
    Measurement("store door, chunks", "200 per transaction, one client", 4000, store_door_chunks),
    Measurement("pgbench", "the same writes, one by one, 8 clients", 3000, pgbench_one_by_one),
    Measurement(
        "pgbench, batched",
        "the same writes, 100 per transaction, 8 clients",
        8000,
        pgbench_batched,
        quick_commands=PGBENCH_BATCH * pgbench.CLIENTS,
    ),
)
PROFILED: Final = tuple(
    one for one in MEASUREMENTS if one.run in (broker_door, store_door, store_door_chunks)
)
