"""`/orders/{order_id}/{kind}`: acting on an order, in three steps: a form, what would happen, and
the command.

The form carries the command's id and the order's version: sent twice it is one command, and it
changes nothing that was not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from messages import Command
from worker.carriers import table
from worker.console.drafts import (
    NEW_CARRIER,
    OF_A_PARCEL,
    TELLS_NOBODY,
    Draft,
    Kind,
    Wrong,
    command_of,
    fresh,
    of_form,
    shipment_of,
)
from worker.console.forms import TheForm
from worker.console.gate import TheAgent
from worker.console.order import Seen, see
from worker.console.pages import page
from worker.console.visit import Visit, see_other
from worker.orders.explain import LINE_ACTIONS
from worker.orders.model import Decision, Shipment
from worker.store.reading import Document
from worker.web.door import Door, TheDoor
from worker.web.orders import OrderId
from worker.web.problems import Problem
from worker.web.receipts import accept, of_one
from worker.work.preview import preview
from worker.work.previewed import document, tracked

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Act:
    """An action on an order, as far as it has come."""

    kind: Kind
    seen: Seen
    carriers: dict[str, str]
    """Names by code."""
    shipment: Document | None
    """The parcel that it is about, if it is about one."""

    @property
    def refused_because(self) -> str | None:
        """Why nothing of the kind is possible at all: a reason's code."""
        match self.kind:
            case "refund":
                asked = [self.seen.possible(one) for one in ("refund_amount", "refund_shipping")]
                return None if any(one.is_allowed for one in asked) else asked[0].reason
            case "void" | "update_tracking":
                is_gone = self.shipment is not None and self.shipment["voided_at"]
                return "already_voided" if is_gone else None
            case _:
                return self.seen.possible(self.kind).reason

    def command(self, draft: Draft, visit: Visit) -> Command:
        """The command that the draft makes.

        Raises:
          Wrong: It makes none.
        """
        assert visit.user is not None, "the gate let somebody in"  # noqa: S101  # its promise
        return command_of(draft, self.seen.order, self.carriers, issued_by=visit.user.name)


@router.get("/orders/{order_id}/{kind}")
async def form(
    order_id: OrderId, kind: Kind, visit: TheAgent, door: TheDoor, shipment: UUID | None = None
) -> Response:
    """The form, all that is left chosen; where there is nothing to choose, what would happen."""
    act = await _act(door, order_id, kind, shipment)
    draft = fresh(kind, act.seen, act.shipment)
    if act.refused_because:
        return _form(visit, act, draft, status=409)
    if kind == "release":
        return await _foreseen(visit, door, act, draft)
    return _form(visit, act, draft)


@router.post("/orders/{order_id}/{kind}/preview")
async def foresee(
    order_id: OrderId, kind: Kind, visit: TheAgent, door: TheDoor, given: TheForm
) -> Response:
    """What would happen: beside the form while it is filled in, then as a page that asks whether to
    go on. Nothing is written.
    """
    draft = of_form(kind, given)
    return await _foreseen(visit, door, await _act(door, order_id, kind, shipment_of(draft)), draft)


@router.get("/orders/{order_id}/{kind}/{step}")
async def back(
    order_id: OrderId, kind: Kind, step: Literal["preview", "edit"], visit: TheAgent
) -> Response:
    """To the order: these pages are made of what was sent to them, not asked for again."""
    del kind, step
    return see_other(visit, _address(order_id))


@router.post("/orders/{order_id}/{kind}/edit")
async def edit(
    order_id: OrderId, kind: Kind, visit: TheAgent, door: TheDoor, given: TheForm
) -> Response:
    """The form once more, as it was filled in."""
    draft = of_form(kind, given)
    return _form(visit, await _act(door, order_id, kind, shipment_of(draft)), draft)


@router.post("/orders/{order_id}/{kind}")
async def send(
    request: Request,
    *,
    order_id: OrderId,
    kind: Kind,
    visit: TheAgent,
    door: TheDoor,
    given: TheForm,
) -> Response:
    """Hand the command in, and go to the order, which tells what became of it."""
    draft = of_form(kind, given)
    act = await _act(door, order_id, kind, shipment_of(draft))
    try:
        command = act.command(draft, visit)
    except Wrong as wrong:
        return _form(visit, act, draft, status=422, wrong=wrong)
    (result,) = await door.hand_in(lambda: accept(door, request, [command]))
    if result["answer"] == "accepted":
        door.hints.send()
    if result["answer"] == "id_reused":
        told = {"would_be": "id_reused", "outcome": None}
        return _form(visit, act, draft, status=409, told=told, command=command)
    of_one(result)  # which raises why the door did not take it
    return _to_outcome(visit, command)


async def _act(door: Door, order_id: str, kind: Kind, shipment_id: UUID | None) -> Act:
    def look(connection: Connection) -> Act:
        of_lines = [one for one in LINE_ACTIONS if one == kind]
        seen = see(connection, order_id, door.rules, of_lines=of_lines)
        carriers = table.names(connection)
        return Act(kind, seen, carriers, seen.shipment(shipment_id))

    act = await door.read(look)
    if kind in OF_A_PARCEL and act.shipment is None:
        raise Problem("not-found", "the order has no such shipment")
    return act


async def _foreseen(visit: Visit, door: Door, act: Act, draft: Draft) -> Response:
    try:
        command = act.command(draft, visit)
    except Wrong as wrong:
        return _form(visit, act, draft, status=422, wrong=wrong)
    grace_s = door.settings.grace_s
    (found,) = await door.look(
        lambda: preview(door.engine, [command], grace_s=grace_s, rules=door.rules)
    )
    told = document(found)
    parcels: Sequence[Shipment] = ()
    if isinstance(found.verdict, Decision):
        parcels = tracked(found.verdict)
    words: dict[str, Any] = {
        "told": told,
        "parcel": parcels[0] if parcels else None,
        "command": command,
    }
    if visit.is_htmx:
        return page(visit, "action/foreseen.html", **_words(act, draft), **words)
    match told["would_be"]:
        case "applied":
            return page(visit, "action/confirm.html", **_words(act, draft), **words)
        case "known":
            return _to_outcome(visit, command)
        case _:
            return _form(visit, act, draft, status=409, **words)


def _form(
    visit: Visit,
    act: Act,
    draft: Draft,
    *,
    status: int = 200,
    wrong: Wrong | None = None,
    **words: Any,
) -> Response:
    """The form; for htmx only what is wrong with it."""
    words = {"told": None, "parcel": None, **words, **_words(act, draft), "wrong": wrong}
    if visit.is_htmx:
        return page(visit, "action/wrong.html", **words)
    return page(visit, "action.html", status=status, **words)


def _words(act: Act, draft: Draft) -> dict[str, Any]:
    return {
        "act": act,
        "kind": act.kind,
        "seen": act.seen,
        "order": act.seen.order,
        "draft": draft,
        "wrong": None,
        "new_carrier": NEW_CARRIER,
        "tells": act.kind not in TELLS_NOBODY,
    }


def _to_outcome(visit: Visit, command: Command) -> Response:
    return see_other(visit, f"{_address(command.order_id)}?command={command.command_id}")


def _address(order_id: str) -> str:
    return f"/orders/{quote(order_id, safe='')}"
