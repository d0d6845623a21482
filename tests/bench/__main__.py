"""`python -m tests.bench`: how fast, as ratios that hold on any machine.

Each round runs every measurement once, so that a slow minute of the machine hits all of them; a
ratio is the median of the rounds' own ratios. A missed goal is said, with a profile of the worker;
a missed floor is exit code 1. Lists and searches are measured in a small shop and in a big one.
"""

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.bench import lists, shop
from tests.bench.followups import FOLLOWUPS
from tests.bench.lab import BenchFailed, Lab
from tests.bench.measurements import MEASUREMENTS, PROFILED, Measurement
from tests.bench.pgbench import PgbenchFailed
from worker.embedded.server import EmbeddedServerFailed

ALL: Final = (*MEASUREMENTS, *FOLLOWUPS)
ROUNDS: Final = 3
LIMIT_S: Final = 270.0
PROFILE_S: Final = 40.0
"""What profiling may take; left out when a goal was missed and less time than this remains."""
LISTS_S: Final = 35.0
"""What building both shops and asking them may take; the rounds leave it."""
TOP: Final = 15
SHOPS: Final = (1_000, 100_000)
QUICK_SHOPS: Final = (1_000, 1_500)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast `one` is as `other`, and what was promised."""

    one: str
    other: str
    floor: float | None = None
    goal: float | None = None

    def verdict(self, value: float) -> str:
        if self.floor is not None and value < self.floor:
            return "floor missed"
        if self.goal is not None:
            return "goal reached" if value >= self.goal else "goal missed"
        return ""


RATIOS: Final = (
    Ratio("broker door", "no-op", floor=0.45, goal=0.6),
    Ratio("broker door", "plain", floor=2, goal=3),
    Ratio("store door, chunks", "no-op", floor=2, goal=4),
    Ratio("store door, chunks", "pgbench, batched"),
    Ratio("store door, chunks, labels", "store door, chunks"),
    Ratio("labels", "bare reportlab"),
    Ratio("e-mails", "bare smtplib"),
)

err = Console(stderr=True)


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    began = time.monotonic()
    load_before = os.getloadavg()
    try:
        with Lab(max(one.count(quick=options.quick) for one in ALL)) as lab:
            rounds = [] if options.profile else _measure(lab, began, quick=options.quick)
            result = {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "cpus": os.cpu_count(),
                "load_average": {"before": load_before, "after": os.getloadavg()},
                "fsync": lab.show("fsync"),
                "synchronous_commit": lab.show("synchronous_commit"),
                "pgbench": str(lab.pgbench or "none found: a loop of psycopg instead, slower"),
                "quick": options.quick,
                "rounds": len(rounds),
                **(_summary(rounds, quick=options.quick) if rounds else {}),
            }
            if not options.profile:
                result["lists"] = _lists(lab, QUICK_SHOPS if options.quick else SHOPS)
            missed = any("missed" in ratio["verdict"] for ratio in result.get("ratios", ()))
            time_left_s = LIMIT_S - (time.monotonic() - began)
            if options.profile or (missed and not options.quick and time_left_s > PROFILE_S):
                result["profiles"] = _profile(lab, quick=options.quick)
    except (BenchFailed, PgbenchFailed, EmbeddedServerFailed) as error:
        err.print(str(error), style="red", markup=False)
        return 1
    result["seconds"] = round(time.monotonic() - began, 1)
    if options.json:
        json.dump(result, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        _print(result)
    floor_missed = any(ratio["verdict"] == "floor missed" for ratio in result.get("ratios", ()))
    return int(floor_missed and not options.quick)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="one small round; judges nothing")
    parser.add_argument("--profile", action="store_true", help="only profile the worker")
    return parser.parse_args()


def _measure(lab: Lab, began: float, *, quick: bool) -> list[dict[str, float]]:
    rounds: list[dict[str, float]] = []
    longest_s = 0.0
    for number in range(1, 2 if quick else ROUNDS + 1):
        started = time.monotonic()
        if started - began + longest_s > LIMIT_S - LISTS_S:
            err.print(f"only {number - 1} rounds: another would take longer than {LIMIT_S:.0f} s")
            break
        rates = {}
        for one in ALL:
            rates[one.name] = one.run(lab, one.count(quick=quick))
            err.print(f"round {number}  {one.name:<24}{rates[one.name]:>9,.0f}/s", highlight=False)
        rounds.append(rates)
        longest_s = max(longest_s, time.monotonic() - started)
    return rounds


def _summary(rounds: list[dict[str, float]], *, quick: bool) -> dict[str, Any]:
    rows = []
    for one in ALL:
        rates = [rates[one.name] for rates in rounds]
        rows.append(
            {
                "name": one.name,
                "what": one.what,
                "commands": one.count(quick=quick),
                "per_second": round(median(rates), 1),
                "rounds": [round(rate, 1) for rate in rates],
            }
        )
    ratios = []
    for ratio in RATIOS:
        values = [rates[ratio.one] / rates[ratio.other] for rates in rounds]
        ratios.append(
            {
                "name": f"{ratio.one} / {ratio.other}",
                "value": round(median(values), 3),
                "rounds": [round(value, 3) for value in values],
                "floor": ratio.floor,
                "goal": ratio.goal,
                "verdict": ratio.verdict(median(values)),
            }
        )
    return {"rows": rows, "ratios": ratios}


def _lists(lab: Lab, shops: tuple[int, int]) -> dict[str, Any]:
    """Milliseconds of each list in both shops, and how many times as long the big one takes."""
    urls = {}
    for orders in shops:
        err.print(f"building a shop of {orders:,} orders", highlight=False)
        urls[orders] = lab.keep(f"shop_{orders}")
        shop.build(urls[orders], orders)
    took = [lists.measure(url, orders=orders) for orders, url in urls.items()]
    rows = [
        {
            "name": name,
            "small_ms": round(took[0][name], 2),
            "big_ms": round(took[1][name], 2),
            "ratio": round(took[1][name] / took[0][name], 2),
        }
        for name in took[0]
    ]
    return {"orders": shops, "rows": rows}


def _profile(lab: Lab, *, quick: bool) -> dict[str, list[dict[str, Any]]]:
    profiles = {}
    for one in PROFILED:
        err.print(f"profiling {one.name}")
        profiles[one.name] = _top(lab, one, quick=quick)
    return profiles


def _top(lab: Lab, one: Measurement, *, quick: bool) -> list[dict[str, Any]]:
    with lab.profiling() as stats:
        one.run(lab, one.count(quick=quick))
    return stats.top(TOP)


def _print(result: dict[str, Any]) -> None:
    # A pipe has no width; 80 columns would fold the table.
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    if "rows" in result:
        out.print(_rows(result))
        out.print(_ratios(result))
        out.print(_lists_table(result["lists"]))
    for name, top in result.get("profiles", {}).items():
        out.print(_top_table(name, top))
    loads = ["{:.2f} {:.2f} {:.2f}".format(*load) for load in result["load_average"].values()]
    out.print(
        f"{result['date']}, {result['cpus']} CPUs, load average {loads[0]} before, {loads[1]} after"
    )
    if result["load_average"]["before"][0] > (result["cpus"] or 1) / 4:
        # The no-op needs one CPU; the doors need one for the worker and one for PostgreSQL.
        out.print("Others used this machine: ratios to the no-op come out too low.", style="yellow")
    out.print(f"fsync {result['fsync']}, synchronous_commit {result['synchronous_commit']}")
    out.print(f"pgbench: {result['pgbench']}", soft_wrap=True)
    out.print(f"{result['rounds']} round(s), {result['seconds']} s in all")


def _rows(result: dict[str, Any]) -> Table:
    table = Table(
        title="Commands per second, one worker process of 8 threads", title_justify="left"
    )
    table.add_column("measurement", no_wrap=True)
    table.add_column("what")
    for heading in ("commands", "median/s", "slowest", "fastest"):
        table.add_column(heading, justify="right")
    for row in result["rows"]:
        figures = (row["commands"], row["per_second"], min(row["rounds"]), max(row["rounds"]))
        table.add_row(row["name"], row["what"], *(f"{figure:,.0f}" for figure in figures))
    return table


def _ratios(result: dict[str, Any]) -> Table:
    table = Table(title="Ratios: median of the rounds'", title_justify="left")
    table.add_column("ratio", no_wrap=True)
    for heading in ("median", "rounds", "floor", "goal"):
        table.add_column(heading, justify="right")
    table.add_column("")
    colours = {"goal reached": "green", "goal missed": "yellow", "floor missed": "red"}
    for ratio in result["ratios"]:
        table.add_row(
            ratio["name"],
            f"{ratio['value']:.2f}",
            " ".join(f"{value:.2f}" for value in ratio["rounds"]),
            *("" if bound is None else f"{bound:g}" for bound in (ratio["floor"], ratio["goal"])),
            "not judged" if result["quick"] else ratio["verdict"],
            style=None if result["quick"] else colours.get(ratio["verdict"]),
        )
    return table


def _lists_table(found: dict[str, Any]) -> Table:
    small, big = found["orders"]
    table = Table(title="Lists of orders: median of seven", title_justify="left")
    table.add_column("list", no_wrap=True)
    for heading in (f"ms, {small:,} orders", f"ms, {big:,} orders", "ratio"):
        table.add_column(heading, justify="right")
    for row in found["rows"]:
        figures = (row["small_ms"], row["big_ms"], row["ratio"])
        table.add_row(row["name"], *(f"{figure:.1f}" for figure in figures))
    return table


def _top_table(name: str, top: list[dict[str, Any]]) -> Table:
    table = Table(title=f"Worker's CPU time by function: {name}", title_justify="left")
    for heading in ("own s", "with callees s", "calls"):
        table.add_column(heading, justify="right")
    table.add_column("function")
    for entry in top:
        seconds = (f"{entry['own_s']:.3f}", f"{entry['cumulative_s']:.3f}")
        table.add_row(*seconds, f"{entry['calls']:,}", entry["function"])
    return table


if __name__ == "__main__":
    sys.exit(main())
