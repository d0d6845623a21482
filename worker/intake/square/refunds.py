"""Returns and refunds, of which Square does not say which belongs to which.

- **Returns.** Units returned are taken from those handed over first; what is returned beyond them
  is cancelled. A return of another order is refused; import it with that one.
- **Refunds.** COMPLETED, APPROVED and also PENDING ones count as done: money that is on its way
  must not be paid twice. A pending one says so in its reason. REJECTED, FAILED and CANCELED ones
  paid nothing. A return takes the first refund of exactly its amount, else the first ones until it
  is covered. What was not paid (a restocking fee, a failed refund) is not counted as refunded,
  later lines first.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from messages import DoneRefund
from worker.intake.done import add_refund_line, refund_items, refund_parts
from worker.intake.ids import is_id
from worker.intake.node import Node, make
from worker.intake.refusal import OrderRefused, Why
from worker.intake.square.lines import Lines, names_shipping
from worker.intake.square.payments import payment_of
from worker.orders.model import RefundLine

PAID_BACK: Final = frozenset({"COMPLETED", "APPROVED", "PENDING"})
STATUSES: Final = tuple(sorted(PAID_BACK | {"REJECTED", "FAILED", "CANCELED"}))


def returned_units(root: Node, lines: Lines) -> Counter[str]:
    """Units of each line that came back, or never left."""
    units: Counter[str] = Counter()
    for one in root.nodes("returns"):
        for item in one.nodes("return_line_items"):
            uid = item.text("source_line_item_uid")
            if uid in lines.ordered:
                units[uid] += item.quantity()
    return units


def refunds_of(
    root: Node,
    order_id: str,
    *,
    lines: Lines,
    charges: Mapping[str, Node],
    captured: Mapping[str, Node],
) -> tuple[DoneRefund, ...]:
    """Every refund that gave money back: a return's with its lines, the others as an amount."""
    open_refunds = [one for one in root.nodes("refunds") if _is_paid_back(one)]
    done = []
    for one in root.nodes("returns"):
        source = one.text("source_order_id")
        if source not in {None, order_id}:
            named = f"{source}, another order" if is_id(source) else "another order"
            raise OrderRefused(Why.OTHER_ORDER, f"{one.path}: is a return of {named}")
        of_lines, shipping = _return_lines(one, lines, charges)
        amount = one.node("return_amounts").money("total_money")
        if amount is None:
            amount = sum(line.gross_minor for line in of_lines) + shipping
        taken = _pays_for(amount, open_refunds)
        if taken:
            done.append(_refund(taken, of_lines, shipping, captured))
        open_refunds = [refund for refund in open_refunds if refund not in taken]
    done += [_refund([refund], [], 0, captured) for refund in open_refunds]
    return tuple(done)


def _is_paid_back(refund: Node) -> bool:
    status = refund.word("status", STATUSES)
    return status in PAID_BACK and refund.required_money("amount_money") != 0


def _return_lines(
    one: Node, lines: Lines, charges: Mapping[str, Node]
) -> tuple[list[RefundLine], int]:
    """What a return gives back by line, and of the shipping fee."""
    found: dict[str, RefundLine] = {}
    shipping = 0
    for item in one.nodes("return_line_items"):
        uid = item.text("source_line_item_uid")
        gross = item.required_money("total_money")
        if uid in lines.shipping:
            shipping += gross
        elif uid in lines.ordered:
            more = RefundLine(
                line_id=uid,
                quantity=item.quantity(),
                gross_minor=gross,
                tax_minor=item.money("total_tax_money") or 0,
                discount_minor=item.money("total_discount_money") or 0,
            )
            add_refund_line(found, more)
        elif uid is not None:  # without a source it is an amount by itself
            message = f"{item.at('source_line_item_uid')}: names no line item"
            raise OrderRefused(Why.INVALID, message)
    for charge in one.nodes("return_service_charges"):
        source = charges.get(charge.text("source_service_charge_uid") or "")
        if source is not None and names_shipping(source):
            shipping += charge.required_money("total_money")
    return list(found.values()), shipping


def _pays_for(amount: int, refunds: Sequence[Node]) -> list[Node]:
    """The refunds that pay for a return of this amount, as far as there are any."""
    for refund in refunds:
        if refund.money("amount_money") == amount:
            return [refund]
    taken: list[Node] = []
    for refund in refunds:
        if amount <= 0:
            break
        taken.append(refund)
        amount -= refund.required_money("amount_money")
    return taken


def _refund(
    refunds: Sequence[Node],
    lines: Sequence[RefundLine],
    shipping: int,
    captured: Mapping[str, Node],
) -> DoneRefund:
    parts: Counter[str] = Counter()
    for refund in refunds:
        parts[payment_of(refund, captured)] += refund.required_money("amount_money")
    names = {"gross_minor": "returns", "quantity": "returns"}
    items, left = refund_items(lines, sum(parts.values()), names)
    first = refunds[0]
    return make(
        DoneRefund,
        {"reason": first.at("reason"), "shipping_minor": "returns"},
        parts=refund_parts(parts, first.at("amount_money.amount")),
        items=items,
        shipping_minor=min(shipping, left),
        reason=_reason(refunds),
        refunded_at=first.moment("created_at"),
    )


def _reason(refunds: Sequence[Node]) -> str | None:
    """The reasons given, each once, and that a refund is still pending upstream."""
    reasons = [reason for refund in refunds if (reason := refund.text("reason"))]
    if any(refund.text("status") == "PENDING" for refund in refunds):
        reasons.insert(0, "pending at Square")
    return "; ".join(dict.fromkeys(reasons)) or None
