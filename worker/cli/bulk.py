"""`bulk`: shipments from a CSV file, with a result for each row."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.progress import Progress

from worker import bulk as shipments
from worker.bulk import Parcel, Result
from worker.cli.exits import Code, Failure
from worker.cli.output import AsJson, note, print_json, print_table, progress
from worker.cli.session import Session, session
from worker.cli.show import plain
from worker.cli.waiting import outcomes

app = typer.Typer()


@app.command()
def bulk(
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(metavar="FILE", help="CSV in UTF-8; - is stdin.")
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
    as_json: AsJson = False,
) -> None:
    """Ship what a CSV file says, one shipment per parcel.

    The first line names the columns: order, line or sku, quantity, carrier, tracking_number.
    Rows with the same order, carrier and tracking number are one parcel. Sending the same file
    again changes nothing. Exit code 0 if every row was applied, else 5.
    """
    fields = {"notify_customer": False} if no_notify else {}
    if issued_by:
        fields |= {"issued_by": issued_by}  # type: ignore[dict-item]  # fields of any type
    try:
        rows = list(shipments.read(file))
    except shipments.BadFile as error:
        raise Failure(f"{error}; nothing was sent", Code.USAGE) from None
    with session() as opened, progress() as bar:
        with opened.engine.connect() as connection:
            parcels = shipments.plan(connection, rows, batch=batch, **fields)
        if dry_run:
            shipments.foresee(opened.engine, parcels, grace_s=opened.settings.grace_s)
        else:
            _send(opened, parcels, bar)
        if wait and not dry_run:
            _wait(opened, parcels, bar, timeout)
    results = shipments.results(parcels)
    _print(results, as_json=as_json)
    counts = Counter(result.result for result in results)
    summary = "; ".join(f"{count} {name}" for name, count in counts.most_common()) or "no rows"
    note(f"nothing was sent; it would be: {summary}" if dry_run else summary)
    good = {"applied"} if wait or dry_run else {"applied", "waiting"}
    raise typer.Exit(Code.OK if counts.keys() <= good else Code.REJECTED)


def _send(opened: Session, parcels: Sequence[Parcel], bar: Progress) -> None:
    task = bar.add_task("sending", total=len(parcels))
    for start in range(0, len(parcels), shipments.CHUNK):
        chunk = parcels[start : start + shipments.CHUNK]
        with opened.engine.begin() as connection:
            shipments.send(connection, chunk)
        bar.advance(task, len(chunk))
    opened.hint()


def _wait(opened: Session, parcels: Sequence[Parcel], bar: Progress, timeout_s: float) -> None:
    waiting = {p.command.command_id: p for p in parcels if p.command and p.is_open}
    task = bar.add_task("deciding", total=len(waiting))
    for ended in outcomes(opened.engine, waiting, timeout_s=timeout_s):
        waiting[ended.command_id].ended = ended
        bar.advance(task)


def _print(results: Sequence[Result], *, as_json: bool) -> None:
    if as_json:
        for result in results:
            print_json(asdict(result))
    elif results:
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
                for one in results
            ),
        )
