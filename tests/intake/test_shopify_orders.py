"""A Shopify order becomes a `place` command, with what is done upstream imported as done."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages import (
    Address,
    Customer,
    DoneRefund,
    DoneRefundItem,
    DoneRefundPart,
    DoneShipment,
    Fee,
    Item,
    OrderLine,
    Payment,
    Place,
)
from tests.intake.shopify_shapes import (
    back,
    fulfillment,
    line,
    off,
    paid,
    refund,
    refund_item,
    shopify_order,
    tax,
)
from tests.intake.square_shapes import read, square_order
from tests.intake.test_reading_orders import JSON, OURS, lines_of, verdicts
from worker.intake import OrderRefused, Refused, shopify_to_place
from worker.orders.intake import take_in
from worker.orders.refunds import line_refund
from worker.orders.status import fulfillment_status, payment_status


def placed(*lines, **changes):
    return shopify_to_place(shopify_order(*lines, **changes)).order


def refused(order):
    with pytest.raises(OrderRefused) as caught:
        shopify_to_place(order)
    return str(caught.value.reason), caught.value.message


def taken(order):
    place = shopify_to_place(order)
    found, _, _ = take_in(place.order_id, place.command_id, place.order)
    return found


# Shapes


@pytest.mark.parametrize(
    "wrapped",
    [
        shopify_order(),
        [shopify_order()],
        {"orders": [shopify_order()]},
        {"order": shopify_order()},
        shopify_order(total_price=None, total_price_set={"shop_money": {"amount": "10.00"}}),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_shopify_orders_in_any_wrapping(wrapped, indent):
    """As its API answers, compact or indented."""
    assert verdicts(read(json.dumps(wrapped, indent=indent).encode())) == ["1001"]


def test_three_shapes_in_one_file_are_told_apart():
    """Ours by `order_id`, Shopify's by its amounts, Square's else; only bad ones are refused."""
    raw = lines_of(
        OURS, shopify_order(total="9.99"), square_order(), shopify_order(id=7), {"id": 8}
    )

    assert verdicts(read(raw)) == ["A-1", (2, "total_mismatch"), "order-1", "7", (5, "no_lines")]
    assert [one.order_id for one in read(raw)] == ["A-1", "1001", "order-1", "7", "8"]


# Figures


def test_an_order_has_its_name_and_times():
    """`processed_at` is when it was placed: an order that was imported is created later."""
    order = placed(
        created_at="2026-01-06T00:00:00Z",
        processed_at="2026-01-05T09:00:00+01:00",
        updated_at="2026-01-07T00:00:00Z",
    )

    assert (order.currency, order.total_minor, order.number) == ("EUR", 1000, "#1")
    assert order.placed_at == datetime(2026, 1, 5, 8, tzinfo=UTC)
    assert order.updated_at == datetime(2026, 1, 7, tzinfo=UTC)
    assert order.upstream_version is None


def test_a_line_has_its_price_discount_and_tax():
    """2 x 10.00 - 3.00 + 1.70; allocations count, not `total_discount` beside them."""
    one = line(
        quantity=2,
        name="Mug - blue",
        sku="M",
        total_discount="1.00",
        discount_allocations=[off("2.00"), off("1.00")],
        tax_lines=[tax("1.00"), tax("0.70")],
    )

    order = placed(one, total="18.70", total_discounts="3.00", total_tax="1.70")

    assert order.lines == (
        OrderLine(
            line_id="11",
            name="Mug - blue",
            sku="M",
            quantity=2,
            net_minor=2000,
            discount_minor=300,
            tax_minor=170,
        ),
    )
    assert (order.discount_minor, order.tax_minor) == (0, 0)


def test_what_lines_do_not_have_is_the_orders_own():
    """10.00 of discount over three equal lines is 3.34, 3.33, 3.33; tax likewise."""
    order = shopify_order(
        line(11, "199.00"),
        line(12, "199.00"),
        line(13, "199.00"),
        total="598.94",
        total_discounts="10.00",
        total_tax="11.94",
    )

    assert [(one.discount_minor, one.tax_minor) for one in taken(order).lines] == [
        (334, 398),
        (333, 398),
        (333, 398),
    ]


def test_the_refund_of_a_line_is_what_shopify_calculates():
    """A cart discount of 10.00 over three lines of 199.00: 195.67 + 3.98 tax for the second."""
    order = shopify_order(
        line(11, "199.00"),
        line(12, "199.00"),
        line(13, "199.00"),
        total="598.94",
        total_discounts="10.00",
        total_tax="11.94",
    )

    second = line_refund(taken(order).lines[1], 1)

    assert (second.gross_minor, second.tax_minor, second.discount_minor) == (19567 + 398, 398, 333)


def test_what_is_left_to_refund_is_what_shopify_says():
    """209.00 of the payment of 250.94 went back: 41.94 are left, and the other payment whole."""
    order = shopify_order(
        line(price="598.94"),
        transactions=[paid(801038806, "250.94"), paid(801038807, "348.00")],
        refunds=[refund(back(amount="209.00", parent_id=801038806))],
    )

    assert [(one.payment_id, one.left_minor) for one in taken(order).payments] == [
        ("801038806", 4194),
        ("801038807", 34800),
    ]
    del order["transactions"][1]
    assert taken(order).left_minor == 4194


@pytest.mark.parametrize("price", [10.0, "10.00", "10", 10])
def test_amounts_are_texts_or_numbers(price):
    """Shopify writes both."""
    assert placed(line(price=price), total="10.00").lines[0].net_minor == 1000


def test_minor_units_follow_the_currency():
    """Yen have none, dinars three."""
    yen = placed(line(price="1000"), currency="JPY", total="1000.0")
    dinar = placed(line(price="1.250"), currency="KWD", total="1.250")

    assert (yen.total_minor, dinar.total_minor) == (1000, 1250)


def test_an_included_tax_is_taken_out_first():
    """24.00 with 4.00 of tax, less 6.00 with 1.00 of it: 20.00 net, 3.00 tax, 18.00 to pay."""
    one = line(price="24.00", discount_allocations=[off("6.00")], tax_lines=[tax("3.00")])

    (found,) = placed(one, total="18.00", taxes_included=True, total_tax="3.00").lines

    assert (found.net_minor, found.discount_minor, found.tax_minor) == (2100, 600, 300)


def test_an_included_tax_of_the_order_keeps_the_price_of_each_line():
    """1.00 in lines of 9.99 and 0.01: each still costs what it says."""
    order = shopify_order(line(11, "9.99"), line(12, "0.01"), taxes_included=True, total_tax="1.00")

    assert [(one.gross_minor, one.tax_minor) for one in taken(order).lines] == [(999, 100), (1, 0)]


def test_an_included_tax_beyond_free_lines_is_the_shipping_fees():
    """All lines are free by a code; 0.80 of the 4.80 to pay is tax."""
    order = placed(
        line(),
        total="4.80",
        taxes_included=True,
        total_discounts="10.00",
        total_tax="0.80",
        shipping_lines=[{"title": "Post", "price": "4.80"}],
    )

    assert order.lines[0].tax_minor == 0
    assert order.fees == (Fee(kind="shipping", name="Post", net_minor=400, tax_minor=80),)


def test_shipping_tip_duties_and_rounding_are_fees():
    """Each with its own discount and tax; a tip that stands among the lines is no line."""
    tip = line(12, "2.00", requires_shipping=False, tip_payment_gateway=None, title="Tip")
    order = placed(
        line(duties=[{"shop_money": {"amount": "1.00"}, "tax_lines": [tax("0.10")]}]),
        tip,
        total="19.40",
        total_discounts="1.00",
        total_tax="0.40",
        total_tip_received="5.00",
        shipping_lines=[
            {
                "title": "Post",
                "price": "4.00",
                "discounted_price": "3.00",
                "tax_lines": [tax("0.30")],
            },
            {"title": "Removed", "price": "9.00", "is_removed": True},
        ],
        total_cash_rounding_payment_adjustment_set={"shop_money": {"amount": "-0.02"}},
    )

    assert order.fees == (
        Fee(kind="shipping", name="Post", net_minor=400, discount_minor=100, tax_minor=30),
        Fee(kind="tip", name="Tip", net_minor=200),
        Fee(kind="tip", net_minor=300),
        Fee(kind="service", name="Duties", net_minor=100, tax_minor=10),
        Fee(kind="rounding", net_minor=-2),
    )
    assert [one.line_id for one in order.lines] == ["11"]
    assert (order.total_minor, order.payments[0].captured_minor) == (1938, 1938)


def test_duties_in_the_prices_are_no_fee():
    """`duties_included`."""
    one = line(duties=[{"shop_money": {"amount": "1.00"}, "tax_lines": []}])

    assert placed(one, duties_included=True).fees == ()


@pytest.mark.parametrize("total_discounts", ["3.00", "0.00"])
def test_a_discount_of_shipping_may_stand_beside_the_total_of_the_lines(total_discounts):
    """Whether `total_discounts` counts it or not, the order ties."""
    order = placed(
        total="11.00",
        total_discounts=total_discounts,
        shipping_lines=[{"price": "4.00", "discount_allocations": [off("3.00")]}],
    )

    assert (order.discount_minor, order.fees[0].discount_minor) == (0, 300)


@pytest.mark.parametrize(
    ("changes", "item_type"),
    [
        ({}, "physical"),
        ({"requires_shipping": None}, "physical"),
        ({"requires_shipping": False}, "digital"),
        ({"requires_shipping": False, "gift_card": True}, "gift_card"),
    ],
)
def test_item_types(changes, item_type):
    """What needs no shipping is digital, unless it is a gift card."""
    assert placed(line(**changes)).lines[0].item_type == item_type


def test_a_line_without_name_has_its_title_with_the_variant():
    """Whoever picks it must not guess the size."""
    order = placed(
        line(11, name=None, title="Mug", variant_title="XL"),
        line(12, name=None, title="Tee", variant_title="Default Title"),
    )

    assert [one.name for one in order.lines] == ["Mug - XL", "Tee"]


# People


def test_customer_and_addresses():
    """A code of letters is the district people write, a numbered one is not."""
    order = placed(
        contact_email="a@example.com",
        customer={"first_name": "A", "last_name": "B", "phone": "+1 2"},
        customer_locale="fr-CA",
        billing_address={"name": "A B", "province": "Kentucky", "province_code": "KY"},
        shipping_address={
            "name": "C D",
            "company": "E",
            "address1": "1 Street",
            "address2": "Door 2",
            "city": "Tokyo",
            "province": "Tokyo-to",
            "province_code": "JP-13",
            "zip": "100-0001",
            "country_code": "JP",
            "phone": "+81 3",
        },
    )

    assert order.customer == Customer(
        name="A B", email="a@example.com", phone="+1 2", locale="fr-CA"
    )
    assert order.billing_address == Address(name="A B", district="KY")
    assert order.ship_to == Address(
        name="C D",
        company="E",
        lines=("1 Street", "Door 2"),
        city="Tokyo",
        district="Tokyo-to",
        postal_code="100-0001",
        country="JP",
        phone="+81 3",
    )


def test_an_order_without_customer_has_what_its_addresses_say():
    """Name of the biller, phone and language of the recipient, e-mail of the account."""
    order = placed(
        customer={"email": "c@example.com"},
        billing_address={"name": "A B", "country_code": "DE"},
        shipping_address={"name": "C D", "country_code": "FR", "phone": "+33 1"},
    )

    assert order.customer == Customer(
        name="A B", email="c@example.com", phone="+33 1", locale="fr-FR"
    )


# Payments


def test_each_capture_is_a_payment_in_order_of_time():
    """Authorizations, failures and what is pending are none."""
    order = placed(
        total="10.00",
        transactions=[
            paid(51, kind="authorization", processed_at="2026-01-01T00:00:00Z"),
            paid(54, "6.00", processed_at="2026-01-03T00:00:00Z", gateway="gift_card"),
            paid(52, "4.00", kind="capture", parent_id=51, processed_at="2026-01-02T00:00:00Z"),
            paid(53, status="failure", processed_at="2026-01-01T00:00:00Z"),
            paid(55, status="pending", processed_at="2026-01-01T00:00:00Z"),
        ],
    )

    assert order.payments == (
        Payment(
            payment_id="52",
            captured_minor=400,
            method="shopify_payments",
            captured_at=datetime(2026, 1, 2, tzinfo=UTC),
        ),
        Payment(
            payment_id="54",
            captured_minor=600,
            method="gift_card",
            captured_at=datetime(2026, 1, 3, tzinfo=UTC),
        ),
    )


def test_a_void_takes_a_payment_back_and_change_part_of_it():
    """Cash of 10.00 with 4.00 of change; a sale that was voided."""
    order = placed(
        total="6.00",
        line_items=[line(price="6.00")],
        transactions=[
            paid(51, "10.00", gateway="cash"),
            paid(52, "4.00", kind="change", parent_id=51),
            paid(53, "6.00"),
            paid(54, "6.00", kind="void", parent_id=53),
        ],
    )

    assert order.payments == (Payment(payment_id="51", captured_minor=600, method="cash"),)


@pytest.mark.parametrize(
    ("changes", "captured"),
    [
        ({"financial_status": "paid"}, [1000]),
        ({"financial_status": "paid", "total_outstanding": "0.00"}, [1000]),
        ({"financial_status": "pending"}, []),
        ({"financial_status": "authorized"}, []),
        ({"financial_status": "voided"}, []),
        ({"financial_status": "partially_paid", "total_outstanding": "7.50"}, [250]),
        ({"financial_status": None, "total": "0.00", "total_discounts": "10.00"}, []),
    ],
)
def test_without_transactions_the_status_tells(changes, captured):
    """One payment with the order's id, or none."""
    order = placed(**{"payment_gateway_names": ["bogus"], **changes})

    assert [one.captured_minor for one in order.payments] == captured
    assert {(one.payment_id, one.method) for one in order.payments} <= {("1001", "bogus")}


