"""Following a job until all that it sent has ended, by asking the database."""

import time
from typing import Final
from uuid import UUID

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from sqlalchemy import Engine

from worker.cli.output import screen
from worker.jobs.jobs import Job, job
from worker.jobs.results import Counts, counts

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 0.5
_PAUSES: Final = 10
"""How many times as long as a look took it rests: counting must not hold up what is counted."""


def bar() -> Progress:
    """A bar with rate and time left on stderr; silent where that is no terminal."""
    console = screen(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def follow(engine: Engine, job_id: UUID, shown: Progress, *, timeout_s: float) -> None:
    """Return when all has ended, the job was stopped, or `timeout_s` pass without news."""
    task = shown.add_task("sending", total=None, rate="")
    began_s = time.monotonic()
    deadline, pause_s = began_s + timeout_s, _FIRST_PAUSE_S
    first: int | None = None
    before: tuple[int, Counts] | None = None
    while True:
        look_s = time.monotonic()
        with engine.connect() as connection:
            now, found = job(connection, job_id), counts(connection, job_id)
        ended = _ended(now, found)
        first = ended if first is None else first
        rate = (ended - first) / max(look_s - began_s, 0.001)
        shown.update(task, total=now.rows, completed=ended, rate=f"{rate:.0f}/s" if rate else "")
        if now.state != "pending" and not found.results["waiting"]:
            return
        if before != (now.sent, found):
            before, deadline, pause_s = (now.sent, found), time.monotonic() + timeout_s, 0.0
        elif time.monotonic() >= deadline:
            return
        took_s = time.monotonic() - look_s
        pause_s = max(min(max(2 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S), _PAUSES * took_s)
        time.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))


def _ended(now: Job, found: Counts) -> int:
    return now.rows - found.results["waiting"] - found.results["not sent"]
