"""`/strays/replay`, `/strays/discard`: many strays at once, by filter; how many is said before."""

from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from messages import InvalidCommand
from worker.console.age import age_s
from worker.console.arrivals import Filters, commands_in, filters_of, take_in
from worker.console.deadline import Deadline
from worker.console.forms import Form, TheForm
from worker.console.gate import TheOperator
from worker.console.lines import line
from worker.console.moments import moment_of
from worker.console.pages import page
from worker.console.visit import Visit
from worker.web.door import Door, TheDoor
from worker.work import strays as work
from worker.work.dead import CHUNK, ago
from worker.work.strays import REFUSED_AT_THE_DOOR, ChosenStrays, NoStray, NotAccepted

router = APIRouter()

AT_ONCE: Final = 200
"""Strays that one request takes in, a transaction each."""
ROUND_S: Final = 3.0
"""For how long one request acts on strays."""
SHOWN: Final = 50
"""Of those that stay, with their problem."""


@dataclass(slots=True)
class Taken:
    """What became of strays that were to be taken in."""

    accepted: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    """Which stay, and why."""


@router.get("/strays/replay")
async def before_replay(request: Request, visit: TheOperator, door: TheDoor) -> Response:
    """How many would be taken in, before anybody says yes."""
    return await _before(request, visit, door, "strays/replay.html")


@router.get("/strays/discard")
async def before_discard(request: Request, visit: TheOperator, door: TheDoor) -> Response:
    """How many would be given up."""
    return await _before(request, visit, door, "strays/discard.html")


@router.post("/strays/replay")
async def replay_all(visit: TheOperator, door: TheDoor, given: TheForm) -> Response:
    """Take strays in, each in a transaction of its own; what cannot be accepted stays."""
    filters, chosen = _acted_on(given)
    known = filters.reason if given.get("vouched") == "true" else None

    def take() -> Taken:
        with door.engine.connect() as connection:
            found = work.strays(connection, chosen, limit=AT_ONCE)[::-1]
        stop, taken = Deadline(ROUND_S), Taken()
        for row in found:
            if stop.is_set():
                break
            try:
                commands = commands_in(row, row["body"], {}, known)
                take_in(door, row["stray_id"], commands, visit.actor, known)
            except (InvalidCommand, work.NotVouchedFor, NotAccepted, NoStray) as error:
                taken.refused.append((row["stray_id"], str(error)))
            else:
                taken.accepted += 1
        return taken

    taken = await door.hand_in(take)
    if taken.accepted:
        door.hints.send()
    left = await door.read(lambda c: work.count(c, chosen))
    return page(visit, "strays/acted.html", filters=filters, taken=taken, left=left, shown=SHOWN)


@router.post("/strays/discard")
async def discard_all(visit: TheOperator, door: TheDoor, given: TheForm) -> Response:
    """Take strays from the list, chunk by chunk; the audit keeps them."""
    filters, chosen = _acted_on(given)
    because = line("because", given.get("because"))

    def discard() -> int:
        stop, count = Deadline(ROUND_S), 0
        while not stop.is_set():
            with door.engine.begin() as connection:
                taken = work.discard_strays(
                    connection, chosen, actor=visit.actor, because=because, limit=CHUNK
                )
            count += len(taken)
            if len(taken) < CHUNK:
                break
        return count

    discarded = await door.hand_in(discard)
    left = await door.read(lambda c: work.count(c, chosen))
    return page(visit, "strays/discarded.html", filters=filters, discarded=discarded, left=left)


async def _before(request: Request, visit: Visit, door: Door, template: str) -> Response:
    filters = filters_of(request.query_params)

    def look(connection: Connection) -> dict[str, Any]:
        chosen = filters.chosen(ago(connection, age_s(filters.age)))
        return {
            "came_before": chosen.came_before,
            "total": work.count(connection, chosen),
            "groups": work.groups(connection, chosen),
        }

    found = await door.read(look)
    doors = [one["reason"] for one in found["groups"] if one["reason"] in REFUSED_AT_THE_DOOR]
    return page(visit, template, filters=filters, doors=doors, at_once=AT_ONCE, **found)


def _acted_on(given: Form) -> tuple[Filters, ChosenStrays]:
    filters = filters_of(given)
    return filters, filters.chosen(moment_of("came_before", given.get("came_before")))
