"""`/queues`: how much work there is, how fast it goes, who does it; one held up or going on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from messages.wire import ROUTES
from worker.console.forms import TheForm
from worker.console.gate import TheOperator, TheViewer
from worker.console.lines import line
from worker.console.pages import page
from worker.console.visit import see_other
from worker.jobs.jobs import Job, jobs
from worker.web.door import TheDoor
from worker.web.problems import invalid
from worker.work import queues as work
from worker.work.processes import processes
from worker.work.strays import ChosenStrays, count

router = APIRouter()

_JOBS: Final = 5
"""Of those that go on; all of them have a page."""


@dataclass(frozen=True, slots=True)
class Look:
    """What there is at one moment."""

    at: datetime
    queues: list[dict[str, Any]]
    processes: list[dict[str, Any]]
    strays: int
    jobs: list[Job]


@router.get("/queues")
async def show(visit: TheViewer, door: TheDoor) -> Response:
    """All queues; to htmx the part that it asks for again and again."""
    look = await door.read(_look)
    return page(visit, "queues/work.html" if visit.is_htmx else "queues.html", look=look)


@router.post("/queues/pause")
async def pause(visit: TheOperator, door: TheDoor, given: TheForm) -> Response:
    """Let no worker start work of a queue; what is begun is finished."""
    route, reason = _route(given.get("queue")), line("reason", given.get("reason"))
    await door.write(lambda c: work.pause(c, route, reason, actor=visit.actor))
    return see_other(visit, "/queues")


@router.post("/queues/resume")
async def resume(visit: TheOperator, door: TheDoor, given: TheForm) -> Response:
    """Let the work of a queue go on; if it does already, nothing is written."""
    route = _route(given.get("queue"))
    await door.write(lambda c: work.resume(c, route, actor=visit.actor))
    door.hints.send(route)
    return see_other(visit, "/queues")


def _look(connection: Connection) -> Look:
    found = work.queues(connection)
    per_min = work.rates_per_min(connection)
    return Look(
        at=connection.exec_driver_sql("select now()").scalar_one(),
        queues=[one | {"per_min": round(per_min[one["route"]], 1)} for one in found],
        processes=processes(connection),
        strays=count(connection, ChosenStrays()),
        jobs=jobs(connection, state="pending", limit=_JOBS),
    )


def _route(given: str | None) -> str:
    if given not in ROUTES:
        raise invalid([("queue", f"must be one of {', '.join(ROUTES)}")])
    return given