@pytest.mark.parametrize(
    "changes",
    [
        {"financial_status": "partially_paid"},
        {"financial_status": "paid", "total_outstanding": "1.00"},
        {
            "financial_status": "partially_paid",
            "total_outstanding": "1.00",
            "refunds": [refund(items=[refund_item()])],
        },
    ],
)
def test_a_status_that_does_not_say_how_much_is_refused(changes):
    """The transactions are asked for."""
    reason, message = refused(shopify_order(**changes))

    assert reason == "invalid"
    assert message.endswith("is not known without the order's transactions")


# What is done


def test_a_successful_fulfillment_is_a_parcel():
    """With carrier, tracking number and address; what in it does not ship is complete."""
    parcel = {
        **fulfillment(_11=2, _12=1),
        "tracking_company": "DHL",
        "tracking_number": "T1",
        "tracking_url": "https://example.com/T1",
        "created_at": "2026-01-02T00:00:00Z",
    }
    order = placed(
        line(11, quantity=3),
        line(12, requires_shipping=False),
        fulfillments=[
            parcel,
            *(fulfillment(status, _11=1) for status in ("pending", "cancelled", "failure")),
        ],
    )

    assert order.shipments == (
        DoneShipment(
            items=(Item(line_id="11", quantity=2),),
            carrier="DHL",
            tracking_number="T1",
            tracking_url="https://example.com/T1",
            shipped_at=datetime(2026, 1, 2, tzinfo=UTC),
        ),
    )
    assert [one.completed for one in order.lines] == [0, 1]


