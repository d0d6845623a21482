"""B for commands: lock, load, decide, write; one transaction, a constant number of statements."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from messages import Command, Place, PlacedOrder, Reason, Rejected, Ship, UpdateTracking, Void
from messages.wire import COMMANDS
from worker.carriers.numbers import guess
from worker.carriers.registry import code_of
from worker.orders.model import Decision, Order, Rejection
from worker.orders.rules import decide
from worker.orders.world import World
from worker.store import bodies
from worker.store import orders as store
from worker.work.accept import URGENT
from worker.work.attempts import at_once
from worker.work.claim import COMMANDS_TABLE, Batch, Row, lock_claimed
from worker.work.drain import Route
from worker.work.judging import (
    Dead,
    Decide,
    Judging,
    Predecessor,
    Surroundings,
    Verdict,
    Wait,
    after_of,
    read,
)
from worker.work.observer import SILENT, Observer

log = structlog.get_logger()

LOAD = f"""
-- load: the orders as the rules see them, and what else deciding needs
with recursive heirs (named, id, heir) as (
  -- What an operator replaced is followed by what stands in its place now: the one without an heir.
  select id, id, (outcome ->> 'replaced_by')::uuid from commands where id = any(%(predecessors)s)
  union all
  select heirs.named, c.id, (c.outcome ->> 'replaced_by')::uuid
  from heirs join commands c on c.id = heirs.heir
), chain (start, id, depth) as (
  select id, after_id, 1 from commands where id = any(%(followers)s)
  union all
  select chain.start, c.after_id, depth + 1 from chain join commands c on c.id = chain.id
  where c.after_id is not null and chain.id <> chain.start and depth < 1000
    and c.state <> 'applied'  -- nothing in a circle ever is
)
select {store.ORDERS},
  now(),
  (select coalesce(json_object_agg(code, name), '{{}}') from carriers
   where code = any(%(carriers)s)),
  -- In which form orders that are placed again were placed before.
  (select coalesce(json_agg(json_build_array(o.order_id, (c.body -> 'order')::text)), '[]')
   from orders o join commands c on c.id = o.placed_by
   where o.order_id = any(%(placed)s) and o.forgotten_at is null),
  ({store.SHIPMENTS} where s.shipment_id = any(%(shipments)s)),
  (select coalesce(json_agg(json_build_array(heirs.named, c.id, c.order_id, c.state)), '[]')
   from heirs join commands c using (id) where heirs.heir is null),
  (select coalesce(json_agg(distinct start), '[]') from chain where id = start),
  -- An earlier command of the order that is undecided and due, or in somebody's hands. Mine is due
  -- again when that one is: were it due before, a claim might take nothing else, again and again.
  (select coalesce(json_agg(json_build_array(mine.id, earlier.delay_s)), '[]')
   from commands mine cross join lateral (
     select extract(epoch from greatest(e.next_at, mine.next_at) - now()) as delay_s
     from commands e
     where e.order_id = mine.order_id and e.state = 'pending' and e.outcome is null
       and e.seq < mine.seq
       and e.id <> all(%(ids)s)
       and (e.next_at <= now() or e.lease_until is not null or e.waits_for = 'lock')
     order by e.seq limit 1
   ) as earlier
   where mine.id = any(%(ids)s))
"""  # noqa: S608  # our own columns

PROMOTE = """
-- promote: what urgent commands are behind, of their orders, the oldest first. What others lock or
-- lease is in their hands.
with ahead as materialized (
  select e.id from unnest(%(order_ids)s::text[], %(seqs)s::bigint[]) as held (order_id, seq)
  join commands e on e.order_id = held.order_id and e.seq < held.seq
    and e.state = 'pending' and e.outcome is null
  where e.lane = 1 and e.next_at <= now() and e.lease_until is null
  order by e.seq limit %(limit)s
), locked as materialized (
  select c.id from commands c where c.id in (select id from ahead)
  order by c.id for no key update skip locked
)
update commands c set lane = 0 from locked where c.id = locked.id
"""

DRAINERS: Final = 3
PROMOTED: Final = 200
"""At once: other urgent commands wait behind them."""


@dataclass(slots=True)
class Result:
    """What a batch came to."""

    applied: int = 0
    rejected: int = 0
    dead: int = 0
    given_back: int = 0
    """Commands that others took, or whose order, or an earlier command of it, others hold."""
    due_again: int = 0
    """Commands that were woken, or given back to be decided right after another."""
    routes: set[str] = field(default_factory=set)
    """Routes on which follow-ups were staged."""
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many commands ended, by kind and state."""

    @property
    def is_held_up(self) -> bool:
        """Whether others were in the way of more than was decided."""
        return self.given_back > self.applied + self.rejected + self.dead


