"""Which orders: what the page's address says, and back. What makes no sense is not asked for."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any, Final, get_args
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from worker.orders.status import FulfillmentStatus, PaymentStatus
from worker.store.lists import Wanted

STATUSES: Final[tuple[str, ...]] = get_args(FulfillmentStatus)
PAYMENT_STATUSES: Final[tuple[str, ...]] = get_args(PaymentStatus)
PATH: Final = "/orders"
_LONGEST_SEARCH: Final = 255
_MOST_CURSORS: Final = 50
"""Pages that one can go back by; beyond, the first page is next."""
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_CODE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Filters:
    """What the form holds."""

    search: str = ""
    status: tuple[str, ...] = ()
    payment_status: tuple[str, ...] = ()
    carrier: tuple[str, ...] = ()
    placed_from: date | None = None
    placed_until: date | None = None
    """The last day."""
    refund_pending: bool = False
    dead: bool = False
    after: tuple[str, ...] = ()
    """The last orders of the pages before, the nearest last: that is how one goes back."""

    @property
    def is_narrow(self) -> bool:
        """Whether there may be orders that these leave out."""
        return replace(self, after=()) != Filters()

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

    def address(self) -> str:
        """Where these are what is shown."""
        given: dict[str, Any] = {
            "search": self.search,
            "status": self.status,
            "payment_status": self.payment_status,
            "carrier": self.carrier,
            "placed_from": self.placed_from,
            "placed_until": self.placed_until,
            "refund_pending": self.refund_pending and "true",
            "dead": self.dead and "true",
            "after": self.after,
        }
        query = urlencode({name: value for name, value in given.items() if value}, doseq=True)
        return f"{PATH}?{query}" if query else PATH

    def page_after(self, order_id: str) -> "Filters":
        """The next page, if this one ends with that order."""
        return replace(self, after=(*self.after, order_id)[-_MOST_CURSORS:])

    def page_before(self) -> "Filters":
        """The page before."""
        return replace(self, after=self.after[:-1])

    def first_page(self) -> "Filters":
        """The first page."""
        return replace(self, after=())


def filters_of(query: QueryParams) -> Filters:
    """What an address asks for."""
    search = "".join(one for one in query.get("search", "") if one.isprintable())
    return Filters(
        search=search.strip()[:_LONGEST_SEARCH],
        status=_those(query, "status", STATUSES.__contains__),
        payment_status=_those(query, "payment_status", PAYMENT_STATUSES.__contains__),
        carrier=_those(query, "carrier", _CODE.fullmatch),
        placed_from=_day(query.get("placed_from")),
        placed_until=_day(query.get("placed_until")),
        refund_pending=query.get("refund_pending") == "true",
        dead=query.get("dead") == "true",
        after=order_ids_of(query, "after")[-_MOST_CURSORS:],
    )


def order_ids_of(query: QueryParams, name: str) -> tuple[str, ...]:
    """The orders that an address names so."""
    return _those(query, name, _ID.fullmatch)


def _those(query: QueryParams, name: str, is_meant: Callable[[str], object]) -> tuple[str, ...]:
    return tuple(one for one in dict.fromkeys(query.getlist(name)) if is_meant(one))


def _day(text: str | None) -> date | None:
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        return None
    return day if 1970 <= day.year < 3000 else None  # noqa: PLR2004  # as everywhere


def _midnight(day: date | None, time_zone: tzinfo) -> datetime | None:
    return datetime.combine(day, time(), time_zone) if day else None
