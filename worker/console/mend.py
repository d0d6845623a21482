"""`/dead/{id}/edit`: a letter set right, and tried again."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from messages import InvalidCommand
from messages.wire import COMMANDS
from worker.console.forms import Form, TheForm
from worker.console.gate import TheOperator
from worker.console.letters import foreseen, gone, letter
from worker.console.pages import page, pretty
from worker.web.door import Door, TheDoor
from worker.work import mending
from worker.work.accept import Receipt
from worker.work.dead import Chosen
from worker.work.mending import CannotEdit, Mended, NotDead
from worker.work.preview import preview
from worker.work.prospects import judged

router = APIRouter()


@router.post("/dead/{letter_id}/edit")
async def edit(letter_id: UUID, visit: TheOperator, door: TheDoor, given: TheForm) -> Response:
    """Set the letter right and try it again; or only say what that would come to."""
    is_check = given.get("act") == "check"
    found = await door.read(lambda c: letter(door, c, letter_id))
    is_command = found["letter"]["route"] == COMMANDS
    mend = _command if is_command else _followup
    try:
        done = await (door.look if is_check else door.hand_in)(
            lambda: mend(door, found, given, visit.actor, is_check=is_check)
        )
    except (InvalidCommand, CannotEdit) as error:
        words: dict[str, Any] = {"refusal": str(error), "foreseen": None}
    except NotDead:
        raise gone(letter_id) from None
    else:
        if isinstance(done, Mended):
            door.hints.send(done.route)
            return page(visit, "dead/mended.html", letter=found["letter"], mended=done)
        words = {"refusal": None, "foreseen": done}
    if visit.is_htmx:
        return page(visit, "dead/foreseen.html", **words)
    status = 422 if words["refusal"] else 200
    given_back = {name: text for name, text in given.items() if name in {*found["fields"], "body"}}
    return page(visit, "dead/letter.html", status=status, **found | words | {"given": given_back})


def _command(
    door: Door, found: Mapping[str, Any], given: Form, actor: str, *, is_check: bool
) -> Mended | dict[str, Any]:
    dead = found["letter"]
    command = mending.corrected_letter(dead, given.get("body", "").encode(), {})
    if not is_check:
        with door.engine.begin() as connection:
            return mending.replace_command(connection, dead["id"], command, actor=actor)
    new = mending.replacement(dead["body"], command, actor=actor)
    changes = mending.changed(dead["body"], new)
    if not changes:
        raise CannotEdit("nothing would be changed")
    (one,) = preview(door.engine, [new], grace_s=door.settings.grace_s, rules=door.rules)
    if isinstance(one.verdict, Receipt):  # never: its id is new
        raise CannotEdit("it was sent before")
    prospect, why = judged(one.verdict)
    return {"prospect": prospect, "why": why, "changes": list(changes)}


def _followup(
    door: Door, found: Mapping[str, Any], given: Form, actor: str, *, is_check: bool
) -> Mended | dict[str, Any]:
    letter_id, fields = found["letter"]["id"], _changed(found["fields"], given)
    if not fields:
        raise CannotEdit("nothing would be changed")
    if not is_check:
        with door.engine.begin() as connection:
            return mending.edit_and_replay(connection, letter_id, fields, actor=actor)
    with door.engine.connect() as connection:
        mending.edit_followup(connection, letter_id, fields, actor=actor)
        (one,) = foreseen(door, connection, Chosen(ids=[letter_id]), 1)
        connection.rollback()
    return {"prospect": one.prospect, "why": one.why, "changes": list(fields)}


def _changed(fields: Mapping[str, Any], given: Form) -> dict[str, str]:
    """What was typed, where it is not what was there; what is empty takes the field away."""
    texts = {name: given.get(name, "").replace("\r\n", "\n").strip() for name in fields}
    return {
        name: text or "null"
        for name, text in texts.items()
        if name in given and text != _as_text(fields[name])
    }


def _as_text(value: Any) -> str:
    """A value as a form shows it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else pretty(value)
