"""`orders import | list | show | explain | forget`."""

import os
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO, NoReturn

import typer

from worker.carriers.registry import tracking_page
from worker.cli.exits import Code, Failure
from worker.cli.explain_view import explained_text
from worker.cli.filters import (
    Carriers,
    HasDead,
    PaymentStatuses,
    RefundPending,
    Search,
    Statuses,
    check_carriers,
    orders_wanted,
)
from worker.cli.forget import forget
from worker.cli.orders_view import order_text
from worker.cli.output import AsJson, Limit, first, note, print_json, print_rows, progress, say
from worker.cli.session import Session, reading, session
from worker.cli.show import moment, money, plain, to_json
from worker.cli.times import utc_time
from worker.cli.waiting import outcomes
from worker.intake.foresight import foresee
from worker.intake.loading import ImportRunning, Report
from worker.intake.loading import load as load_file
from worker.intake.refusal import Refused
from worker.orders.explain import explain as explain_order
from worker.orders.world import World
from worker.store import lists
from worker.store import reading as store
from worker.store.orders import load, shipments_of

app = typer.Typer(name="orders", no_args_is_help=True, help="Take orders in, list them, show one.")


@app.command("import")
def import_(
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(metavar="FILE", help="JSON or CSV in UTF-8; - is stdin."),
    ],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing; say what would become of the orders.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the orders are in.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="S", help="Stop waiting after S seconds without news.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Take in orders from JSON lines of ours, Square's or Shopify's order JSON, or Shopify's CSV.

    Importing the same file again changes nothing; an order that changed upstream may bring more
    lines and payments. Exit code 0 if no order was refused, else 5;
    with --wait 7 if some were not decided in time.
    """
    if dry_run:
        _foresee(file, as_json=as_json)
    waiting = 0
    with session() as opened:
        report = _load(opened, file)
        opened.hint()
        if wait:
            waiting = _wait(opened, report, timeout)
    _print_report(report, waiting if wait else None, as_json=as_json)
    if report.refused:
        raise typer.Exit(Code.REJECTED)
    raise typer.Exit(Code.WAITING if waiting else Code.OK)


def _foresee(file: BinaryIO, *, as_json: bool) -> NoReturn:
    with session() as opened, progress() as bar:
        task = bar.add_task("judging", total=None)
        foreseen = foresee(
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


@app.command("list")
def list_(
    *,
    search: Search = None,
    status: Statuses = [],  # noqa: B006  # typer copies it
    payment_status: PaymentStatuses = [],  # noqa: B006  # likewise
    carrier: Carriers = [],  # noqa: B006  # likewise
    placed_from: Annotated[
        str | None, typer.Option(metavar="DATE|TIME", help="Placed then or later; UTC.")
    ] = None,
    placed_until: Annotated[
        str | None, typer.Option(metavar="DATE|TIME", help="Placed before then; UTC.")
    ] = None,
    refund_pending: RefundPending = False,
    has_dead: HasDead = False,
    after: Annotated[
        str | None, typer.Option(metavar="ORDER", help="The last order of the page before.")
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List orders, newest first."""
    wanted = orders_wanted(
        search=search,
        statuses=status,
        payment_statuses=payment_status,
        carriers=carrier,
        placed_from=utc_time("--placed-from", placed_from),
        placed_until=utc_time("--placed-until", placed_until),
        refund_pending=refund_pending,
        has_dead=has_dead,
    )
    with reading() as connection:
        check_carriers(connection, carrier)
        found = lists.orders(connection, wanted, after=after, limit=limit + 1)
    rows = first(found, limit, key="order_id")
    print_rows(
        rows,
        as_json=as_json,
        headings=(
            "order",
            "number",
            "customer",
            "status",
            "payment",
            "total#",
            "version#",
            "placed",
        ),
        table=(
            (
                row["order_id"],
                plain(row["number"]),
                "(forgotten)" if row["forgotten_at"] else plain(row["customer_name"]),
                row["fulfillment_status"] + (" (on hold)" if row["hold"] else ""),
                row["payment_status"] + (" (refund pending)" if row["refund_pending"] else ""),
                money(row["total_minor"], row["currency"]),
                str(row["version"]),
                moment(row["placed_at"]),
            )
            for row in rows
        ),
    )


@app.command()
def show(
    order: Annotated[str, typer.Argument(metavar="ORDER")], *, as_json: AsJson = False
) -> None:
    """Show everything about an order, with every transaction made for it."""
    with reading() as connection:
        found: dict[str, Any] | None = store.order(connection, order)
        waiting = 0 if found else store.waiting_for_order(connection, order)
    if found is None:
        hint = f"; {waiting} commands wait for it" if waiting else ""
        raise Failure(f"order {plain(order)} is not here{hint}", Code.NOT_FOUND)
    for shipment in found["shipments"]:
        shipment["tracking_page"] = tracking_page(
            shipment["tracking_number"], shipment["tracking_page"], shipment["tracking_url"]
        )
    if as_json:
        print_json(found)
    else:
        say(order_text(found))
        if found["hold"]:
            note("on hold: nothing is shipped or completed meanwhile")
        if found["forgotten_at"]:
            note("forgotten: whom it belonged to is not known any more; it cannot be placed again")


@app.command()
def explain(
    order: Annotated[str, typer.Argument(metavar="ORDER")], *, as_json: AsJson = False
) -> None:
    """Say what can be done with an order now, line by line and with each of its shipments, and why
    the rest cannot.
    """
    with session() as opened, opened.engine.connect() as connection:
        found = load(connection, [order]).get(order)
        shipments = shipments_of(connection, order)
        rules = opened.rules
    if found is None:
        raise Failure(f"order {plain(order)} is not here", Code.NOT_FOUND)
    explained = explain_order(found, World(datetime.now(UTC), {}, shipments=shipments), rules)
    if as_json:
        print_json(asdict(explained))
    else:
        say(explained_text(explained))


app.command()(forget)
