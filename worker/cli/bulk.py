"""`bulk`: shipments from a file, as a job that workers carry out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, NoReturn
from uuid import UUID, uuid4

import typer
from sqlalchemy import Connection

from messages.wire import JOBS
from worker.cli.audit import text
from worker.cli.exits import Code, Failure
from worker.cli.following import bar, follow
from worker.cli.output import AsJson, note, print_json, print_table
from worker.cli.rejects import beside, save
from worker.cli.session import Session, session
from worker.cli.show import plain, printable
from worker.jobs.badfile import BadFile
from worker.jobs.columns import chosen
from worker.jobs.foreseeing import foresee
from worker.jobs.job import Options, job_id
from worker.jobs.jobs import Job, job
from worker.jobs.loading import load
from worker.jobs.reading import File
from worker.jobs.results import Counts, counts, results
from worker.jobs.rows import Result
from worker.jobs.source import rereadable

app = typer.Typer()

SHOWN: Final = 20
"""Rows that are printed, of those that were not applied."""
_LONGEST: Final = 255


@app.command()
def bulk(
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(metavar="FILE", help="CSV or JSON lines; - is stdin."),
    ],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing; say what would become of each row.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the outcomes, or only send.")
    ] = True,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="S", help="Stop waiting after S seconds without news.")
    ] = 60.0,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=NAME",
            help="Which column is the order, line, sku, quantity, carrier or tracking_number.",
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Such as cp1252; by default what the bytes look like."),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Tells equal shipments of different files apart."),
    ] = None,
    no_notify: Annotated[
        bool, typer.Option("--no-notify", help="Write no e-mails to customers.")
    ] = False,
    issued_by: Annotated[
        str | None, typer.Option(metavar="WHO", help="Who asks, for the history.")
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where rows go that were not applied; by default beside FILE, if there are any.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ship what a file says, one shipment per parcel.

    The first line names the columns: order (id or number), line or sku, quantity, carrier,
    tracking number, as spreadsheets of shops call them. Rows with the same order, carrier and
    tracking number are one parcel. The file is loaded as a job, which goes on by itself; the same
    file again is the same job, and changes nothing. Rows that were not applied go into a file with
    the same columns and the reason: correct it and send it. Exit code 0 if every row was applied,
    else 5.
    """
    for option, said in (("--issued-by", issued_by), ("--batch", batch)):
        if said is not None:
            text(option, said, _LONGEST)
    given = getattr(file, "name", None)  # stdin's may be none, or a number
    name = given if isinstance(given, str) and given not in {"<stdin>", "-"} else None
    with _usage(), rereadable(file) as stream:
        options = Options(chosen(column or []), encoding, batch, not no_notify, issued_by)
        source = _read(stream, options)
        with session() as opened:
            run = _foreseen if dry_run else _sent
            with run(opened, source, options, name, timeout if wait else None) as done:
                connection, found, is_again = done
                _print(connection, found, as_json=as_json, is_again=is_again)
                numbers = counts(connection, found.job_id)
                path = rejects or (None if dry_run or not wait or not name else beside(name, found))
                _sum_up(found, numbers, is_dry=dry_run)
                _reject(connection, found, numbers, path, is_asked=rejects is not None)
    good = {"applied"} if wait or dry_run else {"applied", "waiting"}
    raise typer.Exit(Code.OK if numbers.reasons.keys() <= good else Code.REJECTED)


@contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except BadFile as error:
        raise Failure(f"{error}; nothing was sent", Code.USAGE) from None


def _read(stream: BinaryIO, options: Options) -> File:
    source = File(stream, encoding=options.encoding, columns=options.columns)
    if unused := source.columns.unused:
        names = ", ".join(printable(name.strip()[:64]) for name in unused[:SHOWN])
        more = f" and {len(unused) - SHOWN} more" if len(unused) > SHOWN else ""
        note(f"columns that are not used: {names}{more}")
    if source.content.is_guessed:
        note(f"the file is not UTF-8: it is read as {source.content.encoding}, see --encoding")
    return source


Done = tuple[Connection, Job, bool]


