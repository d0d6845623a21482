"""News of refunds that nobody waits for: a webhook, or a look-up that a person asked for.

Each is applied in its own transaction, the part's follow-up locked first, in whatever state the
part is and whether or not a worker is asking for it at that moment: what the worker hears later is
then left aside, since its claim has ended.
"""

from collections.abc import Mapping
from typing import Final, Literal
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from worker.orders.model import OPEN
from worker.refunds.ending import conclude, lock_work
from worker.refunds.provider import Answer, Failed, Provider, Settled, Underway

log = structlog.get_logger()

FIND_PART: Final = """
-- find_part: by our id, or by the provider's
select coalesce(
  (select part_id from refund_parts where part_id = %(part_id)s),
  (select part_id from refund_parts
   where provider = %(provider)s and provider_id = %(provider_id)s))
"""

NAME_PART: Final = """
-- name_part: what the provider calls it
update refund_parts set provider = %(provider)s, provider_id = %(provider_id)s,
  -- It has been heard of.
  state = case when state = 'unknown' then 'pending' else state end
where part_id = %(part_id)s and (state = 'unknown' or provider is distinct from %(provider)s
  or provider_id is distinct from %(provider_id)s)
"""

Heard = Literal["applied", "known", "ignored"]


def receive(
    engine: Engine, name: str, provider: Provider, headers: Mapping[str, str], body: bytes
) -> int:
    """Apply what the provider's webhook tells; how many parts that changed. What is about refunds
    that are not ours is left aside.

    Raises:
      NotGenuine: The provider did not send it.
      sqlalchemy.exc.SQLAlchemyError: The database is away, or somebody holds the part or its order
        for long: the provider should send it again.
    """
    changed = 0
    for one in provider.news(headers, body):
        told = {"provider": name, "provider_id": one.answer.provider_id}
        with engine.begin() as connection:
            part_id = connection.exec_driver_sql(
                FIND_PART, {"part_id": one.part_id, **told}
            ).scalar_one()
            heard = hear(connection, part_id, one.answer, provider=name) if part_id else "ignored"
        changed += heard == "applied"
        log.info(
            "refund_news",
            **told,
            part_id=str(part_id or one.part_id),
            state=one.answer.state,
            heard=heard,
        )
    return changed


def hear(connection: Connection, part_id: UUID, answer: Answer, *, provider: str) -> Heard:
    """Apply one piece of news, in the connection's transaction.

    Raises:
      sqlalchemy.exc.OperationalError: The part, or its order, was not to be had within
        `lock_timeout`.
    """
    work = lock_work(connection, part_id)
    if work is None or work.provider not in {None, provider}:
        return "ignored"  # upstream's, or another provider's
    if work.provider_id and answer.provider_id and work.provider_id != answer.provider_id:
        # The part was asked for afresh, and this is of the refund before. Only money is news.
        if not isinstance(answer, Settled):
            return "ignored"
        if work.part in {"settled", "overpaid"}:
            log.error("refund_paid_twice", part_id=str(part_id), provider=provider)
            return "ignored"
    is_named = False
    if answer.provider_id:
        named = {"part_id": part_id, "provider": provider, "provider_id": answer.provider_id}
        is_named = connection.exec_driver_sql(NAME_PART, named).rowcount > 0
    if isinstance(answer, Underway):
        return "applied" if is_named and work.part in OPEN else "known"
    reason = answer.reason if isinstance(answer, Failed) else None
    state = conclude(connection, work, answer.state, note=reason)
    return "known" if state == work.part else "applied"
