"""`/v1/commands`: commands in, and what became of them; `/v1/preview`: what would."""

from typing import Annotated, Any, Final
from uuid import UUID, uuid5

import orjson
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from messages import Command, InvalidCommand, parse
from messages import Problem as FieldProblem
from worker.store import reading
from worker.web.bodies import parsed, read_json
from worker.web.documents import CommandDocument, Previews, Receipts
from worker.web.documents import Receipt as ReceiptDocument
from worker.web.door import Door, TheDoor, TheKey, check_kinds
from worker.web.json import answer
from worker.web.openapi import answers, body, one_or_many
from worker.web.problems import Problem, invalid
from worker.web.receipts import accept, of_many, of_one
from worker.work.preview import preview as foresee
from worker.work.previewed import document

router = APIRouter(tags=["commands"])

MOST: Final = 500
"""Commands of one request."""
MOST_FORESEEN: Final = 100
LONGEST_WAIT_S: Final = 60
IDEMPOTENCY: Final = UUID("0b0ff0f5-6c0f-5f27-8f3e-52b6c1f0a9d4")
"""Namespace of ids that are derived from an `Idempotency-Key`. Frozen: another one would apply what
is sent again a second time.
"""
_SHOWN: Final = (
    "command_id",
    "kind",
    "order_id",
    "state",
    "outcome",
    "dead_reason",
    "waits_for",
    "accepted_at",
    "decided_at",
    "attempts",
)
"""Of a command. Not its body: whoever sent it knows it, others may not."""

IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)
]


@router.post(
    "/v1/commands",
    status_code=202,
    response_model=None,
    responses=answers(
        202,
        ReceiptDocument | Receipts,
        "Committed: one receipt for a command, `results` for an array.",
        400,
        408,
        409,
        413,
        415,
    ),
    openapi_extra=body(one_or_many(MOST)),
)
async def send(
    request: Request, door: TheDoor, key: TheKey, idempotency_key: IdempotencyKey = None
) -> Response:
    """Hand in one command, or an array of them. Of an array each command is judged by itself."""
    raw = await read_json(request, door.settings.web_max_body_bytes)

    def hand_in() -> tuple[list[dict[str, Any]], Any]:
        given = parsed(raw)
        commands = _read(given, idempotency_key, MOST)
        check_kinds(key, [one.kind for one in commands if not isinstance(one, InvalidCommand)])
        return accept(door, request, commands), given

    results, given = await door.hand_in(hand_in)
    if any(one["answer"] == "accepted" for one in results):
        door.hints.send()
    return of_many(results) if isinstance(given, list) else of_one(results[0])


@router.get(
    "/v1/commands/{command_id}",
    response_model=None,
    responses=answers(200, CommandDocument, "How far it is.", 404),
)
async def look(
    command_id: UUID,
    door: TheDoor,
    key: TheKey,
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for the outcome.")
    ] = 0,
) -> Response:
    """What became of a command; with `wait` as soon as it has ended, or when the time is up."""
    found = await _command(door, command_id)
    if not key.may_read:
        check_kinds(key, [found["kind"]])
    if wait and found["state"] == "pending":
        await door.waiting.until_ended(command_id, wait)
        found = await _command(door, command_id)
    return answer({name: found[name] for name in _SHOWN})


@router.post(
    "/v1/preview",
    response_model=None,
    responses=answers(200, Previews, "What would become of each.", 400, 408, 413, 415),
    openapi_extra=body(one_or_many(MOST_FORESEEN)),
)
async def preview(
    request: Request, door: TheDoor, key: TheKey, idempotency_key: IdempotencyKey = None
) -> Response:
    """What would become of commands, each on the orders as those before it would leave them.
    Nothing is written.
    """
    raw = await read_json(request, door.settings.web_max_body_bytes)

    def judge() -> list[dict[str, Any]]:
        commands = _read(parsed(raw), idempotency_key, MOST_FORESEEN)
        for place, one in enumerate(commands):
            if isinstance(one, InvalidCommand):
                where = f"{place}." if len(commands) > 1 else ""
                raise invalid((f"{where}{field}", allowed) for field, allowed in one.problems)
        wanted = [one for one in commands if not isinstance(one, InvalidCommand)]
        check_kinds(key, [one.kind for one in wanted])
        found = foresee(door.engine, wanted, grace_s=door.settings.grace_s, rules=door.rules)
        return [_with_total(document(one)) for one in found]

    return answer({"results": await door.look(judge)})


async def _command(door: Door, command_id: UUID) -> reading.Document:
    found = await door.read(lambda connection: reading.command(connection, command_id))
    if found is None:
        raise Problem("not-found", f"command {command_id} is not here")
    return found


def _read(given: Any, idempotency_key: str | None, most: int) -> list[Command | InvalidCommand]:
    """The commands, in order; of each that is none, why.

    Raises:
      Problem: It is a single one that is none, or it is no list of a usable length.
    """
    if isinstance(given, list):
        if not 1 <= len(given) <= most:
            raise invalid([("body", f"must hold 1 to {most} commands")])
        if idempotency_key is not None:
            why = "is for a single command; of an array each has a command_id"
            raise invalid([("Idempotency-Key", why)])
        return [_parse(one) for one in given]
    if idempotency_key is not None and isinstance(given, dict):
        given = _identified(given, idempotency_key)
    one = _parse(given)
    if isinstance(one, InvalidCommand):
        raise invalid(one.problems)
    return [one]


def _parse(given: Any) -> Command | InvalidCommand:
    try:
        return parse(orjson.dumps(given))
    except InvalidCommand as error:
        return error
    except orjson.JSONEncodeError:  # nests deeper than what was read may be written
        return InvalidCommand((FieldProblem("body", "nests too deeply"),))


def _identified(given: dict[str, Any], idempotency_key: str) -> dict[str, Any]:
    """The command with the id that the header says."""
    derived = str(derived_id(idempotency_key))
    said = given.get("command_id", derived)
    if not isinstance(said, str) or said.lower() != derived:
        raise invalid([("command_id", "must be what Idempotency-Key says, or be left out")])
    return given | {"command_id": said}


def derived_id(idempotency_key: str) -> UUID:
    """The `command_id` that an `Idempotency-Key` means; quotes around it mean nothing."""
    text = idempotency_key.strip().removeprefix('"').removesuffix('"')
    try:
        found = UUID(text)
    except ValueError:
        return uuid5(IDEMPOTENCY, text)
    return found if str(found) == text.lower() else uuid5(IDEMPOTENCY, text)


def _with_total(found: dict[str, Any]) -> dict[str, Any]:
    """The preview, and what would be paid back in all."""
    refund = (found["outcome"] or {}).get("refund")
    total = refund and {name: refund[name] for name in ("amount_minor", "currency")}
    return found | {"total_to_refund": total}
