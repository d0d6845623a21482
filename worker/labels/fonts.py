"""Which characters can be drawn, and how wide they are.

The embedded font covers Latin, Greek and Cyrillic, and some more. What it lacks is drawn with the
operator's font, if that has it; anything else is written in Latin letters, so that a page never
shows an empty box. Scripts that run from right to left, or whose letters join or move, are always
written in Latin letters: a font alone does not set them, and set wrongly they mislead.
"""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

from anyascii import anyascii
from reportlab.pdfbase.pdfmetrics import registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFError, TTFont

from worker.errors import Transient
from worker.orders.value import value

VENDOR: Final = Path(__file__).parent / "vendor"

_NEEDS_SHAPING: Final = (
    (0x0590, 0x109F),  # Hebrew, Arabic, Syriac, the scripts of India, Thai, Lao, Tibetan, Burmese
    (0x1780, 0x18AF),  # Khmer, Mongolian
    (0xFB1D, 0xFDFF),  # Hebrew and Arabic presentation forms
    (0xFE70, 0xFEFE),
    (0x10800, 0x11FFF),  # ancient right-to-left scripts and those of India beyond the first plane
)


@value
class Face:
    """A font file under the name that reportlab knows it by."""

    name: str
    path: Path


class Fonts:
    """The embedded font, and the operator's for what that one lacks.

    Raises:
      Transient: The operator's font cannot be used; another setting heals it.
    """

    def __init__(self, label_font: Path | None = None) -> None:
        self.regular = _embedded("DejaVuSansCondensed.ttf")
        self.bold = _embedded("DejaVuSansCondensed-Bold.ttf")
        self.other = _operators(label_font) if label_font else None

    def legible(self, text: str) -> str:
        """The text in characters that can be drawn, by one of the fonts as a whole."""
        text = plain(text)
        if self.can_draw(text):
            return text
        return " ".join("".join(self._in_latin(text)).split())

    def can_draw(self, text: str) -> bool:
        """Whether one of the fonts has every character of the text."""
        text = plain(text)
        return _has(self.regular, text) or (self.other is not None and _has(self.other, text))

    def face(self, text: str, *, bold: bool = False) -> Face:
        """The font for a legible text; the operator's has one weight."""
        if self.other and not _has(self.regular, text):
            return self.other
        return self.bold if bold else self.regular

    def width(self, text: str, size: int, *, bold: bool = False) -> float:
        """Width of a legible text, in the unit of the size."""
        return stringWidth(text, self.face(text, bold=bold).name, size)

    def _in_latin(self, text: str) -> list[str]:
        return [
            char
            if _has(self.regular, char)
            # A space after each: syllables that run together cannot be read.
            else f"{anyascii(char) or '?'} "
            if _is_ideograph(char)
            else anyascii(char) or "?"
            for char in text
        ]


def plain(text: str) -> str:
    """The text without characters that show nothing, and with spaces that are all alike."""
    return "".join(
        " " if unicodedata.category(char) == "Zs" else char
        for char in text
        if unicodedata.category(char) not in {"Cf", "Cc"}
    )


def _has(face: Face, text: str) -> bool:
    glyphs = _glyphs(face.name)
    return all(ord(char) in glyphs and not _needs_shaping(ord(char)) for char in text)


def _needs_shaping(code: int) -> bool:
    return code >= _NEEDS_SHAPING[0][0] and any(a <= code <= b for a, b in _NEEDS_SHAPING)


def _is_ideograph(char: str) -> bool:
    return unicodedata.name(char, "").startswith(("CJK ", "HANGUL SYLLABLE"))


_codes: dict[str, frozenset[int]] = {}


def _glyphs(name: str) -> frozenset[int]:
    return _codes[name]


@cache
def _embedded(file: str) -> Face:
    return _register(VENDOR / file)


@cache
def _operators(path: Path) -> Face:
    try:
        return _register(path)
    except (TTFError, OSError) as error:
        raise Transient(
            "label_font",
            f"FULFILLMENT_LABEL_FONT is no TrueType font that can be embedded: {error}",
        ) from error


def _register(path: Path) -> Face:
    font = TTFont(str(path), str(path), shapable=False)
    registerFont(font)
    # reportlab gives unknown characters a box and a lone space for U+00A0.
    _codes[font.fontName] = frozenset(font.face.charToGlyph)
    return Face(font.fontName, path)
