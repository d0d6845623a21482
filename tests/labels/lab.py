"""Parcels with sensible defaults, and what a scanner and a person see of a page."""

import io
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pypdfium2
import zplkit
import zxingcpp
from PIL import Image
from sqlalchemy import Engine

from messages import Ship
from messages.order import Address
from tests import factories as make
from tests.work import rig
from worker.labels.facts import Line, Parcel
from worker.labels.fonts import Fonts
from worker.labels.label import Sender, label
from worker.labels.page import Page
from worker.labels.pdf import pdf
from worker.labels.zpl import zpl

DPI = 203
SHOP = Address(
    company="Example Shop",
    lines=("10 Example Road",),
    city="Portland",
    district="OR",
    postal_code="97201",
    country="US",
)


def address(**fields: Any) -> Address:
    """A customer in the United States."""
    return Address(
        **{
            "name": "Customer 1",
            "lines": ("1 Example Street",),
            "city": "Springfield",
            "district": "IL",
            "postal_code": "62701",
            "country": "US",
        }
        | fields
    )


def parcel(*lines: Line, **fields: Any) -> Parcel:
    """The first and only parcel of an order, by DHL Express."""
    return Parcel(
        **{
            "order_id": "O-1",
            "order_reference": "1001",
            "ship_to": address(),
            "ship_from": SHOP,
            "customer_name": "Customer 1",
            "locale": "en",
            "lines": lines or (Line("Product A", "SKU-A", 2, 0),),
            "shipment_id": UUID(int=1),
            "number": 42,
            "carrier": "DHL",
            "service": "Express",
            "tracking_number": "JD014600003SE",
            "shipped_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
            "position": 1,
        }
        | fields
    )


def placed(engine: Engine, *, order_id: str = "O-1", **fields: Any) -> None:
    """An order of five of A and two of B, with an address."""
    lines = (make.order_line("A", 5), make.order_line("B", 2))
    rig.with_lines(engine, *lines, order_id=order_id, **{"ship_to": address()} | fields)


def ship(**fields: Any) -> Ship:
    """Ship with a label."""
    return make.ship(**{"label": "generate", "tracking_number": "JD014600003SE"} | fields)


def drawn(one: Parcel, *, prefix: str | None = None, fonts: Fonts | None = None) -> Page:
    """The label of a parcel."""
    return label(one, fonts or Fonts(), Sender(gs1_company_prefix=prefix))


def as_pdf(page: Page, fonts: Fonts | None = None) -> bytes:
    return pdf([page], fonts or Fonts(), title="Label")


def as_zpl(page: Page, fonts: Fonts | None = None) -> bytes:
    return zpl([page], fonts or Fonts())


def pictures(content: bytes) -> list[Image.Image]:
    """The pages of a PDF as a label printer prints them, in shades of grey."""
    with pypdfium2.PdfDocument(content) as document:
        return [page.render(scale=DPI / 72).to_pil().convert("L") for page in document]


def rendered(content: bytes) -> list[Image.Image]:
    """The labels of a ZPL file as the printer prints them."""
    labels = zplkit.render(content.decode()).labels
    return [Image.open(io.BytesIO(one.png())).convert("L") for one in labels]


def scanned(picture: Image.Image) -> list[tuple[str, str]]:
    """What a scanner reads: content and type (`Text` or `GS1`)."""
    found = zxingcpp.read_barcodes(picture)
    assert all(one.format == zxingcpp.BarcodeFormat.Code128 for one in found)
    return [(one.text, one.content_type.name) for one in found]


def words(content: bytes) -> str:
    """The text of a PDF as a person reads it, line by line."""
    with pypdfium2.PdfDocument(content) as document:
        return "\n".join(page.get_textpage().get_text_range() for page in document)
