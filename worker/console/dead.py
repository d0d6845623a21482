"""`/dead`: failures that wait for a person: looked at, tried again, given up."""

from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from worker.console.age import AGES_S, age_s
from worker.console.forms import TheForm
from worker.console.gate import TheOperator, TheViewer
from worker.console.letters import QUEUES, Done, filters_of, gone, letter
from worker.console.lines import line
from worker.console.pages import page
from worker.console.paging import PAGE
from worker.console.visit import Visit
from worker.jobs.jobs import count_dead
from worker.web.door import Door, TheDoor
from worker.web.problems import Problem
from worker.work import dead as work
from worker.work.dead import Chosen, Letter

router = APIRouter()

_NEVER_GIVEN_UP: Final = "a refund part is never given up"


@router.get("/dead")
async def list_(request: Request, visit: TheViewer, door: TheDoor) -> Response:
    """How many died of what, then each, the oldest first."""
    filters = filters_of(request.query_params).at(request.query_params)

    def look(connection: Connection) -> dict[str, Any]:
        chosen = filters.chosen(work.ago(connection, age_s(filters.age)))
        return {
            "groups": work.groups(connection, chosen),
            "letters": work.dead(connection, chosen, after=filters.number, limit=PAGE + 1),
            "dead_jobs": count_dead(connection),
        }

    found = await door.read(look)
    letters = found.pop("letters")
    shown = {"HX-Push-Url": filters.address()} if visit.is_htmx else None
    return page(
        visit,
        "dead/results.html" if visit.is_htmx else "dead.html",
        headers=shown,
        filters=filters,
        queues=QUEUES,
        ages=AGES_S,
        letters=letters[:PAGE],
        next=filters.page_after(letters, "seq"),
        **found,
    )


@router.get("/dead/{letter_id}")
async def show(letter_id: UUID, visit: TheViewer, door: TheDoor) -> Response:
    """A letter, whole, with what a replay would come to now."""
    found = await door.read(lambda c: letter(door, c, letter_id))
    return page(visit, "dead/letter.html", **found)


@router.post("/dead/{letter_id}/replay")
async def replay(letter_id: UUID, visit: TheOperator, door: TheDoor, _: TheForm) -> Response:
    """Try the letter again, as it is."""
    chosen = Chosen(ids=[letter_id])
    letters = await door.write(lambda c: work.replay(c, chosen, actor=visit.actor, limit=1))
    return _done(visit, door, letter_id, letters, "replayed")


@router.post("/dead/{letter_id}/discard")
async def discard(letter_id: UUID, visit: TheOperator, door: TheDoor, given: TheForm) -> Response:
    """Give the letter up."""
    because, chosen = line("because", given.get("because")), Chosen(ids=[letter_id])

    def act(connection: Connection) -> list[Letter]:
        if work.refund_parts(connection, chosen):
            raise Problem("not-in-state", _NEVER_GIVEN_UP)
        return work.discard(connection, chosen, actor=visit.actor, because=because, limit=1)

    return _done(visit, door, letter_id, await door.write(act), "discarded")


def _done(visit: Visit, door: Door, letter_id: UUID, letters: list[Letter], done: Done) -> Response:
    if not letters:
        raise gone(letter_id)
    if done == "replayed":
        door.hints.send(letters[0].route)
    return page(visit, "dead/done.html", letter=letters[0], done=done)
