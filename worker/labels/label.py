"""The label of a parcel: from, to, carrier, order, and the bar code."""

from typing import Final

from messages.order import Address
from worker.labels import page
from worker.labels.address import postal_lines
from worker.labels.barcode import code
from worker.labels.facts import Parcel, bad_address
from worker.labels.fonts import Fonts
from worker.labels.page import Bars, Element, Page, Rule, Text
from worker.orders.value import value

BARS_HEIGHT: Final = 260
"""32 mm, the least that GS1 asks of a logistic label (General Specifications 5.4.3)."""

_LEFT: Final = page.MARGIN
_WIDTH: Final = page.WIDTH - 2 * page.MARGIN
_COLUMN: Final = 480
"""Where the carrier begins, right of the sender."""
_HEADING: Final = 18
_KINDS: Final = {"tracking": "TRACKING NUMBER", "sscc": "SSCC", "shipment": "SHIPMENT"}


@value
class Sender:
    """What is the same on all labels of a merchant."""

    address: Address | None = None
    gs1_company_prefix: str | None = None


def label(parcel: Parcel, fonts: Fonts, sender: Sender) -> Page:
    """The label. An address of the order's own to ship from goes before the merchant's; without
    either the label names no sender.

    Raises:
      Terminal: Nothing can be delivered to the address, or it is too long for a label, or there
        are no SSCC numbers left.
    """
    if parcel.ship_to is None:
        raise bad_address("ship_to", ())
    ship_from = parcel.ship_from or sender.address
    elements: Page = []
    if ship_from:
        lines = postal_lines(
            ship_from, fonts, whose="ship_from", from_country=parcel.ship_to.country
        )
        elements += _block(
            "FROM",
            lines,
            fonts,
            y=24,
            width=_COLUMN - 40,
            height=170,
            largest=24,
            whose="ship_from",
        )
    elements += _carrier(parcel, fonts)
    elements.append(Rule(_LEFT, 226, _WIDTH, 3))
    lines = postal_lines(
        parcel.ship_to,
        fonts,
        whose="ship_to",
        recipient=parcel.customer_name,
        from_country=ship_from.country if ship_from else None,
    )
    elements += _block(
        "TO", lines, fonts, y=240, width=_WIDTH, height=400, largest=46, whose="ship_to"
    )
    elements.append(Rule(_LEFT, 690, _WIDTH, 3))
    elements += _order(parcel, fonts)
    elements.append(Rule(_LEFT, 786, _WIDTH, 3))
    if parcel.number is not None:
        elements += _bars(parcel, parcel.number, fonts, sender)
    return elements


def _block(
    heading: str,
    lines: list[str],
    fonts: Fonts,
    *,
    y: int,
    width: int,
    height: int,
    largest: int,
    whose: str,
) -> list[Text]:
    found = page.fit(fonts, lines, width=width, height=height, largest=largest)
    if found is None:
        # Cut off, it would lead somewhere else.
        raise bad_address(whose, ["it is too long for a label"])
    size, wrapped = found
    return [
        Text(_LEFT, y + _HEADING, _HEADING, heading, bold=True),
        *page.stack(_LEFT, y + 28, size, wrapped),
    ]


def _carrier(parcel: Parcel, fonts: Fonts) -> list[Text]:
    width = page.WIDTH - page.MARGIN - _COLUMN
    y = 24
    elements: list[Text] = []
    for text, height, largest, bold in (
        (parcel.carrier, 100, 44, True),
        (parcel.service, 80, 30, False),
    ):
        if text:
            size, lines = page.cut(
                fonts, fonts.legible(text), width=width, height=height, largest=largest, bold=bold
            )
            elements += page.stack(_COLUMN, y, size, lines, bold=bold)
            y += len(lines) * page.line_height(size) + 8
    return elements


def _order(parcel: Parcel, fonts: Fonts) -> list[Text]:
    reference = fonts.legible(parcel.order_reference)
    size, lines = page.cut(fonts, reference, width=_WIDTH - 240, height=56, largest=34, bold=True)
    elements = [
        Text(_LEFT, 700 + _HEADING, _HEADING, "ORDER", bold=True),
        *page.stack(_LEFT, 724, size, lines, bold=True),
    ]
    if parcel.position is not None:
        x = page.WIDTH - page.MARGIN - 220
        total = f" of {parcel.position}" if parcel.is_last else ""
        elements += [
            Text(x, 700 + _HEADING, _HEADING, "PARCEL", bold=True),
            *page.stack(x, 724, 34, [f"{parcel.position}{total}"], bold=True),
        ]
    return elements


def _bars(parcel: Parcel, number: int, fonts: Fonts, sender: Sender) -> list[Element]:
    shown = code(parcel.tracking_number, number, sender.gs1_company_prefix, width_dots=page.WIDTH)
    elements: list[Element] = []
    y = 800
    if parcel.tracking_number and shown.kind != "tracking":
        text = fonts.legible(parcel.tracking_number)
        size, lines = page.cut(fonts, text, width=_WIDTH, height=50, largest=28, bold=True)
        elements += [
            Text(_LEFT, y + _HEADING, _HEADING, _KINDS["tracking"], bold=True),
            *page.stack(_LEFT, y + 24, size, lines, bold=True),
        ]
    y = 906
    x = (page.WIDTH - shown.symbol.width_dots) // 2
    size, lines = page.cut(fonts, shown.text, width=_WIDTH, height=40, largest=32, bold=True)
    text_x = (page.WIDTH - round(fonts.width(lines[0], size, bold=True))) // 2
    return [
        *elements,
        Text(_LEFT, y - 12, _HEADING, _KINDS[shown.kind], bold=True),
        Bars(x, y, BARS_HEIGHT, shown.symbol),
        *page.stack(text_x, y + BARS_HEIGHT + 4, size, lines, bold=True),
    ]
