"""`/v1/shipments/{id}/...`: labels and packing slips, as they were made; drawn where none was."""

from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from worker.errors import Terminal, Transient
from worker.labels import documents, facts
from worker.labels.files import Kind, digest_of, files, name_of
from worker.labels.printer import Printer
from worker.postage.purchases import look as look_at_purchases
from worker.settings import Settings
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
    return Response(await _printed(door, shipment_id, "label_pdf"), media_type=PDF)


@router.get(
    "/v1/shipments/{shipment_id}/label.zpl",
    response_class=Response,
    response_model=None,
    responses=_file(ZPL),
)
async def label_zpl(shipment_id: UUID, door: TheDoor, _: TheReader) -> Response:
    """The label for printers that speak ZPL."""
    return Response(await _printed(door, shipment_id, "label_zpl"), media_type=ZPL)


@router.get(
    "/v1/shipments/{shipment_id}/slip.pdf",
    response_class=Response,
    response_model=None,
    responses=_file(PDF),
)
async def slip_pdf(shipment_id: UUID, door: TheDoor, _: TheReader) -> Response:
    """The packing slip."""
    return Response(await _printed(door, shipment_id, "slip_pdf"), media_type=PDF)


async def _printed(door: Door, shipment_id: UUID, kind: Kind) -> bytes:
    def find(connection: Connection) -> bytes:
        try:
            return _find(connection, door.settings, shipment_id, kind)
        except Terminal as error:
            reason = {"reason": error.reason}
            raise Problem("not-printable", str(error), members=reason) from None
        except Transient as error:
            raise unavailable(str(error)) from None

    return await door.read(find)


def _find(connection: Connection, config: Settings, shipment_id: UUID, kind: Kind) -> bytes:
    """The file that was made, byte for byte; else drawn, and nothing is stored.

    Raises:
      Problem: There is no such shipment.
      Terminal: It was called back, forgotten, pruned, or is not ours to draw.
      Transient: The store cannot be used.
    """
    parcel = facts.parcel(connection, shipment_id)
    if parcel is None:
        raise Problem("not-found", f"shipment {shipment_id} is not here")
    if parcel.is_voided:
        raise Terminal("voided", "it was voided, its items come with another")
    if parcel.is_forgotten:
        raise Terminal("forgotten", "its order was forgotten, nobody knows where it goes")
    made = documents.of_shipment(connection, shipment_id).get(kind)
    bought = look_at_purchases(connection, shipment_id)
    connection.rollback()  # no transaction is open while a store is asked, or while it is drawn
    if made and made.pruned_at:
        raise Terminal("pruned", f"it was pruned on {made.pruned_at:%Y-%m-%d}")
    if made:
        content = files(config).get(name_of(made.sha256, kind))
        if content and digest_of(content) == made.sha256:
            return content
    if kind != "slip_pdf" and bought and bought.wants(config.carrier_adapters):
        # One of our own is worth nothing to who sells labels.
        raise Terminal("bought", f"its label is bought from {bought.carrier}, and not here as such")
    return Printer(config).draw(parcel, kind)