def commands_route(
    engine: Engine,
    *,
    batch_size: int,
    grace_s: float,
    staged: Callable[[str], object],
    rules: Decide = decide,
    observer: Observer = SILENT,
) -> Route:
    """The route of commands; `staged` is told of each route that got follow-ups."""

    def carry_out(batch: Batch) -> bool:
        def decide_in_transaction(wait_for_locks: bool) -> Result:  # noqa: FBT001  # its only argument
            with engine.begin() as connection:
                return decide_batch(
                    connection, batch, rules=rules, grace_s=grace_s, wait_for_locks=wait_for_locks
                )

        result = at_once(
            decide_in_transaction,
            # An order that somebody held a second ago is not waited for again: its neighbours
            # would have to wait as well.
            wait_for_locks=all(row.waits_for != "lock" for row in batch.rows),
        )
        observer.commands(result.ended)
        if result.due_again:
            route.due_again.set()
        for other in sorted(result.routes):
            staged(other)
        return not result.is_held_up

    route = Route(COMMANDS, COMMANDS_TABLE, carry_out, batch_size=batch_size, drainers=DRAINERS)
    return route


def decide_batch(
    connection: Connection,
    batch: Batch,
    *,
    rules: Decide = decide,
    grace_s: float,
    wait_for_locks: bool = True,
) -> Result:
    """Decide the batch in the connection's transaction, which the caller commits.

    Raises:
      sqlalchemy.exc.OperationalError: With `wait_for_locks`, an order was not to be had within
        `lock_timeout`; without, its commands wait a second instead.
    """
    claimed, batch = batch, lock_claimed(connection, batch)
    taken_away = len(claimed.rows) - len(batch.rows)
    if not batch.rows:
        return Result(given_back=taken_away)
    commands = {row.id: read(row) for row in batch.rows}
    order_ids = {row.order_id for row in batch.rows}
    locked = store.lock(connection, order_ids, wait=wait_for_locks)
    orders, around = load(connection, batch.rows, commands.values())
    verdicts = Judging(
        batch,
        commands,
        orders=orders,
        around=around,
        rules=rules,
        grace_s=grace_s,
        locked=locked,
        waited=wait_for_locks,
    ).all()
    result = _write(connection, batch, commands, orders, verdicts)
    result.given_back += taken_away
    return result


def load(
    connection: Connection, rows: Sequence[Row], commands: Iterable[Command | Rejection | Dead]
) -> tuple[dict[str, Order], Surroundings]:
    """The rows' orders, and what else deciding them needs."""
    named = [command for command in commands if not isinstance(command, Rejection | Dead)]
    row = connection.exec_driver_sql(
        LOAD,
        {
            "ids": [row.id for row in rows],
            "order_ids": list({row.order_id for row in rows}),
            "predecessors": [after for row in rows if (after := after_of(row))],
            "followers": [row.id for row in rows if after_of(row)],
            "carriers": list({code for command in named for code in _carriers(command)}),
            "placed": list({one.order_id for one in named if isinstance(one, Place)}),
            "shipments": [
                one.shipment_id for one in named if isinstance(one, Void | UpdateTracking)
            ],
        },
    ).one()
    *orders, now, carriers, placed, shipments, known, cyclic, behind = row
    forms = {order_id: PlacedOrder.model_validate_json(form) for order_id, form in placed}
    return store.read(*orders), Surroundings(
        world=World(now, carriers, forms, store.read_shipments(shipments)),
        predecessors={
            UUID(named): Predecessor(UUID(one), order_id, state)
            for named, one, order_id, state in known
        },
        cyclic=set(map(UUID, cyclic)),
        behind={UUID(one): delay_s for one, delay_s in behind},
    )


