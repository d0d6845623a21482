"""Refunds of orders from Shopify are exact: unit by unit, in any order, on any payments."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests import factories as make
from tests.intake.shopify_shapes import (
    first_row,
    line,
    next_row,
    off,
    paid,
    read_export,
    shopify_order,
    tax,
)
from worker.intake import shopify_to_place
from worker.orders.intake import take_in
from worker.orders.model import Decision
from worker.orders.rules import decide


def money(minor):
    return str(Decimal(minor).scaleb(-2))


@st.composite
def parts(draw):
    """Lines (units, price of one, discount, tax), and what the order has of its own."""
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        units, price = draw(st.integers(1, 4)), draw(st.integers(0, 3_000))
        discount = draw(st.integers(0, units * price))
        lines.append((units, price, discount, draw(st.integers(0, units * price - discount))))
    left = sum(units * price - discount for units, price, discount, _ in lines)
    own = draw(st.integers(0, left))
    return lines, own, draw(st.integers(0, left - own)), draw(st.integers(0, 900))


@st.composite
def json_orders(draw):
    """Taxes of lines or of the order, included or not; 1 to 3 captures; the figures expected."""
    lines, own, own_tax, shipping = draw(parts())
    is_included, is_taxed_by_line = draw(st.booleans()), draw(st.booleans())
    taxes = [one[3] if is_taxed_by_line else 0 for one in lines]
    if is_included and is_taxed_by_line:
        own = min(own, sum(u * p - d - t for u, p, d, t in lines))
    total_tax = sum(taxes) or own_tax
    discount = own + sum(one[2] for one in lines)
    total = sum(units * price for units, price, _, _ in lines) - discount + shipping
    total += 0 if is_included else total_tax
    cuts = sorted(draw(st.lists(st.integers(0, total), max_size=2)))
    captured = [b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True)]
    order = shopify_order(
        *(
            line(
                11 + n,
                money(price),
                units,
                discount_allocations=[off(money(less))] if less else [],
                tax_lines=[tax(money(tax_minor))] if tax_minor else [],
            )
            for n, ((units, price, less, _), tax_minor) in enumerate(zip(lines, taxes, strict=True))
        ),
        total=money(total),
        taxes_included=is_included,
        total_tax=money(total_tax),
        total_discounts=money(discount),
        shipping_lines=[{"price": money(shipping)}],
        transactions=[paid(51 + n, money(one)) for n, one in enumerate(captured)],
    )
    return shopify_to_place(order), (total, total_tax, discount, shipping)


@st.composite
def csv_orders(draw):
    """The same by a row per line; taxes are the order's, and there is one payment."""
    lines, own, total_tax, shipping = draw(parts())
    subtotal = sum(units * price - less for units, price, less, _ in lines) - own
    is_included = draw(st.booleans())
    total = subtotal + shipping + (0 if is_included else total_tax)
    rows = [
        {
            "Lineitem quantity": str(units),
            "Lineitem price": money(price),
            "Lineitem discount": money(less),
        }
        for units, price, less, _ in lines
    ]
    first = first_row(
        Subtotal=money(subtotal),
        Shipping=money(shipping),
        Taxes=money(total_tax),
        Tax_1_Value=money(total_tax),
        Total=money(total),
        # With nothing off the order it names that of the lines, so that none is left for the fee.
        Discount_Amount=money(own or sum(one[2] for one in lines)),
    )
    (found,) = read_export(first | rows[0], *(next_row() | row for row in rows[1:]))
    discount = own + sum(one[2] for one in lines)
    return found, (total, total_tax, discount, shipping)


@settings(max_examples=100)
@given(json_orders() | csv_orders(), st.randoms(use_true_random=False))
def test_all_units_and_the_fee_give_back_what_was_captured(placed, random):
    """Each unit by a refund of its own, in any order, and the fee: what was captured to the cent,
    nothing left on any payment, and on every line its tax and its discount, which sum to Shopify's.
    Units that cost nothing have nothing to refund.
    """
    place, (total, tax_minor, discount_minor, shipping) = placed
    order, _, _ = take_in(place.order_id, place.command_id, place.order)
    assert (order.total_minor, order.captured_minor) == (total, total)
    assert sum(one.tax_minor for one in (*order.lines, *place.order.fees)) == tax_minor
    assert sum(one.discount_minor for one in order.lines) == discount_minor
    steps = [
        {"items": make.items(**{one.line_id: 1})}
        for one in order.lines
        for _ in range(one.quantity)
    ]
    steps += [{"include_shipping": True}] if shipping else []
    random.shuffle(steps)
    refunded_minor = 0

    for step in steps:
        decision = decide(order, make.refund(order_id=order.order_id, **step), make.world())
        if isinstance(decision, Decision):
            order = decision.order
            refunded_minor += sum(one.amount_minor for one in decision.refunds)
        else:
            assert decision.reason in {"nothing_to_refund", "nothing_captured"}

    assert refunded_minor == total
    assert [one.left_minor for one in order.payments] == [0] * len(order.payments)
    assert sum(one.refunded_minor for one in order.lines) == total - shipping
    for one in order.lines:
        if one.refundable_units == 0:
            assert (one.refunded_tax_minor, one.refunded_discount_minor) == (
                one.tax_minor,
                one.discount_minor,
            )
