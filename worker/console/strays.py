"""`/strays`: what came in and could not be accepted: looked at, mended, taken in, given up."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from sqlalchemy import Connection
from starlette.responses import Response

from messages import Command, InvalidCommand, new_command_id
from worker.console.age import AGES_S, age_s
from worker.console.arrivals import Filters, commands_in, filters_of, take_in
from worker.console.forms import TheForm
from worker.console.gate import TheOperator, TheViewer
from worker.console.lines import line
from worker.console.pages import page
from worker.console.paging import PAGE
from worker.web.door import Door, TheDoor
from worker.web.problems import Problem
from worker.work import strays as work
from worker.work.accept import Receipt
from worker.work.dead import ago
from worker.work.preview import Preview, preview
from worker.work.prospects import judged
from worker.work.strays import REFUSED_AT_THE_DOOR, ChosenStrays, NoStray, NotAccepted

router = APIRouter()

StrayId = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/strays")
async def list_(request: Request, visit: TheViewer, door: TheDoor) -> Response:
    """How many came in for what reason, then each, the latest first."""
    filters = filters_of(request.query_params).at(request.query_params)

    def look(connection: Connection) -> dict[str, Any]:
        chosen = filters.chosen(ago(connection, age_s(filters.age)))
        return {
            "groups": work.groups(connection, chosen),
            "strays": work.strays(connection, chosen, before=filters.number, limit=PAGE + 1),
        }

    found = await door.read(look)
    strays = found.pop("strays")
    shown = {"HX-Push-Url": filters.address()} if visit.is_htmx else None
    return page(
        visit,
        "strays/results.html" if visit.is_htmx else "strays.html",
        headers=shown,
        filters=filters,
        ages=AGES_S,
        strays=strays[:PAGE],
        next=filters.page_after(strays, "stray_id"),
        **found,
    )


@router.get("/strays/{stray_id}")
async def show(stray_id: StrayId, visit: TheViewer, door: TheDoor) -> Response:
    """A stray, whole, with what taking it in would come to."""
    row = await door.read(lambda c: _stray(c, stray_id))
    try:
        foreseen = await door.look(lambda: _foreseen(door, commands_in(row, row["body"], {}, None)))
        refusal = None
    except (InvalidCommand, work.NotVouchedFor) as error:
        foreseen, refusal = [], str(error)
    return page(visit, "strays/stray.html", **_words(row, foreseen, refusal))


@router.post("/strays/{stray_id}/replay")
async def replay(stray_id: StrayId, visit: TheOperator, door: TheDoor, given: TheForm) -> Response:
    """Take the stray in, as it is or corrected; or only say what that would come to."""
    row = await door.read(lambda c: _stray(c, stray_id))
    known = row["reason"] if given.get("vouched") == "true" else None
    fields = {"command_id": str(new_command_id())} if given.get("new_id") == "true" else {}
    body = given.get("body") or row["body"]
    try:
        commands = commands_in(row, body, fields, known)
        if given.get("act") == "check":
            words = _words(row, await door.look(lambda: _foreseen(door, commands)), None)
        else:
            await door.hand_in(lambda: take_in(door, stray_id, commands, visit.actor, known))
            door.hints.send()
            return page(visit, "strays/taken.html", commands=commands, stray_id=stray_id)
    except NoStray:
        raise _gone(stray_id) from None
    except (InvalidCommand, work.NotVouchedFor, NotAccepted) as error:
        words = _words(row, [], str(error))
    if visit.is_htmx:
        return page(visit, "strays/foreseen.html", **words)
    status = 422 if words["refusal"] else 200
    return page(visit, "strays/stray.html", status=status, **words | {"body": body})


@router.post("/strays/{stray_id}/discard")
async def discard(stray_id: StrayId, visit: TheOperator, door: TheDoor, given: TheForm) -> Response:
    """Take the stray from the list."""
    because, chosen = line("because", given.get("because")), ChosenStrays(ids=[stray_id])

    def act(connection: Connection) -> list[int]:
        return work.discard_strays(connection, chosen, actor=visit.actor, because=because, limit=1)

    if not await door.write(act):
        raise _gone(stray_id)
    return page(visit, "strays/discarded.html", filters=Filters(), discarded=1, left=0)


def _stray(connection: Connection, stray_id: int) -> dict[str, Any]:
    found = work.strays(connection, ChosenStrays(ids=[stray_id]), limit=1)
    if not found:
        raise _gone(stray_id)
    return found[0]


def _foreseen(door: Door, commands: list[Command]) -> list[dict[str, Any]]:
    found = preview(door.engine, commands, grace_s=door.settings.grace_s, rules=door.rules)
    return [{"command": one.command, **_judged(one)} for one in found]


def _judged(one: Preview) -> dict[str, Any]:
    if isinstance(one.verdict, Receipt):
        is_known = one.verdict.answer == "known"
        return {"prospect": "already_done" if is_known else "would_fail", "why": one.verdict.answer}
    prospect, why = judged(one.verdict)
    return {"prospect": prospect, "why": why}


def _words(
    row: dict[str, Any], foreseen: list[dict[str, Any]], refusal: str | None
) -> dict[str, Any]:
    return {
        "stray": row,
        "body": row["body"],
        "is_of_the_door": row["reason"] in REFUSED_AT_THE_DOOR,
        "foreseen": foreseen,
        "refusal": refusal,
    }


def _gone(stray_id: int) -> Problem:
    return Problem("not-found", f"stray {stray_id} is not here")
