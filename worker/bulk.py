"""Shipments from a CSV file: one command per parcel, whose id follows from its content, so that the
same file again changes nothing.

A parcel is all rows with the same order, carrier and tracking number, wherever they stand. It is
sent whole or not at all: half of it, and the mended rest later, would be two shipments.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final
from uuid import UUID, uuid5

import orjson
from sqlalchemy import Connection, Engine

from messages import InvalidCommand, Ship, parse
from messages.fields import MAX_QUANTITY, clean_text
from worker.orders.model import Decision, Rejection
from worker.store.reading import Ended, known_orders, lines_by_sku
from worker.work.accept import Receipt, accept
from worker.work.judging import Dead, Wait
from worker.work.preview import preview

CHUNK: Final = 500
"""Commands that are accepted in one transaction."""
COLUMNS: Final = ("order", "line", "sku", "quantity", "carrier", "tracking_number")
SHIPMENTS: Final = UUID("0a0ae1b5-6f36-5a3e-9c06-0f2a6d1c1d8e")
"""Namespace of the command ids. Frozen: another one would ship every old file again."""
_LOOK_UP: Final = 5_000
_WHOLE: Final = re.compile(r"[0-9]{1,9}")


class BadFile(ValueError):
    """The file is no CSV of shipments; nothing was sent."""


@dataclass(slots=True)
class Row:
    """A line of the file, and what became of it."""

    row: int
    """The line's number in the file; the header is line 1."""
    order: str
    line: str
    sku: str
    quantity: str
    carrier: str
    tracking_number: str
    problem: str | None = None
    """What is wrong with this row by itself."""

    @property
    def parcel(self) -> tuple[str, str, str]:
        return self.order, self.carrier, self.tracking_number


@dataclass(slots=True)
class Parcel:
    """Rows that are shipped together, and how far their command is."""

    rows: list[Row]
    command: Ship | None = None
    receipt: Receipt | None = None
    ended: Ended | None = None
    refused: str | None = None
    waits: str | None = None
    """What it would wait for; only a dry run knows."""

    @property
    def is_open(self) -> bool:
        """Whether it was accepted and has not ended, as far as we know."""
        return bool(self.receipt and self.receipt.command_id and not self.state)

    @property
    def state(self) -> str | None:
        """How the command ended."""
        if self.ended:
            return self.ended.state
        known = self.receipt.state if self.receipt else None
        return None if known == "pending" else known


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one row: `applied`, `rejected`, `dead`, `discarded`, `waiting` or `refused`.

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


def read(stream: BinaryIO) -> Iterator[Row]:
    """The rows of the file, each by itself right or with its problem.

    Raises:
      BadFile: It is not UTF-8, or its first line does not name the columns.
    """
    text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
    number = 1
    try:
        header = text.readline()
        # Spreadsheets of half of Europe write semicolons.
        delimiter = max(",;\t", key=header.count)
        names = _names(header, delimiter)
        for number, cells in _numbered(csv.reader(text, delimiter=delimiter, strict=True)):
            if any(map(str.strip, cells)):
                yield _row(number, cells, names)
    except UnicodeDecodeError:
        raise BadFile("the file is not UTF-8; save it as CSV UTF-8") from None
    except csv.Error as error:
        raise BadFile(f"after line {number}: {error}") from None
    finally:
        text.detach()  # the stream is the caller's to close


def _numbered(lines: Any) -> Iterator[tuple[int, list[str]]]:
    for cells in lines:
        yield lines.line_num + 1, cells


def _names(header: str, delimiter: str) -> list[str]:
    names = [
        name.strip().lower()
        for cells in csv.reader([header], delimiter=delimiter)
        for name in cells
    ]
    allowed = "the first line must name the columns: order, line or sku, quantity, carrier, "
    allowed += "tracking_number"
    if not any(names):
        raise BadFile(f"the file is empty; {allowed}")
    if unknown := set(names) - set(COLUMNS):
        raise BadFile(f"unknown column {min(unknown)[:64]!r}; {allowed}")
    if len(set(names)) < len(names):
        raise BadFile(f"a column is named twice; {allowed}")
    if missing := {"order", "quantity"} - set(names):
        raise BadFile(f"there is no column {min(missing)!r}; {allowed}")
    if not {"line", "sku"} & set(names):
        raise BadFile(f"there is no column 'line' or 'sku'; {allowed}")
    return names


