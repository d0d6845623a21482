"""How much work there is, by route, what operators and alerts look at; and pausing a route."""

from typing import Any, Final

from sqlalchemy import Connection

from messages.wire import ROUTES
from worker.work.accept import BULK
from worker.work.audit import Act, record

NEWEST: Final = 5_000
"""Work of each queue, commands of each end, that the rate is counted on: some 10 ms."""

QUEUES = """
-- queues: what has not ended well, by route; the partial indexes hold just these rows
with work as (
  select 'commands' as route, state, lane, next_at, lease_until, waits_for,
    -- Nobody is late with what waits for its time.
    case when waits_for is distinct from 'schedule' then accepted_at
         when next_at <= now() then next_at end as since
  from commands where state = 'pending' and decided_at is null
  union all
  select 'commands', state, lane, next_at, null, null, accepted_at
  from commands where state = 'dead'
  union all
  select route, state, lane, next_at, lease_until, waits_for, staged_at
  from followups where state = 'pending' and decided_at is null
  union all
  select route, state, lane, next_at, null, null, staged_at from followups where state = 'dead'
  union all
  select 'jobs', state, lane, next_at, lease_until, waits_for, loaded_at
  from jobs where state = 'pending' and decided_at is null
  union all
  select 'jobs', state, lane, next_at, null, null, loaded_at from jobs where state = 'dead'
), seen as (
  select route, lane, since, next_at, coalesce(waits_for, 'time') as waits_for,
    case when state = 'dead' then 'dead'
         when lease_until > now() then 'in_progress'
         when next_at <= now() then 'due'
         else 'waiting' end as place
  from work
)
select r.route,
  count(*) filter (where place = 'due') as due,
  count(*) filter (where place = 'waiting') as waiting,
  jsonb_strip_nulls(jsonb_build_object(
    'schedule', nullif(count(*) filter (where place = 'waiting' and waits_for = 'schedule'), 0),
    'order', nullif(count(*) filter (where place = 'waiting' and waits_for = 'order'), 0),
    'predecessor',
    nullif(count(*) filter (where place = 'waiting' and waits_for = 'predecessor'), 0),
    'lock', nullif(count(*) filter (where place = 'waiting' and waits_for = 'lock'), 0),
    'hand', nullif(count(*) filter (where place = 'waiting' and waits_for = 'hand'), 0),
    'provider', nullif(count(*) filter (where place = 'waiting' and waits_for = 'provider'), 0),
    'carrier', nullif(count(*) filter (where place = 'waiting' and waits_for = 'carrier'), 0),
    'label', nullif(count(*) filter (where place = 'waiting' and waits_for = 'label'), 0),
    'rate', nullif(count(*) filter (where place = 'waiting' and waits_for = 'rate'), 0),
    'retry', nullif(count(*) filter (where place = 'waiting' and waits_for = 'retry'), 0),
    'email', nullif(count(*) filter (where place = 'waiting' and waits_for = 'email'), 0),
    'time', nullif(count(*) filter (where place = 'waiting' and waits_for = 'time'), 0)
  )) as waiting_for,
  count(*) filter (where place = 'in_progress') as in_progress,
  count(*) filter (where place <> 'dead' and lane = %(bulk)s) as bulk,
  count(*) filter (where place = 'dead') as dead,
  extract(epoch from now() - min(since) filter (where place <> 'dead'))::float8 as oldest_s,
  extract(epoch from now() - min(next_at) filter (where place = 'due'))::float8 as overdue_s,
  min(next_at) filter (where place = 'waiting' and waits_for = 'schedule') as scheduled_at,
  (select jsonb_build_object('since', paused_at, 'reason', reason)
   from paused_routes p where p.route = r.route) as paused
from unnest(%(routes)s::text[]) with ordinality as r (route, n) left join seen using (route)
group by r.route, r.n order by r.n
"""

PAUSE = """
-- pause
insert into paused_routes (route, reason) values (%(route)s, %(reason)s)
on conflict (route) do update set reason = excluded.reason
"""

RESUME = """
-- resume
delete from paused_routes where route = %(route)s
"""

RATES = f"""
-- rates: what ended within a minute, by a look at the newest. Of commands no index knows when one
-- ended; what was accepted last was nearly always decided last. The condition on follow-ups is that
-- of their index: what was skipped as it was staged was no work of the queue's.
with newest as (
  select 'commands' as route, ends.state, one.decided_at
  from unnest(array['applied', 'rejected', 'dead']) as ends (state) cross join lateral (
    select decided_at from commands c where c.state = ends.state and c.state <> 'pending'
    order by seq desc limit {NEWEST}
  ) as one
  union all
  select r.route, null, one.decided_at
  from unnest(%(routes)s::text[]) as r (route) cross join lateral (
    select decided_at from followups f
    where f.route = r.route and f.decided_at > now() - interval '1 minute'
      and f.state in ('done', 'skipped', 'dead') and f.decided_at > f.staged_at
    order by f.decided_at desc limit {NEWEST}
  ) as one
), counted as (
  select route, extract(epoch from now() - min(decided_at)) as within_s,
    count(*) filter (where decided_at > now() - interval '1 minute') as ended
  from newest group by route, state
)
select r.route, coalesce(sum(
  case when ended < {NEWEST} then ended else ended * 60 / greatest(within_s, 0.001) end
), 0)::float8 as per_min
from unnest(%(routes)s::text[]) as r (route) left join counted using (route) group by r.route
"""  # noqa: S608  # constants of this module


def queues(connection: Connection) -> list[dict[str, Any]]:
    """Per route: due, waiting and for what, in progress, dead, and how old the oldest is.

    `bulk`: of what has not ended, what gives way to urgent work. `oldest_s` is the age of the
    oldest that has not ended, of what was scheduled since its time came; `overdue_s` for how long
    the one that is due longest has been due, `scheduled_at` when the first that waits for its time
    will be, `paused` since when and why nobody may claim it.
    """
    rows = connection.exec_driver_sql(QUEUES, {"routes": list(ROUTES), "bulk": BULK})
    return [dict(row) for row in rows.mappings()]


def rates_per_min(connection: Connection) -> dict[str, float]:
    """How much work of each route ended within the last minute; what operators discarded is none,
    nor is a follow-up that was skipped when it was staged.
    """
    rows = connection.exec_driver_sql(RATES, {"routes": list(ROUTES)})
    return {row.route: row.per_min for row in rows}


def pause(connection: Connection, route: str, reason: str | None = None, *, actor: str) -> None:
    """Let nobody in the cluster claim work of the route; what is claimed already is finished."""
    connection.exec_driver_sql(PAUSE, {"route": route, "reason": reason})
    record(connection, actor, [Act("paused", route, details={"reason": reason})])


def resume(connection: Connection, route: str, *, actor: str) -> bool:
    """Let the route's work be claimed again; False when it was not paused."""
    if connection.exec_driver_sql(RESUME, {"route": route}).rowcount == 0:
        return False
    record(connection, actor, [Act("resumed", route)])
    return True
