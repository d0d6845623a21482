"""The rules: what a command does to an order, or why it is refused.

`decide` is pure and total: no I/O, no clock, no exception for a refusal. The caller gives the time,
the carriers that are known, and how orders that are placed again were placed before.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from messages import (
    Applied,
    Cancel,
    Command,
    Complete,
    Item,
    Money,
    NewCarrier,
    Place,
    PlacedOrder,
    Reason,
    Ship,
    UpdateTracking,
    Void,
)
from messages import Refund as RefundCommand
from messages.outcomes import RefundedLine, RefundedPart, RefundGranted
from messages.wire import EMAILS, LABELS, REFUNDS
from worker.carriers.numbers import guess, has_wrong_check_digit
from worker.carriers.registry import code_of, means
from worker.orders.intake import take_in
from worker.orders.model import (
    Decision,
    Entry,
    FollowUp,
    Line,
    Order,
    Payment,
    Refund,
    RefundLine,
    Rejection,
    Shipment,
)
from worker.orders.money import to_decimal
from worker.orders.refunds import cut, line_refund, make_refund, shares
from worker.orders.revision import is_older, revise


@dataclass(frozen=True, slots=True)
class World:
    """What the rules need to know beside the order."""

    now: datetime
    carriers: Mapping[str, str]
    """Names of the known carriers by code."""
    placed: Mapping[str, PlacedOrder] = field(default_factory=dict)
    """The form in which upstream placed an order last, by order id."""
    shipments: Mapping[tuple[str, UUID], Shipment] = field(default_factory=dict)
    """Those that commands name, by order id and their own."""

    def after(self, decision: Decision) -> "World":
        """The world that the next decision sees."""
        carriers, placed, shipments = self.carriers, self.placed, self.shipments
        if decision.carrier:
            carriers = {**carriers, decision.carrier.code: decision.carrier.name}
        if decision.placed:
            placed = {**placed, decision.order.order_id: decision.placed}
        if new := [*decision.shipments, *filter(None, (decision.voided, decision.retracked))]:
            order_id = decision.order.order_id
            shipments = {**shipments, **{(order_id, one.shipment_id): one for one in new}}
        return (
            self
            if placed is self.placed and carriers is self.carriers and shipments is self.shipments
            else replace(self, carriers=carriers, placed=placed, shipments=shipments)
        )


Steps = Callable[[str | None, str], int]
"""The smallest step, in minor units, of what can go back on a payment of this method, in this
currency.
"""


def any_step(method: str | None, currency: str) -> int:
    """Whatever the currency has."""
    del method, currency
    return 1


def decide(
    order: Order | None, command: Command, world: World, *, step_minor: Steps = any_step
) -> Decision | Rejection:
    """What the command does to the order, or why not."""
    if order is not None and command.expected_version not in {None, order.version}:
        return Rejection(
            Reason.VERSION_MISMATCH,
            f"expected version {command.expected_version}, the order is at {order.version}",
        )
    if isinstance(command, Place):
        return _place(order, command, world)
    if order is None:
        return Rejection(Reason.ORDER_NOT_FOUND, f"order {command.order_id} is not here")
    match command:
        case Ship():
            return _ship(order, command, world)
        case Complete():
            return _complete(order, command)
        case Cancel():
            return _cancel(order, command, step_minor)
        case RefundCommand():
            return _refund(order, command, step_minor)
        case Void():
            return _void(order, command, world)
        case UpdateTracking():
            return _update_tracking(order, command, world)
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


def _place(order: Order | None, command: Place, world: World) -> Decision | Rejection:
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
    return _applied(
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
        return _unchanged(order, placed=None)
    taken = take_in(order.order_id, command.command_id, form)
    if isinstance(taken, Rejection):
        return taken
    after = revise(order, before, form)
    if isinstance(after, Rejection):
        return after
    if after == order:
        return _unchanged(order, placed=form)
    lines, payments = after.lines[len(order.lines) :], after.payments[len(order.payments) :]
    details = {
        "items": {line.line_id: line.quantity for line in lines},
        "payments": {payment.payment_id: payment.captured_minor for payment in payments},
        "hold": None if after.hold == order.hold else after.hold or "released",
    }
    added_minor = after.total_minor - order.total_minor
    return _applied(
        after,
        history=(Entry("changed_upstream", _known(details), added_minor or None),),
        placed=form,
    )


def _unchanged(order: Order, *, placed: PlacedOrder | None) -> Decision:
    """Nothing new: the version counts what changed the order, so that nobody's `expected_version`
    is spoilt by upstream saying the same again.
    """
    outcome = Applied(order_version=order.version, changed=False)
    return Decision(order=order, outcome=outcome, history=(), placed=placed)


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
        yield Entry("shipped_upstream", _known(details), at=shipment.shipped_at)
    for counter in ("completed", "cancelled"):
        if items := {x.line_id: n for x in order.lines if (n := getattr(x, counter))}:
            yield Entry(f"{counter}_upstream", {"items": items})
    for refund in refunds:
        yield Entry(
            "refunded_upstream", _refund_details(refund), refund.amount_minor, refund.refunded_at
        )


def _of_known_carrier(shipment: Shipment, world: World) -> Shipment:
    """Upstream names carriers in words; those that the shop knows are found by their code too."""
    code = code_of(shipment.carrier_name or "")
    if code is None or not means(code, world.carriers.get(code, "")):
        return shipment
    return replace(shipment, carrier=code)


def _ship(order: Order, command: Ship, world: World) -> Decision | Rejection:
    if order.hold is not None:
        return Rejection(Reason.ON_HOLD, f"the order is on hold: {order.hold}")
    carrier = _carrier(command, world)
    if isinstance(carrier, Rejection):
        return carrier
    code, name, added = carrier
    guessed = None if code else _guessed(command.tracking_number, world)
    if guessed:
        code, name = guessed, world.carriers[guessed]
    warning = _warning(code, name, command.tracking_number)
    items = _items(
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
    followups = [_email("shipped", command)]
    if command.label == "generate":
        followups.append(FollowUp(LABELS, "label", command.command_id))
    details = {
        "items": items,
        "carrier": code,
        "carrier_guessed": guessed is not None,
        "tracking_number": command.tracking_number,
        "warning": warning,
    }
    return _applied(
        order,
        lines=_add(order.lines, "shipped", items),
        items=items,
        history=(Entry("shipped", _known(details)),),
        shipments=(shipment,),
        followups=tuple(followups),
        carrier=added,
    )


def _carrier(
    command: Ship | UpdateTracking, world: World
) -> tuple[str | None, str | None, NewCarrier | None] | Rejection:
    """Code and name of the carrier that the command names, and the carrier that it adds."""
    code = command.new_carrier.code if command.new_carrier else command.carrier
    if code is None or code in world.carriers:
        return code, world.carriers.get(code or ""), None
    if command.new_carrier is None:
        return Rejection(Reason.UNKNOWN_CARRIER, f"carrier {code} is not known; add it first")
    return code, command.new_carrier.name, command.new_carrier


def _guessed(number: str | None, world: World) -> str | None:
    """The carrier that the number must be of, if the shop knows it by the common code."""
    code = guess(number) if number else None
    return code if code and means(code, world.carriers.get(code, "")) else None


def _warning(code: str | None, name: str | None, number: str | None) -> str | None:
    """A wrong check digit. A number of a form that we do not know is no reason for one: carriers
    have more kinds of numbers than anybody lists, and a warning that is often wrong is not read.
    """
    if code and name and number and means(code, name) and has_wrong_check_digit(code, number):
        return f"the check digit of the tracking number is wrong for {name}"
    return None


def _complete(order: Order, command: Complete) -> Decision | Rejection:
    if order.hold is not None:
        return Rejection(Reason.ON_HOLD, f"the order is on hold: {order.hold}")
    items = _items(
        order,
        command,
        nothing=Reason.NOTHING_TO_COMPLETE,
        fits=lambda line: not line.is_physical,
        misfit="is shipped, not completed",
    )
    if isinstance(items, Rejection):
        return items
    return _applied(
        order,
        lines=_add(order.lines, "completed", items),
        items=items,
        history=(Entry("completed", {"items": items}),),
        followups=(_email("completed", command),),
    )


def _cancel(order: Order, command: Cancel, step_minor: Steps) -> Decision | Rejection:
    amount = command.refund if isinstance(command.refund, Money) else None
    refund_only = (
        bool(command.items)
        and all(item.quantity == 0 for item in command.items)
        and (amount is not None or command.include_shipping)
    )
    items = _items(
        order,
        command,
        nothing=None if refund_only else Reason.NOTHING_TO_CANCEL,
        fits=lambda _: True,
        misfit="",
    )
    if isinstance(items, Rejection):
        return items
    after = replace(order, lines=_add(order.lines, "cancelled", items))
    lines: tuple[RefundLine, ...] = ()
    if command.refund == "full":
        # Never more than is left: whoever cancels wants the rest back, whatever it is.
        lines = _fit(
            (
                line_refund(line, quantity)
                for line in order.lines
                if (quantity := min(items.get(line.line_id, 0), line.refundable_units))
            ),
            sum(shares(order, order.left_minor, _step(order, step_minor))),
        )
    granted: tuple[Order, Refund | None] | Rejection = (after, None)
    if amount is not None or command.include_shipping or any(x.gross_minor for x in lines):
        granted = _grant(after, command, step_minor, lines=lines, amount=amount)
    if isinstance(granted, Rejection):
        if refund_only or command.policy == "strict" or granted.reason not in _NOTHING_LEFT:
            return granted
        granted = (after, None)  # clamp takes what is left
    after, refund = granted
    details = {"items": items, "reason": command.reason}
    history = [Entry("cancelled", _known(details))]
    if refund_only:
        history = []
    return _applied(
        after,
        items=items,
        refund=refund,
        history=tuple(history),
        followups=() if refund_only else (_email("cancelled", command),),
    )


_NOTHING_LEFT = {Reason.NOTHING_CAPTURED, Reason.NOTHING_TO_REFUND}


def _refund(order: Order, command: RefundCommand, step_minor: Steps) -> Decision | Rejection:
    lines = _refund_lines(order, command)
    if isinstance(lines, Rejection):
        return lines
    granted = _grant(order, command, step_minor, lines=lines, amount=command.amount)
    if isinstance(granted, Rejection):
        return granted
    after, refund = granted
    return _applied(after, refund=refund, history=())


def _refund_lines(order: Order, command: RefundCommand) -> tuple[RefundLine, ...] | Rejection:
    chosen = _chosen(order, command.items)
    if isinstance(chosen, Rejection):
        return chosen
    lines = []
    for line, asked in chosen:
        if asked > line.refundable_units and command.policy == "strict":
            return Rejection(
                Reason.UNITS_ALREADY_REFUNDED,
                f"line {line.line_id}: {asked} units asked, "
                f"{line.refundable_units} of {line.quantity} not refunded yet",
            )
        if quantity := min(asked, line.refundable_units):
            lines.append(line_refund(line, quantity))
    if command.policy == "clamp":
        return _fit(lines, order.left_minor)
    return tuple(lines)


def _grant(
    order: Order,
    command: Cancel | RefundCommand,
    step_minor: Steps,
    *,
    lines: tuple[RefundLine, ...],
    amount: Money | None,
) -> tuple[Order, Refund] | Rejection:
    """The refund of lines, shipping fee and amount together, within what is left, in steps that
    the payments' providers can pay.
    """
    strict = command.policy == "strict"
    left = order.left_minor
    if amount is not None and amount.currency != order.currency:
        return Rejection(
            Reason.OTHER_CURRENCY,
            f"the order is in {order.currency}, the amount in {amount.currency}",
        )
    if order.captured_minor == 0:
        return Rejection(Reason.NOTHING_CAPTURED, "nothing was captured for this order")
    shipping_minor = 0
    if command.include_shipping:
        if order.shipping_minor > 0 and order.shipping_refunded_minor == 0:
            shipping_minor = order.shipping_minor
        elif strict:
            return (
                Rejection(Reason.NO_SHIPPING_FEE, "the order has no shipping fee")
                if order.shipping_minor == 0
                else Rejection(
                    Reason.SHIPPING_ALREADY_REFUNDED, "the shipping fee was refunded before"
                )
            )
    itemised = sum(line.gross_minor for line in lines)
    amount_minor = amount.amount_minor if amount else 0
    wanted = itemised + shipping_minor + amount_minor
    if strict and wanted > left:
        return Rejection(
            Reason.REFUND_TOO_LARGE,
            f"{_show(wanted, order)} asked, at most {_show(left, order)} can be refunded",
            {"maximum_minor": left},
        )
    step = _step(order, step_minor)
    payable = sum(shares(order, min(wanted, left), step))
    if strict and payable < wanted:
        steps = ", ".join(
            f"{payment.payment_id} {_show(step(payment), order)}"
            for payment in order.payments
            if payment.left_minor
        )
        return Rejection(
            Reason.AMOUNT_TOO_FINE,
            f"{_show(wanted, order)} asked, {_show(payable, order)} of it can be paid back: "
            f"the smallest steps are {steps}",
            {"payable_minor": payable},
        )
    lines = _fit(lines, payable)
    itemised = sum(line.gross_minor for line in lines)
    shipping_minor = min(shipping_minor, payable - itemised)
    amount_minor = min(amount_minor, payable - itemised - shipping_minor)
    if itemised + shipping_minor + amount_minor == 0:
        return Rejection(Reason.NOTHING_TO_REFUND, "the refund comes to nothing")
    return make_refund(
        order,
        command.command_id,
        lines=lines,
        shipping_minor=shipping_minor,
        amount_minor=amount_minor,
        reason=command.reason,
        step_minor=step,
    )


def _step(order: Order, step_minor: Steps) -> Callable[[Payment], int]:
    return lambda payment: step_minor(payment.method, order.currency)


def _fit(lines: Iterable[RefundLine], left_minor: int) -> tuple[RefundLine, ...]:
    """The lines' refunds cut to what is left, earlier lines first. Units for which nothing is left
    are not refunded, so they do not count as such.
    """
    fitted = []
    for line in lines:
        one = cut(line, left_minor)
        if one.gross_minor or not line.gross_minor:
            fitted.append(one)
            left_minor -= one.gross_minor
    return tuple(fitted)


def _void(order: Order, command: Void, world: World) -> Decision | Rejection:
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
    followups = [_email("voided", command, shipment.shipment_id)]
    if shipment.label != "none":
        followups.append(FollowUp(LABELS, "void", shipment.shipment_id))
    details = {
        "shipment_id": str(shipment.shipment_id),
        "items": items,
        "reason": command.reason,
        "forced": shipment.transit is not None,
    }
    return _applied(
        order,
        lines=_add(_add(order.lines, "shipped", back), "voided", items),
        items=items,
        history=(Entry("voided", _known(details)),),
        followups=tuple(followups),
        voided=replace(shipment, voided_at=world.now),
    )


def _update_tracking(order: Order, command: UpdateTracking, world: World) -> Decision | Rejection:
    shipment = _standing(order, command, world)
    if isinstance(shipment, Rejection):
        return shipment
    carrier = _carrier(command, world)
    if isinstance(carrier, Rejection):
        return carrier
    code, name, added = carrier
    if code is None:
        code, name = shipment.carrier, shipment.carrier_name
    number = command.tracking_number or shipment.tracking_number
    # Unless upstream named one in words that the shop does not know.
    if code is None and name is None and (guessed := _guessed(command.tracking_number, world)):
        code, name = guessed, world.carriers[guessed]
    after = replace(shipment, carrier=code, carrier_name=name, tracking_number=number)
    if command.tracking_url or after != shipment:
        # The page that was given belongs to the number and the carrier it came with.
        after = replace(after, tracking_url=command.tracking_url)
    if after == shipment:
        return _unchanged(order, placed=None)
    after = replace(after, warning=_warning(code, name, number))
    followups = [
        FollowUp(EMAILS, "tracking_updated", shipment.shipment_id),
    ] * command.notify_customer
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
    return _applied(
        order,
        history=(Entry("tracking_updated", _known(details)),),
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


def _items(
    order: Order,
    command: Ship | Complete | Cancel,
    *,
    nothing: Reason | None,
    fits: Callable[[Line], bool],
    misfit: str,
) -> dict[str, int] | Rejection:
    """Units by line that the command takes, all that remains of fitting lines unless it names
    items; `nothing` is the refusal when that comes to none.
    """
    if not command.items:
        items = {
            line.line_id: line.remaining for line in order.lines if fits(line) and line.remaining
        }
    else:
        chosen = _chosen(order, command.items)
        if isinstance(chosen, Rejection):
            return chosen
        items = {}
        for line, asked in chosen:
            if asked and not fits(line):
                return Rejection(
                    Reason.WRONG_ITEM_TYPE, f"line {line.line_id} ({line.item_type}) {misfit}"
                )
            if asked > line.remaining and command.policy == "strict":
                return Rejection(
                    Reason.MORE_THAN_REMAINS,
                    f"line {line.line_id}: {asked} asked, {line.remaining} of {line.quantity} left",
                )
            if quantity := min(asked, line.remaining):
                items[line.line_id] = quantity
    if not items and nothing is not None:
        return Rejection(nothing, "no unit remains" if not command.items else "no unit is taken")
    return items


def _chosen(order: Order, items: Collection[Item]) -> list[tuple[Line, int]] | Rejection:
    """The lines that are named, in the order's own order, with the units asked for."""
    asked = {item.line_id: item.quantity for item in items}
    if len(asked) < len(items):
        (twice, _), *_ = Counter(item.line_id for item in items).most_common(1)
        return Rejection(Reason.DUPLICATE_LINE, f"line {twice} is named more than once")
    chosen = [(line, asked[line.line_id]) for line in order.lines if line.line_id in asked]
    if len(chosen) < len(asked):
        unknown = min(asked.keys() - {line.line_id for line, _ in chosen})
        return Rejection(Reason.UNKNOWN_LINE, f"the order has no line {unknown}")
    return chosen


