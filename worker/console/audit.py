"""`/audit`: who did what, and when."""

from dataclasses import dataclass, replace

from fastapi import APIRouter, Request
from starlette.datastructures import QueryParams
from starlette.responses import Response

from worker.console.gate import TheViewer
from worker.console.lines import printable
from worker.console.pages import page
from worker.console.paging import PAGE, Paged
from worker.web.door import TheDoor
from worker.work.audit import audit

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Filters(Paged):
    """What the form holds."""

    PATH = "/audit"
    actor: str = ""
    act: str = ""
    order: str = ""

    def of(self, *, actor: str = "", act: str = "") -> "Filters":
        """Likewise, of one actor or kind of act."""
        return replace(self, after=(), actor=actor or self.actor, act=act or self.act)


@router.get("/audit")
async def list_(request: Request, visit: TheViewer, door: TheDoor) -> Response:
    """Acts that meet every condition, the latest first."""
    filters = _filters(request.query_params)
    rows = await door.read(
        lambda c: audit(
            c,
            order_id=filters.order or None,
            actor=filters.actor or None,
            act=filters.act or None,
            before=filters.number,
            limit=PAGE + 1,
        )
    )
    return page(
        visit,
        "audit/results.html" if visit.is_htmx else "audit.html",
        headers={"HX-Push-Url": filters.address()} if visit.is_htmx else None,
        filters=filters,
        rows=rows[:PAGE],
        next=filters.page_after(rows, "audit_id"),
    )


def _filters(query: QueryParams) -> Filters:
    return Filters(
        actor=printable(query.get("actor", "")),
        act=printable(query.get("act", "")),
        order=printable(query.get("order", "")),
    ).at(query)
