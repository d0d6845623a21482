"""Cells of a CSV that somebody may open in a spreadsheet. Pure."""

import re
from datetime import UTC, datetime
from typing import Any, Final

from worker.cli.show import to_json

_FORMULA: Final = re.compile(r"[\s']*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001  # wide ones run as well


def cell(value: Any) -> str:
    """The value as text; nothing for none. A text that a spreadsheet would run gets an apostrophe
    in front, which spreadsheets take as "this is a text"; a number is left as it is.
    """
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case str():
            text = value
        case list() | dict():
            text = to_json(value)
        case _:
            text = str(value)
    return f"'{text}" if _FORMULA.match(text) else text
