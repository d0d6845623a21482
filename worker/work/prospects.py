"""What a replay would come to, said beforehand: would succeed, would still fail, already done.

Commands are judged by the rules themselves. What an outside call would answer nobody knows; of a
follow-up it is said what the database tells, and what its route's own `Check` knows against it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection

from messages.wire import COMMANDS
from worker.orders.model import Decision, Rejection
from worker.orders.rules import decide
from worker.work.dead import Chosen, dead
from worker.work.followups import Task
from worker.work.judging import Dead, Decide, Verdict, Wait
from worker.work.preview import count_undecided, judge_again

Check = Callable[[Connection, Task], str | None]
"""Why carrying the follow-up out would still fail, or come to nothing, as far as the database
tells. None: nothing is known against it. It calls nobody outside, and writes nothing.
"""

ProspectOf = Literal["would_succeed", "would_wait", "would_fail", "already_done"]

TASKS = """
-- tasks: follow-ups as a worker would carry them out, and what says that this was done already
select f.id, f.name, f.order_id, f.command_id, f.subject_id, coalesce(f.edits, '{}') as edits,
  case f.route
    when 'labels' then case f.name when 'label' then (
      select 'the label is there' from documents d
      where d.shipment_id = f.subject_id and d.kind in ('label_pdf', 'label_zpl') limit 1) end
    when 'refunds' then (
      select 'the refund part is ' || p.state from refund_parts p
      where p.part_id = f.subject_id and p.state in ('settled', 'failed'))
  end as done
from followups f where f.id = any(%(ids)s)
"""

NOT_DEAD = """
-- not_dead: how far work is that is no dead letter
select 'commands' as route, id, kind as name, order_id, state from commands
where id = any(%(ids)s) and state <> 'dead'
union all
select route, id, name, order_id, state from followups
where id = any(%(ids)s) and state <> 'dead'
"""


@dataclass(frozen=True, slots=True)
class Prospect:
    """What replaying one dead letter would come to. `would_wait`: for what is not there yet."""

    route: str
    id: UUID
    order_id: str
    name: str
    prospect: ProspectOf
    why: str | None = None


def prospects(
    connection: Connection,
    chosen: Chosen,
    *,
    limit: int,
    grace_s: float,
    checks: Mapping[str, Check],
    rules: Decide = decide,
) -> list[Prospect]:
    """What replaying the dead letters would come to, the oldest first; then those of the chosen ids
    that are not dead. Commands are judged one after the other, as a worker would decide them.
    """
    letters = dead(connection, chosen, limit=limit)
    commands = [one["id"] for one in letters if one["route"] == COMMANDS]
    verdicts = judge_again(connection, commands, grace_s=grace_s, rules=rules)
    undecided = count_undecided(connection, {one["order_id"] for one in letters})
    tasks = _tasks(connection, [one["id"] for one in letters if one["route"] != COMMANDS])
    found = []
    for letter in letters:
        of: ProspectOf
        if letter["route"] == COMMANDS:
            of, why = judged(verdicts[letter["id"]])
            why = "; ".join(_caveats(letter, of, why, undecided.get(letter["order_id"], 0))) or None
        else:
            task, done = tasks[letter["id"]]
            of, why = checked(connection, task, done, checks.get(letter["route"]))
        found.append(
            Prospect(letter["route"], letter["id"], letter["order_id"], letter["name"], of, why)
        )
    return [*found, *_not_dead(connection, chosen.ids or ())]


def judged(verdict: Verdict) -> tuple[ProspectOf, str | None]:
    """What a verdict says of a command's prospect."""
    match verdict:
        case Decision():
            return "would_succeed", None if verdict.outcome.changed else "it would change nothing"
        case Rejection():
            return "would_fail", f"rejected: {verdict.reason}: {verdict.message}"
        case Wait():
            return "would_wait", f"for its {verdict.waits_for}, which is not there"
        case Dead():
            return "would_fail", f"{verdict.reason}: {verdict.message}"


def checked(
    connection: Connection, task: Task, done: str | None, check: Check | None
) -> tuple[ProspectOf, str | None]:
    """What the database, and the route's check, say of a follow-up's prospect."""
    if done:
        return "already_done", done
    if check and (why := check(connection, task)):
        return "would_fail", why
    return "would_succeed", "nothing is known against it"


def _caveats(letter: dict[str, Any], of: str, why: str | None, undecided: int) -> Iterator[str]:
    if why:
        yield why
    if of == "would_succeed" and str(letter["reason"]).startswith("database_"):
        yield f"by the rules; PostgreSQL refused to write it before ({letter['reason']})"
    if undecided:
        yield f"undecided commands of this order come first: {undecided}"


def _tasks(connection: Connection, ids: Collection[UUID]) -> dict[UUID, tuple[Task, str | None]]:
    rows = connection.exec_driver_sql(TASKS, {"ids": list(ids)})
    return {task[0]: (Task(*task), done) for *task, done in rows}


def _not_dead(connection: Connection, ids: Collection[UUID]) -> list[Prospect]:
    rows = connection.exec_driver_sql(NOT_DEAD, {"ids": list(ids)})
    return [
        Prospect(route, row_id, order_id, name, "already_done", f"it is {state}")
        for route, row_id, name, order_id, state in rows
    ]
