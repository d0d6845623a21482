"""E-mails: those of commands that are older than a limit were sent, by all likelihood."""

from typing import Final

from sqlalchemy import Connection, Engine

from messages.wire import EMAILS
from worker.work.audit import Act, record

CHUNK: Final = 500
"""E-mails of one transaction."""

# A command that was sent again after the restore is as old as its producer says.
_OLD: Final = """f.route = 'emails' and f.state = 'pending' and f.decided_at is null
    and least(c.accepted_at, case when c.body ->> 'issued_at' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]'
                                  then (c.body ->> 'issued_at')::timestamptz end)
      <= now() - %(older_s)s * interval '1 second'"""

COUNT_OLD: Final = f"""
-- count_old
select count(*) from followups f join commands c on c.id = f.command_id where {_OLD}
"""  # noqa: S608  # a constant of this module

SKIP: Final = f"""
-- skip: ended, untold
with chosen as materialized (
  select f.id from followups f join commands c on c.id = f.command_id where {_OLD}
  order by f.id limit {CHUNK} for no key update of f skip locked
)
update followups w set state = 'skipped', outcome = '{{"skipped": "restored"}}', decided_at = now(),
  waits_for = null, lease_until = null, alone = false, crashes = 0
from chosen where w.id = chosen.id
returning w.id, w.order_id, w.name
"""  # noqa: S608  # constants of this module


def count_old(connection: Connection, *, older_s: float) -> int:
    """How many e-mails wait whose command is so old."""
    return int(connection.exec_driver_sql(COUNT_OLD, {"older_s": older_s}).scalar_one())


def skip_old(engine: Engine, *, older_s: float, by: str) -> int:
    """End the e-mails whose command was issued or accepted so long ago, as skipped with the reason
    `restored`; how many.
    """
    skipped = 0
    while True:
        with engine.begin() as connection:
            rows = connection.exec_driver_sql(SKIP, {"older_s": older_s}).all()
            record(
                connection,
                by,
                (
                    Act(
                        "skipped",
                        EMAILS,
                        row.id,
                        row.order_id,
                        {"name": row.name, "reason": "restored"},
                    )
                    for row in rows
                ),
            )
        if not rows:
            return skipped
        skipped += len(rows)
