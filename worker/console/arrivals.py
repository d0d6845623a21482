"""Strays as the console's pages name them, and as commands."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from messages import Command
from worker.console.age import age
from worker.console.lines import printable
from worker.web.door import Door
from worker.work import strays as work
from worker.work.strays import ChosenStrays


@dataclass(frozen=True, slots=True)
class Filters:
    """What the form holds."""

    reason: str = ""
    age: str = ""

    @property
    def is_narrow(self) -> bool:
        """Whether there may be strays that these leave out."""
        return self != Filters()

    def of(self, group: Mapping[str, Any]) -> "Filters":
        """The same, of one reason."""
        return replace(self, reason=group["reason"])

    def chosen(self, came_before: datetime) -> ChosenStrays:
        """Which strays these are, of those that had come in by then."""
        return ChosenStrays(reason=self.reason or None, came_before=came_before)

    def address(self, path: str = "/strays", **others: str) -> str:
        """Where these are what is shown."""
        given = {"reason": self.reason, "age": self.age}
        query = urlencode({name: value for name, value in (given | others).items() if value})
        return f"{path}?{query}" if query else path


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
