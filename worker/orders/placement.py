"""`place`: an order comes in, or upstream places it again."""

from collections.abc import Iterable
from dataclasses import replace

from messages import Place, PlacedOrder, Reason
from worker.carriers.registry import code_of, means
from worker.orders.decision import applied, known, refund_details, unchanged
from worker.orders.intake import take_in
from worker.orders.model import Decision, Entry, Order, Refund, Rejection, Shipment
from worker.orders.revision import is_older, revise
from worker.orders.world import World


def place(order: Order | None, command: Place, world: World) -> Decision | Rejection:
    """The order with what is done of it already; or what its newer form changes."""
    if order is not None:
        return _place_again(order, command, world.placed.get(order.order_id))
    taken = take_in(command.order_id, command.command_id, command.order)
    if isinstance(taken, Rejection):
        return taken
    placed, shipments, refunds = taken
    shipments = tuple(_of_known_carrier(shipment, world) for shipment in shipments)
    if command.expected_version not in {None, 0}:
        return Rejection(
            Reason.VERSION_MISMATCH,
            f"expected version {command.expected_version}, the order is not here yet",
        )
    return applied(
        placed,
        history=(
            Entry("placed", {"lines": len(placed.lines)}, placed.total_minor),
            *_upstream(placed, shipments, refunds),
        ),
        shipments=shipments,
        refunds=refunds,
        placed=command.order,
    )


def _place_again(order: Order, command: Place, before: PlacedOrder | None) -> Decision | Rejection:
    form = command.order
    if order.is_forgotten:
        return Rejection(Reason.ORDER_FORGOTTEN, f"order {order.order_id} was forgotten")
    if before is None:
        return Rejection(
            Reason.ORDER_CHANGED, f"order {order.order_id} was not placed by a command"
        )
    if is_older(form, before):
        return unchanged(order)
    taken = take_in(order.order_id, command.command_id, form)
    if isinstance(taken, Rejection):
        return taken
    after = revise(order, before, form)
    if isinstance(after, Rejection):
        return after
    if after == order:
        return unchanged(order, placed=form)
    lines, payments = after.lines[len(order.lines) :], after.payments[len(order.payments) :]
    details = {
        "items": {line.line_id: line.quantity for line in lines},
        "payments": {payment.payment_id: payment.captured_minor for payment in payments},
        "hold": None if after.hold == order.hold else after.hold or "released",
    }
    added_minor = after.total_minor - order.total_minor
    return applied(
        after,
        history=(Entry("changed_upstream", known(details), added_minor or None),),
        placed=form,
    )


def _upstream(
    order: Order, shipments: tuple[Shipment, ...], refunds: tuple[Refund, ...]
) -> Iterable[Entry]:
    """History of what was done before the order came here, at its own time where it is known."""
    for shipment in shipments:
        details = {
            "items": dict(shipment.items),
            "carrier": shipment.carrier_name,
            "tracking_number": shipment.tracking_number,
        }
        yield Entry("shipped_upstream", known(details), at=shipment.shipped_at)
    for counter in ("completed", "cancelled"):
        if items := {x.line_id: n for x in order.lines if (n := getattr(x, counter))}:
            yield Entry(f"{counter}_upstream", {"items": items})
    for refund in refunds:
        yield Entry(
            "refunded_upstream", refund_details(refund), refund.amount_minor, refund.refunded_at
        )


def _of_known_carrier(shipment: Shipment, world: World) -> Shipment:
    """Upstream names carriers in words; those that the shop knows are found by their code too."""
    code = code_of(shipment.carrier_name or "")
    if code is None or not means(code, world.carriers.get(code, "")):
        return shipment
    return replace(shipment, carrier=code)
