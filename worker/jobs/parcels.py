"""Parcels: rows that are shipped together, and the command that says so.

A parcel is all rows with the same order, carrier and tracking number, wherever they stand. It is
sent whole or not at all: half of it, and the mended rest later, would be two shipments.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

import orjson
from sqlalchemy import Connection

from messages import InvalidCommand, Ship, parse
from worker.jobs.rows import Row
from worker.store.reading import known_orders, lines_by_sku
from worker.work.accept import BULK, Receipt, accept

SHIPMENTS: Final = UUID("0a0ae1b5-6f36-5a3e-9c06-0f2a6d1c1d8e")
"""Namespace of the command ids. Frozen: another one would ship every old file again."""

SKUS_WITH_ZEROS: Final = """
-- skus_with_zeros: lines whose SKU is the asked one but for zeros in front
select asked.order_id, asked.sku, min(l.sku)
from (select distinct * from unnest(%(order_ids)s::text[], %(skus)s::text[]) as a (order_id, sku))
  as asked
join order_lines l on l.order_id = asked.order_id and length(l.sku) > length(asked.sku)
  and ltrim(l.sku, '0') = ltrim(asked.sku, '0')
group by asked.order_id, asked.sku
"""


@dataclass(slots=True)
class Parcel:
    """Rows that are shipped together, and how far their command is."""

    rows: list[Row]
    command: Ship | None = None
    receipt: Receipt | None = None
    refused: str | None = None


def plan(
    connection: Connection | None,
    rows: Iterable[Row],
    *,
    batch: str | None = None,
    **fields: Any,
) -> list[Parcel]:
    """The parcels of the rows, each with its command or with why it is refused.

    `batch` tells equal parcels of different files apart; `fields` go into every command. Without a
    connection SKUs are not looked up: rows name their lines.
    """
    parcels: dict[tuple[str, str, str], Parcel] = {}
    for row in rows:
        parcels.setdefault(row.parcel, Parcel([])).rows.append(row)
    if connection is not None:
        _find_lines(connection, [row for parcel in parcels.values() for row in parcel.rows])
    for parcel in parcels.values():
        _make(parcel, batch, fields)
    return list(parcels.values())


def send(connection: Connection, parcels: Sequence[Parcel]) -> None:
    """Accept the parcels' commands in the connection's transaction, which the caller commits."""
    sendable = [parcel for parcel in parcels if parcel.command]
    commands = [parcel.command for parcel in sendable if parcel.command]
    for parcel, receipt in zip(sendable, accept(connection, commands, lane=BULK), strict=True):
        parcel.receipt = receipt
        if receipt.answer not in {"accepted", "known"}:
            parcel.refused = receipt.problem or "its id belongs to another command"


def _find_lines(connection: Connection, rows: Sequence[Row]) -> None:
    """Fill in the lines of rows that give a SKU."""
    by_sku = [row for row in rows if row.sku and not row.problem]
    if not by_sku:
        return
    found = lines_by_sku(connection, {(row.order, row.sku) for row in by_sku})
    lost = [row for row in by_sku if (row.order, row.sku) not in found]
    orders = known_orders(connection, {row.order for row in lost}) if lost else set()
    zeros = _with_zeros(connection, [row for row in lost if row.order in orders])
    for row in by_sku:
        match found.get((row.order, row.sku), []):
            case [line_id]:
                row.line = line_id
            case []:
                row.problem = _not_found(row, orders, zeros)
            case several:
                row.problem = f"sku: lines {', '.join(several)} have it; give the line"


def _with_zeros(connection: Connection, rows: Sequence[Row]) -> dict[tuple[str, str], str]:
    asked = [row for row in rows if row.sku.isascii() and row.sku.isdigit()]
    if not asked:
        return {}
    parameters = {"order_ids": [row.order for row in asked], "skus": [row.sku for row in asked]}
    found = connection.exec_driver_sql(SKUS_WITH_ZEROS, parameters)
    return {(order_id, sku): whole for order_id, sku, whole in found}


def _not_found(row: Row, orders: set[str], zeros: Mapping[tuple[str, str], str]) -> str:
    if row.order not in orders:
        return "order: is not here, so its SKUs are not known"
    if whole := zeros.get((row.order, row.sku)):
        return f"sku: its leading zeros are lost; the order has {whole}"
    return "sku: no line of the order has it"


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
        "items": [{"line_id": row.line, "quantity": row.units} for row in parcel.rows],
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
