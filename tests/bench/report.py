"""What `make bench-full` says: a table for people, the same as Markdown, and a picture."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import picture
from tests.bench.result import Result

HEADINGS = ("measurement", "value", "unit", "goal", "verdict", "note")


def print_results(results: Sequence[Result], said: dict[str, Any]) -> None:
    # A pipe has no width; 80 columns would fold the table.
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    table = Table()
    for heading in HEADINGS:
        is_right = heading in {"value", "goal"}
        justify: Any = "right" if is_right else "left"
        table.add_column(heading, justify=justify, no_wrap=heading == "measurement")
    styles = {"missed": "yellow", "reached": "green"}
    for one in results:
        cells = _cells(one, is_judged=not said["quick"])
        table.add_row(*cells, style=styles.get(cells[4]))
    out.print(table)
    for name, top in said["profiles"].items():
        functions = Table(title=f"Worker's CPU time by function: {name}", title_justify="left")
        functions.add_column("own s", justify="right")
        functions.add_column("function")
        for entry in top:
            functions.add_row(f"{entry['own_s']:.3f}", entry["function"])
        out.print(functions)
    out.print(*_about(said), sep="\n")


def save(results: Sequence[Result], said: dict[str, Any], folder: Path) -> None:
    """Write `DATE.md` and `DATE.svg`; a run of the same day is replaced."""
    folder.mkdir(exist_ok=True)
    day = said["date"][:10]
    lines = [f"# Measured on {day}", "", *(f"{line}  " for line in _about(said)), ""]
    lines += [f"![The figures as charts]({day}.svg)", ""]
    lines += ["| " + " | ".join(HEADINGS) + " |", "|---|--:|---|--:|---|---|"]
    lines += ["| " + " | ".join(_cells(one, is_judged=not said["quick"])) + " |" for one in results]
    for name, top in said["profiles"].items():
        lines += [
            "",
            f"Worker's CPU time by function: {name}",
            "",
            "| own s | function |",
            "|--:|---|",
        ]
        lines += [f"| {entry['own_s']:.3f} | `{entry['function']}` |" for entry in top]
    (folder / f"{day}.md").write_text("\n".join(lines) + "\n")
    by_name = {one.name: one for one in results}
    captions = (f"fulfillment-worker, {day}", _about(said)[0])
    (folder / f"{day}.svg").write_text(picture.draw(by_name, captions))


def _cells(one: Result, *, is_judged: bool) -> tuple[str, ...]:
    value = f"{one.value:,.2f}" if abs(one.value) < 100 else f"{one.value:,.0f}"
    verdict = one.verdict if is_judged or not one.goal else "not judged"
    return one.name, value, one.unit, one.goal, verdict, one.note


def _about(said: dict[str, Any]) -> list[str]:
    loads = ["{:.2f} {:.2f} {:.2f}".format(*load) for load in said["load_average"].values()]
    parts = ", ".join(f"{part} {seconds:.0f}" for part, seconds in said["parts"].items())
    machine = (
        f"{said.get('machine')}, {said.get('cpus')} CPUs for everything; Python"
        f" {said.get('python')}, PostgreSQL {said.get('server_version')} (fsync"
        f" {said.get('fsync')}, synchronous_commit {said.get('synchronous_commit')},"
        f" shared_buffers {said.get('shared_buffers')}), Valkey {said.get('valkey')}"
    )
    run = (
        f"{said['date']}, load average {loads[0]} before, {loads[1]} after;"
        f" {said['seconds']:.0f} s in all (parts: {parts})"
    )
    stopped = [f"stopped early: {said['problem'].splitlines()[0]}"] if said["problem"] else []
    return [machine, run, *stopped]
