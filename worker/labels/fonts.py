"""Which characters can be drawn, and how wide they are.

The embedded font covers Latin, Greek and Cyrillic, and some more. What it lacks is drawn with the
operator's font, if that has it; anything else is written in Latin letters, so that a page never
shows an empty box. A line is drawn with one font.

Scripts that run from right to left, or whose letters join or move, need more than a font: Pillow
sets them where it finds FriBiDi on the machine. Elsewhere they are written in Latin letters too,
for set wrongly they mislead.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from anyascii import anyascii
from PIL import ImageFont, features
from reportlab.pdfbase.pdfmetrics import registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFont

from worker.errors import Transient

VENDOR: Final = Path(__file__).parent / "vendor"

_NEEDS_SHAPING: Final = (
    (0x0590, 0x109F),  # Hebrew, Arabic, Syriac, the scripts of India, Thai, Lao, Tibetan, Burmese
    (0x1780, 0x18AF),  # Khmer, Mongolian
    (0xFB1D, 0xFDFF),  # Hebrew and Arabic presentation forms
    (0xFE70, 0xFEFE),
    (0x10800, 0x11FFF),  # ancient right-to-left scripts and those of India beyond the first plane
)
_MISSING: Final = "\U0010ffff"
"""No character, and none in any font: it looks as every missing one does."""


@dataclass(frozen=True, slots=True)
class Face:
    """A font file, and the name that reportlab knows it by if it can be embedded in a PDF."""

    path: Path
    embedded_as: str | None
    has_shaping: bool

    def at(self, size: int) -> ImageFont.FreeTypeFont:
        """The font for pictures of text, its letters `size` dots high."""
        return _at(self.path, size, shaped=self.has_shaping)


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
        words = (self._in_latin(word).strip() or "?" for word in text.split())
        return " ".join(" ".join(words).split())

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
        face = self.face(text, bold=bold)
        if face.embedded_as:
            return stringWidth(text, face.embedded_as, size)
        return face.at(size).getlength(text)

    def _in_latin(self, word: str) -> str:
        return "".join(char if _has(self.regular, char) else _in_ascii(char) for char in word)


def plain(text: str) -> str:
    """The text without characters that show nothing, and with spaces that are all alike."""
    return "".join(
        " " if unicodedata.category(char) == "Zs" else char
        for char in text
        if unicodedata.category(char) not in {"Cf", "Cc"}
    )


def _in_ascii(char: str) -> str:
    ascii_ = anyascii(char)
    if unicodedata.name(char, "").startswith(("CJK ", "HANGUL SYLLABLE")):
        return f" {ascii_} "  # syllables that run together cannot be read
    if ascii_ or unicodedata.category(char)[0] in "LM":  # some Arabic letters only lengthen
        return ascii_
    return "?"


def _has(face: Face, text: str) -> bool:
    return all(_has_glyph(face, char) for char in text) and (
        face.has_shaping or not any(_needs_shaping(ord(char)) for char in text)
    )


@lru_cache(maxsize=2**16)
def _has_glyph(face: Face, char: str) -> bool:
    if face.embedded_as:
        return ord(char) in _glyphs(face.path)
    font = face.at(32)
    return char == " " or bytes(font.getmask(char)) != bytes(font.getmask(_MISSING))


def _needs_shaping(code: int) -> bool:
    return any(first <= code <= last for first, last in _NEEDS_SHAPING)


@cache
def _embedded(file: str) -> Face:
    path = VENDOR / file
    registerFont(_font(path))
    return Face(path, _font(path).fontName, has_shaping=False)


@cache
def _font(path: Path) -> TTFont:
    return TTFont(path.stem, str(path), shapable=False)


@cache
def _glyphs(path: Path) -> frozenset[int]:
    return frozenset(_font(path).face.charToGlyph)


@cache
def _operators(path: Path) -> Face:
    face = Face(path, None, has_shaping=features.check("raqm") is True)
    try:
        face.at(32)
    except OSError as error:
        raise Transient(
            "label_font", f"FULFILLMENT_LABEL_FONT cannot be used as a font: {error}"
        ) from error
    return face


@cache
def _at(path: Path, size: int, *, shaped: bool) -> ImageFont.FreeTypeFont:
    layout = ImageFont.Layout.RAQM if shaped else ImageFont.Layout.BASIC
    return ImageFont.truetype(path, size, layout_engine=layout)