def _row(number: int, cells: Sequence[str], names: Sequence[str]) -> Row:
    values = dict.fromkeys(COLUMNS, "")
    values |= {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
    values["sku"] = unicodedata.normalize("NFC", values["sku"])  # orders have theirs so
    row = Row(number, **values)
    if len(cells) != len(names):
        row.problem = f"has {len(cells)} cells, the first line names {len(names)} columns"
    else:
        row.problem = _problem(row, values)
    return row


def _problem(row: Row, values: Mapping[str, str]) -> str | None:
    for name, value in values.items():
        try:
            if value:
                clean_text(value)  # as commands and orders are held to, no stricter
        except ValueError:
            return f"{name}: must not hold control characters or line breaks"
    if not row.order:
        return "order: must not be empty"
    if bool(row.line) == bool(row.sku):
        return "line, sku: exactly one of them must be given"
    if not (_WHOLE.fullmatch(row.quantity) and 1 <= int(row.quantity) <= MAX_QUANTITY):
        return f"quantity: must be a whole number from 1 to {MAX_QUANTITY}"
    return None


def plan(
    connection: Connection, rows: Iterable[Row], *, batch: str | None = None, **fields: Any
) -> list[Parcel]:
    """The parcels of the rows, each with its command or with why it is refused.

    `batch` tells equal parcels of different files apart; `fields` go into every command.
    """
    parcels: dict[tuple[str, str, str], Parcel] = {}
    for row in rows:
        parcels.setdefault(row.parcel, Parcel([])).rows.append(row)
    _find_lines(connection, [row for parcel in parcels.values() for row in parcel.rows])
    for parcel in parcels.values():
        _make(parcel, batch, fields)
    return list(parcels.values())


def _find_lines(connection: Connection, rows: Sequence[Row]) -> None:
    """Fill in the lines of rows that give a SKU."""
    by_sku = [row for row in rows if row.sku and not row.problem]
    for start in range(0, len(by_sku), _LOOK_UP):
        chunk = by_sku[start : start + _LOOK_UP]
        found = lines_by_sku(connection, {(row.order, row.sku) for row in chunk})
        orders = known_orders(connection, {row.order for row in chunk})
        for row in chunk:
            match found.get((row.order, row.sku), []):
                case [line_id]:
                    row.line = line_id
                case []:
                    row.problem = (
                        "sku: no line of the order has it"
                        if row.order in orders
                        else "order: is not here, so its SKUs are not known"
                    )
                case several:
                    row.problem = f"sku: lines {', '.join(several)} have it; give the line"


def _make(parcel: Parcel, batch: str | None, fields: Mapping[str, Any]) -> None:
    seen: dict[str, Row] = {}
    for row in parcel.rows:
        if not row.problem and (twin := seen.setdefault(row.line, row)) is not row:
            row.problem = (
                f"line {row.line} is in this shipment already, row {twin.row}: add them up"
            )
    bad = next((row for row in parcel.rows if row.problem), None)
    if bad:
        parcel.refused = f"row {bad.row} of the same shipment is refused"
        return
    order_id, carrier, tracking_number = parcel.rows[0].parcel
    body = {
        "kind": "ship",
        "order_id": order_id,
        "items": [{"line_id": row.line, "quantity": int(row.quantity)} for row in parcel.rows],
        **fields,
    }
    body |= {"carrier": carrier} if carrier else {}
    body |= {"tracking_number": tracking_number} if tracking_number else {}
    body["items"].sort(key=lambda item: item["line_id"])
    content = {name: value for name, value in body.items() if name != "issued_by"}
    text = json.dumps([batch, content], sort_keys=True, separators=(",", ":"))
    body["command_id"] = str(uuid5(SHIPMENTS, text))
    try:
        command = parse(orjson.dumps(body))
    except InvalidCommand as error:
        parcel.refused = str(error)
        return
    assert isinstance(command, Ship)  # noqa: S101  # its kind says so
    parcel.command = command


def send(connection: Connection, parcels: Sequence[Parcel]) -> None:
    """Accept the parcels' commands in the connection's transaction, which the caller commits."""
    sendable = [parcel for parcel in parcels if parcel.command]
    commands = [parcel.command for parcel in sendable if parcel.command]
    for parcel, receipt in zip(sendable, accept(connection, commands), strict=True):
        parcel.receipt = receipt
        if receipt.answer not in {"accepted", "known"}:
            parcel.refused = receipt.problem or "its id belongs to another command"


def foresee(engine: Engine, parcels: Iterable[Parcel], *, grace_s: float) -> None:
    """Fill in what would become of the parcels, were they sent now; nothing is written."""
    # An order's parcels stand in one chunk, as in the file: each leaves less for the next.
    by_order: dict[str, list[Parcel]] = {}
    for parcel in parcels:
        if parcel.command:
            by_order.setdefault(parcel.command.order_id, []).append(parcel)
    chunk: list[Parcel] = []
    for some in by_order.values():
        chunk += some
        if len(chunk) >= CHUNK:
            _foresee(engine, chunk, grace_s)
            chunk = []
    _foresee(engine, chunk, grace_s)


def _foresee(engine: Engine, parcels: Sequence[Parcel], grace_s: float) -> None:
    commands = [parcel.command for parcel in parcels if parcel.command]
    for parcel, one in zip(parcels, preview(engine, commands, grace_s=grace_s), strict=True):
        match one.verdict:
            case Decision() | Rejection():
                outcome = one.verdict.outcome.model_dump(mode="json")
                parcel.ended = Ended(one.command.command_id, outcome["state"], outcome, None)
            case Receipt(answer="known"):
                parcel.receipt = one.verdict
            case Receipt():
                parcel.refused = "its id belongs to another command"
            case Wait():
                parcel.waits = "for the order, which is not here"
            case Dead():
                parcel.refused = one.verdict.message


def results(parcels: Iterable[Parcel]) -> list[Result]:
    """What became of each row, in the file's order."""
    found = [_result(parcel, row) for parcel in parcels for row in parcel.rows]
    return sorted(found, key=lambda result: result.row)


def _result(parcel: Parcel, row: Row) -> Result:
    receipt = parcel.receipt
    result, reason, message = "waiting", None, parcel.waits
    if row.problem or parcel.refused:
        result, message = "refused", row.problem or parcel.refused
    elif parcel.state:
        result = parcel.state
        outcome = (parcel.ended.outcome if parcel.ended else receipt and receipt.outcome) or {}
        reason = parcel.ended.dead_reason if parcel.ended else None
        reason, message = outcome.get("reason", reason), outcome.get("message")
    return Result(
        row=row.row,
        order=row.order,
        line=row.line or None,
        sku=row.sku or None,
        quantity=row.quantity,
        result=result,
        reason=reason,
        message=message,
        command_id=receipt.command_id if receipt else None,
        is_repeated=receipt is not None and receipt.answer == "known",
    )