@contextmanager
def _foreseen(
    opened: Session, source: File, options: Options, name: str | None, _: float | None
) -> Iterator[Done]:
    """A job that nobody else sees, and that is gone at the end."""
    foreseen_id = uuid4()
    with opened.engine.connect() as connection:
        load(connection, source, foreseen_id, options, name=name)
        with bar() as shown:
            rows = job(connection, foreseen_id).rows
            task = shown.add_task("judging", total=rows, rate="")
            grace_s = opened.settings.grace_s
            for count in foresee(connection, opened.engine, foreseen_id, options, grace_s=grace_s):
                shown.advance(task, count)
        yield connection, job(connection, foreseen_id), False
        connection.rollback()


@contextmanager
def _sent(
    opened: Session, source: File, options: Options, name: str | None, timeout_s: float | None
) -> Iterator[Done]:
    """The job, loaded or there already, and followed until it has ended."""
    sent_id = job_id(source.content.digest, options)
    is_new = _load(opened, source, sent_id, options, name)
    with opened.engine.connect() as connection:
        begun = job(connection, sent_id)
    if is_new:
        opened.hint(JOBS)
    else:
        note(f"this file was sent before, at {begun.loaded_at:%Y-%m-%d %H:%M:%S}")
    if timeout_s is not None and begun.state != "dead":
        with bar() as shown:
            _follow(opened, sent_id, shown, timeout_s)
    with opened.engine.connect() as connection:
        yield connection, job(connection, sent_id), not is_new


def _load(opened: Session, source: File, sent_id: UUID, options: Options, name: str | None) -> bool:
    base = Path(name).name if name else None
    with opened.engine.begin() as connection:
        return load(connection, source, sent_id, options, name=base)


def _follow(opened: Session, sent_id: UUID, shown: Any, timeout_s: float) -> None:
    try:
        follow(opened.engine, sent_id, shown, timeout_s=timeout_s)
    except KeyboardInterrupt:
        _goes_on(sent_id)


def _goes_on(sent_id: UUID) -> NoReturn:
    note(f"the job goes on: fulfillment jobs show {sent_id}")
    raise typer.Exit(Code.INTERRUPTED)


def _print(connection: Connection, found: Job, *, as_json: bool, is_again: bool) -> None:
    limit = None if as_json else SHOWN + 1
    rows = []
    for row in results(connection, found.job_id, is_all=as_json, limit=limit):
        result = replace(row, is_repeated=row.is_repeated or (is_again and bool(row.command_id)))
        if as_json:
            print_json(asdict(result))
        else:
            rows.append(result)
    if rows:
        print_rows(rows[:SHOWN])
    if len(rows) > SHOWN:
        note(f"only the first {SHOWN} that were not applied")
    if not is_again and any(one.is_repeated and one.result == "rejected" for one in rows):
        note("what was rejected before is judged again when it is sent with --batch NAME")


def print_rows(rows: list[Result]) -> None:
    """A table of rows and what became of them."""
    print_table(
        ("row#", "order", "line", "sku", "quantity#", "result", "why"),
        (
            (
                str(one.row),
                plain(one.order),
                plain(one.line),
                plain(one.sku),
                plain(one.quantity),
                f"{one.result} before" if one.is_repeated else one.result,
                plain(": ".join(filter(None, (one.reason, one.message)))),
            )
            for one in rows
        ),
    )


def _sum_up(found: Job, numbers: Counts, *, is_dry: bool) -> None:
    for line in reasons(numbers):
        note(line)
    results = numbers.results.most_common()
    summary = "; ".join(f"{count} {name}" for name, count in results) or "no rows"
    if is_dry:
        note(f"nothing was sent; it would be: {summary}")
        return
    note(f"job {found.job_id}: {summary}")
    if found.state == "pending":
        note(f"it goes on by itself: fulfillment jobs show {found.job_id}")
    elif found.state in {"cancelled", "dead"}:
        note(f"it is {found.state}: fulfillment jobs resume {found.job_id}")


def reasons(numbers: Counts) -> list[str]:
    """A line for each result that has reasons, most first."""
    return [
        f"{result}: "
        + ", ".join(f"{printable(reason)} {count}" for reason, count in list(by.items())[:SHOWN])
        for result, by in numbers.reasons.items()
        if any(by)
    ]


def _reject(
    connection: Connection, found: Job, numbers: Counts, path: Path | None, *, is_asked: bool
) -> None:
    bad = numbers.results.total() - numbers.results["applied"] - numbers.results["waiting"]
    if path is None or not (bad or is_asked):
        return
    written, count = save(connection, found, path, is_asked=is_asked)
    note(f"{count} rows to correct and send again: {written}")
