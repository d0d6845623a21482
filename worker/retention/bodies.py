"""Bodies of commands, emptied by age.

There is no index of what is still to be emptied: every command would pay for it. Instead a walk
goes along the order of acceptance, for each way in which commands end, and remembers where it is.
What it passes by, as it had not ended, or not long ago, is written down and looked at in each run.

The form in which an order was placed last is kept as long as the order is, since the next form is
compared with it. Once a walk meets the command that brought the newer form, the older ones go too.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from worker.store.bodies import EMPTIED

ENDS: Final = ("applied", "rejected", "discarded")

# A subquery for a single value: `exists` may be hashed, and that reads all orders.
_LAST_FORM = """
  c.id is not distinct from (select o.placed_by from orders o where o.order_id = c.order_id)"""

_EMPTIED = f"""
old as materialized (
  select c.id
  from (
    select id from seen
    union
    -- Forms that were the order's last when they were passed.
    select form.id
    from (select distinct order_id from seen where kind = 'place') as placed
    join commands form on form.order_id = placed.order_id and form.state <> 'pending'
      and form.kind = 'place' and form.state = 'applied'
  ) as chosen
  join commands c using (id)
  where c.state in ('applied', 'rejected', 'discarded')
    and c.decided_at <= now() - %(days)s * interval '1 day'
    and c.body ? 'command_id' and not ({_LAST_FORM})
), locked as materialized (
  select id from commands where id in (select id from old) and not %(dry_run)s
  order by id for no key update skip locked
), emptied as (
  update commands set body = {EMPTIED} where id in (select id from locked)
)
"""  # noqa: S608  # our own columns

# The state's name stands in the text, as it does in the index (`commands_ended_by_state`).
EMPTY_NEXT: Final = f"""
-- empty_bodies: of the next commands in the order of acceptance
with walk as materialized (
  select greatest(position, %(after)s) as position from retention where what = '{{state}}'
  for update
), seen as materialized (
  select id, seq, order_id, kind
  from (
    select id, seq, order_id, kind, accepted_at from commands
    where state = '{{state}}' and seq > (select position from walk)
    order by seq limit %(limit)s
  ) as next
  where accepted_at <= now() - %(days)s * interval '1 day'
), {_EMPTIED}, passed_by as (
  insert into retention_left (command_id)
  select c.id from (select id from seen union select id from old) as met
  join commands c using (id)
  where c.id not in (select id from locked) and c.body ? 'command_id' and not ({_LAST_FORM})
    and not %(dry_run)s
  on conflict do nothing
), moved as (
  update retention set position = (select max(seq) from seen)
  where what = '{{state}}' and exists (select from seen) and not %(dry_run)s
)
select (select max(seq) from seen),
  (select count(*) from old where %(dry_run)s or id in (select id from locked))
"""  # noqa: S608  # our own columns

UNDECIDED: Final = """
-- undecided: what has not ended, which no walk meets
insert into retention_left (command_id)
select id from commands where state = 'pending' and decided_at is null
  and accepted_at <= now() - %(days)s * interval '1 day'
union all
select id from commands where state = 'dead' and accepted_at <= now() - %(days)s * interval '1 day'
on conflict do nothing
"""

EMPTY_LEFT: Final = f"""
-- empty_left: of those that were passed by
with seen as materialized (
  select c.id, c.order_id, c.kind
  from (
    select command_id from retention_left where command_id > %(after)s
    order by command_id limit %(limit)s
  ) as passed_by
  join commands c on c.id = passed_by.command_id
), {_EMPTIED}, done as (
  delete from retention_left where not %(dry_run)s and command_id in (
    select id from locked
    union all
    select c.id from seen join commands c using (id)
    where not c.body ? 'command_id' or ({_LAST_FORM}))
)
select (select id from seen order by id desc limit 1),
  (select count(*) from old where %(dry_run)s or id in (select id from locked))
"""  # noqa: S608  # our own columns


def note_undecided(connection: Connection, *, days: int) -> None:
    """Write down what no walk meets; before the walks, or what ends meanwhile would be missed."""
    connection.exec_driver_sql(UNDECIDED, {"days": days})


def empty_next(
    connection: Connection, state: str, after: int, *, days: int, limit: int, dry_run: bool
) -> tuple[int | None, int]:
    """Empty the bodies of the next commands that ended so, or count them: up to where, None at the
    end; and how many.
    """
    parameters = {"after": after, "days": days, "limit": limit, "dry_run": dry_run}
    row = connection.exec_driver_sql(EMPTY_NEXT.format(state=state), parameters).one()
    return row[0], row[1]


def empty_left(
    connection: Connection, after: UUID, *, days: int, limit: int, dry_run: bool
) -> tuple[UUID | None, int]:
    """The same with those that were passed by."""
    parameters = {"after": after, "days": days, "limit": limit, "dry_run": dry_run}
    row = connection.exec_driver_sql(EMPTY_LEFT, parameters).one()
    return row[0], row[1]
