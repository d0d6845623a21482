"""How long a command waits at a quarter, half and four fifths of capacity, beside dramatiq's no-op.

The load is open: arrivals have times of their own, drawn beforehand (a Poisson process), and
whoever is late for one sends it at once and is not late for the next because of it. A slow answer
slows no arrival down, and what waited behind it counts (no *coordinated omission*).

All clocks are the one of this machine (CLOCK_REALTIME: Python's `time.time`, PostgreSQL's too). A
command's end is the moment in its commit record, by `track_commit_timestamp`: `decided_at` is when
the transaction began and would leave out the longest part. That moment lies before the log is
flushed, so an `fsync` is missing; how long one takes is measured and said. *From acceptance*
begins with `accepted_at`, when the accepting transaction began, and so has that one's flush in it.
*From arrival* begins with the moment at which the command was to be sent, and has all of the
client, or of the wait in Redis, in it. The no-op's end is the first line of its actor, its begin
the arrival or the call that enqueued it; what was promised of ours from acceptance is judged by
the latter.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import psycopg
from dramatiq import Message

from messages import Ship, publish, wire
from tests.bench.crew import Crew, crew
from tests.bench.lab import BenchFailed, Lab, applied, mark, verify
from tests.bench.measurements import (
    CHUNK,
    NOOP_NAMESPACE,
    Client,
    broker_door,
    noop,
    store_door_chunks,
)
from tests.bench.result import Result

LOADS: Final = (25, 50, 80)
HALF: Final = 50
RUN_UP_S: Final = 1.0
"""Arrivals of this time are not counted: pools connect, statements are prepared."""
TIMES: Final = 3.0
"""At half load, how many times the no-op's p99 ours may be."""
WITHIN_S: Final = 120.0
SEED: Final = 20_261_124

ENDED: Final = """
select id, extract(epoch from accepted_at)::float8,
  extract(epoch from pg_xact_commit_timestamp(xmin))::float8
from commands where seq > %s and state = 'applied'
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How long each load lasts, and from how many commands capacities are taken."""

    seconds: float = 12.0
    noop: int = 6000
    broker: int = 4000
    store: int = 12_000


@dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds under one load: of each command, by where they begin; how late arrivals were."""

    since: Mapping[str, Sequence[float]]
    late: Sequence[float]


def latency(lab: Lab, size: Size, say: Callable[[str], None]) -> Iterator[Result]:
    """Percentiles of the no-op and of both doors under each load, and the ratio that was promised.

    `lab` must have as many commands as `size` says, and a PostgreSQL that tracks commits.
    """
    yield Result("a flush of PostgreSQL's log", _flush_ms(lab), "ms", note="median of a commit")
    at_half: dict[str, dict[str, float]] = {}
    for name, capacity, run in (
        ("no-op", noop(lab, size.noop), _noop),
        ("broker door", broker_door(lab, size.broker), _broker_door),
        ("store door, chunks", store_door_chunks(lab, size.store), _store_door),
    ):
        yield Result(f"{name}, capacity", capacity, "/s", note="measured just before")
        for load, waits in run(lab, capacity, size.seconds):
            late_ms = percentile(waits.late, 99)
            say(f"{name} at {load} %: {len(waits.late):,} arrivals, p99 {late_ms:.1f} ms late")
            for start, values in waits.since.items():
                p50, p95, p99 = (percentile(values, percent) for percent in (50, 95, 99))
                note = f"p50 {p50:.1f}, p95 {p95:.1f}; load late by {late_ms:.1f} (p99)"
                also = {"p50": p50, "p95": p95}
                yield Result(named(name, load, start), p99, "ms", note=note, also=also)
                if load == HALF:
                    at_half.setdefault(name, {})[start] = p99
    for name in ("broker door", "store door, chunks"):
        for start, other, at_most in (
            ("from acceptance", "from enqueue", TIMES),
            ("from arrival", "from arrival", None),
        ):
            ratio = at_half[name][start] / at_half["no-op"][other]
            said = f"{name}, p99 {start} at half load / no-op's {other}"
            yield Result(said, ratio, "ratio", at_most=at_most)


def named(name: str, load: int, start: str) -> str:
    """What the result of such waits is called."""
    return f"{name}, {load} %, p99 {start}"


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many per cent do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]


def arrivals(per_s: float, seconds: float) -> list[float]:
    """Seconds after the start at which something comes: the same ones in every run."""
    draw = random.Random(SEED)
    at, found = 0.0, []
    while (at := at + draw.expovariate(per_s)) < seconds:
        found.append(at)
    return found


def offer(times: Sequence[float], send: Callable[[int], None]) -> tuple[list[float], list[float]]:
    """Call `send` with the number of each arrival at its time; when each was due by the clock, and
    by how many milliseconds the call came late.
    """
    began = time.time() + 0.05
    due = [began + at for at in times]
    late = []
    for number, at in enumerate(due):
        if (ahead_s := at - time.time()) > 0:
            time.sleep(ahead_s)
        late.append((time.time() - at) * 1000)
        send(number)
    return due, late


def _noop(lab: Lab, capacity: float, seconds: float) -> Iterator[tuple[int, Waits]]:
    lab.redis.flushall()
    log = lab.free_name("runs")
    messages = f"{NOOP_NAMESPACE}:default.msgs"
    module, settings = "tests.bench.noop_timed", {"BENCH_RUNS": str(log)}
    with crew(lab, module, namespace=NOOP_NAMESPACE, settings=settings) as workers:
        broker = lab.broker(NOOP_NAMESPACE)
        broker.declare_queue("default")
        first = 0
        for load in LOADS:
            times = arrivals(capacity * load / 100, RUN_UP_S + seconds)
            base = first

            def send(number: int, base: int = base) -> None:
                broker.enqueue(Message("default", "noop", (base + number,), {}, {}))

            due, late = offer(times, send)
            first += len(times)
            workers.wait(lambda: not lab.redis.exists(messages), f"no-op at {load} %", WITHIN_S)
            ran = _runs(log)
            counted = _counted(times)
            took = [(ran[base + n] - due[n]) * 1000 for n in counted]
            late = [late[n] for n in counted]
            sent = [all_ms - late_ms for all_ms, late_ms in zip(took, late, strict=True)]
            yield load, Waits({"from arrival": took, "from enqueue": sent}, late)
        broker.close()


def _runs(log: Path) -> dict[int, float]:
    lines = (line.split() for line in log.read_text().splitlines())
    return {int(number): float(at) for number, at in lines}


def _broker_door(lab: Lab, capacity: float, seconds: float) -> Iterator[tuple[int, Waits]]:
    broker = lab.broker()
    broker.declare_queue(wire.INBOX)

    def send(commands: Sequence[Ship]) -> None:
        publish(broker, commands[0])

    with _store(lab) as (url, connection, workers):
        for load in LOADS:
            per_s = capacity * load / 100
            waits = _waits(
                lab,
                url,
                connection,
                workers,
                arrivals(per_s, RUN_UP_S + seconds),
                chunk=1,
                send=send,
            )
            yield load, waits
    broker.close()


def _store_door(lab: Lab, capacity: float, seconds: float) -> Iterator[tuple[int, Waits]]:
    with _store(lab) as (url, connection, workers), Client(lab, url) as client:
        for load in LOADS:
            per_s = capacity / CHUNK * load / 100
            waits = _waits(
                lab,
                url,
                connection,
                workers,
                arrivals(per_s, RUN_UP_S + seconds),
                chunk=CHUNK,
                send=client.send,
            )
            yield load, waits


@contextmanager
def _store(lab: Lab) -> Iterator[tuple[str, psycopg.Connection, Crew]]:
    """A fresh database with a warm worker on it."""
    with (
        lab.database() as url,
        psycopg.connect(url, autocommit=True) as connection,
        crew(lab, "actors", url) as workers,
    ):
        yield url, connection, workers


def _waits(
    lab: Lab,
    url: str,
    connection: psycopg.Connection,
    workers: Crew,
    times: Sequence[float],
    *,
    chunk: int,
    send: Callable[[Sequence[Ship]], Any],
) -> Waits:
    commands = lab.place(url, len(times) * chunk)
    since = mark(connection)
    due, late = offer(times, lambda n: send(commands[n * chunk : (n + 1) * chunk]))
    workers.wait(lambda: applied(connection, since) == len(commands), "latency", WITHIN_S)
    verify(url, commands)
    ended = {row_id: ends for row_id, *ends in connection.execute(ENDED, (since,))}
    from_arrival, from_acceptance = [], []
    for n in _counted(times):
        for command in commands[n * chunk : (n + 1) * chunk]:
            accepted_at, committed_at = ended[command.command_id]
            from_arrival.append((committed_at - due[n]) * 1000)
            from_acceptance.append((committed_at - accepted_at) * 1000)
    since_when = {"from arrival": from_arrival, "from acceptance": from_acceptance}
    return Waits(since_when, [late[n] for n in _counted(times)])


def _counted(times: Sequence[float]) -> list[int]:
    counted = [n for n, at in enumerate(times) if at >= RUN_UP_S]
    if not counted:
        raise BenchFailed("latency: too short for an arrival")
    return counted


def _flush_ms(lab: Lab) -> float:
    """A commit that wrote a row, less one that wrote none."""
    took: dict[bool, list[float]] = {True: [], False: []}
    with lab.database() as url, psycopg.connect(url) as connection:
        connection.execute("create table bench_flush (n integer)")
        connection.commit()
        for number in range(60):
            writes = bool(number % 2)
            connection.execute("insert into bench_flush values (1)" if writes else "select 1")
            began = time.perf_counter()
            connection.commit()
            took[writes].append((time.perf_counter() - began) * 1000)
    return median(took[True]) - median(took[False])
