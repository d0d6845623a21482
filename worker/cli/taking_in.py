"""`orders import`: files of orders, taken in or looked at."""

import os
import stat
import sys
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, NoReturn

import typer

from worker.cli.exits import Code, Failure
from worker.cli.output import note, progress, say
from worker.cli.session import Session, session
from worker.cli.show import plain, to_json
from worker.cli.waiting import outcomes
from worker.intake import foresight
from worker.intake.loading import ImportRunning, Report
from worker.intake.loading import load as load_file
from worker.intake.refusal import Refused


def take_in(file: BinaryIO, *, wait_s: float | None, as_json: bool) -> NoReturn:
    """Take in the orders of a file; wait for outcomes until none has come for so long."""
    waiting = None
    with session() as opened:
        report = _load(opened, file)
        opened.hint()
        if wait_s is not None:
            waiting = _wait(opened, report, wait_s)
    _print_report(report, waiting, as_json=as_json)
    if report.refused:
        raise typer.Exit(Code.REJECTED)
    raise typer.Exit(Code.WAITING if waiting else Code.OK)


def foresee(file: BinaryIO, *, as_json: bool) -> NoReturn:
    """Say what would become of the orders of a file, and send nothing."""
    with session() as opened, progress() as bar:
        task = bar.add_task("judging", total=None)
        foreseen = foresight.foresee(
            opened.engine,
            file,
            grace_s=opened.settings.grace_s,
            progress=lambda count: bar.update(task, completed=count),
        )
    counts = {name: getattr(foreseen, name) for name in ("new", "changed", "unchanged")}
    if as_json:
        _print_with_refused({"dry_run": True, **counts}, foreseen.refused)
    else:
        _say_refused(foreseen.refused)
        counts["refused"] = len(foreseen.refused)
        say("would be: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
        note("nothing was sent")
    raise typer.Exit(Code.REJECTED if foreseen.refused else Code.OK)


def _load(opened: Session, file: BinaryIO) -> Report:
    size = _size(file)
    with progress() as bar, opened.engine.begin() as connection:
        task = bar.add_task("reading", total=size)
        try:
            return load_file(
                connection,
                file,
                progress=lambda count: bar.update(
                    task,
                    description=f"reading, {count} orders",
                    completed=file.tell() if size else count,
                ),
            )
        except ImportRunning as error:
            raise Failure(str(error)) from None


def _size(file: BinaryIO) -> int | None:
    try:
        found = os.fstat(file.fileno())
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _wait(opened: Session, report: Report, timeout_s: float) -> int:
    """Add what the rules refused to the report; how many were not decided in time."""
    placed = report.accepted | report.known
    with progress() as bar:
        task = bar.add_task("deciding", total=len(placed))
        waiting = len(placed)
        for ended in outcomes(opened.engine, placed, timeout_s=timeout_s):
            waiting -= 1
            bar.advance(task)
            if ended.state != "applied":
                outcome = ended.outcome or {}
                reason = outcome.get("reason") or ended.dead_reason or ended.state
                message = outcome.get("message") or f"command {ended.command_id}"
                report.refused.append(Refused(0, placed[ended.command_id], reason, message))
    return waiting


def _print_report(report: Report, waiting: int | None, *, as_json: bool) -> None:
    if as_json:
        counted = {"accepted": len(report.accepted), "known": len(report.known)}
        _print_with_refused({**counted, "waiting": waiting}, report.refused)
        return
    _say_refused(report.refused)
    counts = {
        "accepted": len(report.accepted),
        "known": len(report.known),
        "refused": len(report.refused),
    }
    if waiting:
        counts["still waiting"] = waiting
    say(", ".join(f"{count} {name}" for name, count in counts.items()))


def _print_with_refused(values: Mapping[str, Any], refused: Iterable[Refused]) -> None:
    """One JSON document on one line, of which only a refusal at a time is in memory."""
    sys.stdout.write(f'{to_json(values)[:-1]},"refused":[')
    for n, one in enumerate(refused):
        sys.stdout.write(f"{',' if n else ''}{to_json(one)}")
    sys.stdout.write("]}\n")


def _say_refused(refused: Iterable[Refused]) -> None:
    for one in refused:
        where = f"{one.position}: " if one.position else ""
        say(f"refused: {where}{plain(one.order_id or 'no id')}: {one.reason}: {plain(one.message)}")
