"""`/labels.pdf`: labels and packing slips of many orders as one file."""

from dataclasses import dataclass, field
from typing import Final

from fastapi import APIRouter, Request
from pypdf.errors import PyPdfError
from sqlalchemy import Connection
from starlette.datastructures import QueryParams
from starlette.responses import Response

from worker.console.filters import order_ids_of
from worker.console.gate import TheViewer
from worker.console.pages import page
from worker.console.paging import PAGE
from worker.errors import Terminal, Transient
from worker.labels import documents, facts
from worker.labels.facts import Parcel
from worker.labels.files import Kind
from worker.labels.printer import Printer
from worker.labels.reprint import reprint
from worker.labels.sheet import sheet
from worker.web.door import Door, TheDoor
from worker.web.problems import Problem, unavailable

router = APIRouter()

MOST_FILES: Final = 200
"""Drawing takes some 15 ms each, and a browser waits."""


@dataclass(slots=True)
class Printed:
    """What became of it."""

    files: list[bytes] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    """Of which all was printed."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why an order's could not be; nothing of it is in the files."""


@router.get("/labels.pdf")
async def labels(request: Request, visit: TheViewer, door: TheDoor) -> Response:
    """Labels as they were made, of parcels not called back; of an order without parcels an address
    label of what is left, which ships nothing. If some cannot be printed, a page that says which.
    """
    order_ids, kinds = _asked(request.query_params)
    printed = await door.look(lambda: _printed(door, order_ids, kinds))
    if printed.refused or not printed.files:
        return page(
            visit,
            "labels.html",
            status=409 if printed.refused else 422,
            printed=printed,
            has_slips="slip_pdf" in kinds,
        )
    content = await door.look(lambda: _joined(printed.files))
    headers = {"Content-Disposition": 'inline; filename="labels.pdf"'}
    return Response(content, media_type="application/pdf", headers=headers)


def _asked(query: QueryParams) -> tuple[tuple[str, ...], tuple[Kind, ...]]:
    kinds: tuple[Kind, ...] = ("label_pdf",)
    if query.get("slips") == "true":
        kinds = ("label_pdf", "slip_pdf")
    return order_ids_of(query, "order")[:PAGE], kinds


def _printed(door: Door, order_ids: tuple[str, ...], kinds: tuple[Kind, ...]) -> Printed:
    done = Printed()
    try:
        printer = Printer(door.settings)
        for order_id in order_ids:
            try:
                room = MOST_FILES - len(done.files)
                done.files += _files(door, printer, order_id, kinds, room)
                done.orders.append(order_id)
            except Terminal as error:
                done.refused[order_id] = str(error)
    except Transient as error:
        raise unavailable(str(error)) from None
    return done


def _files(
    door: Door, printer: Printer, order_id: str, kinds: tuple[Kind, ...], room: int
) -> list[bytes]:
    with door.engine.connect() as connection:
        parcels = _parcels(connection, order_id)
    if len(parcels) * len(kinds) > room:
        raise Terminal("too_many", f"more than {MOST_FILES} files at once")
    return [
        reprint(door.engine, door.settings, printer, parcel, kind).content
        for parcel in parcels
        for kind in kinds
    ]


def _parcels(connection: Connection, order_id: str) -> list[Parcel]:
    """What left, or what would leave next.

    Raises:
      Terminal: There is neither.
    """
    rows = documents.of_order(connection, order_id)
    left = [facts.parcel(connection, row["shipment_id"]) for row in rows if not row["voided_at"]]
    if found := [parcel for parcel in left if parcel]:
        return found
    rest = facts.left_of_order(connection, order_id)
    if rest is None:
        raise Terminal("not_here", "the order is not here")
    if not any(line.quantity for line in rest.lines):
        raise Terminal("nothing_left", "no parcel, and nothing left to ship")
    return [rest]


def _joined(files: list[bytes]) -> bytes:
    try:
        return sheet(files)
    except PyPdfError:  # a carrier's own
        raise Problem("not-printable", "a carrier's label cannot be joined with others") from None
