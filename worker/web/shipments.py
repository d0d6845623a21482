"""`/v1/shipments/{id}/...`: labels and packing slips, as they were made; drawn where none was."""

from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from worker.errors import Terminal, Transient
from worker.labels import facts
from worker.labels.files import Kind
from worker.labels.printer import Printer
from worker.labels.reprint import reprint
from worker.web.door import Door, TheDoor, TheReader
from worker.web.openapi import problems
from worker.web.problems import Problem, unavailable

router = APIRouter(tags=["shipments"])

PDF: Final = "application/pdf"
ZPL: Final = "application/vnd.zebra-zpl"


def _file(media_type: str) -> dict[int | str, dict[str, Any]]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        200: {"description": "The file.", "content": {media_type: binary}},
        **problems(404, 409),
    }


@router.get(
    "/v1/shipments/{shipment_id}/label.pdf",
    response_class=Response,
    response_model=None,
    responses=_file(PDF),
)
async def label_pdf(shipment_id: UUID, door: TheDoor, _: TheReader) -> Response:
    """The label, 4 x 6 inches."""
    return Response(await printed(door, shipment_id, "label_pdf"), media_type=PDF)


@router.get(
    "/v1/shipments/{shipment_id}/label.zpl",
    response_class=Response,
    response_model=None,
    responses=_file(ZPL),
)
async def label_zpl(shipment_id: UUID, door: TheDoor, _: TheReader) -> Response:
    """The label for printers that speak ZPL."""
    return Response(await printed(door, shipment_id, "label_zpl"), media_type=ZPL)


@router.get(
    "/v1/shipments/{shipment_id}/slip.pdf",
    response_class=Response,
    response_model=None,
    responses=_file(PDF),
)
async def slip_pdf(shipment_id: UUID, door: TheDoor, _: TheReader) -> Response:
    """The packing slip."""
    return Response(await printed(door, shipment_id, "slip_pdf"), media_type=PDF)


async def printed(door: Door, shipment_id: UUID, kind: Kind) -> bytes:
    """A shipment's file.

    Raises:
      Problem: There is no such shipment, no such file of it, or the store cannot be used.
    """

    def find() -> bytes:
        with door.engine.connect() as connection:
            parcel = facts.parcel(connection, shipment_id)
        if parcel is None:
            raise Problem("not-found", f"shipment {shipment_id} is not here")
        try:
            return reprint(door.engine, door.settings, Printer(door.settings), parcel, kind).content
        except Terminal as error:
            reason = {"reason": error.reason}
            raise Problem("not-printable", str(error), members=reason) from None
        except Transient as error:
            raise unavailable(str(error)) from None

    return await door.look(find)
