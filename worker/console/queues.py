"""`/queues`: how much work there is, how fast it goes, who does it; one held up or going on."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from messages.wire import ROUTES
from worker.broker.heartbeats import workers_alive
from worker.console.forms import TheForm
from worker.console.gate import TheOperator, TheViewer
from worker.console.lines import line
from worker.console.pages import page
from worker.console.visit import see_other
from worker.jobs.jobs import Job, jobs
from worker.web.door import TheDoor
from worker.web.problems import invalid
from worker.work import queues as work
from worker.work.strays import ChosenStrays, count

router = APIRouter()

_JOBS: Final = 5
"""Of those that go on; all of them have a page."""
_ASKING: Final = anyio.CapacityLimiter(2)
"""A Redis that does not answer holds up no more threads than these."""


@dataclass(frozen=True, slots=True)
class Look:
    """What there is at one moment."""

    at: datetime
    queues: list[dict[str, Any]]
    strays: int
    jobs: list[Job]


@router.get("/queues")
async def show(visit: TheViewer, door: TheDoor) -> Response:
    """All queues; to htmx the part that it asks for again and again."""
    look = await door.read(_look)
    return page(visit, "queues/work.html" if visit.is_htmx else "queues.html", look=look)


@router.get("/queues/workers")
async def workers(visit: TheViewer, door: TheDoor) -> Response:
    """How many workers are alive, as far as Redis says so: never on the way of the other facts."""
    alive = None
    if door.redis_url:
        ask = partial(workers_alive, door.redis_url)
        alive = await anyio.to_thread.run_sync(ask, limiter=_ASKING)
    return page(visit, "queues/workers.html", alive=alive)


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
        strays=count(connection, ChosenStrays()),
        jobs=jobs(connection, state="pending", limit=_JOBS),
    )


def _route(given: str | None) -> str:
    if given not in ROUTES:
        raise invalid([("queue", f"must be one of {', '.join(ROUTES)}")])
    return given
