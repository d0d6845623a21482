"""`/orders/{order_id}`: an order, what can be done with it, and every transaction made for it."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.responses import Response

from worker.carriers import table
from worker.carriers.registry import tracking_page
from worker.console.gate import TheViewer
from worker.console.pages import page
from worker.console.transactions import transactions
from worker.orders.explain import Action, Explained, Possibility
from worker.store import reading
from worker.store.reading import Document
from worker.web.door import Door, TheDoor
from worker.web.orders import OrderId, explained, not_here
from worker.work.judging import Decide
from worker.work.preview import read_only

router = APIRouter()

WAIT_S: Final = 1.5
"""For an outcome, before the page is shown: most come sooner."""
FOLLOW_S: Final = 10
"""For an outcome, by a page that waits for it."""
MOST_LOOKS: Final = 60
"""Of one page at what goes on meanwhile: whoever is gone shall be signed out."""


@dataclass(frozen=True)
class Seen:
    """An order at one moment: all that is known of it, and what the rules allow."""

    order: Document
    explained: Explained

    @cached_property
    def names(self) -> dict[str, str]:
        """What its lines are called."""
        return {line["line_id"]: line["name"] for line in self.order["lines"]}

    @cached_property
    def _by_line(self) -> dict[tuple[str, str], Possibility]:
        return {(x.line_id, one.action): one for x in self.explained.lines for one in x.actions}

    def possible(self, action: str) -> Possibility:
        """How much of an action on the whole order is possible."""
        return next(one for one in self.explained.actions if one.action == action)

    def of_line(self, line_id: str, action: str) -> Possibility:
        """Likewise on a line, if that was asked for."""
        return self._by_line[line_id, action]

    def shipment(self, shipment_id: UUID | None) -> Document | None:
        """One of the order's parcels."""
        wanted = str(shipment_id)
        return next((x for x in self.order["shipments"] if x["shipment_id"] == wanted), None)

    @property
    def is_printable(self) -> bool:
        """Whether a parcel left, or something is left for one."""
        return any(not one["voided_at"] for one in self.order["shipments"]) or any(
            line["left"] for line in self.order["lines"] if line["item_type"] == "physical"
        )

    @property
    def is_busy(self) -> bool:
        """Whether a worker is at something of it, or will be at once."""
        work = [*self.order["open_commands"], *self.order["followups"]]
        return any(
            one["state"] == "pending"
            and one.get("waits_for") != "hand"
            and not one["is_paused"]
            and (one["is_due"] or one["in_progress"])
            for one in work
        )


def see(
    connection: Connection, order_id: str, rules: Decide, *, of_lines: Collection[Action] = ()
) -> Seen:
    """The order, and what is possible, of one moment; with single lines by the actions `of_lines`.

    Raises:
      Problem: It is not here.
    """
    read_only(connection)
    found = reading.order(connection, order_id)
    if found is None:
        raise not_here(order_id)
    for one in found["shipments"]:
        one["tracking_page"] = tracking_page(
            one["tracking_number"], one["tracking_page"], one["tracking_url"]
        )
    return Seen(found, explained(connection, order_id, rules, of_lines=of_lines))


@router.get("/orders/{order_id}")
async def show(
    order_id: OrderId,
    visit: TheViewer,
    door: TheDoor,
    command: UUID | None = None,
    look: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """The order; after a command was sent, with what became of that, once it is known."""
    sent = await _sent(door, order_id, command, FOLLOW_S if visit.is_htmx else WAIT_S)
    seen, carriers = await door.read(lambda c: (see(c, order_id, door.rules), table.names(c)))
    is_undecided = sent is not None and sent["state"] == "pending"
    words: dict[str, Any] = {
        "seen": seen,
        "order": seen.order,
        "sent": sent,
        "carriers": carriers,
        "transactions": transactions(seen.order),
        "next_look": look + 1 if look < MOST_LOOKS and (is_undecided or seen.is_busy) else None,
        "look_in_s": 0 if is_undecided else 2,
    }
    return page(visit, "order/body.html" if visit.is_htmx else "order.html", **words)


async def _sent(
    door: Door, order_id: str, command_id: UUID | None, wait_s: float
) -> Document | None:
    """The command that was sent from here, decided if that comes in time."""
    if command_id is None:
        return None
    found = await door.read(lambda connection: reading.command(connection, command_id))
    if found is None or found["order_id"] != order_id:
        return None
    if found["state"] == "pending":
        await door.waiting.until_ended(command_id, wait_s)
        found = await door.read(lambda connection: reading.command(connection, command_id))
    return found
