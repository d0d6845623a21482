"""`/v1/orders`: orders in, lists, one with its history, and what can be done with it."""

import re
from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime
from io import BytesIO
from itertools import islice
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Path, Query, Request
from pydantic import BeforeValidator, StringConstraints, WithJsonSchema
from sqlalchemy import Connection
from starlette.responses import Response

from messages import Place
from messages.fields import Code, Id, Moment
from messages.schema import MOMENT
from messages.wire import PLACE
from worker.carriers.registry import tracking_page
from worker.intake import Refused, read_orders
from worker.orders.explain import LINE_ACTIONS, Action, Explained
from worker.orders.explain import explain as explain_order
from worker.orders.status import FulfillmentStatus, PaymentStatus
from worker.orders.world import World
from worker.store import lists, reading
from worker.store.orders import load, shipments_of
from worker.web.bodies import parsed, read_json
from worker.web.commands import IdempotencyKey, derived_id
from worker.web.documents import ExplainedDocument, OrderDocument, OrderPage
from worker.web.documents import Receipt as ReceiptDocument
from worker.web.door import TheDoor, TheKey, TheReader, check_kinds
from worker.web.json import answer
from worker.web.openapi import ORDER, answers, body
from worker.web.problems import Problem, invalid
from worker.web.receipts import accept, of_one
from worker.work.judging import Decide

router = APIRouter(tags=["orders"])

LONGEST_PAGE: Final = 200

OrderId = Annotated[Id, Path()]
_Search = Annotated[str, StringConstraints(min_length=1, max_length=255)]


def _written(text: str) -> str:
    """Only the one form: a number would be read as seconds since 1970."""
    if not re.fullmatch(MOMENT, text):
        raise ValueError("must be like 2026-03-01T12:00:00Z, in the years 1970 to 2999")
    return text


_Time = Annotated[
    Moment,
    BeforeValidator(_written),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": MOMENT}),
]


