"""`queues`, `pause` and `resume`."""

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table

from messages.wire import ROUTES
from worker.cli.audit import By, actor
from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, print_json, say, screen, table
from worker.cli.session import Session, session
from worker.cli.show import duration, moment, plain
from worker.work import queues as work
from worker.work.processes import processes
from worker.work.strays import ChosenStrays, count

app = typer.Typer()

_HEADINGS = (
    "queue",
    "due#",
    "waiting#",
    "for",
    "in progress#",
    "bulk#",
    "dead#",
    "oldest#",
    "overdue#",
    "rate#",
    "paused",
)


@app.command()
def queues(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.2, max=3_600, metavar="S", help="Seconds between two looks.")
    ] = 2.0,
    as_json: AsJson = False,
) -> None:
    """How much work is due, waiting, in progress and dead; how fast, and who does what of it.

    The rate is of work that ended within the last minute; workers are the worker processes that
    said lately that they are there, each with the batches in its hands: rows, and for how long.
    With --watch a terminal shows one table until Ctrl-C, with the trend of what has not ended; to a
    pipe each look is a line.
    """
    with session() as opened:
        if not watch:
            look = _look(opened)
            print_json(look) if as_json else _print(look)
        elif sys.stdout.isatty() and not as_json:
            _refresh(_looks(opened, interval))
        else:
            for look in _looks(opened, interval):
                print_json(look) if as_json else say(_line(look))
                sys.stdout.flush()


def _looks(opened: Session, interval_s: float) -> Iterator[dict[str, Any]]:
    """Look after look, each with how fast the work grows or shrinks since the one before."""
    before, at_s = _look(opened), time.monotonic()
    yield before
    while True:
        time.sleep(interval_s)
        look, now_s = _look(opened), time.monotonic()
        for was, row in zip(before["queues"], look["queues"], strict=True):
            grown = _open(row) - _open(was)
            row["trend_per_min"] = round(60 * grown / (now_s - at_s), 1)
        yield look
        before, at_s = look, now_s


def _open(row: dict[str, Any]) -> int:
    return int(row["due"] + row["waiting"] + row["in_progress"])


def _look(opened: Session) -> dict[str, Any]:
    with opened.engine.connect() as connection:
        found = work.queues(connection)
        strays = count(connection, ChosenStrays())
        rates_per_min = work.rates_per_min(connection)
        alive = processes(connection)
    for row in found:
        row["rate_per_min"] = round(rates_per_min[row["route"]], 1)
    return {
        "queues": found,
        "strays": strays,
        "workers": len(alive),
        "processes": alive,
    }


def _print(look: dict[str, Any]) -> None:
    screen().print(_tables(look))
    say(_below(look))


def _refresh(looks: Iterator[dict[str, Any]]) -> None:
    with Live(console=screen(), auto_refresh=False) as live:
        for look in looks:
            at = datetime.now(UTC)
            live.update(Group(_tables(look), f"{_below(look)}  {moment(at)}"), refresh=True)


def _tables(look: dict[str, Any]) -> Group:
    """What there is of each queue, and who does it."""
    alive = look["processes"]
    return Group(_table(look), "", _processes(alive)) if alive else Group(_table(look))


def _table(look: dict[str, Any]) -> Table:
    is_compared = "trend_per_min" in look["queues"][0]
    return table(
        (*_HEADINGS, *["trend#"] * is_compared),
        (
            (
                row["route"],
                str(row["due"]),
                str(row["waiting"]),
                _waiting_for(row),
                str(row["in_progress"]),
                str(row["bulk"]),
                str(row["dead"]),
                duration(row["oldest_s"]),
                duration(row["overdue_s"]),
                _per_min(row["rate_per_min"]),
                _paused(row),
                *[_per_min(row.get("trend_per_min"), "+")] * is_compared,
            )
            for row in look["queues"]
        ),
    )


def _processes(alive: list[dict[str, Any]]) -> Table:
    return table(
        ("worker", "since", "queues", "in its hands"),
        (
            (
                f"{plain(one['host'])} {one['pid']}",
                moment(one["started_at"]),
                "all" if {*ROUTES} <= {*one["queues"]} else " ".join(one["queues"]),
                ", ".join(
                    f"{batch['queue']} {batch['rows']} for {duration(batch['for_s'])}"
                    for batch in one["doing"]
                ),
            )
            for one in alive
        ),
    )


def _below(look: dict[str, Any]) -> str:
    return f"workers: {look['workers']}  strays: {look['strays']}"


def _line(look: dict[str, Any]) -> str:
    """A look on one line: what there is of each queue."""
    names = ("due", "waiting", "in_progress", "bulk", "dead")
    parts = []
    for row in look["queues"]:
        counts = [f"{name.replace('_', ' ')} {row[name]}" for name in names if row[name]]
        if row["oldest_s"] is not None:
            counts.append(f"oldest {duration(row['oldest_s'])}")
        if row["rate_per_min"]:
            counts.append(_per_min(row["rate_per_min"]))
        if row["paused"]:
            counts.append("paused")
        parts.append(f"{row['route']}: {', '.join(counts) or 'nothing'}")
    return "; ".join([*parts, _below(look)])


def _per_min(per_min: float | None, sign: str = "") -> str:
    return "" if per_min is None else f"{per_min:{sign}g}/min"


Route = Annotated[
    Literal["commands", "labels", "refunds", "emails", "tracking", "jobs"] | None,
    typer.Argument(metavar="[QUEUE]"),
]


@app.command()
def pause(
    queue: Route = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Every queue, such as before workers start.")
    ] = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for others.")] = None,
    by: By = None,
) -> None:
    """Let no worker start work of a queue, in the whole cluster; what is begun is finished."""
    who, named = actor(by), _named(queue, every=every)
    with session() as opened, opened.engine.begin() as connection:
        for one in named:
            work.pause(connection, one, reason, actor=who)
    for one in named:
        say(f"{one}: paused")


@app.command()
def resume(
    queue: Route = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every queue that is paused.")] = False,
    by: By = None,
) -> None:
    """Let the work of a paused queue go on."""
    who, named = actor(by), _named(queue, every=every)
    with session() as opened:
        with opened.engine.begin() as connection:
            resumed = [one for one in named if work.resume(connection, one, actor=who)]
        for one in resumed:
            opened.hint(one)
    if not resumed:
        raise Failure(f"{queue} is not paused" if queue else "nothing is paused", Code.NOT_FOUND)
    for one in resumed:
        say(f"{one}: goes on")


def _named(queue: str | None, *, every: bool) -> Sequence[str]:
    if (queue is None) != every:
        raise Failure("name a queue, or --all", Code.USAGE)
    return ROUTES if queue is None else [queue]


def _paused(row: dict[str, Any]) -> str:
    return plain(row["paused"]["reason"]) or "yes" if row["paused"] else ""


def _waiting_for(row: dict[str, Any]) -> str:
    until = {"schedule": f" (first {moment(row['scheduled_at'])})"}
    return ", ".join(
        f"{name} {count}{until.get(name, '')}" for name, count in row["waiting_for"].items()
    )
