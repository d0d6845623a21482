"""`/v1/events`: the feed, as CloudEvents."""

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import Response

from messages.fields import Id
from worker.feed.cloud import cloud_event
from worker.feed.events import CursorGone
from worker.feed.reader import Reader
from worker.web.documents import EventPage
from worker.web.door import TheDoor, TheReader
from worker.web.json import answer
from worker.web.openapi import answers
from worker.web.problems import Problem

router = APIRouter(tags=["events"])

LONGEST_PAGE: Final = 1_000


@router.get(
    "/v1/events",
    response_model=None,
    responses=answers(200, EventPage, "A page, the oldest first.", 410),
)
async def list_(
    door: TheDoor,
    _: TheReader,
    *,
    after: Annotated[
        int | None,
        Query(ge=0, le=2**63 - 1, description="The `id` that was read last; else all kept."),
    ] = None,
    order: Annotated[Id | None, Query(description="Only this order's.")] = None,
    limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 100,
) -> Response:
    """What became of it all, in the order in which an order's events happened. `next` goes on where
    this page ends, also when there is nothing more by now.
    """

    def read() -> tuple[list[dict[str, Any]], int | None]:
        reader = Reader(door.engine, after, order)
        found = reader.page(limit)
        return [cloud_event(one, door.settings.event_source) for one in found], reader.after

    try:
        events, read_to = await door.look(read)
    except CursorGone as error:
        raise Problem("gone", str(error), members={"oldest": error.oldest}) from None
    asked = {"after": read_to, "order": order, "limit": limit}
    given = {name: value for name, value in asked.items() if value is not None}
    return answer({"events": events, "next": f"/v1/events?{urlencode(given)}"})