def test_what_remains_of_a_cancelled_order_is_cancelled():
    """One of three had left."""
    order = shopify_order(
        line(quantity=3), fulfillments=[fulfillment(_11=1)], cancelled_at="2026-01-02T00:00:00Z"
    )

    assert taken(order).lines[0].cancelled == 2
    assert fulfillment_status(taken(order)) == "fulfilled"


@pytest.mark.parametrize(
    ("restock_type", "shipped", "cancelled"),
    [("cancel", 0, 2), ("cancel", 1, 2), ("no_restock", 0, 2), ("return", 2, 0), ("return", 1, 1)],
)
def test_refunded_units_that_were_not_handed_over_are_cancelled(restock_type, shipped, cancelled):
    """Shopify does not let them be fulfilled any more."""
    order = placed(
        line(quantity=3),
        fulfillments=[fulfillment(_11=shipped)] if shipped else [],
        refunds=[
            refund(
                back(amount="20.00"),
                items=[refund_item(quantity=2, subtotal=20.0, restock_type=restock_type)],
            )
        ],
        financial_status="partially_refunded",
    )

    assert order.lines[0].cancelled == cancelled


# Refunds


def test_a_refund_has_its_lines_its_shipping_and_its_part():
    """10.00 - 1.00 + 0.90 of a line, 4.00 + 0.40 shipping: 14.30."""
    order = placed(
        line(quantity=2, discount_allocations=[off("2.00")], tax_lines=[tax("1.80")]),
        total="24.20",
        total_tax="2.20",
        shipping_lines=[{"price": "4.00", "tax_lines": [tax("0.40")]}],
        transactions=[paid(51, "24.20")],
        refunds=[
            refund(
                back(amount="14.30"),
                items=[refund_item(subtotal=9.0, total_tax=0.9)],
                order_adjustments=[
                    {"kind": "shipping_refund", "amount": "-4.00", "tax_amount": "-0.40"}
                ],
                note="broken\nglass",
                processed_at="2026-01-02T00:00:00Z",
            )
        ],
    )

    assert order.refunds == (
        DoneRefund(
            parts=(DoneRefundPart(payment_id="51", amount_minor=1430),),
            items=(
                DoneRefundItem(
                    line_id="11", quantity=1, gross_minor=990, tax_minor=90, discount_minor=100
                ),
            ),
            shipping_minor=440,
            reason="broken glass",
            refunded_at=datetime(2026, 1, 2, tzinfo=UTC),
        ),
    )


