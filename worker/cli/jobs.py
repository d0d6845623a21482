"""`jobs list | show | resume | cancel | rejects`."""

import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import typer

from messages.wire import JOBS
from worker.cli.audit import By, actor
from worker.cli.bulk import reasons
from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, Limit, first, note, print_json, print_rows, say
from worker.cli.rejects import save
from worker.cli.session import Session, reading, session
from worker.cli.show import duration, facts, moment, plain
from worker.jobs import jobs as work
from worker.jobs import rejects as files
from worker.jobs.jobs import Job, NoJob, NotNow
from worker.jobs.results import Counts, counts, not_applied

app = typer.Typer(
    name="jobs",
    no_args_is_help=True,
    help="Files of shipments: how far each is; stop one, go on, get back what was not applied.",
)

Id = Annotated[UUID, typer.Argument(metavar="ID")]


@app.command("list")
def list_jobs(
    *,
    state: Annotated[
        Literal["pending", "done", "cancelled", "dead"] | None,
        typer.Option(help="Only jobs in this state."),
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, the latest first."""
    with reading() as connection:
        found = first(work.jobs(connection, state=state, limit=limit + 1), limit)
    print_rows(
        [_document(one) for one in found],
        as_json=as_json,
        headings=("job", "loaded", "file", "state", "rows#", "sent#", "left#"),
        table=(
            (
                str(one.job_id),
                moment(one.loaded_at),
                plain(one.name),
                _state(one),
                str(one.rows),
                str(one.sent),
                duration(one.left_s),
            )
            for one in found
        ),
    )


@app.command()
def show(job_id: Id, *, as_json: AsJson = False) -> None:
    """Show how far a job is, how fast, and what became of its rows."""
    with reading() as connection:
        found = _found(lambda: work.job(connection, job_id))
        numbers = counts(connection, job_id)
    if as_json:
        print_json(
            _document(found)
            | {
                "results": dict(numbers.results),
                "reasons": {
                    result: {reason: count for reason, count in by.items() if reason}
                    for result, by in numbers.reasons.items()
                },
            }
        )
        return
    say(facts(_facts(found, numbers), found.errors))
    for line in reasons(numbers):
        say(f"  {line}")


@app.command()
def cancel(job_id: Id, *, by: By = None, as_json: AsJson = False) -> None:
    """Send no more of a job. What is sent stays sent, and is decided."""
    who = actor(by)
    with session() as opened, opened.engine.begin() as connection:
        found = _found(lambda: work.cancel(connection, job_id, actor=who))
    if as_json:
        print_json(_document(found))
    else:
        say(f"cancelled: {found.sent} of {found.rows} rows were looked at before")


@app.command()
def resume(job_id: Id, *, by: By = None, as_json: AsJson = False) -> None:
    """Let a job that was cancelled, or is dead, go on from where it stood."""
    who = actor(by)
    with session() as opened:
        with opened.engine.begin() as connection:
            found = _found(lambda: work.resume(connection, job_id, actor=who))
        opened.hint(JOBS)
    if as_json:
        print_json(_document(found))
    else:
        say(f"goes on: {found.rows - found.sent} of {found.rows} rows are left")


@app.command()
def rejects(
    job_id: Id,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: stdout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give back the rows that were not applied, as they came, with the reason: correct and send."""
    with session() as opened:
        count = _print_rows(opened, job_id) if as_json else _give_back(opened, job_id, out)
    note(f"{count} rows")


def _print_rows(opened: Session, job_id: UUID) -> int:
    count = 0
    with opened.engine.connect() as connection:
        _found(lambda: work.job(connection, job_id))
        for row, cells, why in not_applied(connection, job_id):
            print_json({"row": row, "cells": cells and json.loads(cells), "reason": why})
            count += 1
    return count


def _give_back(opened: Session, job_id: UUID, out: Path | None) -> int:
    with opened.engine.connect() as connection:
        found = _found(lambda: work.job(connection, job_id))
        if out is not None:
            return save(connection, found, out, is_asked=True)[1]
        sys.stdout.flush()
        text = io.TextIOWrapper(sys.stdout.buffer, files.encoding(found), newline="")
        try:
            return files.write(connection, found, text)
        finally:
            text.flush()
            text.detach()


def _found(act: Any) -> Job:
    try:
        found: Job = act()
    except NoJob as error:
        raise Failure(f"there is no job {error}", Code.NOT_FOUND) from None
    except NotNow as error:
        raise Failure(str(error)) from None
    return found


def _document(one: Job) -> dict[str, Any]:
    return {
        "job_id": one.job_id,
        "name": one.name,
        "kind": one.kind,
        "state": one.state,
        "rows": one.rows,
        "sent": one.sent,
        "rate_per_s": None if one.rate_per_s is None else round(one.rate_per_s, 1),
        "left_s": None if one.left_s is None else round(one.left_s, 1),
        "issued_by": one.issued_by,
        **one.options,
        "format": one.layout["format"],
        "encoding": one.layout["encoding"],
        "loaded_at": one.loaded_at,
        "ended_at": one.decided_at,
        "is_paused": one.is_paused,
        "attempts": one.attempts,
        "dead_reason": one.dead_reason,
        "errors": one.errors,
    }


def _facts(one: Job, numbers: Counts) -> dict[str, str]:
    rate = one.rate_per_s
    return {
        "job": str(one.job_id),
        "file": plain(one.name),
        "state": _state(one),
        "loaded": moment(one.loaded_at),
        "ended": moment(one.decided_at),
        "by": plain(one.issued_by),
        "batch": plain(one.options.get("batch")),
        "rows": str(one.rows),
        "sent": f"{one.sent} of {one.rows}" + (f", {rate:.0f}/s" if rate else ""),
        "left": duration(one.left_s),
        "results": "; ".join(f"{count} {name}" for name, count in numbers.results.most_common()),
    }


def _state(one: Job) -> str:
    if one.state == "dead":
        return f"dead: {one.dead_reason}"
    if one.state == "pending":
        return "pending, paused" if one.is_paused else "pending"
    return one.state
