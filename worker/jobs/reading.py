"""Rows from the file's text: CSV of any kind, or JSON lines with the same names."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO, Final, Literal

import orjson

from worker.jobs.badfile import BadFile
from worker.jobs.columns import FIELDS, Columns, find
from worker.jobs.encoding import Content, examine
from worker.jobs.formulas import restored
from worker.jobs.rows import Row, problem

MAX_LINE: Final = 1 << 20
"""Characters of one line of the file: no more than that is ever held."""
_SEPARATOR: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""The first line that some spreadsheets want and write."""
_QUOTED: Final = re.compile(r'"[^"]*"?')

Format = Literal["csv", "jsonl"]


class File:
    """A file of shipments; `rows` reads it, as often as it is asked to."""

    def __init__(
        self,
        stream: BinaryIO,
        *,
        encoding: str | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        """`columns` says which column is which, by field, where that is not clear.

        Raises:
          BadFile: It is none of shipments, as far as its first line tells.
        """
        self._stream = stream
        self._start = stream.tell()
        self._given = dict(columns or {})
        self.content: Content = examine(stream, encoding)
        self.format: Format = "csv"
        self.delimiter = ","
        self._skipped = 0
        with self._text() as text:
            first = _line(text, 1)
            if found := _SEPARATOR.fullmatch(first.strip()):
                self._skipped, self.delimiter = 1, found[1]
                first = _line(text, 2)
            elif first.lstrip().startswith("{"):
                self.format = "jsonl"
            else:
                # Spreadsheets of half of Europe write semicolons.
                self.delimiter = max(",;\t", key=_QUOTED.sub("", first).count)
        if "\0" in first:
            raise BadFile("the file holds zero bytes; if it is UTF-16, say --encoding utf-16-le")
        self._first = first

    @cached_property
    def columns(self) -> Columns:
        """What its first line names; of JSON lines, its first object.

        Raises:
          BadFile: One is missing, or two mean the same.
        """
        if self.format == "jsonl":
            document = _object(self._first)
            if document is None:
                raise BadFile("line 1 is no JSON object")
            return find(list(document), self._given)
        with self._text() as text:
            for _, names in self._records(text):
                return find([restored(name) for name in names], self._given)
        return find([], self._given)

    def rows(self) -> Iterator[Row]:
        """Each row, by itself right or with its problem; empty ones are left out.

        Raises:
          BadFile: It cannot be read on from here.
        """
        columns = self.columns
        with self._text() as text:
            if self.format == "jsonl":
                yield from self._objects(text)
                return
            for number, cells in self._records(text, skip=1):
                if any(map(str.strip, cells)):
                    yield _row_of_cells(number, cells, columns)

    @contextmanager
    def _text(self) -> Iterator[io.TextIOWrapper]:
        """The text from its beginning; the stream is the caller's to close."""
        self._stream.seek(self._start)
        encoding = self.content.encoding
        name = "utf-8-sig" if encoding == "utf-8" else encoding
        text = io.TextIOWrapper(self._stream, name, newline="")
        try:
            yield text
        except UnicodeError:
            raise BadFile(f"the file is not {encoding}") from None
        finally:
            text.detach()

    def _records(self, text: io.TextIOWrapper, *, skip: int = 0) -> Iterator[tuple[int, list[str]]]:
        lines = _lines(text)
        for _ in range(self._skipped):
            next(lines, None)
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        done = 1 + self._skipped
        try:
            while True:
                begins = self._skipped + reader.line_num + 1
                cells = next(reader, None)
                if cells is None:
                    return
                if skip:
                    skip -= 1
                    continue
                yield begins, cells
                done = begins
        except csv.Error as error:
            raise BadFile(f"after line {done}: {error}") from None

    def _objects(self, text: io.TextIOWrapper) -> Iterator[Row]:
        known: dict[tuple[str, ...], Columns | str] = {}
        for number, line in enumerate(_lines(text), start=1):
            if line.strip():
                yield self._row_of_line(number, line, known)

    def _row_of_line(
        self, number: int, line: str, known: dict[tuple[str, ...], Columns | str]
    ) -> Row:
        document = _object(line)
        if document is None:
            return _bad_row(number, line.strip(), "is no JSON object")
        names = tuple(document)
        if names not in known:
            if len(known) > 1000:  # noqa: PLR2004  # every line may have its own
                known.clear()
            try:
                known[names] = find(names, {f: n for f, n in self._given.items() if n in names})
            except BadFile as error:
                known[names] = str(error).partition(";")[0]
        columns = known[names]
        if isinstance(columns, str):
            return _bad_row(number, document, columns)
        return _row_of_object(number, document, columns)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    number = 1
    while line := _line(text, number):
        yield line
        number += 1


def _line(text: io.TextIOWrapper, number: int) -> str:
    line = text.readline(MAX_LINE + 1)
    if len(line) > MAX_LINE:
        raise BadFile(f"line {number} is longer than {MAX_LINE} characters")
    return line


def _object(line: str) -> dict[str, Any] | None:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _row_of_cells(number: int, cells: Sequence[str], columns: Columns) -> Row:
    cells = [restored(cell) for cell in cells]
    values = dict.fromkeys(FIELDS, "")
    for field, place in columns.places.items():
        if place < len(cells):
            values[field] = cells[place].strip()
    row = _row(number, values, cells)
    if len(cells) != len(columns.names):
        row.problem = f"has {len(cells)} cells, the first line names {len(columns.names)} columns"
    return row


def _row_of_object(number: int, document: dict[str, Any], columns: Columns) -> Row:
    values = dict.fromkeys(FIELDS, "")
    wrong = None
    for field, place in columns.places.items():
        given = document[columns.names[place]]
        if isinstance(given, str):
            values[field] = given.strip()
        elif isinstance(given, float) and field == "quantity":
            values[field] = repr(given)
        elif isinstance(given, int) and not isinstance(given, bool):
            values[field] = str(given)
        elif given is not None:
            wrong = wrong or f"{field}: must be a text; a number only if it is whole"
    row = _row(number, values, document)
    row.problem = wrong or row.problem
    return row


def _row(number: int, values: dict[str, str], cells: Any) -> Row:
    values["sku"] = unicodedata.normalize("NFC", values["sku"])  # orders have theirs so
    return Row(number, **values, problem=problem(values), cells=cells)


def _bad_row(number: int, cells: Any, why: str) -> Row:
    return Row(number, **dict.fromkeys(FIELDS, ""), problem=why, cells=cells)
