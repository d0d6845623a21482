"""`orders import | list | show | explain | forget`."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

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
from worker.cli.output import AsJson, Limit, first, note, print_json, print_rows, say
from worker.cli.session import reading, session
from worker.cli.show import moment, money, plain
from worker.cli.times import utc_time
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
    from worker.cli import taking_in  # noqa: PLC0415  # readers of files, which the others never need

    if dry_run:
        taking_in.foresee(file, as_json=as_json)
    taking_in.take_in(file, wait_s=timeout if wait else None, as_json=as_json)


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
