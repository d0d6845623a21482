"""Lists and searches of orders, in milliseconds: what is common, what is rare, what is not there,
and a page far down.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from sqlalchemy import Connection

from tests.bench.lab import BenchFailed
from worker.settings import Settings
from worker.store import lists
from worker.store.engine import make_engine
from worker.store.lists import Wanted

PAGE: Final = 50
TIMES: Final = 7
WITHIN_MS: Final = 50.0

MIDDLE: Final = """
-- An order from the middle of the shop, with a parcel.
select order_id, o.number, customer_name, customer_email, placed_at, tracking_number
from shipments join orders o using (order_id)
where order_id >= %(near)s order by order_id limit 1
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A list that somebody asks for, after which order, and whether anything is to be found."""

    name: str
    wanted: Wanted
    after: str | None = None
    is_found: bool | None = True
    """None: in a small shop there may be none."""


def measure(url: str, *, orders: int) -> dict[str, float]:
    """Milliseconds of each list in a shop of so many orders: the median of seven, after one more.

    Raises:
      BenchFailed: A list was empty that must not be, or the other way round.
    """
    engine = make_engine(url, Settings())
    try:
        with engine.connect() as connection:
            return {case.name: _ms(connection, case) for case in cases(connection, orders=orders)}
    finally:
        engine.dispose()


def _ms(connection: Connection, case: Case) -> float:
    took = []
    for _ in range(TIMES + 1):
        began = time.perf_counter()
        page = lists.orders(connection, case.wanted, after=case.after, limit=PAGE)
        took.append((time.perf_counter() - began) * 1000)
        connection.rollback()
        if case.is_found is not None and bool(page) != case.is_found:
            raise BenchFailed(f"list of orders, {case.name}: {len(page)} rows")
    return median(took[1:])


def cases(connection: Connection, *, orders: int) -> list[Case]:
    """What is asked of a shop of so many orders."""
    order: Any = connection.exec_driver_sql(MIDDLE, {"near": f"S-{orders // 2}"}).one()
    day: datetime = order.placed_at
    month = {"placed_from": day - timedelta(days=15), "placed_until": day + timedelta(days=15)}
    first_name = order.customer_name.split()[0]
    return [
        Case("newest", Wanted()),
        Case("a page in the middle", Wanted(), after=order.order_id),
        Case("a month", Wanted(**month)),
        Case("unfulfilled", Wanted(statuses=["unfulfilled"])),
        Case("cancelled or in part", Wanted(statuses=["cancelled", "partially_fulfilled"])),
        Case("unpaid, old ones", Wanted(payment_statuses=["unpaid"]), after=order.order_id),
        Case("refund pending", Wanted(refund_pending=True)),
        Case("with dead work", Wanted(has_dead=True)),
        Case("a carrier", Wanted(carriers=["dhl"])),
        Case("a carrier, in part", Wanted(carriers=["ups"], statuses=["partially_fulfilled"])),
        Case("a carrier that is not", Wanted(carriers=["pigeon"]), is_found=False),
        Case("an order's id", Wanted(search=order.order_id)),
        Case("a name", Wanted(search=order.customer_name)),
        Case("a first name", Wanted(search=first_name)),
        Case("a letter", Wanted(search=first_name[0])),
        Case("what all have", Wanted(search="example")),
        Case("an e-mail", Wanted(search=order.customer_email)),
        Case("a SKU", Wanted(search="SKU-17")),
        Case("a tracking number", Wanted(search=order.tracking_number)),
        Case("what nobody has", Wanted(search="xylophone"), is_found=False),
        Case(
            "a first name, a carrier, in part",
            Wanted(search=first_name, carriers=["dhl"], statuses=["partially_fulfilled"]),
            is_found=None,
        ),
        Case("what all have, with dead work", Wanted(search="example", has_dead=True)),
        Case("a first name, a month", Wanted(search=first_name, **month)),
        Case(
            "a cancelled one with a carrier",
            Wanted(statuses=["cancelled"], carriers=["dhl"]),
            is_found=False,
        ),
    ]
