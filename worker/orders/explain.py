"""What can be done with an order now: for each line, and for the order as a whole, each action with
how much of it is possible, or why it is not.

Asked of the rules themselves: an action is possible exactly if `decide` would apply it.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from uuid import UUID

from messages import (
    Cancel,
    Command,
    Complete,
    Hold,
    Item,
    Money,
    Reason,
    Refund,
    Release,
    Ship,
    Void,
)
from messages.fields import MAX_AMOUNT_MINOR, MAX_QUANTITY
from messages.outcomes import Applied
from worker.orders.model import Decision, Line, Order, Rejection, Shipment
from worker.orders.rules import decide
from worker.orders.world import World

Action = Literal[
    "ship",
    "complete",
    "cancel",
    "refund",
    "refund_amount",
    "refund_shipping",
    "void",
    "hold",
    "release",
]

LINE_ACTIONS: Final[tuple[Action, ...]] = ("ship", "complete", "cancel", "refund")
"""Those on single lines."""

Rules = Callable[[Order, Command, World], Decision | Rejection]
"""`decide`, or as it is where providers pay in steps of their own."""

_NO_COMMAND = UUID(int=0)
"""Nothing is sent, so nothing needs an id of its own."""


@dataclass(frozen=True, slots=True)
class Possibility:
    """An action: up to so many units and so much money, or the reason why not at all."""

    action: Action
    units: int = 0
    amount_minor: int = 0
    """What would be paid back at most; for `cancel`, with `refund = full`."""
    reason: Reason | None = None
    message: str | None = None

    @property
    def is_allowed(self) -> bool:
        return self.reason is None


@dataclass(frozen=True, slots=True)
class LineExplained:
    """What can be done with one line."""

    line_id: str
    item_type: str
    actions: tuple[Possibility, ...]


@dataclass(frozen=True, slots=True)
class ShipmentExplained:
    """What can be done with one parcel."""

    shipment_id: UUID
    number: int | None
    actions: tuple[Possibility, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """What can be done with an order: all that remains of it, its lines, its parcels."""

    order_id: str
    currency: str
    version: int
    hold: str | None
    actions: tuple[Possibility, ...]
    lines: tuple[LineExplained, ...]
    shipments: tuple[ShipmentExplained, ...]


def explain(
    order: Order,
    world: World,
    rules: Rules = decide,
    *,
    of_lines: Collection[Action] = LINE_ACTIONS,
) -> Explained:
    """Every action on the order, on each of its lines and on those of its shipments that are in the
    world, as the rules see it at this moment. Of lines only the actions `of_lines`: of thousands of
    lines all of them take seconds.
    """
    return Explained(
        order_id=order.order_id,
        currency=order.currency,
        version=order.version,
        hold=order.hold,
        actions=tuple(_of_order(order, world, rules)),
        lines=tuple(
            LineExplained(
                line.line_id, line.item_type, tuple(_of_line(order, line, of_lines, world, rules))
            )
            for line in order.lines
        ),
        shipments=tuple(
            ShipmentExplained(one.shipment_id, one.number, (_voiding(order, one, world, rules),))
            for (order_id, _), one in world.shipments.items()
            if order_id == order.order_id
        ),
    )


def _voiding(order: Order, shipment: Shipment, world: World, rules: Rules) -> Possibility:
    command = Void(
        command_id=_NO_COMMAND, order_id=order.order_id, shipment_id=shipment.shipment_id
    )
    return _ask(order, "void", command, world, rules)


def _of_order(order: Order, world: World, rules: Rules) -> Iterator[Possibility]:
    envelope: dict[str, Any] = {"command_id": _NO_COMMAND, "order_id": order.order_id}
    everything = Money(amount_minor=MAX_AMOUNT_MINOR, currency=order.currency)
    asked: tuple[tuple[Action, Command], ...] = (
        ("ship", Ship(**envelope)),
        ("complete", Complete(**envelope)),
        # Clamped: what can be cancelled can be so although nothing is left to pay back.
        ("cancel", Cancel(**envelope, policy="clamp", refund="full")),
        ("refund_amount", Refund(**envelope, policy="clamp", amount=everything)),
        ("refund_shipping", Refund(**envelope, include_shipping=True)),
        ("hold", Hold(**envelope, reason="-")),
        ("release", Release(**envelope)),
    )
    for action, command in asked:
        yield _ask(order, action, command, world, rules)


def _of_line(
    order: Order, line: Line, actions: Collection[Action], world: World, rules: Rules
) -> Iterator[Possibility]:
    # The rules look at no other line, and an order of thousands would be gone through for each.
    alone = replace(order, lines=(line,))
    for action in actions:
        most = _ask(alone, action, _command(alone, action, MAX_QUANTITY, "clamp"), world, rules)
        if most.is_allowed:
            yield most
        else:
            # Asked for one unit, the rules say what is in the way of it, not that nothing is left.
            yield _ask(alone, action, _command(alone, action, 1, "strict"), world, rules)


def _command(
    order: Order, action: Action, quantity: int, policy: Literal["strict", "clamp"]
) -> Command:
    (line,) = order.lines
    envelope: dict[str, Any] = {
        "command_id": _NO_COMMAND,
        "order_id": order.order_id,
        "policy": policy,
        "items": (Item(line_id=line.line_id, quantity=quantity),),
    }
    match action:
        case "ship":
            return Ship(**envelope)
        case "complete":
            return Complete(**envelope)
        case "cancel":
            return Cancel(**envelope, refund="full")
        case _:
            return Refund(**envelope)


def _ask(order: Order, action: Action, command: Command, world: World, rules: Rules) -> Possibility:
    decision = rules(order, command, world)
    if isinstance(decision, Rejection):
        return Possibility(action, reason=decision.reason, message=decision.message)
    outcome = decision.outcome
    return Possibility(
        action,
        units=_units(outcome),
        amount_minor=outcome.refund.amount_minor if outcome.refund else 0,
    )


def _units(outcome: Applied) -> int:
    refunded = outcome.refund.lines if outcome.refund else ()
    return sum(item.quantity for item in outcome.items or refunded)
