"""Forgetting whom an order belonged to. The books stay: ids, fingerprints, outcomes, lines,
amounts, quantities, refunds, and what happened when.

Whatever somebody may have written of the person goes: what upstream sent, what operators noted. The
rows go in one transaction, and the files after it, for no file is waited for while rows are locked;
if one cannot be removed, forgetting the order once more removes it.
"""

import re
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from worker.labels.files import Files
from worker.orders.value import value
from worker.retention.files import Document, mail_folder, remove
from worker.retention.rows import EMPTIED_ACT
from worker.settings import Settings
from worker.store import words
from worker.store.bodies import EMPTIED
from worker.store.orders import lock
from worker.work.audit import Act, record

LOCK_WORK: Final = """
-- lock_work_of_order: before the order, as everybody does
with command as materialized (
  select id from commands where order_id = %(order_id)s and state <> 'pending'
  order by id for no key update
), followup as materialized (
  select id from followups where order_id = %(order_id)s order by id for no key update
)
select (select count(*) from command) + (select count(*) from followup)
"""

OPEN_WORK: Final = """
-- open_work: in a statement after the locks, or it would be of the moment before a wait for them
select 'commands' as route, kind as name, id, state from commands
where order_id = %(order_id)s and state = 'pending' and outcome is null
union all
select 'commands', kind, id, state from commands
where order_id = %(order_id)s and state = 'dead'
union all
select route, name, id, state from followups
where order_id = %(order_id)s and state in ('pending', 'dead')
order by 1, 2, 3
"""

_IS_PERSON = """exists (
  select from person, unnest(names) as name
  where length(name) > 2 and strpos(lower({who}), name) > 0)
"""

# Why an operator ended it, and upstream's own words about a hold, which a message quotes.
_OUTCOME = """
  case
    when outcome ? 'discarded' and not outcome ? 'replaced_by'
      then outcome || '{"discarded": "forgotten"}'
    when outcome ->> 'reason' = 'on_hold' then outcome || '{"message": "the order is on hold"}'
    when outcome ? 'by' then outcome - 'reason'
    else outcome
  end
"""
_ERRORS = """(
  select coalesce(jsonb_agg(error || '{"message": ""}' order by n), '[]')
  from jsonb_array_elements(errors) with ordinality as told (error, n))
"""

FORGET: Final = f"""
-- forget: whom an order belonged to, in one statement
with person as materialized (
  -- Who issued a command may be the customer.
  select array_remove(array[
    lower(customer_name), lower(customer_email), lower(customer_phone)], null) as names
  from orders where order_id = %(order_id)s
), orders_changed as (
  update orders set
    forgotten_at = coalesce(forgotten_at, now()), updated_at = now(),
    customer_name = null, customer_email = null, customer_phone = null, locale = null,
    billing_address = null, ship_to = null,
    -- It stays on hold; why, somebody wrote.
    hold = case when hold is not null then 'forgotten' end
  where order_id = %(order_id)s
), shipments_changed as (
  -- Some carriers' pages are asked for with a postal code.
  update shipments set tracking_url = null
  where order_id = %(order_id)s and tracking_url is not null
), refunds_changed as (
  update refunds set reason = null where order_id = %(order_id)s and reason is not null
), parts_changed as (
  update refund_parts set note = null
  where refund_id in (select refund_id from refunds where order_id = %(order_id)s)
    and note is not null
), purchases_changed as (
  update purchases p set label = null, note = null
  from shipments s
  where s.order_id = %(order_id)s and p.shipment_id = s.shipment_id
    and (p.label is not null or p.note is not null)
), history_changed as (
  update history set
    issued_by = case when {_IS_PERSON.format(who="issued_by")} then null else issued_by end,
    details = (details #- '{{changes,tracking_url}}')
      - '{{reason,note,hold,tracking_url}}'::text[]
  where order_id = %(order_id)s
), commands_changed as (
  update commands set
    body = (case when body ? 'command_id' then {EMPTIED} else body end)
      - (case when {_IS_PERSON.format(who="body ->> 'issued_by'")} then 'issued_by' else '' end),
    outcome = {_OUTCOME}, errors = {_ERRORS}
  where order_id = %(order_id)s and state <> 'pending'
  returning id
), followups_changed as (
  update followups set edits = null, outcome = {_OUTCOME}, errors = {_ERRORS}
  where order_id = %(order_id)s
), audit_changed as (
  update audit set details = ({EMPTIED_ACT}) - '{{because,note}}'::text[]
  where (order_id = %(order_id)s or details -> 'stray' ->> 'body' ~ %(stray)s)
    and details ?| '{{changes,body,stray,because,note}}'
), strays_changed as (
  update strays set body = '' where body ~ %(stray)s
  returning stray_id
), job_rows_changed as (
  -- What a file said beside what it was for; also of a row that names the order by its number.
  update job_rows r set cells = null
  from orders o where o.order_id = %(order_id)s
    and r.order_id in (o.order_id, o.number, '#' || o.number) and r.cells is not null
), documents_changed as (
  update documents d set pruned_at = coalesce(pruned_at, now())
  from shipments s where s.order_id = %(order_id)s and d.shipment_id = s.shipment_id
)
select (select count(*) from commands_changed) + (select count(*) from strays_changed)
"""  # noqa: S608  # our own columns

