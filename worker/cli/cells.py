"""Cells of a CSV that somebody may open in a spreadsheet. Pure."""

from datetime import UTC, datetime
from typing import Any

from worker.cli.show import to_json
from worker.jobs.formulas import harmless


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
    return harmless(text)
