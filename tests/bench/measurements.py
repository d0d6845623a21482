"""What is measured: commands that ship one unit, each of an order of its own. Every run verifies
that all of them were applied, once.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import psycopg
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from messages import Command, publish, publish_many, wire
from tests.bench import pgbench
from tests.bench.lab import WARM, BenchFailed, Lab, applied, mark, verify
from worker.broker.hints import Hints
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.accept import accept

CHUNK: Final = 200
PGBENCH_BATCH: Final = 100
QUICK: Final = 200
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
    with lab.database() as url:
        return through_broker(lab, url, lab.commands[:count], "tests.bench.plain", one_by_one)


def broker_door(lab: Lab, count: int) -> float:
    with lab.database() as url:
        return through_broker(lab, url, lab.commands[:count], "actors", one_by_one)


def broker_door_chunks(lab: Lab, count: int) -> float:
    # Nearly half of the chunks are accepted before the first is decided: that time counts too.
    with lab.database() as url:
        commands = lab.commands[:count]
        return through_broker(lab, url, commands, "actors", publish_many, from_acceptance=True)


def store_door(lab: Lab, count: int) -> float:
    with lab.database() as url:
        return through_store(lab, url, lab.commands[:count], chunk=1)


def store_door_chunks(lab: Lab, count: int) -> float:
    with lab.database() as url:
        return through_store(lab, url, lab.commands[:count], chunk=CHUNK)


def pgbench_one_by_one(lab: Lab, count: int) -> float:
    return _pgbench(lab, count, "one_by_one.sql", batch=1)


def pgbench_batched(lab: Lab, count: int) -> float:
    return _pgbench(lab, count, "batches.sql", batch=PGBENCH_BATCH)


def one_by_one(broker: RedisBroker, commands: Sequence[Command]) -> None:
    for command in commands:
        publish(broker, command)


def through_broker(
    lab: Lab,
    url: str,
    commands: Sequence[Command],
    module: str,
    send: Callable[[RedisBroker, Sequence[Command]], None],
    *,
    from_acceptance: bool = False,
) -> float:
    """Commands per second, from enqueued messages to outcomes."""
    with psycopg.connect(url, autocommit=True) as connection:
        since = mark(connection)
        broker = lab.broker()
        broker.declare_queue(wire.INBOX)
        send(broker, commands)
        broker.close()
        with lab.worker(module, url) as worker:
            rate = worker.rate(lambda: applied(connection, since), len(commands), module)
            if from_acceptance:
                rate = len(commands) / connection.execute(SINCE_ACCEPTANCE).fetchone()[0]
            # Acknowledged as well: an outcome whose message comes back is not the end of it.
            messages = f"{wire.NAMESPACE}:{wire.INBOX}.msgs"
            worker.wait(lambda: not lab.redis.exists(messages), f"{module}, acknowledged")
    verify(url, commands)
    return rate


def through_store(lab: Lab, url: str, commands: Sequence[Command], *, chunk: int) -> float:
    """Commands per second, from the first acceptance to the last outcome; one client thread
    accepts meanwhile.
    """
    with psycopg.connect(url, autocommit=True) as connection, Client(lab, url) as client:
        since = mark(connection)
        with lab.worker("actors", url) as worker:
            client.send(commands[:WARM])
            worker.wait(lambda: applied(connection, since) == WARM, "store door, warming up")
            began = time.monotonic()
            for start in range(WARM, len(commands), chunk):
                client.send(commands[start : min(start + chunk, len(commands))])
            worker.wait(lambda: applied(connection, since) == len(commands), "store door")
            took_s = time.monotonic() - began
    verify(url, commands)
    return (len(commands) - WARM) / took_s


class Client:
    """A producer at the store door. Use it as a context."""

    def __init__(self, lab: Lab, url: str) -> None:
        self.engine = make_engine(url, Settings())
        self.hints = Hints(lab.redis_url, limit=2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hints.close()
        self.engine.dispose()

    def send(self, commands: Sequence[Command]) -> None:
        """Accept in a transaction, and give a hint."""
        with self.engine.begin() as transaction:
            receipts = accept(transaction, commands)
        receipts.hint(self.hints)


def _pgbench(lab: Lab, count: int, script: str, *, batch: int) -> float:
    with lab.database() as url:
        rate = pgbench.run(lab.pgbench, url, script, count=count, batch=batch)
        verify(url, lab.commands[:count])
    return rate


MEASUREMENTS: Final = (
    Measurement("no-op", "dramatiq as it comes, an empty actor", 4000, noop),
    Measurement("plain", "a message, a transaction, a statement per table", 2000, plain),
    Measurement("broker door", "a command per message", 3000, broker_door),
    Measurement("broker door, chunks", "200 commands per message", 4000, broker_door_chunks),
    Measurement("store door", "a command per transaction, one client", 2000, store_door),
    # Two seconds of it: a worker that has just booted still connects, imports and prepares.
    Measurement("store door, chunks", "200 per transaction, one client", 12_000, store_door_chunks),
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
