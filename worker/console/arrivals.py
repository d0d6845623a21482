"""Strays as the console's pages name them, and as commands."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from messages import Command
from worker.console.age import age
from worker.console.lines import printable
from worker.console.paging import Paged
from worker.web.door import Door
from worker.work import strays as work
from worker.work.strays import ChosenStrays


@dataclass(frozen=True, slots=True)
class Filters(Paged):
    """What the form holds."""

    PATH = "/strays"
    reason: str = ""
    age: str = ""

    def of(self, group: Mapping[str, Any]) -> "Filters":
        """The same, of one reason."""
        return replace(self, after=(), reason=group["reason"])

    def chosen(self, came_before: datetime) -> ChosenStrays:
        """Which strays these are, of those that had come in by then."""
        return ChosenStrays(reason=self.reason or None, came_before=came_before)


def filters_of(given: Mapping[str, str]) -> Filters:
    """What an address, or a form, asks for."""
    return Filters(reason=printable(given.get("reason", "")), age=age(given.get("age")))


def commands_in(
    row: Mapping[str, Any], body: str, fields: Mapping[str, str], known: str | None
) -> list[Command]:
    """The commands in a stray's body, with fields set; `known` is the reason that somebody vouches
    for.

    Raises:
      InvalidCommand: They are none.
      NotVouchedFor: The door refused the stray, and nobody vouches for it.
    """
    work.vouch(row["reason"], known)
    return work.commands_of(body, fields)


def take_in(
    door: Door, stray_id: int, commands: list[Command], actor: str, known: str | None
) -> None:
    """Accept the commands in place of the stray, in a transaction of its own.

    Raises:
      NoStray, NotAccepted, NotVouchedFor: As `replay_stray`; nothing is written.
    """
    with door.engine.begin() as connection:
        work.replay_stray(connection, stray_id, commands, actor=actor, known_reason=known)
