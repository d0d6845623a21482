"""`python -m tests.bench.full`: what holds beside a million orders, and over a long run.

Ends by itself within twenty minutes; what had been measured by then is printed. A goal that was
missed is said; exit code 1 means that something did not come to its result.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.bench import endurance, lists, one_order, sizes
from tests.bench.lab import BenchFailed, Lab
from tests.bench.result import Result
from worker.embedded.server import EmbeddedServerFailed

LIMIT_S: Final = 1200
POSTGRES: Final = {"shared_buffers": "4GB", "max_wal_size": "16GB"}
"""What a server for a million orders is given: room for its indexes, whose pages random ids hit at
random.
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    big: int = 1_000_000
    small: int = 10_000
    rounds: int = 5
    commands: int = 20_000
    """Some seconds of them: a fresh PostgreSQL process is slow until it has met its pages."""
    memory: int = 100_000
    steps: int = 10
    lines: int = 2_000
    on_lines: int = 1_000
    hot: int = 5_000
    hot_runs: int = 3


QUICK: Final = Size(
    big=2_000,
    small=200,
    rounds=1,
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


def _sizes(lab: Lab, size: Size) -> Iterator[Result]:
    with Lab(0, POSTGRES) as other:
        stores = sizes.Stores(small=lab, big=other)
        began = time.monotonic()
        stores.build(small=size.small, big=size.big)
        yield Result("shops built", time.monotonic() - began, "s", note=f"{size.big:,} orders")
        url = other.url(sizes.TEMPLATE)
        for name, ms in lists.measure(url, orders=size.big).items():
            yield Result(f"list: {name}", ms, "ms", at_most=lists.WITHIN_MS)
        yield from sizes.rates(stores, rounds=size.rounds, commands=size.commands, say=_say)


def _memory(lab: Lab, size: Size) -> Iterator[Result]:
    yield from endurance.memory(lab, commands=size.memory, steps=size.steps, say=_say)


def _one_order(lab: Lab, size: Size) -> Iterator[Result]:
    yield from one_order.many_lines(lab, lines=size.lines, commands=size.on_lines)
    yield from one_order.hot(lab, commands=size.hot, runs=size.hot_runs)


PARTS: Final[dict[str, Callable[[Lab, Size], Iterator[Result]]]] = {
    "sizes": _sizes,
    "memory": _memory,
    "one-order": _one_order,
}


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(LIMIT_S)
    began, load_before = time.monotonic(), os.getloadavg()
    results: list[Result] = []
    problem = buffers = None
    try:
        with Lab(0, POSTGRES) as lab:
            buffers = lab.show("shared_buffers")
            for part in options.only or PARTS:
                for result in PARTS[part](lab, QUICK if options.quick else Size()):
                    results.append(result)
                    _say(f"{result.name}: {result.value:,.2f} {result.unit}")
    except (BenchFailed, EmbeddedServerFailed) as error:
        problem = str(error)
        err.print(problem, style="red", markup=False)
    said = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load_average": {"before": load_before, "after": os.getloadavg()},
        "shared_buffers": buffers,
        "quick": options.quick,
        "problem": problem,
        "results": [asdict(one) | {"verdict": one.verdict} for one in results],
        "seconds": round(time.monotonic() - began, 1),
    }
    if options.json:
        json.dump(said, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        _print(results, said)
    return int(problem is not None)


def _too_late(*_: object) -> None:
    raise BenchFailed(f"not done within {LIMIT_S} s; what there is follows")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.full", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="very small; judges nothing")
    parser.add_argument("--only", action="append", choices=PARTS, help="may be said several times")
    return parser.parse_args()


def _print(results: list[Result], said: dict[str, Any]) -> None:
    # A pipe has no width; 80 columns would fold the table.
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    table = Table()
    table.add_column("measurement", no_wrap=True)
    for heading in ("value", "", "goal", ""):
        table.add_column(heading, justify="right" if heading in {"value", "goal"} else "left")
    table.add_column("")
    for one in results:
        verdict = "not judged" if said["quick"] and one.goal else one.verdict
        value = f"{one.value:,.2f}" if abs(one.value) < 100 else f"{one.value:,.0f}"
        style = {"missed": "yellow", "reached": "green"}.get(verdict)
        table.add_row(one.name, value, one.unit, one.goal, verdict, one.note, style=style)
    out.print(table)
    loads = ["{:.2f} {:.2f} {:.2f}".format(*load) for load in said["load_average"].values()]
    out.print(
        f"{said['date']}, {said['cpus']} CPUs, load average {loads[0]} before, {loads[1]} after;"
        f" shared_buffers {said['shared_buffers']}; {said['seconds']} s in all"
    )


if __name__ == "__main__":
    sys.exit(main())
