"""What a restored store would do again, and whether anybody is doing it already."""

from typing import Any, Final

from sqlalchemy import Connection

from worker.work.queues import queues

AGAIN: Final = """
-- again: what has not ended, by route and kind of work; the partial indexes hold just these rows
select route, name, count(*) as count, min(since) as oldest
from (
  select 'commands' as route, kind as name, accepted_at as since
  from commands where state = 'pending' and decided_at is null
  union all
  select route, name, staged_at from followups where state = 'pending' and decided_at is null
  union all
  select 'jobs', kind, loaded_at from jobs where state = 'pending' and decided_at is null
) as work
group by route, name order by route, name
"""


def obstacles(connection: Connection) -> list[str]:
    """Why the store cannot be looked through: work might begin, or has begun, meanwhile."""
    found = queues(connection)
    running = [row["route"] for row in found if not row["paused"]]
    begun = [row["route"] for row in found if row["in_progress"]]
    said = []
    if running:
        said.append(f"not paused: {', '.join(running)}; first `fulfillment pause --all`")
    if begun:
        said.append(f"workers are still at {', '.join(begun)}; wait until they have finished")
    return said


def again(connection: Connection) -> list[dict[str, Any]]:
    """What is open, by route and name: how many, and since when the oldest."""
    return [dict(row) for row in connection.exec_driver_sql(AGAIN).mappings()]