@router.get(
    "/v1/orders",
    response_model=None,
    responses=answers(200, OrderPage, "A page, newest first.", 404),
)
async def list_(
    door: TheDoor,
    _: TheReader,
    *,
    search: Annotated[
        _Search | None,
        Query(description="Beginnings of id, number, customer, e-mail or SKU; a tracking number."),
    ] = None,
    status: Annotated[list[FulfillmentStatus], Query()] = [],  # noqa: B006  # FastAPI copies it
    payment_status: Annotated[list[PaymentStatus], Query()] = [],  # noqa: B006  # likewise
    carrier: Annotated[list[Code], Query(max_length=50, description="Of a parcel.")] = [],  # noqa: B006  # likewise
    placed_from: Annotated[_Time | None, Query()] = None,
    placed_until: Annotated[_Time | None, Query()] = None,
    refund_pending: bool = False,
    dead: Annotated[bool, Query(description="Only with work that is dead.")] = False,
    after: Annotated[Id | None, Query(description="The last order of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 50,
) -> Response:
    """Orders that meet every condition, newest first; `next` is the next page."""
    wanted = lists.Wanted(
        search=search,
        statuses=status,
        payment_statuses=payment_status,
        carriers=carrier,
        placed_from=placed_from,
        placed_until=placed_until,
        refund_pending=refund_pending,
        has_dead=dead,
    )
    try:
        found = await door.read(
            lambda connection: lists.orders(connection, wanted, after=after, limit=limit + 1)
        )
    except lists.UnknownCursor as error:
        raise Problem("not-found", str(error)) from None
    page = found[:limit]
    if len(found) == len(page):
        return answer({"orders": page, "next": None})
    asked = {
        "search": search,
        "status": status,
        "payment_status": payment_status,
        "carrier": carrier,
        "placed_from": placed_from and placed_from.isoformat(),
        "placed_until": placed_until and placed_until.isoformat(),
        "refund_pending": "true" if refund_pending else None,
        "dead": "true" if dead else None,
        "after": page[-1]["order_id"],
        "limit": limit,
    }
    given = {name: value for name, value in asked.items() if value}
    following = f"/v1/orders?{urlencode(given, doseq=True)}"
    return answer(
        {"orders": page, "next": following}, headers={"Link": f'<{following}>; rel="next"'}
    )


@router.post(
    "/v1/orders",
    status_code=202,
    response_model=None,
    responses=answers(202, ReceiptDocument, "Committed; not decided yet.", 400, 408, 409, 413, 415),
    openapi_extra=body(ORDER),
)
async def place(
    request: Request, door: TheDoor, key: TheKey, idempotency_key: IdempotencyKey = None
) -> Response:
    """Take one order in: ours, or an order as Square or Shopify has it.

    The command's id follows from the order's content unless `Idempotency-Key` says it, so the same
    order again is `known`. What does not tie to the minor unit is refused with the difference.
    """
    check_kinds(key, [PLACE])
    raw = await read_json(request, door.settings.web_max_body_bytes)

    def hand_in() -> dict[str, Any]:
        command = _order(parsed(raw))
        if idempotency_key is not None:
            command = command.model_copy(update={"command_id": derived_id(idempotency_key)})
        (result,) = accept(door, request, [command])
        return result

    result = await door.hand_in(hand_in)
    if result["answer"] == "accepted":
        door.hints.send()
    return of_one(result)


@router.get(
    "/v1/orders/{order_id}",
    response_model=None,
    responses=answers(200, OrderDocument, "All that is known.", 404),
)
async def show(order_id: OrderId, door: TheDoor, _: TheReader) -> Response:
    """An order: lines, payments, shipments, refunds, history, and what is still to be done."""
    found = await door.read(lambda connection: reading.order(connection, order_id))
    if found is None:
        raise not_here(order_id)
    for shipment in found["shipments"]:
        shipment["tracking_page"] = tracking_page(
            shipment["tracking_number"], shipment["tracking_page"], shipment["tracking_url"]
        )
    return answer(found)


@router.get(
    "/v1/orders/{order_id}/explain",
    response_model=None,
    responses=answers(200, ExplainedDocument, "Each action.", 404),
)
async def explain(order_id: OrderId, door: TheDoor, _: TheReader) -> Response:
    """What can be done with an order now, by line and by parcel, and why the rest cannot."""
    found = await door.read(lambda connection: explained(connection, order_id, door.rules))
    return answer(asdict(found))


def explained(
    connection: Connection,
    order_id: str,
    rules: Decide,
    *,
    of_lines: Collection[Action] = LINE_ACTIONS,
) -> Explained:
    """What can be done with an order, and with each of its lines by the actions `of_lines`.

    Raises:
      Problem: It is not here.
    """
    order = load(connection, [order_id]).get(order_id)
    if order is None:
        raise not_here(order_id)
    shipments = shipments_of(connection, order_id)
    world = World(datetime.now(UTC), {}, shipments=shipments)
    return explain_order(order, world, rules, of_lines=of_lines)


def not_here(order_id: str) -> Problem:
    """There is no such order."""
    return Problem("not-found", f"order {order_id} is not here")


def _order(given: Any) -> Place:
    """The command that places it.

    Raises:
      Problem: It is no order, more than one, or one that cannot be taken in.
    """
    if not isinstance(given, dict):
        raise invalid([("body", "must be an order, a JSON object")])
    try:
        whole = orjson.dumps(given)
    except orjson.JSONEncodeError:
        raise invalid([("body", "nests too deeply")]) from None
    orders = list(islice(read_orders(BytesIO(whole)), 2))
    if len(orders) != 1:
        raise invalid([("body", "must be one order")])
    (order,) = orders
    if isinstance(order, Refused):
        errors = [{"field": "body", "detail": order.message}]
        raise Problem("invalid", order.message, errors, members={"reason": order.reason})
    return order
