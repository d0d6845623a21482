"""A page of 4 x 6 inches in dots of 203 per inch: what stands on it and where, for any printer.

Pure but for the fonts' widths. Positions count from the upper left corner.
"""

from collections.abc import Sequence
from typing import Final

from worker.labels.barcode import Symbol
from worker.labels.fonts import Fonts
from worker.orders.value import value

DOTS_PER_INCH: Final = 203
WIDTH: Final = 4 * DOTS_PER_INCH
HEIGHT: Final = 6 * DOTS_PER_INCH
MARGIN: Final = 24
"""Printers do not reach the edge, and nobody lays the paper in quite straight."""
SMALLEST: Final = 17
"""Six points: smaller is not legible at 203 dots per inch."""


@value
class Text:
    """A line of legible text; `size` is the height of the font, `y` is its baseline."""

    x: int
    y: int
    size: int
    text: str
    bold: bool = False


@value
class Rule:
    """A filled rectangle."""

    x: int
    y: int
    width: int
    height: int


@value
class Bars:
    """A bar code; the quiet zones beside it are left to whoever places it."""

    x: int
    y: int
    height: int
    symbol: Symbol


Element = Text | Rule | Bars
Page = list[Element]


def line_height(size: int) -> int:
    """From one baseline to the next."""
    return size * 6 // 5


def wrap(fonts: Fonts, text: str, size: int, width: int, *, bold: bool = False) -> list[str]:
    """The text in lines of at most `width`; what no line holds is broken within the word."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if fonts.width(longer, size, bold=bold) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while fonts.width(line, size, bold=bold) > width:
            fits = _fitting(fonts, line, size, width, bold=bold)
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line] if line else lines


def _fitting(fonts: Fonts, word: str, size: int, width: int, *, bold: bool) -> int:
    """How many of the word's characters a line holds, at least one."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        if fonts.width(word[:middle], size, bold=bold) <= width:
            low = middle
        else:
            high = middle - 1
    return low


def fit(
    fonts: Fonts,
    paragraphs: Sequence[str],
    *,
    width: int,
    height: int,
    largest: int,
    bold: bool = False,
) -> tuple[int, list[str]] | None:
    """The largest size at which the paragraphs fit, and their lines; None if they never do.

    A smaller size is better than a broken line, to three quarters of the largest.
    """
    sizes = range(largest, SMALLEST - 1, -1)
    for size in sizes:
        if size < largest * 3 // 4:
            break
        if len(paragraphs) * line_height(size) <= height and all(
            fonts.width(one, size, bold=bold) <= width for one in paragraphs
        ):
            return size, list(paragraphs)
    for size in sizes:
        lines = [line for one in paragraphs for line in wrap(fonts, one, size, width, bold=bold)]
        if len(lines) * line_height(size) <= height:
            return size, lines
    return None


def cut(
    fonts: Fonts, text: str, *, width: int, height: int, largest: int, bold: bool = False
) -> tuple[int, list[str]]:
    """As `fit`; a text that never fits ends in an ellipsis."""
    kept = text
    while (found := fit(fonts, [kept], width=width, height=height, largest=largest, bold=bold)) is (
        None
    ):
        kept = f"{kept.removesuffix('…')[: len(kept) * 9 // 10 - 1].rstrip()}…"
    return found


def stack(x: int, y: int, size: int, lines: Sequence[str], *, bold: bool = False) -> list[Text]:
    """Lines one below the other; `y` is the upper edge of the first."""
    return [
        Text(x, y + size + n * line_height(size), size, line, bold) for n, line in enumerate(lines)
    ]
