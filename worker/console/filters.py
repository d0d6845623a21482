"""Which orders: what the page's address says, and back. What makes no sense is not asked for."""

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final, get_args

from starlette.datastructures import QueryParams

from worker.console.paging import Paged, those
from worker.orders.status import FulfillmentStatus, PaymentStatus
from worker.store.lists import Wanted

STATUSES: Final[tuple[str, ...]] = get_args(FulfillmentStatus)
PAYMENT_STATUSES: Final[tuple[str, ...]] = get_args(PaymentStatus)
_LONGEST_SEARCH: Final = 255
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_CODE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Filters(Paged):
    """What the form holds."""

    PATH = "/orders"
    search: str = ""
    status: tuple[str, ...] = ()
    payment_status: tuple[str, ...] = ()
    carrier: tuple[str, ...] = ()
    placed_from: date | None = None
    placed_until: date | None = None
    """The last day."""
    refund_pending: bool = False
    dead: bool = False

    @property
    def has_more(self) -> bool:
        """Whether something beside the search narrows them down."""
        return replace(self, search="").is_narrow

    def wanted(self, time_zone: tzinfo) -> Wanted:
        """The same as a query; days are the shop's."""
        until = self.placed_until
        return Wanted(
            search=self.search or None,
            statuses=self.status,
            payment_statuses=self.payment_status,
            carriers=self.carrier,
            placed_from=_midnight(self.placed_from, time_zone),
            placed_until=_midnight(until and until + timedelta(days=1), time_zone),
            refund_pending=self.refund_pending,
            has_dead=self.dead,
        )


def filters_of(query: QueryParams) -> Filters:
    """What an address asks for."""
    search = "".join(one for one in query.get("search", "") if one.isprintable())
    return Filters(
        search=search.strip()[:_LONGEST_SEARCH],
        status=those(query, "status", STATUSES.__contains__),
        payment_status=those(query, "payment_status", PAYMENT_STATUSES.__contains__),
        carrier=those(query, "carrier", _CODE.fullmatch),
        placed_from=_day(query.get("placed_from")),
        placed_until=_day(query.get("placed_until")),
        refund_pending=query.get("refund_pending") == "true",
        dead=query.get("dead") == "true",
    ).at(query, _ID.fullmatch)


def order_ids_of(query: QueryParams, name: str) -> tuple[str, ...]:
    """The orders that an address names so."""
    return those(query, name, _ID.fullmatch)


def _day(text: str | None) -> date | None:
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        return None
    return day if 1970 <= day.year < 3000 else None  # noqa: PLR2004  # as everywhere


def _midnight(day: date | None, time_zone: tzinfo) -> datetime | None:
    return datetime.combine(day, time(), time_zone) if day else None