FILES: Final = """
-- files_of_order: also of labels that were made again since
select d.kind, encode(d.sha256, 'hex') as sha256
from shipments s join documents d using (shipment_id) where s.order_id = %(order_id)s
union
select made.kind, made.file ->> 'sha256'
from followups f, jsonb_each(f.outcome -> 'label_made') as made (kind, file)
where f.order_id = %(order_id)s and f.route = 'labels'
"""

EMAILS: Final = """
-- emails_of_order
select id from followups where order_id = %(order_id)s and route = 'emails'
"""

SEARCHED: Final = """
-- searched: what an order without a person is found by
select o.number, array(select sku from order_lines l where l.order_id = o.order_id) as skus
from orders o where o.order_id = %(order_id)s
"""

WORDS: Final = """
-- words_of_order
update order_words set words = array_to_tsvector(%(words)s::text[]) where order_id = %(order_id)s
"""


class NotHere(LookupError):
    """Nothing is known of the order."""


@value
class OpenWork:
    """What still needs the order's person."""

    route: str
    name: str
    id: UUID
    state: str


class StillOpen(ValueError):
    """Work of the order waits or is dead; nothing was changed."""

    def __init__(self, work: Sequence[OpenWork]) -> None:
        super().__init__(f"{len(work)} of its work is open")
        self.work = list(work)


@value
class Forgotten:
    """What is left to be removed once the rows are committed."""

    documents: list[Document]
    emails: list[UUID]


def forget(connection: Connection, order_id: str, *, actor: str) -> Forgotten:
    """Forget whom the order belonged to, in the connection's transaction; once more, if it was
    forgotten before. Nothing is written of who it was.

    Raises:
      NotHere: There is neither such an order, nor a command or a stray of it.
      StillOpen: Some of its work still needs the person.
    """
    order = {"order_id": order_id}
    connection.exec_driver_sql(LOCK_WORK, order)
    is_here = bool(lock(connection, [order_id]))
    if work := [OpenWork(*row) for row in connection.exec_driver_sql(OPEN_WORK, order)]:
        raise StillOpen(work)
    changed = connection.exec_driver_sql(FORGET, order | {"stray": _named(order_id)}).scalar_one()
    if not is_here and not changed:
        raise NotHere(order_id)
    for number, skus in connection.exec_driver_sql(SEARCHED, order):
        found = words.of_texts(order_id, number, *skus)
        connection.exec_driver_sql(WORDS, order | {"words": found})
    record(connection, actor, [Act("forgotten", order_id=order_id)])
    files = connection.exec_driver_sql(FILES, order)
    return Forgotten(
        documents=[(row.kind, bytes.fromhex(row.sha256)) for row in files],
        emails=list(connection.exec_driver_sql(EMAILS, order).scalars()),
    )


def remove_files(engine: Engine, config: Settings, store: Files, forgotten: Forgotten) -> None:
    """Remove what shows the person: labels, slips, e-mails in files. After the commit.

    Raises:
      Transient: The store or the folder cannot be used.
    """
    remove(engine, store, forgotten.documents, older_than_s=0)
    mail_folder(config).remove(forgotten.emails)


def _named(order_id: str) -> str:
    """Where a stray says that it is of the order: a pattern, for a stray may be no JSON, or cut
    off, or a message that carries commands as a text.
    """
    return rf'"order_id\\*"\s*:\s*\\*"{re.escape(order_id)}\\*"'
