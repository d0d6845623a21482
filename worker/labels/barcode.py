"""What the bar code of a parcel says, and its bars.

A carrier's number is Code 128. Without one the parcel has a number of its own: with a GS1 company
prefix an SSCC-18 as GS1-128, which is unique in the world, else the shipment's number as Code 128.
"""

from typing import Any, Final, Literal

from reportlab.graphics.barcode.code128 import Code128

from worker.errors import Terminal
from worker.orders.value import value

QUIET_MODULES: Final = 10
"""Clear space on each side of the bars (ISO/IEC 15417)."""
MODULE_DOTS: Final = (4, 3, 2)
"""Widths of the narrowest bar, in dots, the best first. Four dots are the 0.5 mm that GS1 asks of a
logistic label (General Specifications 5.4.3: 0.495 to 0.94 mm); one dot does not scan reliably.
"""
SSCC_DIGITS: Final = 17
"""Extension digit, company prefix and serial reference together; the check digit is the 18th."""

_FNC1: Final = "\xf1"  # as reportlab writes it


@value
class Symbol:
    """A Code 128 symbol: its code words from the start to the stop character."""

    words: tuple[int, ...]
    pattern: str
    """Widths of bars and spaces in modules, in turn, as digits."""
    module_dots: int

    @property
    def width_dots(self) -> int:
        """Width of the bars without quiet zones."""
        return sum(map(int, self.pattern)) * self.module_dots

    @property
    def quiet_dots(self) -> int:
        return QUIET_MODULES * self.module_dots


@value
class Code:
    """What a bar code holds, and how a person reads it."""

    kind: Literal["tracking", "sscc", "shipment"]
    text: str
    symbol: Symbol


def code(
    tracking_number: str | None, number: int, company_prefix: str | None, *, width_dots: int
) -> Code:
    """The parcel's bar code, within `width_dots`.

    A carrier's number that no bar code can hold at a width that scans (more than some 30 letters,
    or other characters than ASCII) is for people to read: the bar code holds the parcel's own.

    Raises:
      Terminal: The numbers of the company prefix are used up.
    """
    if tracking_number and tracking_number.isascii():
        # Carriers print their numbers in groups; the spaces between are no part of them.
        symbol = fitting(tracking_number.replace(" ", ""), width_dots)
        if symbol:
            return Code("tracking", tracking_number, symbol)
    if company_prefix:
        digits = sscc(company_prefix, number)
        return Code("sscc", f"(00) {digits}", _short(f"{_FNC1}00{digits}", width_dots))
    return Code("shipment", str(number), _short(str(number), width_dots))


def sscc(company_prefix: str, number: int) -> str:
    """The SSCC-18 of a shipment: its number is the serial reference, which may spill over into the
    extension digit, and does so last.

    Raises:
      Terminal: The number needs more digits than the prefix leaves.
    """
    serial = str(number).zfill(SSCC_DIGITS - len(company_prefix))
    if len(serial) + len(company_prefix) > SSCC_DIGITS:
        raise Terminal(
            "sscc_exhausted",
            f"shipment number {number} needs more digits than FULFILLMENT_GS1_COMPANY_PREFIX leaves"
            " in an SSCC; ask GS1 for another prefix, or unset it",
        )
    from biip.checksums import (  # noqa: PLC0415  # slow, and few shops have a prefix
        gs1_standard_check_digit,
    )

    digits = f"{serial[0]}{company_prefix}{serial[1:]}"
    return f"{digits}{gs1_standard_check_digit(digits)}"


def fitting(data: str, width_dots: int) -> Symbol | None:
    """The data as Code 128 with the widest bars that leave room for both quiet zones, if any do."""
    encoder: Any = Code128(data, quiet=0)  # its stubs leave the steps untyped
    encoder.validate()
    encoder.encode()
    pattern = "".join(str("abcd".index(bar) + 1) for bar in encoder.decompose().lower())
    for module_dots in MODULE_DOTS:
        symbol = Symbol(tuple(encoder.encoded), pattern, module_dots)
        if symbol.width_dots + 2 * symbol.quiet_dots <= width_dots:
            return symbol
    return None


def _short(data: str, width_dots: int) -> Symbol:
    """Numbers of our own have at most 22 digits, and always fit."""
    symbol = fitting(data, width_dots)
    assert symbol  # noqa: S101  # see above
    return symbol
