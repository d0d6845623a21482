"""`ship` and `complete`: units leave, in a parcel or otherwise."""

from messages import Complete, NewCarrier, Reason, Ship, UpdateTracking
from messages.wire import LABELS
from worker.carriers.numbers import guess, has_wrong_check_digit
from worker.carriers.registry import means
from worker.orders.decision import applied, email, known
from worker.orders.model import Decision, Entry, FollowUp, Order, Rejection, Shipment
from worker.orders.units import add, take
from worker.orders.world import World


def ship(order: Order, command: Ship, world: World) -> Decision | Rejection:
    """Physical units leave in a parcel."""
    if order.hold is not None:
        return Rejection(Reason.ON_HOLD, f"the order is on hold: {order.hold}")
    carrier = carrier_of(command, world)
    if isinstance(carrier, Rejection):
        return carrier
    code, name, added = carrier
    guessed = None if code else guessed_carrier(command.tracking_number, world)
    if guessed:
        code, name = guessed, world.carriers[guessed]
    warning = number_warning(code, name, command.tracking_number)
    items = take(
        order,
        command,
        nothing=Reason.NOTHING_TO_SHIP,
        fits=lambda line: line.is_physical,
        misfit="is completed, not shipped",
    )
    if isinstance(items, Rejection):
        return items
    shipment = Shipment(
        shipment_id=command.command_id,
        items=items,
        carrier=code,
        carrier_name=name,
        tracking_number=command.tracking_number,
        tracking_url=command.tracking_url,
        service=command.service,
        warning=warning,
        label=command.label,
        weight_g=command.weight_g,
        shipped_at=world.now,
    )
    followups = [email("shipped", command)]
    if command.label == "generate":
        followups.append(FollowUp(LABELS, "label", command.command_id))
    details = {
        "items": items,
        "carrier": code,
        "carrier_guessed": guessed is not None,
        "tracking_number": command.tracking_number,
        "warning": warning,
    }
    return applied(
        order,
        lines=add(order.lines, "shipped", items),
        items=items,
        history=(Entry("shipped", known(details)),),
        shipments=(shipment,),
        followups=tuple(followups),
        carrier=added,
    )


def complete(order: Order, command: Complete) -> Decision | Rejection:
    """Units that are not physical are done."""
    if order.hold is not None:
        return Rejection(Reason.ON_HOLD, f"the order is on hold: {order.hold}")
    items = take(
        order,
        command,
        nothing=Reason.NOTHING_TO_COMPLETE,
        fits=lambda line: not line.is_physical,
        misfit="is shipped, not completed",
    )
    if isinstance(items, Rejection):
        return items
    return applied(
        order,
        lines=add(order.lines, "completed", items),
        items=items,
        history=(Entry("completed", {"items": items}),),
        followups=(email("completed", command),),
    )


def carrier_of(
    command: Ship | UpdateTracking, world: World
) -> tuple[str | None, str | None, NewCarrier | None] | Rejection:
    """Code and name of the carrier that the command names, and the carrier that it adds."""
    code = command.new_carrier.code if command.new_carrier else command.carrier
    if code is None or code in world.carriers:
        return code, world.carriers.get(code or ""), None
    if command.new_carrier is None:
        return Rejection(Reason.UNKNOWN_CARRIER, f"carrier {code} is not known; add it first")
    return code, command.new_carrier.name, command.new_carrier


def guessed_carrier(number: str | None, world: World) -> str | None:
    """The carrier that the number must be of, if the shop knows it by the common code."""
    code = guess(number) if number else None
    return code if code and means(code, world.carriers.get(code, "")) else None


def number_warning(code: str | None, name: str | None, number: str | None) -> str | None:
    """A wrong check digit. A number of a form that we do not know is no reason for one: carriers
    have more kinds of numbers than anybody lists, and a warning that is often wrong is not read.
    """
    if code and name and number and means(code, name) and has_wrong_check_digit(code, number):
        return f"the check digit of the tracking number is wrong for {name}"
    return None
