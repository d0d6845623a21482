"""`python -m tests.bench.full`: beside others, by processes and threads, how long commands wait,
what holds beside a million orders and over a long run.

Ends by itself within half an hour; what had been measured by then is printed. A goal that was
missed is said, with where the time goes; exit code 1: something did not come to its result.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from tests.bench import costs, endurance, latency, lists, matrix, one_order, peers, sizes, waiting
from tests.bench.lab import BenchFailed, Lab
from tests.bench.pgbench import PgbenchFailed
from tests.bench.report import print_results, save
from tests.bench.result import Result
from worker.embedded.server import EmbeddedServerFailed

LIMIT_S: Final = 1800
POSTGRES: Final = {
    "shared_buffers": "4GB",
    "max_wal_size": "16GB",
    "track_commit_timestamp": "on",
}
"""What a server for a million orders is given: room for its indexes, whose pages random ids hit at
random. Moments of commits are for `latency`.
"""
RESULTS: Final = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    quick: bool = False
    big: int = 1_000_000
    middle: int = 100_000
    small: int = 10_000
    rounds: int = 3
    peer_rounds: int = 3
    cell: int = 8_000
    processes: tuple[int, ...] = matrix.PROCESSES
    threads: tuple[int, ...] = matrix.THREADS
    waits: latency.Size = field(default_factory=latency.Size)
    waiting: int = 200_000
    costs: int = 12_000
    commands: int = 20_000
    """Some seconds of them: a fresh PostgreSQL process is slow until it has met its pages."""
    memory: int = 100_000
    steps: int = 10
    lines: int = 2_000
    on_lines: int = 1_000
    hot: int = 5_000
    hot_runs: int = 3


QUICK: Final = Size(
    quick=True,
    big=2_000,
    middle=400,
    small=200,
    rounds=1,
    peer_rounds=1,
    cell=400,
    processes=(1,),
    threads=(4,),
    waits=latency.Size(seconds=1, noop=400, broker=400, store=600),
    waiting=400,
    costs=400,
    commands=300,
    memory=200,
    steps=2,
    lines=200,
    on_lines=200,
    hot=300,
    hot_runs=1,
)

err = Console(stderr=True)


def _say(text: str) -> None:
    err.print(text, highlight=False)


def _peers(lab: Lab, size: Size) -> Iterator[Result]:
    with Lab(peers.most(quick=size.quick), POSTGRES) as other:
        yield from peers.peers(other, rounds=size.peer_rounds, quick=size.quick, say=_say)


def _matrix(lab: Lab, size: Size) -> Iterator[Result]:
    yield from matrix.matrix(
        lab, commands=size.cell, processes=size.processes, threads=size.threads
    )


def _latency(lab: Lab, size: Size) -> Iterator[Result]:
    with Lab(max(size.waits.broker, size.waits.store), POSTGRES) as other:
        yield from latency.latency(other, size.waits, _say)


def _waiting(lab: Lab, size: Size) -> Iterator[Result]:
    yield from waiting.waiting(
        lab, count=size.waiting, rounds=size.rounds, commands=size.commands // 2, say=_say
    )


def _sizes(lab: Lab, size: Size) -> Iterator[Result]:
    with Lab(0, POSTGRES) as middle, Lab(0, POSTGRES) as big:
        stores = sizes.Stores(small=lab, middle=middle, big=big)
        began = time.monotonic()
        stores.build(small=size.small, middle=size.middle, big=size.big)
        yield Result("shops built", time.monotonic() - began, "s", note=f"{size.big:,} orders")
        url = big.url(sizes.TEMPLATE)
        for name, ms in lists.measure(url, orders=size.big).items():
            yield Result(f"list: {name}", ms, "ms", at_most=lists.WITHIN_MS)
        yield from sizes.rates(stores, rounds=size.rounds, commands=size.commands, say=_say)


def _memory(lab: Lab, size: Size) -> Iterator[Result]:
    yield from endurance.memory(lab, commands=size.memory, steps=size.steps, say=_say)


def _one_order(lab: Lab, size: Size) -> Iterator[Result]:
    yield from one_order.many_lines(lab, lines=size.lines, commands=size.on_lines)
    yield from one_order.hot(lab, commands=size.hot, runs=size.hot_runs)


PARTS: Final[dict[str, Callable[[Lab, Size], Iterator[Result]]]] = {
    "peers": _peers,
    "latency": _latency,
    "matrix": _matrix,
    "waiting": _waiting,
    "sizes": _sizes,
    "memory": _memory,
    "one-order": _one_order,
}


def main() -> int:
    options = _options()
    size = QUICK if options.quick else Size()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(LIMIT_S)
    began, load_before = time.monotonic(), os.getloadavg()
    results: list[Result] = []
    said: dict[str, Any] = {"problem": None, "parts": {}, "profiles": {}}
    try:
        with Lab(0, POSTGRES) as lab:
            said |= _machine(lab)
            for part in options.only or PARTS:
                started = time.monotonic()
                for result in PARTS[part](lab, size):
                    results.append(result)
                    _say(f"{result.name}: {result.value:,.2f} {result.unit}")
                said["parts"][part] = round(time.monotonic() - started, 1)
            for door in _slow(results, quick=options.quick):
                results += costs.costs(lab, door, commands=size.costs)
                with Lab(size.costs // 2, POSTGRES) as other:
                    said["profiles"][door] = costs.profile(other, door, commands=size.costs // 2)
    except (BenchFailed, PgbenchFailed, EmbeddedServerFailed) as error:
        said["problem"] = str(error)
        err.print(said["problem"], style="red", markup=False)
    signal.alarm(0)
    said |= {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": {"before": load_before, "after": os.getloadavg()},
        "quick": options.quick,
        "results": [asdict(one) | {"goal": one.goal, "verdict": one.verdict} for one in results],
        "seconds": round(time.monotonic() - began, 1),
    }
    if options.json:
        json.dump(said, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        print_results(results, said)
    if options.save:
        save(results, said, RESULTS)
    return int(said["problem"] is not None)


def _machine(lab: Lab) -> dict[str, Any]:
    """What was measured on; nothing that tells whose machine it was."""
    settings = ("fsync", "synchronous_commit", "shared_buffers", "server_version")
    return {
        "cpus": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "valkey": lab.redis.info("server").get("valkey_version", "?"),
        **{setting: lab.show(setting) for setting in settings},
    }


def _slow(results: list[Result], *, quick: bool) -> list[str]:
    """The doors that missed a goal."""
    missed = [one.name for one in results if one.verdict == "missed"]
    return [] if quick else [door for door in costs.DOORS if any(door in name for name in missed)]


def _too_late(*_: object) -> None:
    raise BenchFailed(f"not done within {LIMIT_S} s; what there is follows")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.full", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="very small; judges nothing")
    parser.add_argument("--save", action="store_true", help="write table and picture to results/")
    parser.add_argument("--only", action="append", choices=PARTS, help="may be said several times")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
