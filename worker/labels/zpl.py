"""Pages as ZPL II for label printers of 203 dpi.

Lines in ASCII are sent as text, in the font that every printer has. Which other letters a printer
has depends on its model and firmware, and what it lacks it leaves out without a word: lines with
such letters are sent as pictures of themselves, drawn with the fonts of the PDF.
"""

from collections.abc import Iterable
from typing import Final

from worker.labels import page
from worker.labels.barcode import Symbol
from worker.labels.fonts import Fonts
from worker.labels.page import Bars, Page, Rule, Text
from worker.labels.picture import picture

_NATIVE: Final = frozenset(map(chr, range(0x20, 0x7F))) - {"\\"}
"""ASCII, but the backslash: in some printers' character sets it is a cent sign."""
_INVOCATIONS: Final = {
    103: ">9", 104: ">:", 105: ">;", 102: ">8", 101: ">7", 100: ">6", 99: ">5",
}  # fmt: skip
"""How `^BC` is told code words that stand for no character: starts, FNC1 and changes of set."""
_SET_B: Final = {104, 100}
_SET_C: Final = {105, 99}


def zpl(pages: Iterable[Page], fonts: Fonts) -> bytes:
    """One format for each page."""
    return "".join(_format(elements, fonts) for elements in pages).encode()


def _format(elements: Page, fonts: Fonts) -> str:
    start = f"^XA^CI28^PW{page.WIDTH}^LL{page.HEIGHT}^LH0,0^LS0\n"
    return start + "".join(_field(element, fonts) for element in elements) + "^XZ\n"


def _field(element: page.Element, fonts: Fonts) -> str:
    match element:
        case Text() if _NATIVE.issuperset(element.text):
            size = element.size
            return f"^FT{element.x},{element.y}^A0N,{size},{size}^FH^FD{_data(element.text)}^FS\n"
        case Text():
            return _picture(element, fonts)
        case Rule():
            thick = min(element.width, element.height)
            return f"^FO{element.x},{element.y}^GB{element.width},{element.height},{thick},B,0^FS\n"
        case Bars():
            module = element.symbol.module_dots
            return (
                f"^FO{element.x},{element.y}^BY{module},2.0,{element.height}"
                f"^BCN,{element.height},N,N,N,N^FH^FD{_data(_words(element.symbol))}^FS\n"
            )


def _data(text: str) -> str:
    """The text as field data: what begins a command, or `^FH`'s own sign, as its code."""
    return "".join(f"_{ord(char):02X}" if char in "^~_\\" else char for char in text)


def _words(symbol: Symbol) -> str:
    """The very code words of the symbol, so that the printer draws the bars that were measured."""
    written = []
    is_c = False
    for word in symbol.words[:-2]:  # the printer adds check and stop characters itself
        if is_c and word < 100:  # noqa: PLR2004  # a pair of digits
            written.append(f"{word:02d}")
        elif word in _INVOCATIONS:
            written.append(_INVOCATIONS[word])
            is_c = word in _SET_C or (is_c and word not in _SET_B)
        else:
            char = chr(word + 32)
            written.append(">0" if char == ">" else char)
    return "".join(written)


def _picture(text: Text, fonts: Fonts) -> str:
    drawn = picture(text, fonts)
    if drawn is None:
        return ""
    row = (drawn.image.width + 7) // 8
    bits = drawn.image.tobytes()
    x, y = text.x + drawn.left, text.y + drawn.top
    return f"^FO{x},{y}^GFA,{len(bits)},{len(bits)},{row},{bits.hex().upper()}^FS\n"
