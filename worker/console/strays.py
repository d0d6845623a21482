"""`/strays`: what came in and could not be accepted: looked at, mended, taken in, given up."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Request
from sqlalchemy import Connection
from starlette.responses import Response

from messages import Command, InvalidCommand, new_command_id
from worker.console.age import AGES_S, age, age_s
from worker.console.deadline import Deadline
from worker.console.forms import Form, TheForm
from worker.console.gate import TheOperator, TheViewer
from worker.console.lines import line, printable
from worker.console.moments import moment_of
from worker.console.pages import page
from worker.web.door import Door, TheDoor
from worker.web.problems import Problem
from worker.work import strays as work
from worker.work.accept import Receipt
from worker.work.dead import ago
from worker.work.preview import Preview, preview
from worker.work.prospects import judged
from worker.work.strays import REFUSED_AT_THE_DOOR, ChosenStrays, NoStray, NotAccepted

router = APIRouter()

SHOWN: Final = 50
AT_ONCE: Final = 200
"""Strays that one request takes in, a transaction each."""
CHUNK: Final = 500
ROUND_S: Final = 3.0

StrayId = Annotated[int, Path(ge=1, lt=2**63)]


@dataclass(frozen=True, slots=True)
class Filters:
    """What the form holds."""

    reason: str = ""
    age: str = ""

    @property
    def is_narrow(self) -> bool:
        """Whether there may be strays that these leave out."""
        return self != Filters()

    def of(self, group: Mapping[str, Any]) -> "Filters":
        """The same, of one reason."""
        return replace(self, reason=group["reason"])

    def chosen(self, came_before: datetime) -> ChosenStrays:
        """Which strays these are, of those that had come in by then."""
        return ChosenStrays(reason=self.reason or None, came_before=came_before)

    def address(self, path: str = "/strays", **others: str) -> str:
        """Where these are what is shown."""
        given = {"reason": self.reason, "age": self.age}
        query = urlencode({name: value for name, value in (given | others).items() if value})
        return f"{path}?{query}" if query else path


@dataclass(slots=True)
class Taken:
    """What became of strays that were to be taken in."""

    accepted: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    """Which stay, and why."""


@router.get("/strays")
async def list_(request: Request, visit: TheViewer, door: TheDoor) -> Response:
    """How many came in for what reason, then each, the latest first."""
    filters = _filters(request.query_params)

    def look(connection: Connection) -> dict[str, Any]:
        chosen = filters.chosen(ago(connection, age_s(filters.age)))
        return {
            "groups": work.groups(connection, chosen),
            "strays": work.strays(connection, chosen, limit=SHOWN + 1),
        }

    found = await door.read(look)
    shown = {"HX-Push-Url": filters.address()} if visit.is_htmx else None
    return page(
        visit,
        "strays/results.html" if visit.is_htmx else "strays.html",
        headers=shown,
        filters=filters,
        ages=AGES_S,
        shown=SHOWN,
        **found,
    )


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
                commands = _commands(row, row["body"], {}, known)
                _take_in(door, row["stray_id"], commands, visit.actor, known)
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


@router.get("/strays/{stray_id}")
async def show(stray_id: StrayId, visit: TheViewer, door: TheDoor) -> Response:
    """A stray, whole, with what taking it in would come to."""
    row = await door.read(lambda c: _stray(c, stray_id))
    try:
        foreseen = await door.look(lambda: _foreseen(door, _commands(row, row["body"], {}, None)))
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
        commands = _commands(row, body, fields, known)
        if given.get("act") == "check":
            words = _words(row, await door.look(lambda: _foreseen(door, commands)), None)
        else:
            await door.hand_in(lambda: _take_in(door, stray_id, commands, visit.actor, known))
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


async def _before(request: Request, visit: TheOperator, door: Door, template: str) -> Response:
    filters = _filters(request.query_params)

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


def _stray(connection: Connection, stray_id: int) -> dict[str, Any]:
    found = work.strays(connection, ChosenStrays(ids=[stray_id]), limit=1)
    if not found:
        raise _gone(stray_id)
    return found[0]


def _commands(
    row: Mapping[str, Any], body: str, fields: Mapping[str, str], known: str | None
) -> list[Command]:
    work.vouch(row["reason"], known)
    return work.commands_of(body, fields)


def _take_in(
    door: Door, stray_id: int, commands: list[Command], actor: str, known: str | None
) -> None:
    with door.engine.begin() as connection:
        work.replay_stray(connection, stray_id, commands, actor=actor, known_reason=known)


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


def _acted_on(given: Form) -> tuple[Filters, ChosenStrays]:
    filters = _filters(given)
    return filters, filters.chosen(moment_of("came_before", given.get("came_before")))


def _filters(given: Mapping[str, str]) -> Filters:
    return Filters(reason=printable(given.get("reason", "")), age=age(given.get("age")))


def _gone(stray_id: int) -> Problem:
    return Problem("not-found", f"stray {stray_id} is not here")
