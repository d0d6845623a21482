"""A row of the file, and what is wrong with it by itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from messages.fields import MAX_QUANTITY, Id, Name, Word, clean_text
from worker.orders.value import value

MAX_ORDER: Final = 255
_WHOLE: Final = re.compile(r"([0-9]{1,9})(?:[.,]0{1,2})?", re.ASCII)
"""Also `3.0`, as programs write a column of numbers; `3.000` may be three thousand."""
_DAMAGED: Final = re.compile(r"-?[0-9]{1,40}(?:[.,][0-9]{1,40})?[eE]\+[0-9]{1,4}", re.ASCII)
_TYPES: Final[Mapping[str, TypeAdapter[Any]]] = {
    "line": TypeAdapter(Id),
    "carrier": TypeAdapter(Name),
    "tracking_number": TypeAdapter(Word),
}
_FAST: Final = {
    "line": re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII),
    "carrier": re.compile(r"[ -~]{1,64}", re.ASCII),
    "tracking_number": re.compile(r"[!-~]{1,64}", re.ASCII),
}
"""What needs no further look, which is nearly all."""


@dataclass(slots=True)
class Row:
    """A row of the file, and what became of it."""

    row: int
    """The line of the file on which it begins; the first line is 1."""
    order: str
    line: str
    sku: str
    quantity: str
    carrier: str
    """Its code or its name; once the row is loaded, the code."""
    tracking_number: str
    problem: str | None = None
    """What is wrong with this row."""
    cells: Any = None
    """The row as it came."""

    @property
    def parcel(self) -> tuple[str, str, str]:
        return self.order, self.carrier, self.tracking_number

    @property
    def units(self) -> int:
        """The quantity of a row without a problem."""
        return whole(self.quantity) or 0


@value
class Result:
    """What became of one row: `applied`, `rejected`, `dead`, `discarded`, `waiting`, `refused` or
    `not sent`.

    `is_repeated`: the same parcel was sent before, and this is what became of it then.
    """

    row: int
    order: str
    line: str | None
    sku: str | None
    quantity: str
    result: str
    reason: str | None
    message: str | None
    command_id: UUID | None
    is_repeated: bool


def whole(quantity: str) -> int | None:
    """The number of units that a cell says; None where it says none that can be shipped."""
    found = _WHOLE.fullmatch(quantity)
    number = int(found[1]) if found else 0
    return number if 1 <= number <= MAX_QUANTITY else None


def problem(values: Mapping[str, str]) -> str | None:
    """What is wrong with a row by itself, in a sentence that names the field."""
    for name, given in values.items():
        try:
            if (given and not given.isascii()) or not given.isprintable():
                clean_text(given)  # as commands and orders are held to, no stricter
        except ValueError:
            return f"{name}: must not hold control characters or line breaks"
    if not values["order"]:
        return "order: must not be empty"
    if len(values["order"]) > MAX_ORDER:
        return f"order: must have at most {MAX_ORDER} characters"
    if bool(values["line"]) == bool(values["sku"]):
        return "line, sku: exactly one of them must be given"
    if whole(values["quantity"]) is None:
        return f"quantity: must be a whole number from 1 to {MAX_QUANTITY}"
    for name in ("order", "line", "sku", "tracking_number"):
        if _DAMAGED.fullmatch(values[name]):
            return (
                f"{name}: a spreadsheet has made {values[name][:40]} of the number: format the "
                "column as text, and take the number from where it came"
            )
    return _against_contract(values)


def _against_contract(values: Mapping[str, str]) -> str | None:
    for name, adapter in _TYPES.items():
        if values[name] and not _FAST[name].fullmatch(values[name]):
            try:
                adapter.validate_python(values[name], strict=True)
            except ValidationError as error:
                return f"{name}: {error.errors(include_url=False)[0]['msg']}"
    return None
