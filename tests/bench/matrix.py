"""Throughput by processes and threads: the no-op, the broker door, the store door in chunks."""

import time
from collections.abc import Callable, Iterator
from typing import Final

import psycopg
from dramatiq import Message

from messages import publish, wire
from tests.bench.crew import AtOnce, crew
from tests.bench.lab import WARM, Lab, applied, mark, verify
from tests.bench.measurements import CHUNK, NOOP_NAMESPACE, Client
from tests.bench.result import Result

PROCESSES: Final = (1, 2, 4)
THREADS: Final = (4, 8, 16)


def matrix(
    lab: Lab,
    *,
    commands: int,
    processes: tuple[int, ...] = PROCESSES,
    threads: tuple[int, ...] = THREADS,
) -> Iterator[Result]:
    """The no-op gets as many messages as there are commands, the broker door half of it."""
    for n_processes in processes:
        for n_threads in threads:
            for name, measure in DOORS.items():
                yield Result(
                    named(name, n_processes, n_threads),
                    measure(lab, commands, n_processes, n_threads),
                    "/s",
                )


def named(name: str, processes: int, threads: int) -> str:
    """What the result of such a cell is called."""
    return f"{name}, {processes} x {threads} threads"


def noop(lab: Lab, count: int, processes: int, threads: int) -> float:
    lab.redis.flushall()
    messages = f"{NOOP_NAMESPACE}:default.msgs"
    with crew(
        lab, "tests.bench.noop", processes=processes, threads=threads, namespace=NOOP_NAMESPACE
    ) as workers:
        producer = AtOnce(lab, NOOP_NAMESPACE)
        for _ in range(count):
            producer.enqueue(Message("default", "noop", (), {}, {}))
        producer.deliver()
        return workers.rate(lambda: count - lab.redis.hlen(messages), count, "no-op")


def broker_door(lab: Lab, count: int, processes: int, threads: int) -> float:
    with lab.database() as url, psycopg.connect(url, autocommit=True) as connection:
        since = mark(connection)
        commands = lab.place(url, count // 2)
        with crew(lab, "actors", url, processes=processes, threads=threads) as workers:
            producer = AtOnce(lab)
            for command in commands:
                publish(producer, command)
            producer.deliver()
            rate = workers.rate(lambda: applied(connection, since), len(commands), "broker door")
            messages = f"{wire.NAMESPACE}:{wire.INBOX}.msgs"
            workers.wait(lambda: not lab.redis.exists(messages), "broker door, acknowledged")
        verify(url, commands)
    return rate


def store_door(lab: Lab, count: int, processes: int, threads: int) -> float:
    """From the first acceptance to the last outcome; one client accepts meanwhile."""
    with (
        lab.database() as url,
        psycopg.connect(url, autocommit=True) as connection,
        Client(lab, url) as client,
    ):
        since = mark(connection)
        commands = lab.place(url, WARM + count)
        with crew(lab, "actors", url, processes=processes, threads=threads) as workers:
            client.send(commands[:WARM])
            workers.wait(lambda: applied(connection, since) == WARM, "store door, warming up")
            began = time.monotonic()
            for start in range(WARM, len(commands), CHUNK):
                client.send(commands[start : start + CHUNK])
            workers.wait(lambda: applied(connection, since) == len(commands), "store door")
            took_s = time.monotonic() - began
        verify(url, commands)
    return count / took_s


DOORS: Final[dict[str, Callable[[Lab, int, int, int], float]]] = {
    "no-op": noop,
    "broker door": broker_door,
    "store door, chunks": store_door,
}
