"""`void` and `update_tracking`: what is set right on a parcel after the fact."""

from dataclasses import replace

from messages import Reason, UpdateTracking, Void
from messages.wire import EMAILS, LABELS
from worker.orders.decision import applied, email, known, unchanged
from worker.orders.model import Decision, Entry, FollowUp, Order, Rejection, Shipment
from worker.orders.shipping import carrier_of, guessed_carrier, number_warning
from worker.orders.units import add
from worker.orders.world import World


def void(order: Order, command: Void, world: World) -> Decision | Rejection:
    """A correction: the order's hold is not in its way, nor who sent the parcel, we or upstream."""
    shipment = _standing(order, command, world)
    if isinstance(shipment, Rejection):
        return shipment
    if shipment.transit is not None and not command.force:
        return Rejection(
            Reason.IN_TRANSIT, f"the carrier has the parcel ({shipment.transit}); force it"
        )
    items = dict(shipment.items)
    back = {line_id: -quantity for line_id, quantity in items.items()}
    followups = [email("voided", command, shipment.shipment_id)]
    if shipment.label != "none":
        followups.append(FollowUp(LABELS, "void", shipment.shipment_id))
    details = {
        "shipment_id": str(shipment.shipment_id),
        "items": items,
        "reason": command.reason,
        "forced": shipment.transit is not None,
    }
    return applied(
        order,
        lines=add(add(order.lines, "shipped", back), "voided", items),
        items=items,
        history=(Entry("voided", known(details)),),
        followups=tuple(followups),
        voided=replace(shipment, voided_at=world.now),
    )


def update_tracking(order: Order, command: UpdateTracking, world: World) -> Decision | Rejection:
    """The parcel with what is corrected; without what the correction makes wrong."""
    shipment = _standing(order, command, world)
    if isinstance(shipment, Rejection):
        return shipment
    carrier = carrier_of(command, world)
    if isinstance(carrier, Rejection):
        return carrier
    code, name, added = carrier
    if code is None:
        code, name = shipment.carrier, shipment.carrier_name
    number = command.tracking_number or shipment.tracking_number
    if code is None and name is None:  # upstream may have named one in words that we do not know
        code = guessed_carrier(command.tracking_number, world)
        name = world.carriers[code] if code else None
    after = replace(shipment, carrier=code, carrier_name=name, tracking_number=number)
    if command.tracking_url or after != shipment:
        # The page that was given belongs to the number and the carrier it came with.
        after = replace(after, tracking_url=command.tracking_url)
    if after == shipment:
        return unchanged(order)
    after = replace(after, warning=number_warning(code, name, number))
    followups = []
    if command.notify_customer:
        followups.append(FollowUp(EMAILS, "tracking_updated", shipment.shipment_id))
    if shipment.label != "none":
        followups.append(FollowUp(LABELS, "relabel", shipment.shipment_id))
    details = {
        "shipment_id": str(shipment.shipment_id),
        "changes": {
            name: {"from": was, "to": now}
            for name in ("carrier", "carrier_name", "tracking_number", "tracking_url")
            if (was := getattr(shipment, name)) != (now := getattr(after, name))
        },
        "warning": after.warning,
    }
    return applied(
        order,
        history=(Entry("tracking_updated", known(details)),),
        followups=tuple(followups),
        carrier=added,
        retracked=after,
    )


def _standing(order: Order, command: Void | UpdateTracking, world: World) -> Shipment | Rejection:
    """The shipment that the command names, if it has not been called back."""
    shipment = world.shipments.get((order.order_id, command.shipment_id))
    if shipment is None:
        return Rejection(
            Reason.SHIPMENT_NOT_FOUND, f"the order has no shipment {command.shipment_id}"
        )
    if shipment.voided_at is not None:
        return Rejection(Reason.ALREADY_VOIDED, "the shipment was voided before")
    return shipment