def test_newer_versions_name_the_shipping_lines_of_a_refund():
    """A whole shipping line is refunded with its tax; the adjustment beside it counts once."""
    shipping = {"price": "4.00", "tax_lines": [tax("0.40")]}
    named = {
        "subtotal_amount_set": {"shop_money": {"amount": "4.00"}},
        "shipping_line": shipping,
    }
    adjusted = {"kind": "shipping_refund", "amount": "-4.00", "tax_amount": "-0.40"}

    for adjustments in ([], [adjusted]):
        order = placed(
            total="14.40",
            total_tax="0.40",
            shipping_lines=[shipping],
            refunds=[
                refund(
                    back(amount="4.40"),
                    refund_shipping_lines=[named],
                    order_adjustments=adjustments,
                )
            ],
            financial_status="partially_refunded",
        )
        assert order.refunds[0].shipping_minor == 440


def test_what_was_paid_less_is_taken_from_the_later_lines():
    """20.00 of units, a fee of 5.00 kept: the discrepancy says so."""
    order = placed(
        line(11),
        line(12),
        refunds=[
            refund(
                back(amount="15.00"),
                items=[refund_item(11), refund_item(12)],
                order_adjustments=[{"kind": "refund_discrepancy", "amount": "5.00"}],
            )
        ],
        financial_status="partially_refunded",
    )

    assert [one.gross_minor for one in order.refunds[0].items] == [1000, 500]


