"""The rows of Shopify's orders export, each with the number of the line at which it begins."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.intake.refusal import Refused, Why

MAX_ROW_BYTES: Final = 1024 * 1024
MAX_COLUMNS: Final = 1_000
"""Exports have some eighty. Every row that is held has a cell for each."""


def is_header(line: bytes) -> bool:
    """Whether the line names the columns of an orders export."""
    if b"Lineitem quantity" not in line or len(line) > MAX_ROW_BYTES:
        return False
    names = _names(line)[1]
    return len(names) <= MAX_COLUMNS and {"Name", "Lineitem quantity"} <= set(names)


@dataclass(frozen=True, slots=True)
class Row:
    """A row, where it begins, and whether it is UTF-8 with no more cells than there are columns."""

    number: int
    cells: tuple[str, ...]
    values: Mapping[str, Any]
    problem: str | None

    @property
    def name(self) -> str:
        return str(self.values.get("Name", "")).strip()

    @property
    def begins_order(self) -> bool:
        return bool(str(self.values.get("Total", "")).strip())


def read_rows(header: bytes, number: int, lines: Iterable[bytes]) -> Iterator[Row | Refused]:
    delimiter, names = _names(header)
    size = not_read = 0

    def text(line: bytes) -> str:
        nonlocal size, not_read
        size += len(line)
        if size > MAX_ROW_BYTES:
            not_read += 1  # the reader does not count what it was not given
            raise csv.Error(f"it has more than {MAX_ROW_BYTES} bytes")
        return _text(line)

    reader = csv.reader(map(text, lines), delimiter=delimiter, strict=True)
    while True:
        begin = number + reader.line_num + not_read + 1
        size = 0
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Refused(begin, None, Why.UNREADABLE, f"is no row of a CSV: {error}")
            continue
        if cells is None:
            return
        if any(map(str.strip, cells)):
            problem = None
            if any("\udc80" <= char <= "\udcff" for char in "".join(cells)):
                problem = "is not UTF-8; save the file as CSV UTF-8"
            elif len(cells) > len(names):
                problem = f"has {len(cells)} cells for {len(names)} columns"
            kept = tuple(cells[: len(names)])
            yield Row(begin, kept, dict(zip(names, kept, strict=False)), problem)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def _names(header: bytes) -> tuple[str, list[str]]:
    """The delimiter and the columns; spreadsheets of half of Europe write semicolons."""
    line = _text(header)
    delimiter = max(",;\t", key=line.count)
    try:
        names = next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        names = []
    return delimiter, [name.strip() for name in names]
