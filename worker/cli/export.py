"""`export orders | history | outcomes`: everything, for other programs."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from io import TextIOWrapper
from typing import Annotated, Any, Final

import typer
from sqlalchemy import Connection

from worker.cli.cells import cell
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
from worker.cli.output import as_long_as_somebody_reads, print_json
from worker.cli.session import session
from worker.cli.times import utc_time
from worker.store import exports

app = typer.Typer(
    name="export",
    no_args_is_help=True,
    help="Orders, their history and outcomes, as CSV or JSON lines.",
)


class Format(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"


As = Annotated[
    Format, typer.Option("--format", help="CSV with a line of headings, or an object per line.")
]
From = Annotated[
    str | None, typer.Option("--from", metavar="DATE|TIME", help="Then or later; UTC.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="DATE|TIME", help="Before then; UTC.")
]
OrderId = Annotated[str | None, typer.Option("--order", metavar="ID", help="Only this order's.")]

ORDERS: Final = (
    *("order_id", "number", "placed_at", "updated_at", "fulfillment_status", "payment_status"),
    *("refund_pending", "hold", "currency", "total_minor", "captured_minor", "refunded_minor"),
    *("settled_minor", "units", "shipped", "completed", "cancelled", "version"),
    *("customer_name", "customer_email", "forgotten_at"),
)
HISTORY: Final = (
    *("order_id", "at", "event", "command_id", "issued_by", "amount_minor", "currency"),
    "details",
)
OUTCOMES: Final = (
    *("command_id", "kind", "order_id", "issued_by", "accepted_at", "decided_at", "state"),
    *("reason", "message", "order_version", "refund_minor", "currency", "items"),
)


@app.command()
def orders(
    *,
    search: Search = None,
    status: Statuses = [],  # noqa: B006  # typer copies it
    payment_status: PaymentStatuses = [],  # noqa: B006  # likewise
    carrier: Carriers = [],  # noqa: B006  # likewise
    begin: From = None,
    end: Until = None,
    refund_pending: RefundPending = False,
    has_dead: HasDead = False,
    as_: As = Format.CSV,
) -> None:
    """Orders as `orders list` finds them, newest first, with their sums; --from and --until are of
    when they were placed.
    """
    wanted = orders_wanted(
        search=search,
        statuses=status,
        payment_statuses=payment_status,
        carriers=carrier,
        placed_from=utc_time("--from", begin),
        placed_until=utc_time("--until", end),
        refund_pending=refund_pending,
        has_dead=has_dead,
    )

    def rows(connection: Connection) -> Iterator[Any]:
        check_carriers(connection, carrier)
        return exports.orders(connection, wanted)

    _export(rows, ORDERS, as_)


@app.command()
def history(
    *, order: OrderId = None, begin: From = None, end: Until = None, as_: As = Format.CSV
) -> None:
    """What happened to orders, order by order, each in the order in which it happened."""
    between = {"start": utc_time("--from", begin), "end": utc_time("--until", end)}
    _export(lambda c: exports.history(c, order_id=order, **between), HISTORY, as_)


@app.command()
def outcomes(
    *, order: OrderId = None, begin: From = None, end: Until = None, as_: As = Format.CSV
) -> None:
    """How commands ended, in the order of acceptance; --from and --until are of their end."""
    between = {"start": utc_time("--from", begin), "end": utc_time("--until", end)}
    _export(lambda c: exports.outcomes(c, order_id=order, **between), OUTCOMES, as_)


def _export(
    rows: Callable[[Connection], Iterable[dict[str, Any]]], columns: tuple[str, ...], as_: Format
) -> None:
    """Write the rows as they come. Amounts are in minor units of their currency; texts that a
    spreadsheet would run begin with an apostrophe in CSV, and are as they are in JSON.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # whatever the locale says
    with session() as opened, exports.snapshot(opened.engine) as connection:
        found = rows(connection)
        with as_long_as_somebody_reads():
            if as_ is Format.JSONL:
                for row in found:
                    print_json({name: row[name] for name in columns})
            else:
                writer = csv.writer(sys.stdout, lineterminator="\n")
                writer.writerow(columns)
                writer.writerows([cell(row[name]) for name in columns] for row in found)
            sys.stdout.flush()