def test_what_was_paid_less_without_a_word_is_refused():
    """With the difference."""
    order = shopify_order(
        refunds=[refund(back(amount="9.00"), items=[refund_item()])],
        financial_status="partially_refunded",
    )

    assert refused(order) == (
        "total_mismatch",
        (
            "refunds[0].transactions: lines and shipping sum to 1000, it says 900: "
            "a difference of 100 minor units of EUR"
        ),
    )


def test_what_was_paid_less_must_be_all_that_the_discrepancy_says():
    """9.00 of 10.00 came back, and 2.00 are said to be missing."""
    reason, _ = refused(
        shopify_order(
            refunds=[
                refund(
                    back(amount="9.00"),
                    items=[refund_item()],
                    order_adjustments=[{"kind": "refund_discrepancy", "amount": "2.00"}],
                )
            ],
            financial_status="partially_refunded",
        )
    )

    assert reason == "total_mismatch"


def test_lines_are_paid_before_the_shipping_fee():
    """12.00 for a line of 10.00 and shipping of 4.00: 2.00 are the fee's."""
    order = placed(
        total="14.00",
        shipping_lines=[{"price": "4.00"}],
        refunds=[
            refund(
                back(amount="12.00"),
                items=[refund_item()],
                order_adjustments=[
                    {"kind": "shipping_refund", "amount": "-4.00"},
                    {"kind": "refund_discrepancy", "amount": "2.00"},
                ],
            )
        ],
        financial_status="partially_refunded",
    )

    assert (order.refunds[0].items[0].gross_minor, order.refunds[0].shipping_minor) == (1000, 200)


