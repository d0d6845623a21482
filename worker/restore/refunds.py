"""Refund parts: each may have been asked for since the backup, and no key is trusted any more.

A part is marked as asked for, nobody knows when. From then on workers only look it up, until a
look-up that finds nothing can be believed; so also where the provider cannot be asked now.
"""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from messages.wire import REFUNDS
from worker.refunds.look_up import Looked, look_up
from worker.refunds.provider import MANUAL
from worker.refunds.providers import Providers
from worker.work.audit import Act, record

OPEN_PARTS: Final = """
-- open_parts: ours, not those that upstream made; their work is locked first, as everywhere
select p.part_id, p.order_id, p.provider, y.method, w.id as work_id
from refund_parts p join payments y using (order_id, payment_id)
join followups w
  on w.order_id = p.order_id and w.route = 'refunds' and w.subject_id = p.part_id
where p.state in ('pending', 'unknown') order by w.id for no key update of w
"""

MAY_BE_ASKED: Final = """
-- may_be_asked: by a worker of before the restore, so long ago that no key is kept, and until now
update refund_parts set state = 'unknown', provider = %(provider)s, asked_at = 'epoch',
  last_asked_at = clock_timestamp()
where part_id = %(part_id)s and state in ('pending', 'unknown') and provider_id is null
"""


def reconcile(engine: Engine, providers: Providers, *, by: str) -> Iterator[Looked]:
    """Look up every open part, and book what the providers say. Parts that a person pays are
    `unasked`: only that person knows.

    Raises:
      sqlalchemy.exc.OperationalError: A part or its order was not to be had within `lock_timeout`.
    """
    with engine.begin() as connection:
        parts = _mark(connection, providers, by=by)
    for part_id in parts:
        yield look_up(engine, providers, part_id)


def _mark(connection: Connection, providers: Providers, *, by: str) -> list[UUID]:
    rows = connection.exec_driver_sql(OPEN_PARTS).all()
    acts = []
    for row in rows:
        provider = row.provider or providers.name_for(row.method)
        if provider == MANUAL:
            continue
        marked = {"part_id": row.part_id, "provider": provider}
        if connection.exec_driver_sql(MAY_BE_ASKED, marked).rowcount:
            acts.append(Act("may_be_asked", REFUNDS, row.work_id, row.order_id, marked))
    record(connection, by, acts)
    return [row.part_id for row in rows]
