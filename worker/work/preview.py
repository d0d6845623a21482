"""What commands would do if they were sent now: judged as a worker would, nothing written.

It reads one moment of the database. Whatever is decided in between, or waits there undecided, may
make another outcome of it; on an unchanged order the outcome is the one that is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine

from messages import Command
from worker.orders.rules import decide
from worker.work.accept import Receipt
from worker.work.claim import COMMANDS_TABLE, Batch, Row
from worker.work.commands import load
from worker.work.judging import Judging, Verdict

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
group by order_id
"""


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of a command, or what became of it: it had been sent before."""

    command: Command
    verdict: Verdict | Receipt
    undecided: int
    """Commands of its order that a worker would decide first; the verdict leaves them out."""


def preview(engine: Engine, commands: Sequence[Command], *, grace_s: float) -> list[Preview]:
    """What would become of the commands, each on the orders as those before it would leave them."""
    with engine.connect() as connection:
        connection.exec_driver_sql(READ_ONLY)
        sent = _sent(connection, commands)
        fresh = [command for command in commands if command.command_id not in sent]
        verdicts = _judge(connection, fresh, grace_s)
        undecided = _undecided(connection, commands)
    return [
        Preview(
            command,
            sent.get(command.command_id) or verdicts[command.command_id],
            undecided.get(command.order_id, 0),
        )
        for command in commands
    ]


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
    connection: Connection, commands: Sequence[Command], grace_s: float
) -> dict[UUID, Verdict]:
    if not commands:
        return {}
    now = connection.exec_driver_sql("select now()").scalar_one()
    rows = tuple(_row(seq, command, now) for seq, command in enumerate(commands))
    orders, around = load(connection, rows, commands)
    return Judging(
        Batch(COMMANDS_TABLE, 0, rows),
        {command.command_id: command for command in commands},
        orders=orders,
        around=around,
        rules=decide,
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


def _undecided(connection: Connection, commands: Sequence[Command]) -> dict[str, int]:
    order_ids = list({command.order_id for command in commands})
    rows = connection.exec_driver_sql(UNDECIDED, {"order_ids": order_ids})
    return {order_id: int(count) for order_id, count in rows}
