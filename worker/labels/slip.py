"""The packing slip of a parcel: its lines and quantities, and what is still to come.

On the paper of the labels, so that one printer makes both; in the customer's language where it is
one of ours, else in English.
"""

from collections.abc import Callable
from typing import Final

from worker.labels import page
from worker.labels.facts import Line, Parcel
from worker.labels.fonts import Fonts
from worker.labels.page import Page, Rule, Text

_WORDS: Final = {
    "en": {
        "slip": "Packing slip",
        "order": "Order {}",
        "parcel": "Parcel {}",
        "parcel_of": "Parcel {} of {}",
        "shipment": "Shipment {}",
        "for": "For {}",
        "here": "In this parcel",
        "to_come": "Still to come",
        "page": "page {} of {}",
        "none": "Nothing",
    },
    "fr": {
        "slip": "Bon de livraison",
        "order": "Commande {}",
        "parcel": "Colis {}",
        "parcel_of": "Colis {} sur {}",
        "shipment": "Expédition {}",
        "for": "Pour {}",
        "here": "Dans ce colis",
        "to_come": "Encore à venir",
        "page": "page {} sur {}",
        "none": "Rien",
    },
}

_LEFT: Final = page.MARGIN
_WIDTH: Final = page.WIDTH - 2 * page.MARGIN
_NAME_X: Final = _LEFT + 130
"""Right of a quantity of a million."""
_BOTTOM: Final = page.HEIGHT - page.MARGIN - 40
"""What is listed ends here; the page's number stands below."""
_SIZE: Final = 22
_SMALL: Final = 20


def slip(parcel: Parcel, fonts: Fonts) -> list[Page]:
    """The slip's pages; as many as its lines need."""
    words = _WORDS.get((parcel.locale or "")[:2].lower(), _WORDS["en"])
    writer = _Writer(_head(parcel, fonts, words))
    here = [(one, one.quantity) for one in parcel.lines if one.quantity > 0]
    to_come = [(one, one.to_come) for one in parcel.lines if one.to_come > 0]
    writer.section(words["here"])
    for line, quantity in here:
        writer.line(line, quantity, fonts)
    if not here:
        writer.nothing(words["none"])
    if to_come:
        writer.section(words["to_come"])
        for line, quantity in to_come:
            writer.line(line, quantity, fonts)
    return writer.pages(words["page"].format)


def _head(parcel: Parcel, fonts: Fonts, words: dict[str, str]) -> list[Text | Rule]:
    """Whose parcel it is; the same on every page, should they part."""
    elements: list[Text | Rule] = [Text(_LEFT, 60, 40, words["slip"], bold=True)]
    told = [words["order"].format(parcel.order_reference)]
    if parcel.position is not None:
        told.append(
            words["parcel_of"].format(parcel.position, parcel.position)
            if parcel.is_last
            else words["parcel"].format(parcel.position)
        )
    if parcel.number is not None:
        told.append(words["shipment"].format(parcel.number))
    if parcel.shipped_at is not None:
        told.append(parcel.shipped_at.date().isoformat())
    address = parcel.ship_to
    name = (address and (address.name or address.company)) or parcel.customer_name
    y = 72
    texts = [" · ".join(told), *([words["for"].format(name)] if name else [])]
    for text in texts:
        size, lines = page.cut(
            fonts, fonts.legible(text), width=_WIDTH, height=2 * page.line_height(24), largest=24
        )
        elements += page.stack(_LEFT, y, size, lines)
        y += len(lines) * page.line_height(size) + 4
    return [*elements, Rule(_LEFT, y + 8, _WIDTH, 3)]


class _Writer:
    """Lines one below the other, on a new page where one is full."""

    def __init__(self, head: list[Text | Rule]) -> None:
        self._head = head
        self._top = max(element.y for element in head) + 16
        self._y = self._top
        self._pages: list[Page] = [list(head)]

    def section(self, heading: str) -> None:
        # Never alone at the foot of a page.
        self._need(60 + 2 * page.line_height(_SIZE))
        self._add(Text(_LEFT, self._y + 40, _SIZE, heading, bold=True))
        self._y += 54

    def line(self, line: Line, quantity: int, fonts: Fonts) -> None:
        text = fonts.legible(f"{line.name} · {line.sku}" if line.sku else line.name)
        lines = page.wrap(fonts, text, _SIZE, page.WIDTH - page.MARGIN - _NAME_X)
        height = len(lines) * page.line_height(_SIZE) + 8
        self._need(height)
        self._add(Text(_LEFT, self._y + _SIZE, _SIZE, f"{quantity} x", bold=True))
        self._add(*page.stack(_NAME_X, self._y, _SIZE, lines))
        self._y += height

    def nothing(self, word: str) -> None:
        self._add(Text(_LEFT, self._y + _SIZE, _SIZE, word))
        self._y += page.line_height(_SIZE)

    def pages(self, numbered: Callable[[int, int], str]) -> list[Page]:
        total = len(self._pages)
        for n, elements in enumerate(self._pages, start=1):
            elements.append(Text(_LEFT, page.HEIGHT - page.MARGIN - 8, _SMALL, numbered(n, total)))
        return self._pages

    def _need(self, height: int) -> None:
        if self._y + height > _BOTTOM:
            self._pages.append(list(self._head))
            self._y = self._top

    def _add(self, *elements: Text) -> None:
        self._pages[-1].extend(elements)
