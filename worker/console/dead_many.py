"""`/dead/replay`, `/dead/discard`: many letters at once, by filter: how many is said before, and
what was asked for is done in rounds, so that no request takes long.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from worker.console.age import age_s
from worker.console.deadline import Deadline
from worker.console.forms import Form, TheForm
from worker.console.gate import TheOperator
from worker.console.letters import Done, Filters, filters_of, foreseen
from worker.console.lines import line
from worker.console.moments import moment_of
from worker.console.pages import page
from worker.console.visit import Visit
from worker.web.door import Door, TheDoor
from worker.work import dead as work
from worker.work.dead import Chosen, Letter
from worker.work.preview import read_only

router = APIRouter()

FORESEEN: Final = 25
"""Letters that are judged before all of them are replayed."""
ROUND_S: Final = 3.0
"""For how long one request acts on letters; the page asks for the next."""
_RATE_PER_S: Final = 1_000.0
_ALL: Final = 10_000_000


@router.get("/dead/replay")
async def before_replay(request: Request, visit: TheOperator, door: TheDoor) -> Response:
    """How many would be tried again, and what that would come to, before anybody says yes."""
    filters = filters_of(request.query_params)

    def look(connection: Connection) -> dict[str, Any]:
        read_only(connection)
        chosen = filters.chosen(work.ago(connection, age_s(filters.age)))
        found = foreseen(door, connection, chosen, FORESEEN)
        return {
            "failed_before": chosen.failed_before,
            "total": work.count(connection, chosen),
            "prospects": found,
            "counts": Counter(one.prospect for one in found),
        }

    return page(visit, "dead/replay.html", filters=filters, **await door.read(look))


@router.get("/dead/discard")
async def before_discard(request: Request, visit: TheOperator, door: TheDoor) -> Response:
    """How many would be given up, and which never are."""
    filters = filters_of(request.query_params)

    def look(connection: Connection) -> dict[str, Any]:
        chosen = filters.chosen(work.ago(connection, age_s(filters.age)))
        parts = work.refund_parts(connection, chosen)
        return {
            "failed_before": chosen.failed_before,
            "total": work.count(connection, chosen) - len(parts),
            "parts": len(parts),
        }

    return page(visit, "dead/discard.html", filters=filters, **await door.read(look))


@router.post("/dead/replay")
async def replay_all(visit: TheOperator, door: TheDoor, given: TheForm) -> Response:
    """Try letters again, chunk by chunk; what is left when the time is over, the page asks for."""
    filters, chosen = _acted_on(given)

    def act(connection: Connection, wanted: int) -> list[Letter]:
        return work.replay(connection, chosen, actor=visit.actor, limit=wanted)

    return await _round(visit, door, given, filters, chosen, act=act, done="replayed")


@router.post("/dead/discard")
async def discard_all(visit: TheOperator, door: TheDoor, given: TheForm) -> Response:
    """Give letters up, likewise; refund parts stay."""
    filters, chosen = _acted_on(given)
    because = line("because", given.get("because"))

    def act(connection: Connection, wanted: int) -> list[Letter]:
        return work.discard(connection, chosen, actor=visit.actor, because=because, limit=wanted)

    return await _round(
        visit, door, given, filters, chosen, act=act, done="discarded", because=because
    )


async def _round(
    visit: Visit,
    door: Door,
    given: Form,
    filters: Filters,
    chosen: Chosen,
    *,
    act: Callable[[Connection, int], list[Letter]],
    done: Done,
    because: str = "",
) -> Response:
    def go() -> tuple[list[Letter], int, int]:
        chunks = work.in_chunks(
            door.engine, act, limit=_ALL, rate_per_s=_RATE_PER_S, stop=Deadline(ROUND_S)
        )
        letters = [letter for chunk in chunks for letter in chunk]
        with door.engine.connect() as connection:
            parts = len(work.refund_parts(connection, chosen)) if done == "discarded" else 0
            return letters, work.count(connection, chosen) - parts, parts

    letters, left, parts = await door.hand_in(go)
    for route in {letter.route for letter in letters}:
        door.hints.send(route)
    return page(
        visit,
        "dead/round.html" if visit.is_htmx else "dead/rounds.html",
        filters=filters,
        failed_before=chosen.failed_before,
        because=because,
        done=done,
        so_far=_number(given.get("so_far")) + len(letters),
        total=_number(given.get("total")),
        left=left,
        parts=parts,
        goes_on=bool(letters) and left > 0,
    )


def _acted_on(given: Form) -> tuple[Filters, Chosen]:
    filters = filters_of(given)
    return filters, filters.chosen(moment_of("failed_before", given.get("failed_before")))


def _number(given: str | None) -> int:
    return int(given) if given and given.isascii() and given.isdigit() and len(given) < 10 else 0  # noqa: PLR2004  # a count of rows