def _add(lines: tuple[Line, ...], counter: str, items: Mapping[str, int]) -> tuple[Line, ...]:
    return tuple(
        replace(line, **{counter: getattr(line, counter) + items[line.line_id]})
        if line.line_id in items
        else line
        for line in lines
    )


def _applied(
    order: Order,
    *,
    history: tuple[Entry, ...],
    lines: tuple[Line, ...] | None = None,
    items: Mapping[str, int] | None = None,
    refund: Refund | None = None,
    shipments: tuple[Shipment, ...] = (),
    refunds: tuple[Refund, ...] = (),
    followups: tuple[FollowUp, ...] = (),
    **rest: object,
) -> Decision:
    order = replace(order, version=order.version + 1, lines=lines or order.lines)
    granted = None
    if refund is not None:
        granted = _granted(order, refund)
        history += (Entry("refund_requested", _refund_details(refund), refund.amount_minor),)
        refunds += (refund,)
        followups += tuple(FollowUp(REFUNDS, "settle", part.part_id) for part in refund.parts)
    outcome = Applied(
        order_version=order.version,
        items=tuple(Item(line_id=k, quantity=v) for k, v in (items or {}).items()),
        refund=granted,
    )
    return Decision(
        order=order,
        outcome=outcome,
        history=history,
        shipments=shipments,
        refunds=refunds,
        followups=followups,
        **rest,  # type: ignore[arg-type]  # carrier, placed and changed shipments, by name
    )


