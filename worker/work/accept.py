"""The doors: commands become rows in the caller's own transaction.

A command is accepted when that transaction commits. Sending it again is always safe: the receipt
then says what has become of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import orjson
from sqlalchemy import Connection

from messages import Command
from messages.wire import COMMANDS

Answer = Literal["accepted", "known", "id_reused", "refused"]

Lane = Literal[0, 1]
URGENT: Final[Lane] = 0
BULK: Final[Lane] = 1
"""What nobody waits for: urgent work, and what follows from it, goes first."""

ACCEPT = """
-- accept: see accept_commands in the schema
select command_id, answer, state, outcome, problem from accept_commands(
  %(bodies)s::jsonb, %(lane)s)
"""

ACCEPT_TRACED = """
-- accept_traced: likewise, and to which trace each belongs
with accepted as materialized (
  select * from accept_commands(%(bodies)s::jsonb, %(lane)s)
), traced as (
  insert into traces (command_id, traceparent)
  select command_id, (%(traceparents)s::text[])[n] from accepted
  where answer = 'accepted' and (%(traceparents)s::text[])[n] is not null
  on conflict do nothing
)
select command_id, answer, state, outcome, problem from accepted order by n
"""

STRAY = """
-- stray: what came in and cannot be accepted on its own
insert into strays (reason, command_id, problem, body)
values (%(reason)s, %(command_id)s, %(problem)s, %(body)s)
"""
MAX_STRAY_LENGTH = 65_536


class Hints(Protocol):
    """What wakes the workers; `worker.broker.hints` has the real one."""

    def send(self, route: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one command.

    `accepted`: it is in, once the transaction commits. `known`: the same command was accepted
    before; `state` and `outcome` say how far it is. `id_reused`: its id belongs to another
    command. `refused`: it cannot be accepted, `problem` says why.
    """

    command_id: UUID | None
    answer: Answer
    state: str | None = None
    outcome: dict[str, Any] | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Receipts(Sequence[Receipt]):
    """Receipts in the order of the commands."""

    receipts: tuple[Receipt, ...]

    def __getitem__(self, index: Any) -> Any:
        return self.receipts[index]

    def __len__(self) -> int:
        return len(self.receipts)

    def hint(self, hints: Hints) -> None:
        """Wake a worker; call it after the commit. Without it the tickers find the work within a
        second or so.
        """
        if any(receipt.answer == "accepted" for receipt in self.receipts):
            hints.send(COMMANDS)


def accept(
    connection: Connection,
    commands: Iterable[Command],
    *,
    lane: Lane = URGENT,
    traceparent: str | None = None,
) -> Receipts:
    """Accept the commands in the connection's transaction, which is the caller's to commit.

    At most 5,000 at once; a few hundred are fastest. A command that is known keeps its lane, and
    its place in a trace, which `traceparent` says (W3C Trace Context).
    """
    bodies = [command.body() for command in commands]
    traceparents = [traceparent] * len(bodies) if traceparent else ()
    return accept_bodies(connection, bodies, lane=lane, traceparents=traceparents)


def accept_bodies(
    connection: Connection,
    bodies: Sequence[Any],
    *,
    lane: Lane = URGENT,
    traceparents: Sequence[str | None] = (),
) -> Receipts:
    """Like `accept`, for JSON values that may not be valid commands: what has a readable id, kind
    and order is accepted and judged when it is decided. `traceparents`: of none, or one for each.
    """
    if not bodies:
        return Receipts(())
    parameters: dict[str, Any] = {"bodies": orjson.dumps(bodies).decode(), "lane": lane}
    statement = ACCEPT
    if any(traceparents):
        statement = ACCEPT_TRACED
        parameters["traceparents"] = list(traceparents)
    rows = connection.exec_driver_sql(statement, parameters)
    return Receipts(tuple(Receipt(*row) for row in rows))


def record_stray(
    connection: Connection,
    reason: str,
    body: str,
    *,
    command_id: UUID | None = None,
    problem: str | None = None,
) -> None:
    """List what came in and cannot be accepted, for a person to look at."""
    connection.exec_driver_sql(
        STRAY,
        {
            "reason": reason,
            "command_id": command_id,
            "problem": problem,
            "body": body[:MAX_STRAY_LENGTH],
        },
    )
