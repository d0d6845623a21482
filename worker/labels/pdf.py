"""Pages as PDF: the same pages give the same bytes."""

import io
import threading
from collections.abc import Iterable
from typing import Final

from reportlab.pdfgen.canvas import Canvas

from worker.labels import page
from worker.labels.fonts import Fonts
from worker.labels.page import Bars, Page, Rule, Text

POINTS_PER_DOT: Final = 72 / page.DOTS_PER_INCH

# A font remembers for each document which of its letters are used, but reads its file through one
# position that all threads share.
_one_at_a_time = threading.Lock()


def pdf(pages: Iterable[Page], fonts: Fonts, *, title: str) -> bytes:
    """One document of all pages."""
    buffer = io.BytesIO()
    with _one_at_a_time:
        size = (page.WIDTH * POINTS_PER_DOT, page.HEIGHT * POINTS_PER_DOT)
        canvas = Canvas(buffer, pagesize=size, invariant=1, pageCompression=1)
        canvas.setTitle(title)
        canvas.setAuthor("")
        for elements in pages:
            # From here on as the pages count: in dots, from the upper left corner.
            canvas.scale(POINTS_PER_DOT, POINTS_PER_DOT)
            for element in elements:
                _draw(canvas, element, fonts)
            canvas.showPage()
        canvas.save()
    return buffer.getvalue()


def _draw(canvas: Canvas, element: page.Element, fonts: Fonts) -> None:
    match element:
        case Text():
            canvas.setFont(fonts.face(element.text, bold=element.bold).name, element.size)
            canvas.drawString(element.x, page.HEIGHT - element.y, element.text)
        case Rule():
            _fill(canvas, element.x, element.y, element.width, element.height)
        case Bars():
            x = element.x
            for n, modules in enumerate(element.symbol.pattern):
                width = int(modules) * element.symbol.module_dots
                if n % 2 == 0:
                    _fill(canvas, x, element.y, width, element.height)
                x += width


def _fill(canvas: Canvas, x: int, y: int, width: int, height: int) -> None:
    canvas.rect(x, page.HEIGHT - y - height, width, height, stroke=0, fill=1)
