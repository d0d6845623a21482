"""`/audit`: who did what, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from worker.console.gate import TheViewer
from worker.console.lines import printable
from worker.console.pages import page
from worker.web.door import TheDoor
from worker.work.audit import audit

router = APIRouter()

PAGE: Final = 50
_MOST_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Filters:
    """What the form holds."""

    actor: str = ""
    act: str = ""
    order: str = ""
    before: int | None = None
    """The last act of the page before."""

    @property
    def is_narrow(self) -> bool:
        """Whether there may be acts that these leave out."""
        return bool(self.actor or self.act or self.order)

    def of(self, **narrower: str) -> "Filters":
        """Likewise, from the newest on."""
        return replace(self, before=None, **narrower)

    def address(self, before: int | None = None) -> str:
        """Where these are what is shown."""
        given = {"actor": self.actor, "act": self.act, "order": self.order, "before": before}
        query = urlencode({name: value for name, value in given.items() if value})
        return f"/audit?{query}" if query else "/audit"


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
            before=filters.before,
            limit=PAGE + 1,
        )
    )
    shown = rows[:PAGE]
    following = filters.address(shown[-1]["audit_id"]) if len(rows) > PAGE else None
    template = "audit/results.html" if visit.is_htmx else "audit.html"
    headers = {"HX-Push-Url": filters.address(filters.before)} if visit.is_htmx else None
    return page(visit, template, headers=headers, filters=filters, rows=shown, following=following)


def _filters(given: Mapping[str, str]) -> Filters:
    before = given.get("before", "")
    is_number = before.isascii() and before.isdigit() and len(before) <= _MOST_DIGITS
    return Filters(
        actor=printable(given.get("actor", "")),
        act=printable(given.get("act", "")),
        order=printable(given.get("order", "")),
        before=int(before) if is_number else None,
    )
