"""Where the time goes: CPU of worker, PostgreSQL, Valkey and client for each command, and the
worker's by function.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import psutil
import psycopg

from messages import publish
from tests.bench.crew import AtOnce, Crew, crew
from tests.bench.lab import WARM, Lab, applied, mark, verify
from tests.bench.measurements import CHUNK, Client, broker_door, store_door_chunks
from tests.bench.result import Result

TOP: Final = 12
WITHIN_S: Final = 120.0
DOORS: Final = ("broker door", "store door, chunks")


def costs(lab: Lab, door: str, *, commands: int) -> Iterator[Result]:
    """Microseconds of CPU that each program spends on a command, boot and warming up left out."""
    is_broker = door == "broker door"
    with (
        lab.database() as url,
        psycopg.connect(url, autocommit=True) as connection,
        Client(lab, url) as client,
        crew(lab, "actors", url) as workers,
    ):
        ships = lab.place(url, WARM + commands)
        since = mark(connection)
        client.send(ships[:WARM])
        workers.wait(lambda: applied(connection, since) == WARM, "costs, warming up")
        producer = AtOnce(lab)
        for command in ships[WARM:] if is_broker else ():
            publish(producer, command)
        before = _spent(lab, workers)
        producer.deliver()
        for start in range(WARM, 0 if is_broker else len(ships), CHUNK):
            client.send(ships[start : start + CHUNK])
        workers.wait(lambda: applied(connection, since) == len(ships), "costs", WITHIN_S)
        after = _spent(lab, workers)
        verify(url, ships)
    each = {name: (after[name] - before[name]) / commands * 1e6 for name in after}
    for name, us in each.items():
        share = us / sum(each.values())
        yield Result(f"{door}: CPU of {name}", us, "us each", note=f"{share:.0%} of all four")


def profile(lab: Lab, door: str, *, commands: int) -> list[dict[str, Any]]:
    """The worker's functions with the most CPU time of their own; `lab` has so many commands."""
    with lab.profiling() as stats:
        (broker_door if door == "broker door" else store_door_chunks)(lab, commands)
    return stats.top(TOP)


def _spent(lab: Lab, workers: Crew) -> Mapping[str, float]:
    """Seconds of CPU so far, by program."""
    return {
        "worker": sum(_tree_s(one.process.pid) for one in workers.workers),
        "PostgreSQL": _tree_s(lab.postgres.process.pid),
        "Valkey": _tree_s(lab.valkey.process.pid),
        "client": _own_s(psutil.Process()),
    }


def _tree_s(pid: int) -> float:
    """Of a process, those below it, and those that have ended and been waited for."""
    root = psutil.Process(pid)
    total = 0.0
    for one in (root, *root.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:  # its parent has its time by now, or soon
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _own_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