def test_a_refund_where_taxes_are_included_holds_its_tax():
    """The subtotal of 12.00 has 2.00 of tax in it; nothing is added."""
    order = placed(
        line(price="12.00", tax_lines=[tax("2.00")]),
        taxes_included=True,
        total_tax="2.00",
        refunds=[refund(back(amount="12.00"), items=[refund_item(subtotal=12.0, total_tax=2.0)])],
        financial_status="refunded",
    )

    assert order.refunds[0].items == (
        DoneRefundItem(line_id="11", quantity=1, gross_minor=1200, tax_minor=200),
    )


def test_money_beyond_the_lines_is_an_amount():
    """5.00 for a line's pains."""
    order = shopify_order(
        refunds=[refund(back(amount="5.00"))], financial_status="partially_refunded"
    )

    (found,) = shopify_to_place(order).order.refunds
    assert (found.items, found.parts) == (
        (),
        (DoneRefundPart(payment_id="51", amount_minor=500),),
    )
    assert taken(order).left_minor == 500


def test_a_pending_refund_counts_and_says_so():
    """Money on its way must not be paid twice; a failed one paid nothing."""
    order = placed(
        refunds=[
            refund(back(61, "4.00", status="pending"), back(62, "5.00", status="failure")),
            refund(back(63, "6.00", status="error")),
        ],
        financial_status="partially_refunded",
    )

    assert [(one.parts[0].amount_minor, one.reason) for one in order.refunds] == [
        (400, "pending at Shopify")
    ]


def test_refunds_without_a_parent_draw_in_order_of_capture():
    """What others name is theirs first: 6.00 is left on the first payment, 2.00 comes from the
    second.
    """
    order = placed(
        line(price="20.00"),
        transactions=[paid(51, "10.00"), paid(52, "10.00")],
        refunds=[
            refund(back(61, "8.00", parent_id=None)),
            refund(back(62, "4.00", parent_id=51)),
        ],
    )

    assert [[(one.payment_id, one.amount_minor) for one in r.parts] for r in order.refunds] == [
        [("51", 600), ("52", 200)],
        [("51", 400)],
    ]


def test_the_parent_of_a_refund_may_be_the_authorization():
    """Its one capture is meant."""
    order = placed(
        transactions=[
            paid(50, kind="authorization"),
            paid(51, kind="capture", parent_id=50),
            back(61, "3.00", parent_id=50),
        ]
    )

    assert order.refunds == (
        DoneRefund(parts=(DoneRefundPart(payment_id="51", amount_minor=300),)),
    )


