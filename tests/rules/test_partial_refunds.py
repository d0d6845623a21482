"""All the partial refunds of an order, in any order: together exactly what was captured."""

import os
import random

import pytest

from messages import Fee, Item, Payment
from messages import Refund as RefundCommand
from tests import factories as make
from worker.orders.model import Decision, Line, Order, Refund
from worker.orders.money import to_decimal, to_minor
from worker.orders.refunds import end_part
from worker.orders.rules import decide

ORDERS = 200
SEQUENCES = int(os.environ.get("FULFILLMENT_FUZZ_EXAMPLES") or 10)
CURRENCIES = {"EUR": 2, "JPY": 0, "KWD": 3}
"""With the decimals of each."""


@pytest.mark.parametrize("currency", CURRENCIES)
def test_partial_refunds_sum_to_what_was_captured(currency):
    """Two hundred random orders shared by the currencies, each refunded in many random ways until
    nothing is left, with refunds and parts that fail in between: each time the lines' gross, tax
    and discount, the fee, every payment and the total are met to the last minor unit.
    """
    for seed in range(list(CURRENCIES).index(currency), ORDERS, len(CURRENCIES)):
        chance = random.Random(seed)
        order = placed(chance, currency)
        for sequence in range(SEQUENCES):
            refunds = refunded_wholly(order, chance)

            assert paid_back(order, refunds) == captured(order), (seed, sequence)


def captured(order: Order) -> dict[str, object]:
    """What has to come back."""
    return {
        "lines": {
            line.line_id: (line.quantity, line.gross_minor, line.tax_minor, line.discount_minor)
            for line in order.lines
        },
        "shipping_minor": order.shipping_minor,
        "payments": {one.payment_id: one.captured_minor for one in order.payments},
        "total": to_decimal(order.total_minor, order.currency),
    }


def paid_back(order: Order, refunds: list[Refund]) -> dict[str, object]:
    """What came back, as the refunds tell it: all of those of which a part was settled, and of
    their parts those that were. What failed beside them came back as an amount.
    """
    lines = {line.line_id: (0, 0, 0, 0) for line in order.lines}
    payments = dict.fromkeys((payment.payment_id for payment in order.payments), 0)
    shipping_minor = 0
    for refund in refunds:
        settled = [part for part in refund.parts if part.state == "settled"]
        for part in settled:
            payments[part.payment_id] += part.amount_minor
        if settled:
            shipping_minor += refund.shipping_minor
            for one in refund.lines:
                more = (one.quantity, one.gross_minor, one.tax_minor, one.discount_minor)
                lines[one.line_id] = tuple(map(sum, zip(lines[one.line_id], more, strict=True)))
    return {
        "lines": lines,
        "shipping_minor": shipping_minor,
        "payments": payments,
        "total": to_decimal(sum(payments.values()), order.currency),
    }


def refunded_wholly(order: Order, chance: random.Random) -> list[Refund]:
    """Refunds until nothing is left. Their news come late and in any order, one in six is bad."""
    refunds: list[Refund] = []
    waiting: list[Refund] = []
    while order.left_minor or waiting:
        if waiting and (not order.left_minor or chance.random() < 0.5):
            refund = waiting.pop(chance.randrange(len(waiting)))
            for part in refund.parts:
                state = "failed" if chance.random() < 1 / 6 else "settled"
                order, refund = end_part(order, refund, part.part_id, state)
            refunds.append(refund)
        else:
            decision = decide(order, some_refund(order, chance), make.world())
            assert isinstance(decision, Decision), decision
            order = decision.order
            waiting += decision.refunds
    return refunds


def some_refund(order: Order, chance: random.Random) -> RefundCommand:
    """Units of some lines, the fee, both, or an amount of what neither lines nor fee will need."""
    lines = [line for line in order.lines if line.refundable_units]
    fee_minor = order.shipping_minor - order.shipping_refunded_minor
    nobodys_minor = order.left_minor - fee_minor - sum(map(rest_minor, lines))
    if nobodys_minor and (chance.random() < 0.3 or not (lines or fee_minor)):
        amount_minor = chance.choice([nobodys_minor, chance.randint(1, nobodys_minor)])
        return make.refund(amount=make.money(amount_minor, order.currency))
    with_fee = fee_minor > 0 and (not lines or chance.random() < 0.2)
    chosen = chance.sample(lines, chance.randint(0 if with_fee else 1, len(lines)))
    return make.refund(
        items=tuple(units(line, chance) for line in chosen), include_shipping=with_fee
    )


def rest_minor(line: Line) -> int:
    return line.gross_minor - line.refunded_minor


def units(line: Line, chance: random.Random) -> Item:
    return Item(line_id=line.line_id, quantity=chance.randint(1, line.refundable_units))


def placed(chance: random.Random, currency: str) -> Order:
    """An order at prices with all the decimals of its currency, as an upstream system sends it:
    discount and tax of its lines and of its own, perhaps a shipping fee and a tip, paid in one to
    three payments. Every unit costs something, or it could not be refunded alone.
    """

    def price(cheapest: float, dearest: float) -> int:
        digits = CURRENCIES[currency]
        scale = 10 ** (2 - digits)  # so that prices of all currencies have as many digits
        return to_minor(f"{chance.uniform(cheapest, dearest) * scale:.{digits}f}", currency)

    lines = []
    for line_id in "ABC"[: chance.randint(1, 3)]:
        quantity = chance.randint(1, 6)
        net_minor = price(0.05, 30) * quantity + chance.randint(0, quantity)
        lines.append(
            make.order_line(
                line_id,
                quantity,
                net_minor=net_minor,
                discount_minor=chance.choice([0, net_minor * chance.randint(0, 30) // 100]),
                tax_minor=chance.choice([0, net_minor * 19 // 100]),
            )
        )
    net_minor = sum(line.net_minor for line in lines)
    fees = (
        Fee(kind="shipping", net_minor=chance.choice([0, price(1, 9)]), tax_minor=price(0, 1)),
        Fee(kind="tip", net_minor=chance.choice([0, price(0, 2)])),
    )
    unpaid = make.placed_order(
        *lines,
        currency=currency,
        fees=fees[: chance.randint(0, 2)],
        discount_minor=chance.choice([0, net_minor * chance.randint(0, 30) // 100]),
        tax_minor=chance.choice([0, net_minor * 7 // 100]),
    )
    cuts = sorted(chance.randint(0, unpaid.total_minor) for _ in range(chance.randint(0, 2)))
    edges = [0, *cuts, unpaid.total_minor]
    paid = tuple(
        Payment(payment_id=f"P{n}", captured_minor=edges[n] - edges[n - 1])
        for n in range(1, len(edges))
    )
    decision = decide(
        None, make.place(order=unpaid.model_copy(update={"payments": paid})), make.world()
    )
    assert isinstance(decision, Decision), decision
    return decision.order
