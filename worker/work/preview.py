"""What commands would do if they were sent, or replayed, now: judged as a worker would, nothing
written.

It reads one moment of the database. Whatever is decided in between, or waits there undecided, may
make another outcome of it; on an unchanged order the outcome is the one that is shown.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from messages import Command
from worker.errors import explain
from worker.orders.model import Rejection
from worker.orders.rules import decide
from worker.work.accept import Receipt
from worker.work.claim import COMMANDS_TABLE, Batch, Row
from worker.work.commands import load
from worker.work.judging import Dead, Decide, Judging, Verdict, read

READ_ONLY = """
-- read_only: one moment, in which nothing can be written
set transaction isolation level repeatable read, read only
"""

SENT = """
-- sent: what became of commands that were accepted before; whose id is another command's
select c.id,
  case when c.fingerprint = command_fingerprint(sent.body) then 'known' else 'id_reused' end,
  c.state, c.outcome
from jsonb_array_elements(%(bodies)s::jsonb) as sent (body)
join commands c on c.id = (sent.body ->> 'command_id')::uuid
"""

UNDECIDED = """
-- undecided: how many commands are to be decided before ours would be
select order_id, count(*) from commands
where order_id = any(%(order_ids)s) and state = 'pending' and outcome is null
  and (waits_for is distinct from 'schedule' or next_at <= now())
group by order_id
"""

SENT_ROWS = """
-- sent_rows: commands as a worker would claim them
select id, order_id, seq, kind, after_id, body::text, accepted_at from commands
where id = any(%(ids)s) order by seq
"""


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of a command, or what became of it: it had been sent before."""

    command: Command
    verdict: Verdict | Receipt
    undecided: int
    """Commands of its order that a worker would decide first; the verdict leaves them out."""
    scheduled_at: datetime | None = None
    """When it would be decided, if not now; the verdict is what it would be now."""


def preview(
    engine: Engine, commands: Sequence[Command], *, grace_s: float, rules: Decide = decide
) -> list[Preview]:
    """What would become of the commands, each on the orders as those before it would leave them."""
    with engine.connect() as connection:
        read_only(connection)
        now = connection.exec_driver_sql("select now()").scalar_one()
        sent = _sent(connection, commands)
        fresh = [command for command in commands if command.command_id not in sent]
        verdicts = _judge(connection, fresh, now, grace_s, rules)
        undecided = count_undecided(connection, {command.order_id for command in commands})
    return [
        Preview(
            command,
            sent.get(command.command_id) or verdicts[command.command_id],
            undecided.get(command.order_id, 0),
            command.not_before
            if command.command_id in verdicts and command.not_before and command.not_before > now
            else None,
        )
        for command in commands
    ]


def read_only(connection: Connection) -> None:
    """Look at one moment, and let PostgreSQL refuse to write; the first thing in a transaction."""
    connection.exec_driver_sql(READ_ONLY)


def judge_again(
    connection: Connection,
    command_ids: Collection[UUID],
    *,
    grace_s: float,
    rules: Decide = decide,
) -> dict[UUID, Verdict]:
    """What would become of commands that are here, were they decided now, each on the orders as
    those before it would leave them. One that makes the rules fail is judged dead.
    """
    found = connection.exec_driver_sql(SENT_ROWS, {"ids": list(command_ids)})
    rows = [
        Row(row_id, order_id, seq, 0, 0, None, tuple(values))
        for row_id, order_id, seq, *values in found
    ]
    try:
        commands = {row.id: read(row) for row in rows}
        return _verdicts(connection, rows, commands, grace_s, rules)
    except SQLAlchemyError:
        raise
    except Exception as error:  # noqa: BLE001  # a bug of the rules, as a worker would meet it
        if len(rows) == 1:
            reason, _, message = explain(error)
            return {rows[0].id: Dead(reason, message)}
    alone = (judge_again(connection, [row.id], grace_s=grace_s, rules=rules) for row in rows)
    return {row_id: verdict for one in alone for row_id, verdict in one.items()}


def _sent(connection: Connection, commands: Sequence[Command]) -> dict[UUID, Receipt]:
    bodies = orjson.dumps([command.body() for command in commands]).decode()
    rows = connection.exec_driver_sql(SENT, {"bodies": bodies})
    return {
        row_id: Receipt(row_id, "known", state, outcome)
        if answer == "known"
        else Receipt(row_id, "id_reused")
        for row_id, answer, state, outcome in rows
    }


def _judge(
    connection: Connection,
    commands: Sequence[Command],
    now: datetime,
    grace_s: float,
    rules: Decide,
) -> dict[UUID, Verdict]:
    rows = [_row(seq, command, now) for seq, command in enumerate(commands)]
    by_id = {command.command_id: command for command in commands}
    return _verdicts(connection, rows, by_id, grace_s, rules)


def _verdicts(
    connection: Connection,
    rows: Sequence[Row],
    commands: Mapping[UUID, Command | Rejection | Dead],
    grace_s: float,
    rules: Decide,
) -> dict[UUID, Verdict]:
    if not rows:
        return {}
    orders, around = load(connection, rows, commands.values())
    return Judging(
        Batch(COMMANDS_TABLE, 0, tuple(rows)),
        dict(commands),
        orders=orders,
        around=replace(around, behind={}),  # as if what comes before them were decided
        rules=rules,
        grace_s=grace_s,
        locked=set(orders),
        waited=True,
    ).all()


def _row(seq: int, command: Command, now: datetime) -> Row:
    """The row that the command would be, were it accepted now."""
    return Row(
        id=command.command_id,
        order_id=command.order_id,
        seq=seq,
        attempts=0,
        crashes=0,
        waits_for=None,
        values=(command.kind, command.after, None, now),
    )


def count_undecided(connection: Connection, order_ids: Collection[str]) -> dict[str, int]:
    """How many commands of each order a worker would decide first; orders without are left out."""
    rows = connection.exec_driver_sql(UNDECIDED, {"order_ids": list(order_ids)})
    return {order_id: int(count) for order_id, count in rows}
