"""The rules: what a command does to an order, or why it is refused.

`decide` is pure and total: no I/O, no clock, no exception for a refusal. The caller gives the time,
the carriers that are known, and how orders that are placed again were placed before.
"""

from collections.abc import Iterable, Mapping
from typing import assert_never

from messages import (
    Cancel,
    Command,
    Complete,
    Hold,
    Place,
    Reason,
    Refund,
    Release,
    Ship,
    UpdateTracking,
    Void,
)
from worker.orders.cancellation import cancel, refund
from worker.orders.corrections import update_tracking, void
from worker.orders.holding import hold, release
from worker.orders.model import Decision, Order, Rejection
from worker.orders.placement import place
from worker.orders.shipping import complete, ship
from worker.orders.world import Steps, World, any_step


def decide(  # noqa: C901  # a branch for each kind
    order: Order | None, command: Command, world: World, *, step_minor: Steps = any_step
) -> Decision | Rejection:
    """What the command does to the order, or why not."""
    if order is not None and command.expected_version not in {None, order.version}:
        return Rejection(
            Reason.VERSION_MISMATCH,
            f"expected version {command.expected_version}, the order is at {order.version}",
        )
    if isinstance(command, Place):
        return place(order, command, world)
    if order is None:
        return Rejection(Reason.ORDER_NOT_FOUND, f"order {command.order_id} is not here")
    match command:
        case Ship():
            return ship(order, command, world)
        case Complete():
            return complete(order, command)
        case Cancel():
            return cancel(order, command, step_minor)
        case Refund():
            return refund(order, command, step_minor)
        case Void():
            return void(order, command, world)
        case UpdateTracking():
            return update_tracking(order, command, world)
        case Hold():
            return hold(order, command)
        case Release():
            return release(order)
        case _:
            assert_never(command)


def decide_all(
    orders: Mapping[str, Order], commands: Iterable[Command], world: World
) -> list[Decision | Rejection]:
    """The commands one by one, each on the order as the ones before it left it."""
    current = dict(orders)
    decisions = []
    for command in commands:
        decision = decide(current.get(command.order_id), command, world)
        if isinstance(decision, Decision):
            current[command.order_id] = decision.order
            world = world.after(decision)
        decisions.append(decision)
    return decisions
