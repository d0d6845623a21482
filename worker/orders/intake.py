"""Taking an order in: amounts that tie, order-level discount and tax spread, what is already done.

Refuses, with the difference, an order whose lines and fees do not sum to its total.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import UUID, uuid5

from messages import PlacedOrder, Reason
from messages.order import DoneRefund, Fee, OrderLine
from worker.orders.model import (
    Line,
    Order,
    Payment,
    Refund,
    RefundLine,
    RefundPart,
    Rejection,
    Shipment,
)
from worker.orders.money import is_currency, spread
from worker.orders.refunds import count_lines


class Refused(Exception):  # control flow inside this module, never seen outside
    def __init__(self, reason: Reason, message: str) -> None:
        self.rejection = Rejection(reason, message)


def take_in(
    order_id: str, command_id: UUID, placed: PlacedOrder
) -> tuple[Order, tuple[Shipment, ...], tuple[Refund, ...]] | Rejection:
    """The order as the rules see it, with the shipments and refunds that happened upstream."""
    if not is_currency(placed.currency):
        return Rejection(Reason.INVALID, f"{placed.currency} is no ISO 4217 currency")
    try:
        order = Order(
            order_id=order_id,
            currency=placed.currency,
            total_minor=placed.total_minor,
            lines=_lines(placed.lines, placed.discount_minor, placed.tax_minor),
            payments=tuple(
                Payment(payment.payment_id, payment.captured_minor, method=payment.method)
                for payment in placed.payments
            ),
            shipping_minor=sum(gross(fee) for fee in placed.fees if fee.kind == "shipping"),
            hold=placed.hold,
        )
        _check_sums(order, placed)
        order, shipments = _done_shipments(order, command_id, placed)
        order, refunds = _done_refunds(order, command_id, placed.refunds)
    except Refused as refused:
        return refused.rejection
    return order, shipments, refunds


def gross(part: OrderLine | Fee) -> int:
    """What a line or fee costs by itself, before the order's own discount and tax."""
    return part.net_minor - part.discount_minor + part.tax_minor


def lines_of(
    lines: Sequence[OrderLine], *, discount_minor: int, tax_minor: int
) -> tuple[Line, ...] | Rejection:
    """The lines as the rules see them, with their shares of a discount and a tax of the order."""
    try:
        return _lines(lines, discount_minor, tax_minor)
    except Refused as refused:
        return refused.rejection


def _lines(lines: Sequence[OrderLine], discount_minor: int, tax_minor: int) -> tuple[Line, ...]:
    _unique("lines", (line.line_id for line in lines))
    for line in lines:
        if line.discount_minor > line.net_minor:
            raise Refused(Reason.INVALID, f"line {line.line_id}: discount is more than its price")
    try:
        discounts = spread(
            discount_minor,
            [line.net_minor for line in lines],
            caps=[line.net_minor - line.discount_minor for line in lines],
        )
    except ValueError:
        message = f"the order's discount of {discount_minor} is more than its lines cost"
        raise Refused(Reason.TOTAL_MISMATCH, message) from None
    taxes = spread(
        tax_minor,
        [
            line.net_minor - line.discount_minor - discount
            for line, discount in zip(lines, discounts, strict=True)
        ],
    )
    return tuple(
        Line(
            line_id=line.line_id,
            item_type=line.item_type,
            quantity=line.quantity,
            gross_minor=gross(line) - discount + tax,
            tax_minor=line.tax_minor + tax,
            discount_minor=line.discount_minor + discount,
            completed=line.completed,
            cancelled=line.cancelled,
        )
        for line, discount, tax in zip(lines, discounts, taxes, strict=True)
    )


def _check_sums(order: Order, placed: PlacedOrder) -> None:
    for fee in placed.fees:
        if fee.kind != "rounding" and fee.discount_minor > fee.net_minor:
            raise Refused(Reason.INVALID, f"the {fee.kind} fee is below zero")
    found = sum(line.gross_minor for line in order.lines) + sum(map(gross, placed.fees))
    if found != placed.total_minor:
        raise Refused(
            Reason.TOTAL_MISMATCH,
            f"lines and fees sum to {found}, the total says {placed.total_minor}: "
            f"a difference of {found - placed.total_minor} minor units of {order.currency}",
        )
    _unique("payments", (payment.payment_id for payment in placed.payments), Reason.INVALID)