def _refund_details(refund: Refund) -> dict[str, Any]:
    return _known(
        {
            "items": {line.line_id: line.quantity for line in refund.lines},
            "shipping_minor": refund.shipping_minor,
            "parts": {part.payment_id: part.amount_minor for part in refund.parts},
            "reason": refund.reason,
        }
    )


def _known(details: dict[str, Any]) -> dict[str, Any]:
    """The details that say something."""
    return {name: value for name, value in details.items() if value}


def _granted(order: Order, refund: Refund) -> RefundGranted:
    return RefundGranted(
        amount_minor=refund.amount_minor,
        currency=order.currency,
        shipping_minor=refund.shipping_minor,
        lines=tuple(
            RefundedLine(
                line_id=line.line_id,
                quantity=line.quantity,
                gross_minor=line.gross_minor,
                tax_minor=line.tax_minor,
                discount_minor=line.discount_minor,
            )
            for line in refund.lines
        ),
        parts=tuple(
            RefundedPart(
                part_id=part.part_id, payment_id=part.payment_id, amount_minor=part.amount_minor
            )
            for part in refund.parts
        ),
    )


def _email(name: str, command: Command, subject_id: UUID | None = None) -> FollowUp:
    """The e-mail about what the command does, or about the shipment it does it to."""
    skipped = None if command.notify_customer else "switched_off"
    return FollowUp(EMAILS, name, subject_id or command.command_id, skipped)


def _show(amount_minor: int, order: Order) -> str:
    return f"{to_decimal(amount_minor, order.currency)} {order.currency}"
