"""`/orders`: all orders, narrowed down and page by page."""

from typing import Any, Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from worker.carriers import table
from worker.console.filters import Filters, filters_of
from worker.console.gate import TheViewer
from worker.console.pages import page
from worker.console.paging import PAGE
from worker.console.visit import Visit
from worker.store import lists
from worker.web.door import TheDoor

router = APIRouter()

_SEARCH_FIELD: Final = "input#search"
"""As htmx names who asks: each letter is no step to go back by."""


@router.get("/orders")
async def list_(request: Request, visit: TheViewer, door: TheDoor) -> Response:
    """Orders that meet every condition, newest first."""
    asked = filters_of(request.query_params)

    def find(connection: Connection) -> dict[str, Any]:
        return _found(connection, asked, visit)

    found = await door.read(find)
    if not visit.is_htmx:
        return page(visit, "orders.html", **found)
    is_typed = request.headers.get("hx-source") == _SEARCH_FIELD
    shown = {"HX-Replace-Url" if is_typed else "HX-Push-Url": found["filters"].address()}
    return page(visit, "orders/results.html", headers=shown, **found)


def _found(connection: Connection, asked: Filters, visit: Visit) -> dict[str, Any]:
    wanted = asked.wanted(visit.time_zone)
    after = asked.after[-1] if asked.after else None
    try:
        rows = lists.orders(connection, wanted, after=after, limit=PAGE + 1)
    except lists.UnknownCursor:  # an address that somebody changed
        asked = asked.first_page()
        rows = lists.orders(connection, wanted, limit=PAGE + 1)
    return {
        "filters": asked,
        "orders": rows[:PAGE],
        "next": asked.page_after(rows, "order_id"),
        "carriers": table.names(connection),
    }
