"""The files of a shipment: `documents` rows that name them. The row is what counts."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection

from worker.labels.files import Files, Kind, digest_of, name_of
from worker.orders.value import value

WRITE_DOCUMENTS = """
-- write_documents: a label that is made again, after its address was corrected, replaces the first
insert into documents (shipment_id, kind, sha256, size_bytes)
select %(shipment_id)s, kind, decode(sha256, 'hex'), size_bytes
from jsonb_to_recordset(%(made)s::jsonb) as made (kind text, sha256 text, size_bytes integer)
order by kind
on conflict (shipment_id, kind) do update
  set sha256 = excluded.sha256, size_bytes = excluded.size_bytes, made_at = now(), pruned_at = null
  where documents.sha256 <> excluded.sha256 or documents.pruned_at is not null
"""

DOCUMENTS = """
-- documents: the files of a shipment
select kind, sha256, pruned_at from documents where shipment_id = %(shipment_id)s
"""

NAMED = """
-- named: which of the hashes a row names whose file is kept
select distinct sha256 from documents where sha256 = any(%(hashes)s) and pruned_at is null
"""

LIST_DOCUMENTS = """
-- list_documents: the parcels of an order with their files, in the order in which they left
select s.shipment_id, s.number, s.label, s.shipped_at, s.voided_at, s.carrier_name,
  s.tracking_number,
  f.state as followup_state, f.dead_reason,
  coalesce((select jsonb_object_agg(d.kind, jsonb_build_object(
      'sha256', encode(d.sha256, 'hex'), 'size_bytes', d.size_bytes, 'made_at', d.made_at,
      'pruned_at', d.pruned_at))
    from documents d where d.shipment_id = s.shipment_id), '{}') as documents
from shipments s
left join lateral (
  select f.state, f.dead_reason from followups f
  where f.order_id = s.order_id and f.route = 'labels' and f.subject_id = s.shipment_id
    and f.name in ('label', 'relabel')
  order by f.seq desc limit 1
) as f on true
where s.order_id = %(order_id)s
order by s.number
"""


@value
class Made:
    """A file that was made and stored."""

    kind: Kind
    sha256: bytes
    size_bytes: int


def put(store: Files, contents: Mapping[Kind, bytes]) -> list[Made]:
    """Store the files.

    Raises:
      Transient: The store cannot be used.
    """
    made = []
    for kind, content in contents.items():
        sha256 = digest_of(content)
        store.put(name_of(sha256, kind), content)
        made.append(Made(kind, sha256, len(content)))
    return made


def told(made: Collection[Made]) -> dict[str, Any]:
    """The files as a follow-up's outcome names them."""
    return {one.kind: {"sha256": one.sha256.hex(), "size_bytes": one.size_bytes} for one in made}


def write(connection: Connection, shipment_id: UUID, made: Collection[Made]) -> None:
    """Let the shipment's rows name these files."""
    rows = [
        {"kind": one.kind, "sha256": one.sha256.hex(), "size_bytes": one.size_bytes} for one in made
    ]
    connection.exec_driver_sql(
        WRITE_DOCUMENTS, {"shipment_id": shipment_id, "made": orjson.dumps(rows).decode()}
    )


@value
class Kept:
    """A file of a shipment, as its row has it."""

    sha256: bytes
    pruned_at: datetime | None
    """When it was removed for its age, or because its order was forgotten."""


def of_shipment(connection: Connection, shipment_id: UUID) -> dict[str, Kept]:
    """The files of the shipment, by kind."""
    found = connection.exec_driver_sql(DOCUMENTS, {"shipment_id": shipment_id})
    return {row.kind: Kept(bytes(row.sha256), row.pruned_at) for row in found}


def named(connection: Connection, candidates: Collection[bytes]) -> set[bytes]:
    """Those of the hashes that a row names whose file is kept."""
    found = connection.exec_driver_sql(NAMED, {"hashes": list(candidates)})
    return {bytes(row.sha256) for row in found}


def of_order(connection: Connection, order_id: str) -> list[dict[str, Any]]:
    """The order's parcels with their files."""
    found = connection.exec_driver_sql(LIST_DOCUMENTS, {"order_id": order_id})
    return [dict(row) for row in found.mappings()]
