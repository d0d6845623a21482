"""Strays: what came in and could not be accepted as a command. A person replays or discards them.

Its body is taken as a command, or as the message that carried commands; a correction can be made
on the way. The audit keeps the stray as it came.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection

from messages import Command, InvalidCommand
from messages.problems import Problem
from messages.wire import COMMANDS
from worker.work.accept import MAX_STRAY_LENGTH, Receipts, accept
from worker.work.audit import Act, record
from worker.work.mending import corrected

REFUSED_AT_THE_DOOR: Final = ("kind_not_allowed", "unsigned", "bad_signature")
"""Reasons of what the broker door did not let in: nobody vouches for it."""

_LAST: Final = 2**63 - 1
_CHOSEN = """(%(ids)s::bigint[] is null or stray_id = any(%(ids)s))
  and (%(reason)s::text is null or reason = %(reason)s)
  and (%(came_before)s::timestamptz is null or at <= %(came_before)s)"""

LIST_STRAYS = f"""
-- list_strays: the latest first
select stray_id, at, reason, command_id, problem, body from strays where {_CHOSEN}
  and (%(before)s::bigint is null or stray_id < %(before)s)
order by stray_id desc limit %(limit)s
"""  # noqa: S608  # constants of this module

COUNT_STRAYS = f"""
-- count_strays
select count(*) from strays where {_CHOSEN}
"""  # noqa: S608  # constants of this module

GROUP_STRAYS = f"""
-- group_strays: most first; the example is the latest
select reason, count(*) as strays, min(at) as oldest, max(at) as newest,
  max(stray_id) as example, (array_agg(problem order by stray_id desc))[1] as last_problem
from strays where {_CHOSEN} group by reason order by strays desc, reason
"""  # noqa: S608  # constants of this module

TAKE = f"""
-- take: out of the list, to be kept in the audit
with chosen as materialized (
  select stray_id from strays where {_CHOSEN}
  order by stray_id limit %(limit)s for update skip locked
)
delete from strays s using chosen where s.stray_id = chosen.stray_id
returning s.stray_id, s.at, s.reason, s.command_id, s.problem, s.body
"""  # noqa: S608  # constants of this module


@dataclass(frozen=True, slots=True)
class ChosenStrays:
    """Which strays: those that meet every condition given."""

    ids: Collection[int] | None = None
    reason: str | None = None
    came_before: datetime | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            # A number that PostgreSQL cannot hold is no stray's.
            "ids": None if self.ids is None else [one for one in self.ids if abs(one) <= _LAST],
            "reason": self.reason,
            "came_before": self.came_before,
        }


class NoStray(LookupError):
    """There is no such stray, or another session has it in its hands."""


class NotAccepted(ValueError):
    """The stray's commands cannot be accepted: another command has the id."""


class NotVouchedFor(ValueError):
    """The broker door refused the stray, and who takes it in has not said to know that."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"refused at the door, {reason}: whoever reaches Redis may have written it"
        )
        self.reason = reason


def strays(
    connection: Connection, chosen: ChosenStrays, *, before: int | None = None, limit: int
) -> list[dict[str, Any]]:
    """What came in and could not be accepted, the latest first; `before`: earlier than this one."""
    parameters = {**chosen.parameters, "before": before, "limit": limit}
    rows = connection.exec_driver_sql(LIST_STRAYS, parameters)
    return [dict(row) for row in rows.mappings()]


def count(connection: Connection, chosen: ChosenStrays) -> int:
    """How many strays are chosen."""
    return int(connection.exec_driver_sql(COUNT_STRAYS, chosen.parameters).scalar_one())


def groups(connection: Connection, chosen: ChosenStrays) -> list[dict[str, Any]]:
    """How many came in for each reason."""
    rows = connection.exec_driver_sql(GROUP_STRAYS, chosen.parameters)
    return [dict(row) for row in rows.mappings()]


def commands_of(body: str, fields: Mapping[str, str]) -> list[Command]:
    """The commands in a stray's body: one, several, or those of the message that carried them.

    Raises:
      InvalidCommand: They are none; each problem names the field and what is allowed.
    """
    try:
        document = orjson.loads(body)
        if isinstance(document, dict) and isinstance(document.get("args"), list):
            # A message of the broker door: its one argument is a command, or a list of them; where
            # it is signed, as text.
            document = document["args"][0] if len(document["args"]) == 1 else document["args"]
            document = orjson.loads(document) if isinstance(document, str) else document
    except orjson.JSONDecodeError:
        cut = f", it was cut after {MAX_STRAY_LENGTH} characters" * (len(body) >= MAX_STRAY_LENGTH)
        found = Problem("body", f"is no JSON{cut}: give a whole one with --body")
        raise InvalidCommand((found,)) from None
    several = document if isinstance(document, list) else [document]
    if not several and not fields:
        raise InvalidCommand((Problem("body", "holds no command"),))
    if fields and len(several) != 1:
        found = Problem("body", f"holds {len(several)} commands: correct them with --body")
        raise InvalidCommand((found,))
    return [corrected(one, fields) for one in several]


def vouch(reason: str, known_reason: str | None) -> None:
    """Let nobody take in what the broker door refused who has not named why it did.

    Raises:
      NotVouchedFor: It did, and another reason or none was named.
    """
    if reason in REFUSED_AT_THE_DOOR and reason != known_reason:
        raise NotVouchedFor(reason)


def replay_stray(
    connection: Connection,
    stray_id: int,
    commands: Sequence[Command],
    *,
    actor: str,
    known_reason: str | None = None,
) -> Receipts:
    """Accept the commands in place of the stray, which leaves the list.

    Raises:
      NoStray: There is no such stray.
      NotVouchedFor, NotAccepted: As `vouch`; the id belongs to another command. The transaction is
        to be rolled back.
    """
    taken = _take(connection, ChosenStrays(ids=[stray_id]), 1)
    if not taken:
        raise NoStray(str(stray_id))
    vouch(taken[0]["reason"], known_reason)
    receipts = accept(connection, commands)
    for receipt in receipts:
        if receipt.answer not in {"accepted", "known"}:
            raise NotAccepted(f"command_id {receipt.command_id} belongs to another command")
    bodies = [command.body() for command in commands]
    record(
        connection,
        actor,
        [
            Act(
                "stray_replayed",
                COMMANDS,
                command.command_id,
                command.order_id,
                {"answer": receipt.answer, "stray": taken[0], "body": body},
            )
            for command, receipt, body in zip(commands, receipts, bodies, strict=True)
        ],
    )
    return receipts


def discard_strays(
    connection: Connection, chosen: ChosenStrays, *, actor: str, because: str, limit: int
) -> list[int]:
    """Take strays from the list, at most `limit`, the oldest first; the audit keeps them."""
    taken = _take(connection, chosen, limit)
    record(
        connection,
        actor,
        (
            Act(
                "stray_discarded",
                work_id=one["command_id"],
                details={"because": because, "stray": one},
            )
            for one in taken
        ),
    )
    return [one["stray_id"] for one in taken]


def _take(connection: Connection, chosen: ChosenStrays, limit: int) -> list[dict[str, Any]]:
    rows = connection.exec_driver_sql(TAKE, {**chosen.parameters, "limit": limit})
    return [dict(row) for row in rows.mappings()]
