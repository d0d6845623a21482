"""`cancel` and `refund`: what is not sent, and what is paid back."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from messages import Cancel, Money, Reason
from messages import Refund as RefundCommand
from worker.orders.decision import applied, email, known
from worker.orders.model import Decision, Entry, Order, Payment, Refund, RefundLine, Rejection
from worker.orders.money import to_decimal
from worker.orders.refunds import cut, line_refund, make_refund, shares
from worker.orders.units import add, named_lines, take
from worker.orders.world import Steps


def cancel(order: Order, command: Cancel, step_minor: Steps) -> Decision | Rejection:
    """Units are not sent any more, and money may go back for them."""
    amount = command.refund if isinstance(command.refund, Money) else None
    refund_only = (
        bool(command.items)
        and all(item.quantity == 0 for item in command.items)
        and (amount is not None or command.include_shipping)
    )
    items = take(
        order,
        command,
        nothing=None if refund_only else Reason.NOTHING_TO_CANCEL,
        fits=lambda _: True,
        misfit="",
    )
    if isinstance(items, Rejection):
        return items
    after = replace(order, lines=add(order.lines, "cancelled", items))
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
    history = [Entry("cancelled", known(details))]
    if refund_only:
        history = []
    return applied(
        after,
        items=items,
        refund=refund,
        history=tuple(history),
        followups=() if refund_only else (email("cancelled", command),),
    )


_NOTHING_LEFT = {Reason.NOTHING_CAPTURED, Reason.NOTHING_TO_REFUND}


def refund(order: Order, command: RefundCommand, step_minor: Steps) -> Decision | Rejection:
    """Money goes back; units stay as they are."""
    lines = _refund_lines(order, command)
    if isinstance(lines, Rejection):
        return lines
    granted = _grant(order, command, step_minor, lines=lines, amount=command.amount)
    if isinstance(granted, Rejection):
        return granted
    after, refund = granted
    return applied(after, refund=refund, history=())


def _refund_lines(order: Order, command: RefundCommand) -> tuple[RefundLine, ...] | Rejection:
    chosen = named_lines(order, command.items)
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


def _show(amount_minor: int, order: Order) -> str:
    return f"{to_decimal(amount_minor, order.currency)} {order.currency}"