def _done_shipments(
    order: Order, command_id: UUID, placed: PlacedOrder
) -> tuple[Order, tuple[Shipment, ...]]:
    shipments = []
    shipped: Counter[str] = Counter()
    for number, done in enumerate(placed.shipments):
        items: Counter[str] = Counter()
        for item in done.items:
            items[item.line_id] += item.quantity
        _known("shipments", order, items)
        items = +items  # without lines of which nothing was in the parcel
        if not items:
            raise Refused(Reason.INVALID, f"shipment {number} holds nothing")
        shipped += items
        shipments.append(
            Shipment(
                shipment_id=uuid5(command_id, f"shipment {number}"),
                items=dict(items),
                carrier_name=done.carrier,
                tracking_number=done.tracking_number,
                tracking_url=done.tracking_url,
                shipped_at=done.shipped_at,
            )
        )
    lines = tuple(replace(line, shipped=shipped[line.line_id]) for line in order.lines)
    for line in lines:
        if line.shipped and not line.is_physical:
            raise Refused(
                Reason.WRONG_ITEM_TYPE, f"line {line.line_id} is {line.item_type}, yet shipped"
            )
        if line.completed and line.is_physical:
            raise Refused(Reason.WRONG_ITEM_TYPE, f"line {line.line_id} is physical, yet completed")
        if line.remaining < 0:
            raise Refused(
                Reason.INVALID,
                f"line {line.line_id}: {line.shipped} shipped, {line.completed} completed and "
                f"{line.cancelled} cancelled of {line.quantity}",
            )
    return replace(order, lines=lines), tuple(shipments)


def _done_refunds(
    order: Order, command_id: UUID, done: tuple[DoneRefund, ...]
) -> tuple[Order, tuple[Refund, ...]]:
    refunds = []
    for number, one in enumerate(done):
        refund_id = uuid5(command_id, f"refund {number}")
        _known("refunds", order, (item.line_id for item in one.items))
        _unique("refund items", (item.line_id for item in one.items))
        _unique("refund parts", (part.payment_id for part in one.parts), Reason.INVALID)
        refund = Refund(
            refund_id=refund_id,
            amount_minor=sum(part.amount_minor for part in one.parts),
            shipping_minor=one.shipping_minor,
            lines=tuple(
                RefundLine(
                    line_id=item.line_id,
                    quantity=item.quantity,
                    gross_minor=item.gross_minor,
                    tax_minor=item.tax_minor,
                    discount_minor=item.discount_minor,
                )
                for item in one.items
            ),
            parts=tuple(
                RefundPart(
                    part_id=uuid5(refund_id, part.payment_id),
                    payment_id=part.payment_id,
                    amount_minor=part.amount_minor,
                    state="settled",
                )
                for part in one.parts
            ),
            reason=one.reason,
            refunded_at=one.refunded_at,
        )
        order = _settled(order, refund)
        refunds.append(refund)
    return order, tuple(refunds)


def _settled(order: Order, refund: Refund) -> Order:
    itemised = sum(line.gross_minor for line in refund.lines) + refund.shipping_minor
    if itemised > refund.amount_minor:
        message = f"a refund of {refund.amount_minor} names {itemised} for its lines and shipping"
        raise Refused(Reason.INVALID, message)
    by_payment = {part.payment_id: part.amount_minor for part in refund.parts}
    if unknown := by_payment.keys() - {payment.payment_id for payment in order.payments}:
        raise Refused(Reason.INVALID, f"refunds name an unknown payment {min(unknown)}")
    order = replace(
        order,
        lines=count_lines(order.lines, refund.lines),
        payments=tuple(
            replace(
                payment,
                refunded_minor=payment.refunded_minor + by_payment.get(payment.payment_id, 0),
                settled_minor=payment.settled_minor + by_payment.get(payment.payment_id, 0),
            )
            for payment in order.payments
        ),
        shipping_refunded_minor=order.shipping_refunded_minor + refund.shipping_minor,
    )
    if any(payment.left_minor < 0 for payment in order.payments):
        raise Refused(Reason.REFUND_TOO_LARGE, "more was refunded upstream than was captured")
    if any(line.refundable_units < 0 for line in order.lines):
        raise Refused(
            Reason.UNITS_ALREADY_REFUNDED, "more units were refunded upstream than a line has"
        )
    if order.shipping_refunded_minor > order.shipping_minor:
        raise Refused(Reason.INVALID, "more shipping was refunded upstream than the order has")
    return order


def _known(what: str, order: Order, line_ids: Iterable[str]) -> None:
    if unknown := set(line_ids) - {line.line_id for line in order.lines}:
        raise Refused(Reason.UNKNOWN_LINE, f"{what} name an unknown line {min(unknown)}")


def _unique(what: str, ids: Iterable[str], reason: Reason = Reason.DUPLICATE_LINE) -> None:
    twice = [one for one, count in Counter(ids).items() if count > 1]
    if twice:
        raise Refused(reason, f"{what}: {twice[0]} is there more than once")