def _carriers(command: Command) -> list[str]:
    """Codes of the carriers that the rules may ask for."""
    if isinstance(command, Place):
        named = (code_of(shipment.carrier or "") for shipment in command.order.shipments)
        return [code for code in named if code]
    if not isinstance(command, Ship | UpdateTracking):
        return []
    if command.new_carrier:
        return [command.new_carrier.code]
    code = command.carrier or (guess(command.tracking_number) if command.tracking_number else None)
    return [code] if code else []


def _write(
    connection: Connection,
    batch: Batch,
    commands: dict[UUID, Command | Rejection | Dead],
    before: dict[str, Order],
    verdicts: dict[UUID, Verdict],
) -> Result:
    decided: list[tuple[Command, Decision]] = []
    ends = []
    result = Result()
    by_id = {row.id: row for row in batch.rows}
    for row_id, verdict in verdicts.items():
        row = by_id[row_id]
        end: dict[str, Any] = {"id": row_id, "kind": row.values[0], "order_id": row.order_id}
        match verdict:
            case Decision():
                decided.append((commands[row_id], verdict))  # type: ignore[arg-type]  # only commands get decisions
                end |= {"state": "applied", "outcome": verdict.outcome.model_dump(mode="json")}
                result.applied += 1
                result.routes |= {one.route for one in verdict.followups if not one.skipped}
            case Rejection():
                outcome = Rejected(reason=verdict.reason, message=verdict.message)
                end |= {"state": "rejected", "outcome": outcome.model_dump(mode="json")}
                result.rejected += 1
            case Wait():
                end |= {
                    "state": "pending",
                    "waits_for": verdict.waits_for,
                    "delay_s": verdict.delay_s,
                    "after_id": verdict.after,
                }
                result.given_back += verdict.waits_for in {None, "lock"}
                result.due_again += verdict.delay_s <= 0
            case Dead():
                error = {"reason": verdict.reason, "message": verdict.message}
                end |= {"state": "dead", "dead_reason": verdict.reason, "error": error}
                result.dead += 1
        ends.append(end)
        if end["state"] != "pending":
            result.ended[row.values[0], end["state"]] += 1
    rows = store.changes(before, decided)
    for one in rows["followups"]:
        one["lane"] = batch.lane
    rows["commands"] = ends
    result.due_again += store.write(connection, rows)
    if batch.lane == URGENT:
        _promote(connection, batch, verdicts, result)
    if forgotten := [
        row_id
        for row_id, verdict in verdicts.items()
        if isinstance(verdict, Rejection) and verdict.reason is Reason.ORDER_FORGOTTEN
    ]:
        # It holds the person who was to be forgotten.
        bodies.empty(connection, forgotten)
    _report(verdicts, by_id)
    return result


def _promote(
    connection: Connection, batch: Batch, verdicts: dict[UUID, Verdict], result: Result
) -> None:
    """Make urgent what urgent commands are behind: they keep their place, and must not wait for all
    of the bulk.
    """
    held = [row for row in batch.rows if _is_behind(verdicts[row.id])]
    if not held:
        return
    parameters = {
        "order_ids": [row.order_id for row in held],
        "seqs": [row.seq for row in held],
        "limit": PROMOTED,
    }
    if connection.exec_driver_sql(PROMOTE, parameters).rowcount:
        result.given_back -= len(held)  # nobody is in the way: what is comes next


def _is_behind(verdict: Verdict) -> bool:
    return isinstance(verdict, Wait) and verdict.waits_for is None


def _report(verdicts: dict[UUID, Verdict], rows: dict[UUID, Row]) -> None:
    """Refusals are outcomes, not errors; they are told at info, without personal data."""
    for row_id, verdict in verdicts.items():
        if isinstance(verdict, Rejection):
            log.info(
                "command_rejected",
                command_id=str(row_id),
                order_id=rows[row_id].order_id,
                reason=verdict.reason.value,
            )
