"""Asking a provider what became of parts because a person wants to know now."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, Engine

from worker.errors import Terminal, Transient
from worker.refunds.news import hear
from worker.refunds.provider import Failed
from worker.refunds.providers import Providers
from worker.refunds.route import load

ASKED_PARTS: Final = """
-- asked_parts: open ones that somebody was asked for so long ago or longer, the longest first
select part_id from refund_parts
where state in ('pending', 'unknown') and asked_at <= now() - %(older_s)s * interval '1 second'
order by asked_at, part_id limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look-up told. `nothing`: the provider does not know the part, which changes nothing
    here. `unasked`: nobody was asked for it yet, or it goes by hand. `not_told`: not now.
    """

    part_id: UUID
    answer: Literal["settled", "failed", "underway", "nothing", "unasked", "not_told"]
    changed: bool = False
    why: str | None = None


def asked_parts(connection: Connection, *, older_s: float, limit: int) -> Collection[UUID]:
    """Open parts that a provider was asked for."""
    parameters = {"older_s": older_s, "limit": limit}
    return list(connection.exec_driver_sql(ASKED_PARTS, parameters).scalars())


def look_up(engine: Engine, providers: Providers, part_id: UUID) -> Looked:
    """Ask for one part, in whatever state, and apply what is told.

    Raises:
      sqlalchemy.exc.OperationalError: The part, or its order, was not to be had within
        `lock_timeout`.
    """
    with engine.connect() as connection:
        part, asked = load(connection, part_id)
    if asked.provider is None:
        return Looked(part_id, "unasked")
    try:
        answer = providers.of(asked.provider).find(part)
    except (Transient, Terminal) as error:
        return Looked(part_id, "not_told", why=f"{error.reason}: {error}")
    if answer is None:
        return Looked(part_id, "nothing")
    with engine.begin() as connection:
        heard = hear(connection, part_id, answer, provider=asked.provider)
    why = answer.reason if isinstance(answer, Failed) else None
    return Looked(part_id, answer.state, changed=heard == "applied", why=why)
