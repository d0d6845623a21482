"""B for follow-ups: the outside call with no lock held, then effect and end in one transaction."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from uuid import UUID

import orjson
import structlog
from sqlalchemy import Connection, Engine

from worker.orders.value import value
from worker.work.attempts import at_once
from worker.work.claim import FOLLOWUPS_TABLE, Batch, Row, lock_claimed
from worker.work.drain import Route
from worker.work.observer import SILENT, Observer

log = structlog.get_logger()

FINISH = """
-- finish: the follow-up has ended
update followups set state = %(state)s, outcome = %(outcome)s::jsonb, decided_at = now(),
  dead_reason = null, waits_for = null, lease_until = null, alone = false, crashes = 0
where id = %(id)s
returning extract(epoch from decided_at - staged_at)::float8
"""

POSTPONE = """
-- postpone: not failed, and not done; nothing is counted
update followups set waits_for = %(waits_for)s,
  attempts = case when %(is_heard)s then 0 else attempts end,
  next_at = now() + make_interval(secs => %(after_s)s), lease_until = null, alone = false,
  crashes = 0
where id = %(id)s
"""

HAND_OVER = """
-- hand_over: no worker claims it any more (not `infinity`, which Python cannot read)
update followups set waits_for = 'hand', next_at = now() + interval '100 years',
  lease_until = null, alone = false, crashes = 0
where id = %(id)s
"""


class TakenAway(Exception):
    """The follow-up is in other hands by now, or has ended; whoever hears it does nothing more."""


def _nobodys() -> AbstractContextManager[Connection]:
    raise TakenAway


@value
class Task:
    """A follow-up to be carried out: `name` says what, `subject_id` on which parcel, refund part or
    command of the order.
    """

    id: UUID
    name: str
    order_id: str
    command_id: UUID
    subject_id: UUID
    edits: Mapping[str, Any]
    """What an operator set right, in place of what the order says."""
    fenced: Callable[[], AbstractContextManager[Connection]] = field(
        default=_nobodys, compare=False, repr=False
    )
    """A transaction that holds the follow-up's row, for what must be known before or beside its
    end, such as that a call is about to be made. Raises `TakenAway`.
    """


def _nothing(_: Connection) -> None:
    """The follow-up changes nothing beside its own row."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What an outside call came to; `write` stores its effect beside the follow-up's end."""

    outcome: dict[str, Any]
    state: Literal["done", "skipped"] = "done"
    write: Callable[[Connection], object] = _nothing


class ByHand:
    """There is nothing to call: a person does it, and says how it ended."""


@dataclass(frozen=True, slots=True)
class Later:
    """It is under way elsewhere, or its turn has not come: look again after so many seconds, as
    often as it takes. `write` stores what is known by now.
    """

    after_s: float
    waits_for: Literal["provider", "carrier", "label", "email", "rate"]
    write: Callable[[Connection], object] = _nothing
    is_heard: bool = False
    """The other side has it, and said so: failures of before are over. It may have it for weeks."""


Answer = Ended | Later | ByHand


def followups_route(
    engine: Engine,
    name: str,
    call: Callable[[Task], Answer],
    *,
    batch_size: int = 4,
    drainers: int | None = None,
    close: Callable[[], None] = lambda: None,
    observer: Observer = SILENT,
) -> Route:
    """A route of follow-ups. `call` reaches outside; it may be repeated after a crash, and raises
    `Transient` or `Terminal` for what it knows of its failures. The rest is as in `Route`.
    """

    def carry_out(one: Batch) -> bool:
        (row,) = one.rows
        try:
            # What was taken away while its batch-mates were carried out is not done a second time.
            with fenced(engine, one):
                pass
            answer = call(_task(row, partial(fenced, engine, one)))
            return at_once(partial(finish, one, answer))
        except TakenAway:
            # Whatever was answered is found again by whoever has it now.
            log.warning("taken_away", route=name, id=str(row.id), order_id=row.order_id)
            return False

    def finish(one: Batch, result: Answer, _: bool) -> bool:  # noqa: FBT001  # it locks no orders
        with fenced(engine, one) as connection:
            if isinstance(result, ByHand):
                connection.exec_driver_sql(HAND_OVER, {"id": one.ids[0]})
                return True
            result.write(connection)
            if isinstance(result, Later):
                connection.exec_driver_sql(
                    POSTPONE,
                    {
                        "id": one.ids[0],
                        "after_s": result.after_s,
                        "waits_for": result.waits_for,
                        "is_heard": result.is_heard,
                    },
                )
                if result.after_s <= 0:
                    route.due_again.set()
                return True
            took_s = connection.exec_driver_sql(
                FINISH,
                {
                    "id": one.ids[0],
                    "state": result.state,
                    "outcome": orjson.dumps(result.outcome).decode(),
                },
            ).scalar_one()
        (row,) = one.rows
        observer.followup(name, str(row.values[0]), result.state, took_s)
        return True

    route = Route(
        name,
        FOLLOWUPS_TABLE,
        carry_out,
        batch_size=batch_size,
        drainers=drainers,
        row_by_row=True,
        close=close,
    )
    return route


@contextmanager
def fenced(engine: Engine, one: Batch) -> Iterator[Connection]:
    """A transaction that holds the one claimed row.

    Raises:
      TakenAway: The claim is no longer ours.
    """
    with engine.begin() as connection:
        if not lock_claimed(connection, one).rows:
            raise TakenAway
        yield connection


def _task(row: Row, fenced: Callable[[], AbstractContextManager[Connection]]) -> Task:
    name, command_id, subject_id, edits = row.values
    return Task(row.id, name, row.order_id, command_id, subject_id, edits or {}, fenced)