def test_a_refund_that_is_told_twice_counts_once():
    """In `transactions` and in `refunds`."""
    order = placed(transactions=[paid(), back()], refunds=[refund(back(), items=[refund_item()])])

    assert [one.parts[0].amount_minor for one in order.refunds] == [1000]


def test_units_taken_out_without_money_are_cancelled_only():
    """An edit of the order is a refund that pays nothing."""
    order = shopify_order(
        line(quantity=2), refunds=[refund(items=[refund_item(restock_type="cancel")])]
    )

    assert taken(order).lines[0].cancelled == 1
    assert (taken(order).left_minor, shopify_to_place(order).order.refunds) == (2000, ())


def test_a_refunded_status_alone_is_a_refund_of_all():
    """How much is clear, what for is not."""
    order = taken(shopify_order(financial_status="refunded"))

    assert (order.left_minor, order.lines[0].refunded_units) == (0, 0)
    assert payment_status(order) == "refunded"


def test_a_refund_of_nothing_is_none():
    """An order for nothing that was taken back."""
    order = placed(total="0.00", total_discounts="10.00", financial_status="refunded")

    assert (order.payments, order.refunds) == ((), ())


# What is refused


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"id": None}, ("no_id", "id: is missing; only an order that was created has one")),
        ({"id": "a b"}, ("invalid", "id: must be letters, digits and ._:-, at most 64")),
        ({"invoice_url": "x"}, ("draft", "is a draft: it is not ordered yet")),
        ({"line_items": []}, ("no_lines", "line_items: there are none")),
        ({"currency": "EURO"}, ("invalid", "currency: must be an ISO 4217 code")),
        ({"total_price": None}, ("no_total", "total_price: is missing")),
        (
            {"total_price": "9.99"},
            (
                "total_mismatch",
                (
                    "lines and fees sum to 1000, the total says 999: "
                    "a difference of 1 minor units of EUR"
                ),
            ),
        ),
        (
            {"total_price": "10.001"},
            ("invalid", "total_price: must be an amount of EUR with at most 2 decimals"),
        ),
        (
            {"total_price": "ten"},
            ("invalid", "total_price: must be an amount of EUR with at most 2 decimals"),
        ),
        (
            {"line_items": [line(quantity=1.5)]},
            ("invalid", "line_items[0].quantity: must be a whole number from 0 to 1000000"),
        ),
        (
            {"line_items": [line(quantity="1.5")]},
            (
                "fractional_quantity",
                "line_items[0].quantity: is a fraction; only whole units can be fulfilled",
            ),
        ),
        ({"line_items": [line(price=None)]}, ("no_total", "line_items[0].price: is missing")),
        ({"line_items": [line(None)]}, ("invalid", "line_items[0].id: is missing")),
        (
            {"line_items": [line(), line()]},
            ("invalid", "line_items[1].id: is there more than once"),
        ),
        (
            {"line_items": [line(tax_lines=[tax("1.00")])], "total_tax": "1.01"},
            (
                "total_mismatch",
                (
                    "total_tax: tax lines sum to 100, it says 101: "
                    "a difference of -1 minor units of EUR"
                ),
            ),
        ),
        (
            {
                "line_items": [line(discount_allocations=[off("2.00")])],
                "total_discounts": "1.00",
            },
            (
                "total_mismatch",
                (
                    "total_discounts: those of the lines sum to 200, it says 100: "
                    "a difference of 100 minor units of EUR"
                ),
            ),
        ),
        (
            {"taxes_included": True, "total_tax": "11.00"},
            (
                "total_mismatch",
                "the included tax of 1100 is more than lines and shipping cost",
            ),
        ),
        ({"taxes_included": "yes"}, ("invalid", "taxes_included: must be true or false")),
        (
            {"financial_status": "partially_refunded"},
            (
                "invalid",
                (
                    "financial_status: is partially_refunded; what was refunded is not known "
                    "without the order's refunds"
                ),
            ),
        ),
        (
            {"transactions": [paid(currency="USD")]},
            (
                "other_currency",
                (
                    "transactions[0].currency: is not EUR, the shop's; "
                    "ask for amounts in shop currency"
                ),
            ),
        ),
        (
            {"transactions": [paid(), back(parent_id=9)]},
            ("invalid", "transactions[1].parent_id: names no captured payment of the order"),
        ),
        (
            {"transactions": [paid(), back(amount="10.01", parent_id=None)]},
            ("invalid", "transactions[1].amount: is 1 more than was captured"),
        ),
        (
            {"transactions": [paid(), back(amount="10.01")]},
            ("refund_too_large", "more was refunded upstream than was captured"),
        ),
        (
            {"refunds": [refund(back(61, parent_id=51), back(62, parent_id=52))]},
            (
                "invalid",
                "refunds: they are of several payments; the order's transactions are needed",
            ),
        ),
        (
            {"refunds": [refund(back(), items=[{"line_item_id": 11, "quantity": 1}])]},
            ("no_total", "refunds[0].refund_line_items[0].subtotal: is missing"),
        ),
        (
            {"fulfillments": [fulfillment(_99=1)]},
            ("invalid", "fulfillments[0].line_items[0].id: names no line item"),
        ),
        (
            {"fulfillments": [fulfillment(_11=2)]},
            ("invalid", "line 11: 2 shipped, 0 completed and 0 cancelled of 1"),
        ),
        (
            {"line_items": [line(12, tip_payment_gateway="x")]},
            ("no_lines", "line_items: there is nothing but a tip"),
        ),
    ],
)
def test_what_cannot_be_carried_exactly_is_refused(changes, verdict):
    """With the field, and by how much; never with what stands there."""
    assert refused({**shopify_order(), **changes}) == verdict


