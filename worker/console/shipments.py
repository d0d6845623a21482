"""`/shipments/{shipment_id}/...`: a parcel's label and packing slip."""

from typing import Final, Literal
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from worker.console.gate import TheViewer
from worker.labels.files import Kind
from worker.web.door import TheDoor
from worker.web.shipments import PDF, ZPL, printed

router = APIRouter()

_FILES: Final[dict[str, tuple[Kind, str]]] = {
    "label.pdf": ("label_pdf", PDF),
    "label.zpl": ("label_zpl", ZPL),
    "slip.pdf": ("slip_pdf", PDF),
}


@router.get("/shipments/{shipment_id}/{name}")
async def file(
    shipment_id: UUID,
    name: Literal["label.pdf", "label.zpl", "slip.pdf"],
    door: TheDoor,
    _: TheViewer,
) -> Response:
    """The file as it was made; drawn where none was."""
    kind, media_type = _FILES[name]
    shown = {"Content-Disposition": f'inline; filename="{name}"'}
    return Response(await printed(door, shipment_id, kind), headers=shown, media_type=media_type)
