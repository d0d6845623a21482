"""Which orders: the options that lists and exports share."""

from collections.abc import Collection
from typing import Annotated, Any, get_args

import typer
from sqlalchemy import Connection

from worker.carriers import table
from worker.cli.exits import Code, Failure, check_words
from worker.cli.show import plain
from worker.orders.status import FulfillmentStatus, PaymentStatus
from worker.store.lists import Wanted

STATUSES = get_args(FulfillmentStatus)
PAYMENT_STATUSES = get_args(PaymentStatus)

Search = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Beginnings of id, number, customer, e-mail or SKU; or a tracking number.",
    ),
]
Statuses = Annotated[list[str], typer.Option(metavar="|".join(STATUSES), help="May be repeated.")]
PaymentStatuses = Annotated[
    list[str], typer.Option(metavar="|".join(PAYMENT_STATUSES), help="May be repeated.")
]
Carriers = Annotated[list[str], typer.Option(metavar="CODE", help="Of a parcel; may be repeated.")]
RefundPending = Annotated[
    bool, typer.Option("--refund-pending", help="Only with a refund on its way.")
]
HasDead = Annotated[bool, typer.Option("--dead", help="Only with work that is dead.")]


def orders_wanted(
    *, statuses: Collection[str], payment_statuses: Collection[str], **conditions: Any
) -> Wanted:
    """Which orders are meant.

    Raises:
      Failure: A status is none.
    """
    check_words("--status", statuses, STATUSES)
    check_words("--payment-status", payment_statuses, PAYMENT_STATUSES)
    return Wanted(statuses=statuses, payment_statuses=payment_statuses, **conditions)


def check_carriers(connection: Connection, codes: Collection[str]) -> None:
    """Refuse what is no carrier's code here.

    Raises:
      Failure: It names the first.
    """
    known = {one["code"] for one in table.carriers(connection)} if codes else set()
    for code in codes:
        if code not in known:
            raise Failure(
                f"carrier {plain(code)} is not here; see `fulfillment carriers list`",
                Code.NOT_FOUND,
            )