@pytest.mark.parametrize("status", ["sent", None, 7])
def test_a_word_that_we_do_not_know_is_refused(status):
    """It might mean anything: a payment, a refund, or neither."""
    reason, message = refused(shopify_order(transactions=[paid(status=status)]))

    assert reason == "invalid"
    assert message.startswith("transactions[0].status: must be ")


@given(st.data())
def test_no_damage_to_a_shopify_order_raises(data):
    """Any field of an order replaced by anything JSON knows."""
    order = shopify_order(
        line(discount_allocations=[off("1.00")], tax_lines=[tax("0.90")], duties=[]),
        total="13.90",
        total_discounts="1.00",
        total_tax="0.90",
        shipping_lines=[{"title": "Post", "price": "4.00"}],
        transactions=[paid(51, "13.90"), back(61, "13.90")],
        refunds=[
            refund(
                back(61, "13.90"),
                items=[refund_item(subtotal=9.0, total_tax=0.9)],
                order_adjustments=[{"kind": "shipping_refund", "amount": "-4.00"}],
            )
        ],
        fulfillments=[fulfillment(_11=1)],
        shipping_address={"country_code": "FR"},
    )
    target = order
    while True:
        key = data.draw(
            st.sampled_from(list(target) if isinstance(target, dict) else range(len(target)))
        )
        inner = target[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            target[key] = data.draw(JSON)
            break
        target = inner

    assert all(isinstance(one, Place | Refused) for one in read(order))


@pytest.mark.parametrize(
    ("line_id", "quantity"),
    [("a b", 1), (11, 1_000_000)],
    ids=["no id of ours", "more than there can be"],
)
def test_a_parcel_that_our_fields_forbid_refuses_its_order_only(line_id, quantity):
    """What a fulfillment holds is judged like every field: the next order is read on."""
    parcel = fulfillment()
    parcel["line_items"] = [{"id": line_id, "quantity": quantity}] * 2
    bad = shopify_order(line(line_id, quantity=1_000_000), fulfillments=[parcel])

    refused, place = read([bad, shopify_order(id=1002)])

    assert (refused.order_id, refused.reason) == ("1001", "invalid")
    assert refused.message.startswith("fulfillments[0].line_items: ")
    assert place.order_id == "1002"
