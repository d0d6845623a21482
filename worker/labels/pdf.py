"""Pages as PDF: the same pages give the same bytes."""

import io
import threading
from collections.abc import Iterable
from typing import Final

from PIL import ImageOps
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from worker.labels import page
from worker.labels.fonts import Fonts
from worker.labels.page import Bars, Page, Rule, Text
from worker.labels.picture import picture

POINTS_PER_DOT: Final = 72 / page.DOTS_PER_INCH
_INSET: Final = 0.02
"""In dots. PDF paints every pixel that a shape touches, and edges are written with few decimals: a
bar that ends a millionth beyond its dot would be a dot wider, which scanners do not forgive.
"""
_PICTURE_SCALE: Final = 3
"""Pixels a dot: sharp on an office printer too."""

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
            _write(canvas, element, fonts)
        case Rule():
            _fill(canvas, element.x, element.y, element.width, element.height)
        case Bars():
            x = element.x
            for n, modules in enumerate(element.symbol.pattern):
                width = int(modules) * element.symbol.module_dots
                if n % 2 == 0:
                    _fill(canvas, x, element.y, width, element.height)
                x += width


def _write(canvas: Canvas, text: Text, fonts: Fonts) -> None:
    name = fonts.face(text.text, bold=text.bold).embedded_as
    y = page.HEIGHT - text.y
    if name:
        canvas.setFont(name, text.size)
        canvas.drawString(text.x, y, text.text)
    elif drawn := picture(text, fonts, scale=_PICTURE_SCALE):
        # An operator's font may have outlines that cannot be embedded, or need shaping.
        width, height = drawn.image.size
        canvas.drawImage(
            ImageReader(ImageOps.invert(drawn.image.convert("L"))),
            text.x + drawn.left / _PICTURE_SCALE,
            y - (drawn.top + height) / _PICTURE_SCALE,
            width / _PICTURE_SCALE,
            height / _PICTURE_SCALE,
        )


def _fill(canvas: Canvas, x: int, y: int, width: int, height: int) -> None:
    canvas.rect(
        x + _INSET,
        page.HEIGHT - y - height + _INSET,
        width - 2 * _INSET,
        height - 2 * _INSET,
        stroke=0,
        fill=1,
    )
