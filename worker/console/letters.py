"""Dead letters as the console's pages name them: by filters, or by one's own id."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection

from messages.wire import COMMANDS, ROUTES
from worker.checks import CHECKS
from worker.console.age import age
from worker.console.lines import printable
from worker.console.paging import Paged
from worker.web.door import Door
from worker.web.problems import Problem
from worker.work import mending
from worker.work.dead import Chosen, dead
from worker.work.preview import read_only
from worker.work.prospects import Prospect, prospects

Done = Literal["replayed", "discarded"]

QUEUES: Final = tuple(route for route in ROUTES if route != "jobs")
"""Jobs that died have a page of their own."""


@dataclass(frozen=True, slots=True)
class Filters(Paged):
    """What the form holds."""

    PATH = "/dead"
    queue: str = ""
    reason: str = ""
    order: str = ""
    age: str = ""

    def of(self, group: Mapping[str, Any]) -> "Filters":
        """The same, of one queue and reason."""
        return replace(self, after=(), queue=group["route"], reason=group["reason"] or "")

    def chosen(self, failed_before: datetime) -> Chosen:
        """Which letters these are, of those that had failed by then."""
        return Chosen(
            reason=self.reason or None,
            order_id=self.order or None,
            route=self.queue or None,
            failed_before=failed_before,
        )


def filters_of(given: Mapping[str, str]) -> Filters:
    """What an address, or a form, asks for."""
    queue = given.get("queue", "")
    return Filters(
        queue=queue if queue in QUEUES else "",
        reason=printable(given.get("reason", "")),
        order=printable(given.get("order", "")),
        age=age(given.get("age")),
    )


def letter(door: Door, connection: Connection, letter_id: UUID) -> dict[str, Any]:
    """A letter, what replaying it would come to, and what can be set right in it: all that its page
    shows.

    Raises:
      Problem: It is no dead letter.
    """
    read_only(connection)
    letters = dead(connection, Chosen(ids=[letter_id]), limit=1)
    if not letters:
        raise gone(letter_id)
    (found,) = letters
    fields = {} if found["route"] == COMMANDS else mending.editable(connection, letter_id)
    (prospect,) = foreseen(door, connection, Chosen(ids=[letter_id]), 1)
    return {
        "letter": found,
        "prospect": prospect,
        "fields": fields,
        "given": {},
        "refusal": None,
        "foreseen": None,
    }


def foreseen(door: Door, connection: Connection, chosen: Chosen, limit: int) -> list[Prospect]:
    """What replaying the first of the chosen would come to."""
    return prospects(
        connection,
        chosen,
        limit=limit,
        grace_s=door.settings.grace_s,
        checks=CHECKS,
        rules=door.rules,
    )


def gone(letter_id: UUID) -> Problem:
    """It is dead no more, or never was."""
    return Problem("not-found", f"{letter_id} is no dead letter")
