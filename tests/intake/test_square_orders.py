"""A Square order becomes a `place` command, with what is done upstream imported as done."""

from datetime import UTC, datetime

import pytest

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
)
from tests.intake.square_shapes import (
    card,
    line,
    money,
    read,
    refund,
    returned,
    shipment,
    square_order,
)
from worker.intake import OrderRefused, to_place
from worker.orders.intake import take_in
from worker.orders.status import fulfillment_status, payment_status


def placed(*lines, **changes):
    return to_place(square_order(*lines, **changes)).order


def refused(order):
    with pytest.raises(OrderRefused) as caught:
        to_place(order)
    return str(caught.value.reason), caught.value.message


def statuses(order):
    place = to_place(order)
    taken, _, _ = take_in(place.order_id, place.command_id, place.order)
    return fulfillment_status(taken), payment_status(taken)


# What is refused


def test_a_draft_is_refused():
    """A draft is not ordered yet."""
    assert refused(square_order(state="DRAFT")) == ("draft", "is a draft: it is not ordered yet")


def test_an_unknown_state_is_refused():
    """A state that we do not know might mean anything."""
    reason, message = refused(square_order(state="FROZEN"))

    assert (reason, message) == ("invalid", "state: must be OPEN, COMPLETED, CANCELED or DRAFT")


def test_an_order_without_id_is_refused():
    """Only an order that Square has created has an id; a request or a calculation has none."""
    assert refused(square_order(id=None)) == (
        "no_id",
        "id: is missing; only an order that was created has one",
    )


@pytest.mark.parametrize("order_id", ["has space", "x" * 65, "-x", "a\nb"])
def test_an_id_that_is_not_safe_is_refused(order_id):
    """An id goes into file names, URLs and logs."""
    assert refused(square_order(id=order_id))[0] == "invalid"


def test_an_order_without_total_is_refused():
    """Without the total nothing can be checked."""
    assert refused(square_order(total_money=None)) == ("no_total", "total_money: is missing")


def test_a_line_without_total_is_refused():
    """A line of a request has a price only; what it costs is not known."""
    order = square_order(line("mug"), line("tee", total_money=None), total=1000)

    assert refused(order) == ("no_total", "line_items[1].total_money: is missing")


def test_an_order_without_lines_is_refused():
    """There is nothing to fulfill in it."""
    assert refused(square_order(line_items=[])) == ("no_lines", "line_items: there are none")


def test_a_return_order_is_refused_with_the_order_it_is_of():
    """Square models a return as an order of its own; the operator is told whose."""
    order = square_order(line_items=[], returns=[{"source_order_id": "order-0"}])

    assert refused(order) == (
        "no_lines",
        "line_items: there are none; it is a return of order order-0",
    )


def test_a_return_of_another_order_is_refused():
    """An exchange holds units of another order, which must not be counted here."""
    order = square_order(returns=[{"source_order_id": "order-0"}])

    assert refused(order) == ("other_order", "returns[0]: is a return of order-0, another order")


def test_a_total_that_does_not_tie_is_refused_with_the_difference():
    """Lines of 10.00 and 5.00 are not 15.01."""
    order = square_order(line("mug", 1000), line("tee", 500), total=1501)

    assert refused(order) == (
        "total_mismatch",
        "lines and fees sum to 1500, the total says 1501: a difference of -1 minor units of USD",
    )


def test_a_line_that_contradicts_itself_is_refused_with_the_difference():
    """10.00 - 1.00 + 0.90 is 9.90, not 9.95."""
    mug = line(
        total=995,
        gross_sales_money=money(1000),
        total_discount_money=money(100),
        total_tax_money=money(90),
        applied_taxes=[{"tax_uid": "t", "applied_money": money(90)}],
    )

    assert refused(square_order(mug, taxes=[{"uid": "t", "type": "ADDITIVE"}])) == (
        "total_mismatch",
        (
            "line_items[0]: price, discount and tax come to 990, the total says 995: "
            "a difference of -5 minor units of USD"
        ),
    )


@pytest.mark.parametrize("key", ["total_tax_money", "total_discount_money"])
def test_tax_and_discount_that_the_lines_do_not_have_are_refused(key):
    """Else a tax that is told for the whole order only would silently be lost."""
    assert refused(square_order(**{key: money(7)})) == (
        "total_mismatch",
        f"{key}: lines and charges sum to 0, it says 7: a difference of -7 minor units of USD",
    )


def test_another_currency_inside_an_order_is_refused():
    """One order, one currency."""
    order = square_order(line(total_money=money(1000, "EUR")))

    assert refused(order) == (
        "other_currency",
        "line_items[0].total_money.currency: is not USD, the currency of the order",
    )


@pytest.mark.parametrize("currency", ["usd", "QQQ", "UNKNOWN_CURRENCY", None])
def test_a_currency_without_iso_code_is_refused(currency):
    """How many decimals it has would be a guess."""
    assert refused(square_order(total_money=money(1000, currency))) == (
        "invalid",
        "total_money.currency: must be an ISO 4217 code",
    )


@pytest.mark.parametrize("amount", [10.5, 1e29, "1000", True, None, {}])
def test_an_amount_that_is_no_whole_number_is_refused(amount):
    """Minor units are whole; True is no amount although Python counts it as 1."""
    assert refused(square_order(total_money=money(amount)))[0] == "invalid"


@pytest.mark.parametrize("quantity", ["1.5", "0.70000"])
def test_a_fractional_quantity_is_refused(quantity):
    """Half a unit can be sold by weight but not shipped as a unit."""
    assert refused(square_order(line(quantity=quantity))) == (
        "fractional_quantity",
        "line_items[0].quantity: is a fraction; only whole units can be fulfilled",
    )


@pytest.mark.parametrize(
    "quantity", ["", "two", "-1", "1e3", "٣", "9" * 5000, "1000001", None, 1.0]
)
def test_a_quantity_that_is_no_number_is_refused(quantity):
    """Only plain digits up to a million are units."""
    assert refused(square_order(line(quantity=quantity))) == (
        "invalid",
        "line_items[0].quantity: must be a whole number from 0 to 1000000",
    )


@pytest.mark.parametrize("quantity", ["3", "3.0", "3.00000", 3])
def test_whole_quantities_are_taken_however_they_are_written(quantity):
    """A quantity with a precision has zeros behind the point."""
    assert placed(line(quantity=quantity)).lines[0].quantity == 3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "Mug\x00"}, "line_items[0].name"),
        ({"name": "two\nlines"}, "line_items[0].name"),
        ({"name": "x" * 256}, "line_items[0].name"),
        ({"name": "\ud800"}, "line_items[0].name"),
        ({"name": 7}, "line_items[0].name"),
        ({"uid": "has space"}, "line_items[0].uid"),
        ({"metadata": {"sku": "x" * 65}}, "line_items[0].metadata.sku"),
        ({"metadata": {"item_type": "boat"}}, "line_items[0].metadata.item_type"),
        ({"metadata": []}, "line_items[0].metadata"),
        ({"total_money": 5}, "line_items[0].total_money"),
        ({"quantity": "0"}, "line_items[0].quantity"),
    ],
)
def test_what_a_line_may_not_hold_is_refused_with_the_field_named(changes, field):
    """The path is Square's, so that it can be found in the file; the value is not repeated."""
    reason, message = refused(square_order(line(**changes), total=1000))

    assert reason == "invalid"
    assert message.startswith(f"{field}: ")
    assert "boat" not in message


@pytest.mark.parametrize(
    ("details", "field"),
    [
        ({"carrier": "x" * 256}, "carrier"),
        ({"tracking_number": "1\t2"}, "tracking_number"),
        ({"tracking_number": "x" * 65}, "tracking_number"),
        ({"tracking_url": "javascript:alert(1)"}, "tracking_url"),
        ({"shipped_at": "yesterday"}, "shipped_at"),
        ({"shipped_at": "2026-01-05T08:00:00"}, "shipped_at"),
        ({"recipient": {"display_name": "a\x07"}}, "recipient.display_name"),
        ({"recipient": {"email_address": "x" * 256}}, "recipient.email_address"),
        ({"recipient": {"address": {"postal_code": "1\n2"}}}, "recipient.address.postal_code"),
        ({"recipient": {"address": {"country": "France"}}}, "recipient.address.country"),
        (
            {"recipient": {"address": {"address_line_2": "a\x00"}}},
            "recipient.address.address_line_2",
        ),
    ],
)
def test_what_a_fulfillment_may_not_hold_is_refused_with_the_field_named(details, field):
    """Text goes to labels and mails, so it is refused here rather than there."""
    reason, message = refused(square_order(fulfillments=[shipment(**details)]))

    assert reason == "invalid"
    assert message.startswith(f"fulfillments[0].shipment_details.{field}: ")


@pytest.mark.parametrize("key", ["line_items", "tenders", "fulfillments", "returns", "refunds"])
@pytest.mark.parametrize("value", ["x", {}, [1], [[]]])
def test_lists_that_are_none_are_refused(key, value):
    """A wrong shape is refused with the field named."""
    assert refused(square_order(**{key: value})) == ("invalid", f"{key}: must be a list of objects")


# Amounts


def test_a_plain_line_costs_its_total():
    """Without tax and discount net is the total."""
    assert placed(line("mug", 1599, "2")).lines == (
        OrderLine(line_id="mug", name="Mug", quantity=2, net_minor=1599),
    )


def test_additive_tax_lies_on_top():
    """10.00 - 1.00 + 0.81 = 9.81: net is the price."""
    mug = line(
        total=981,
        gross_sales_money=money(1000),
        total_discount_money=money(100),
        total_tax_money=money(81),
        applied_taxes=[{"tax_uid": "t", "applied_money": money(81)}],
    )

    order = placed(mug, taxes=[{"uid": "t", "type": "ADDITIVE"}])

    (only,) = order.lines
    assert (only.net_minor, only.discount_minor, only.tax_minor) == (1000, 100, 81)


@pytest.mark.parametrize("gross_sales", [1200, 1000])
def test_inclusive_tax_is_taken_out_of_the_price(gross_sales):
    """12.00 with 20 % inside is 10.00 + 2.00, whether gross sales keep the tax in (Europe) or not
    (US, Canada, Japan).
    """
    mug = line(
        total=1200,
        gross_sales_money=money(gross_sales),
        total_tax_money=money(200),
        applied_taxes=[{"tax_uid": "vat", "applied_money": money(200)}],
    )

    order = placed(mug, taxes=[{"uid": "vat", "type": "INCLUSIVE"}])

    (only,) = order.lines
    assert (only.net_minor, only.discount_minor, only.tax_minor) == (1000, 0, 200)


def test_a_discount_on_a_price_with_tax_inside():
    """24.00 - 6.00 = 18.00, of which 3.00 are tax: 21.00 - 6.00 + 3.00 = 18.00."""
    mug = line(
        total=1800,
        gross_sales_money=money(2400),
        total_discount_money=money(600),
        total_tax_money=money(300),
        applied_taxes=[{"tax_uid": "vat", "applied_money": money(300)}],
    )

    order = placed(mug, taxes=[{"uid": "vat", "type": "INCLUSIVE"}])

    (only,) = order.lines
    assert (only.net_minor, only.discount_minor, only.tax_minor) == (2100, 600, 300)


def test_added_and_included_tax_on_one_line():
    """12.00 with 2.00 inside and 0.60 on top is 12.60: 10.00 + 2.60."""
    mug = line(
        total=1260,
        gross_sales_money=money(1200),
        total_tax_money=money(260),
        applied_taxes=[
            {"tax_uid": "vat", "applied_money": money(200)},
            {"tax_uid": "eco", "applied_money": money(60)},
        ],
    )
    taxes = [{"uid": "vat", "type": "INCLUSIVE"}, {"uid": "eco", "type": "ADDITIVE"}]

    (only,) = placed(mug, taxes=taxes).lines

    assert (only.net_minor, only.tax_minor) == (1000, 260)


def test_a_line_that_is_given_away_costs_nothing():
    """10.00 off 10.00."""
    mug = line(total=0, gross_sales_money=money(1000), total_discount_money=money(1000))

    order = placed(mug)

    assert order.total_minor == 0
    assert (order.lines[0].net_minor, order.lines[0].discount_minor) == (1000, 1000)


def test_a_service_charge_is_a_fee_with_its_own_tax():
    """2.00 with 0.40 tax among them: net 1.60."""
    charge = {"name": "Packing", "total_money": money(200), "total_tax_money": money(40)}

    assert placed(line(), total=1200, service_charges=[charge]).fees == (
        Fee(kind="service", name="Packing", net_minor=160, tax_minor=40),
    )


@pytest.mark.parametrize(
    "charge",
    [
        {"name": "Standard Shipping"},
        {"name": "Frais de port"},
        {"name": "LIVRAISON"},
        {"name": "Delivery fee"},
        {"name": "Extra", "metadata": {"fee": "shipping"}},
    ],
)
def test_a_charge_is_the_shipping_fee_by_name_or_by_metadata(charge):
    """Square has no field for it."""
    charge = {**charge, "total_money": money(500)}

    assert placed(line(), total=1500, service_charges=[charge]).fees == (
        Fee(kind="shipping", name=charge["name"], net_minor=500),
    )


def test_an_apportioned_charge_is_inside_its_lines():
    """It is part of the lines' totals already; as a fee it would be counted twice."""
    mug = line(total=1100, gross_sales_money=money(1000), total_service_charge_money=money(100))
    charge = {"treatment_type": "APPORTIONED_TREATMENT", "total_money": money(100)}

    order = placed(mug, service_charges=[charge])

    assert order.fees == ()
    assert order.lines[0].net_minor == 1100


def test_a_shipping_line_is_a_fee_and_no_line():
    """A CUSTOM_AMOUNT named shipping, or any line whose metadata says so."""
    custom = line("s1", 500, name="Shipping", item_type="CUSTOM_AMOUNT")
    marked = line("s2", 300, name="DHL", metadata={"fee": "shipping"})

    order = placed(line("mug"), custom, marked)

    assert [one.line_id for one in order.lines] == ["mug"]
    assert order.fees == (
        Fee(kind="shipping", name="Shipping", net_minor=500),
        Fee(kind="shipping", name="DHL", net_minor=300),
    )


def test_an_item_that_is_called_shipping_stays_a_line():
    """A shipping box is a product."""
    assert placed(line(name="Shipping box", item_type="ITEM")).fees == ()


def test_nothing_but_shipping_is_refused():
    """There is nothing to fulfill in it."""
    order = square_order(line(metadata={"fee": "shipping"}))

    assert refused(order) == ("no_lines", "line_items: there is nothing but a shipping fee")


def test_tip_and_rounding_are_fees():
    """10.00 + 1.50 tip - 0.02 rounding = 11.48."""
    order = placed(
        line(),
        total=1148,
        total_tip_money=money(150),
        rounding_adjustment={"name": "Cash", "amount_money": money(-2)},
    )

    assert order.fees == (
        Fee(kind="tip", net_minor=150),
        Fee(kind="rounding", name="Cash", net_minor=-2),
    )


# Lines


def test_lines_without_uid_get_their_position():
    """Another line may have that uid already; the generated one gives way."""
    first, second, third = line(), line("1"), line()
    first["uid"] = None
    del third["uid"]

    order = placed(first, second, third)

    assert [one.line_id for one in order.lines] == ["1.1", "1", "3"]


def test_a_uid_that_is_there_twice_is_refused():
    """Which line a fulfillment means would be a guess."""
    assert refused(square_order(line("mug"), line("mug"))) == (
        "invalid",
        "line_items[1].uid: is there more than once",
    )


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"name": "Tee", "variation_name": "XL"}, "Tee (XL)"),
        ({"name": "Tee", "variation_name": "Regular"}, "Tee"),
        ({"name": None, "variation_name": "XL"}, "XL"),
        ({"name": None}, "Item"),
        ({"name": None, "item_type": "CUSTOM_AMOUNT"}, "Custom amount"),
    ],
)
def test_a_line_is_named_with_its_variation(changes, name):
    """Whoever picks it must not guess the size."""
    assert placed(line(**changes)).lines[0].name == name


@pytest.mark.parametrize(
    ("changes", "item_type"),
    [
        ({}, "physical"),
        ({"item_type": "ITEM"}, "physical"),
        ({"item_type": "CUSTOM_AMOUNT"}, "physical"),
        ({"metadata": {"item_type": "event"}}, "event"),
        ({"item_type": "GIFT_CARD", "metadata": {"item_type": "event"}}, "gift_card"),
    ],
)
def test_the_item_type_is_told_by_square_or_by_metadata(changes, item_type):
    """GIFT_CARD -> gift_card, else `metadata.item_type`, else physical."""
    assert placed(line(**changes)).lines[0].item_type == item_type


def test_a_line_in_a_digital_fulfillment_is_digital():
    """Only the lines it names, and before metadata; a gift card stays one."""
    lines = (
        line("song", metadata={"item_type": "service"}),
        line("mug"),
        line("card", item_type="GIFT_CARD"),
    )
    digital = {**shipment("PROPOSED", {"song": "1", "card": "1"}), "type": "DIGITAL"}

    order = placed(*lines, fulfillments=[digital])

    assert [one.item_type for one in order.lines] == ["digital", "physical", "gift_card"]


def test_the_sku_is_in_metadata():
    """Square's order lines have none."""
    assert placed(line(metadata={"sku": "MUG-1"})).lines[0].sku == "MUG-1"


# What is done upstream


def test_a_completed_shipment_of_everything():
    """Without entries a fulfillment is of all lines; the parcel is imported as it left."""
    done = shipment(
        carrier="UPS",
        tracking_number="1Z",
        tracking_url="https://example.com/1Z",
        shipped_at="2026-01-05T08:00:00.5Z",
    )

    order = square_order(line("mug", 1000, "2"), line("tee"), fulfillments=[done])

    assert to_place(order).order.shipments == (
        DoneShipment(
            items=(Item(line_id="mug", quantity=2), Item(line_id="tee", quantity=1)),
            carrier="UPS",
            tracking_number="1Z",
            tracking_url="https://example.com/1Z",
            shipped_at=datetime(2026, 1, 5, 8, 0, 0, 500_000, UTC),
        ),
    )
    assert statuses(order)[0] == "fulfilled"


def test_part_of_a_line_shipped_upstream_leaves_the_rest():
    """Two of three have left; entries of one line add up."""
    done = shipment(entries={"mug": "1"})
    done["entries"] *= 2

    order = square_order(line("mug", 3000, "3"), fulfillments=[done, shipment("PROPOSED")])

    assert to_place(order).order.shipments == (
        DoneShipment(items=(Item(line_id="mug", quantity=2),)),
    )
    assert statuses(order)[0] == "partially_fulfilled"


@pytest.mark.parametrize("state", ["PROPOSED", "RESERVED", "PREPARED", "CANCELED", "FAILED"])
def test_only_completed_fulfillments_are_done(state):
    """A packed parcel is still here; a failed one has come back."""
    assert placed(line(), fulfillments=[shipment(state)]).shipments == ()


def test_an_order_that_is_completed_but_not_fulfilled_stays_to_be_done():
    """Square completes an order without fulfillments as soon as it is paid."""
    assert statuses(square_order(state="COMPLETED")) == ("unfulfilled", "unpaid")


def test_completed_units_that_are_not_physical_are_completed():
    """One fulfillment of a mug and a song: a parcel with the mug, the song completed."""
    order = placed(
        line("mug"), line("song", metadata={"item_type": "digital"}), fulfillments=[shipment()]
    )

    assert order.shipments == (DoneShipment(items=(Item(line_id="mug", quantity=1),)),)
    assert [one.completed for one in order.lines] == [0, 1]


@pytest.mark.parametrize(
    ("kind", "moment"), [("PICKUP", "picked_up_at"), ("DELIVERY", "delivered_at")]
)
def test_what_was_picked_up_or_delivered_has_left(kind, moment):
    """Physical units are never completed, so handing them over is a shipment."""
    done = {
        "type": kind,
        "state": "COMPLETED",
        f"{kind.lower()}_details": {moment: "2026-01-05T08:00:00Z"},
    }

    assert placed(line(), fulfillments=[done]).shipments == (
        DoneShipment(
            items=(Item(line_id="mug", quantity=1),), shipped_at=datetime(2026, 1, 5, 8, tzinfo=UTC)
        ),
    )


def test_more_shipped_than_ordered_is_refused():
    """The rules refuse it, in their words."""
    order = square_order(fulfillments=[shipment(), shipment()])

    assert refused(order) == ("invalid", "line mug: 2 shipped, 0 completed and 0 cancelled of 1")


def test_a_fulfillment_of_an_unknown_line_is_refused():
    """It would be lost otherwise."""
    order = square_order(fulfillments=[shipment(entries={"tee": "1"})])

    assert refused(order) == (
        "invalid",
        "fulfillments[0].entries[0].line_item_uid: names no line item",
    )


def test_in_a_canceled_order_all_that_is_left_is_cancelled():
    """One of three had left."""
    order = square_order(
        line("mug", 3000, "3"), state="CANCELED", fulfillments=[shipment(entries={"mug": "1"})]
    )

    assert to_place(order).order.lines[0].cancelled == 2
    assert statuses(order)[0] == "fulfilled"


def test_a_canceled_order_of_which_nothing_left_is_cancelled():
    """All three units."""
    assert statuses(square_order(line("mug", 3000, "3"), state="CANCELED"))[0] == "cancelled"


# Payments


def test_captured_tenders_are_payments():
    """In their order, with the tip inside."""
    tenders = [
        card("p1", 700, created_at="2026-01-05T08:00:00Z", tip_money=money(100)),
        {"id": "p2", "type": "CASH", "amount_money": money(300)},
    ]

    order = square_order(tenders=tenders)

    assert to_place(order).order.payments == (
        Payment(
            payment_id="p1",
            captured_minor=700,
            method="card",
            captured_at=datetime(2026, 1, 5, 8, tzinfo=UTC),
        ),
        Payment(payment_id="p2", captured_minor=300, method="cash"),
    )
    assert statuses(order)[1] == "paid"


@pytest.mark.parametrize("status", ["AUTHORIZED", "VOIDED", "FAILED", None])
def test_a_card_that_is_not_captured_is_no_payment(status):
    """Nothing could be refunded on it."""
    assert placed(line(), tenders=[card(status=status)]).payments == ()


@pytest.mark.parametrize(
    ("details", "count"),
    [
        ({}, 1),
        ({"bank_account_details": {"status": "COMPLETED"}}, 1),
        ({"bank_account_details": {"status": "PENDING"}}, 0),
        ({"buy_now_pay_later_details": {"status": "VOIDED"}}, 0),
    ],
)
def test_other_tenders_count_unless_they_say_that_they_are_not_captured(details, count):
    """Cash and gift cards have no status at all."""
    tender = {"id": "p", "type": "OTHER", "amount_money": money(1000), **details}

    assert len(placed(line(), tenders=[tender]).payments) == count


def test_a_payment_goes_by_its_payment_id():
    """A refund is asked of the payment; Square's refunds name the tender."""
    order = placed(
        line(), tenders=[card("t1", payment_id="p1")], refunds=[refund(100, tender_id="t1")]
    )

    assert order.payments[0].payment_id == "p1"
    assert order.refunds[0].parts == (DoneRefundPart(payment_id="p1", amount_minor=100),)


def test_a_tender_without_amount_pays_nothing():
    """A NO_SALE tender, or a given-away order."""
    assert placed(line(), tenders=[card(amount=0)]).payments == ()


# What was paid back, and what came back


def test_a_refund_without_return_is_an_amount():
    """It belongs to no line."""
    order = placed(
        line(),
        tenders=[card()],
        refunds=[refund(300, reason="Late", created_at="2026-01-06T08:00:00Z")],
    )

    assert order.refunds == (
        DoneRefund(
            parts=(DoneRefundPart(payment_id="pay-1", amount_minor=300),),
            reason="Late",
            refunded_at=datetime(2026, 1, 6, 8, tzinfo=UTC),
        ),
    )


def test_a_return_says_which_units_were_refunded():
    """One of two mugs with its tax and discount; it had been shipped, so nothing is cancelled."""
    give_back = returned(
        total=495, total_tax_money=money(45), total_discount_money=money(50), quantity="1"
    )
    order = square_order(
        line("mug", 990, "2", total_tax_money=money(90), total_discount_money=money(100)),
        tenders=[card(amount=990)],
        fulfillments=[shipment()],
        returns=[{"source_order_id": "order-1", "return_line_items": [give_back]}],
        refunds=[refund(495)],
    )

    place = to_place(order)

    assert place.order.refunds == (
        DoneRefund(
            parts=(DoneRefundPart(payment_id="pay-1", amount_minor=495),),
            items=(
                DoneRefundItem(
                    line_id="mug", quantity=1, gross_minor=495, tax_minor=45, discount_minor=50
                ),
            ),
        ),
    )
    assert place.order.lines[0].cancelled == 0
    assert statuses(order) == ("fulfilled", "partially_refunded")


def test_returned_units_that_were_never_shipped_are_cancelled():
    """Three ordered, one shipped, two returned: one of them must not be shipped any more."""
    order = square_order(
        line("mug", 3000, "3"),
        tenders=[card(amount=3000)],
        fulfillments=[shipment(entries={"mug": "1"})],
        returns=[{"return_line_items": [returned(quantity="2", total=2000)]}],
        refunds=[refund(2000)],
    )

    place = to_place(order)
    taken, _, _ = take_in(place.order_id, place.command_id, place.order)

    assert place.order.lines[0].cancelled == 1
    assert (taken.lines[0].remaining, taken.lines[0].refunded_units) == (1, 2)


def test_a_return_over_two_payments_is_one_refund_of_two_parts():
    """600 + 400 pay for the mug."""
    order = placed(
        line(),
        tenders=[card("p1", 600), card("p2", 400)],
        returns=[{"return_line_items": [returned()]}],
        refunds=[refund(600, "p1"), refund(400, "p2")],
    )

    assert order.refunds == (
        DoneRefund(
            parts=(
                DoneRefundPart(payment_id="p1", amount_minor=600),
                DoneRefundPart(payment_id="p2", amount_minor=400),
            ),
            items=(DoneRefundItem(line_id="mug", quantity=1, gross_minor=1000),),
        ),
    )


def test_each_return_finds_the_refund_of_its_amount():
    """Two returns, and a refund of goodwill listed first, which stays an amount."""
    order = placed(
        line("mug", 1000),
        line("tee", 500),
        tenders=[card(amount=1500)],
        returns=[
            {"return_line_items": [returned("mug", total=900)]},
            {"return_line_items": [returned("tee", total=500)]},
        ],
        refunds=[refund(50), refund(500), refund(900)],
    )

    assert [
        (one.parts[0].amount_minor, [item.line_id for item in one.items]) for one in order.refunds
    ] == [(900, ["mug"]), (500, ["tee"]), (50, [])]


def test_what_a_refund_did_not_pay_is_not_counted_as_refunded():
    """Mug 10.00 and tee 5.00 came back, 12.00 were paid: 10.00 and 2.00, tax and discount alike."""
    order = placed(
        line("mug", 1000),
        line("tee", 500, total_tax_money=money(50), total_discount_money=money(25)),
        tenders=[card(amount=1500)],
        returns=[
            {
                "return_line_items": [
                    returned("mug"),
                    returned(
                        "tee",
                        total=500,
                        total_tax_money=money(50),
                        total_discount_money=money(25),
                    ),
                ]
            }
        ],
        refunds=[refund(1200)],
    )

    assert order.refunds[0].items == (
        DoneRefundItem(line_id="mug", quantity=1, gross_minor=1000),
        DoneRefundItem(line_id="tee", quantity=1, gross_minor=200, tax_minor=20, discount_minor=10),
    )


def test_a_refund_of_the_shipping_fee():
    """A returned service charge that is shipping; another one is part of the amount."""
    order = square_order(
        line(),
        total=1700,
        tenders=[card(amount=1700)],
        service_charges=[
            {"uid": "s", "name": "Shipping", "total_money": money(500)},
            {"uid": "p", "name": "Packing", "total_money": money(200)},
        ],
        returns=[
            {
                "return_service_charges": [
                    {"source_service_charge_uid": "s", "total_money": money(500)},
                    {"source_service_charge_uid": "p", "total_money": money(200)},
                ],
                "return_amounts": {"total_money": money(700)},
            }
        ],
        refunds=[refund(700)],
    )

    assert to_place(order).order.refunds == (
        DoneRefund(
            parts=(DoneRefundPart(payment_id="pay-1", amount_minor=700),), shipping_minor=500
        ),
    )


def test_a_returned_shipping_line_is_the_shipping_fee():
    """The line became a fee, and so does its return."""
    order = placed(
        line("mug"),
        line("ship", 500, metadata={"fee": "shipping"}),
        tenders=[card(amount=1500)],
        returns=[{"return_line_items": [returned("ship", total=500)]}],
        refunds=[refund(500)],
    )

    assert (order.refunds[0].shipping_minor, order.refunds[0].items) == (500, ())


def test_a_custom_return_without_source_is_an_amount():
    """A return that names no line belongs to none."""
    order = placed(
        line(),
        tenders=[card()],
        returns=[{"return_line_items": [returned(uid=None, total=250)]}],
        refunds=[refund(250)],
    )

    assert (order.refunds[0].parts[0].amount_minor, order.refunds[0].items) == (250, ())


@pytest.mark.parametrize("status", ["COMPLETED", "APPROVED"])
def test_settled_refunds_count(status):
    """The Refunds API says COMPLETED, the older Transactions API APPROVED."""
    order = placed(line(), tenders=[card()], refunds=[refund(100, status=status)])

    assert [one.reason for one in order.refunds] == [None]


def test_a_pending_refund_counts_and_says_so():
    """Money on its way must not be paid twice."""
    (only,) = placed(
        line(), tenders=[card()], refunds=[refund(100, status="PENDING", reason="Late")]
    ).refunds

    assert only.reason == "pending at Square; Late"
    assert only.parts == (DoneRefundPart(payment_id="pay-1", amount_minor=100),)


def test_a_reason_that_is_too_long_is_refused():
    """It is not cut in silence."""
    order = square_order(tenders=[card()], refunds=[refund(100, reason="x" * 501)])

    assert refused(order) == (
        "invalid",
        "refunds[0].reason: String should have at most 500 characters",
    )


@pytest.mark.parametrize("status", ["REJECTED", "FAILED", "CANCELED"])
def test_a_refund_that_paid_nothing_does_not_count(status):
    """The unit came back, unpaid: it is still to be refunded, and not to be shipped."""
    order = square_order(
        tenders=[card()],
        returns=[{"return_line_items": [returned()]}],
        refunds=[refund(1000, status=status)],
    )

    assert to_place(order).order.refunds == ()
    assert statuses(order) == ("cancelled", "paid")


@pytest.mark.parametrize("status", [None, "SOMETHING"])
def test_a_refund_of_unknown_status_is_refused(status):
    """Whether it paid would be a guess."""
    order = square_order(tenders=[card()], refunds=[refund(100, status=status)])

    assert refused(order)[1].startswith("refunds[0].status: must be one of APPROVED, ")


def test_a_refund_on_a_tender_that_is_not_captured_is_refused():
    """There is no money it could have come from."""
    order = square_order(tenders=[card(status="VOIDED")], refunds=[refund(100)])

    assert refused(order) == (
        "invalid",
        "refunds[0].tender_id: names no captured tender of the order",
    )


def test_more_refunded_than_captured_is_refused():
    """The rules refuse it, in their words."""
    order = square_order(tenders=[card()], refunds=[refund(1001)])

    assert refused(order) == ("refund_too_large", "more was refunded upstream than was captured")


def test_more_units_returned_than_ordered_is_refused():
    """Two of one."""
    order = square_order(
        fulfillments=[shipment()],
        tenders=[card()],
        returns=[{"return_line_items": [returned(quantity="2")]}],
        refunds=[refund(1000)],
    )

    assert refused(order)[0] == "invalid"


def test_a_return_of_an_unknown_line_is_refused():
    """It would be lost otherwise."""
    order = square_order(returns=[{"return_line_items": [returned("tee")]}])

    assert refused(order) == (
        "invalid",
        "returns[0].return_line_items[0].source_line_item_uid: names no line item",
    )


# People and places


def test_the_recipient_is_customer_and_address():
    """Square's order knows its customer by the recipient only."""
    recipient = {
        "display_name": "Customer 17",
        "email_address": "customer17@example.com",
        "phone_number": "+1 202 555 0117",
        "address": {
            "address_line_1": "17 Example Street",
            "address_line_2": "Suite 1",
            "address_line_3": "",
            "sublocality": "West",
            "locality": "Springfield",
            "administrative_district_level_1": "CA",
            "postal_code": "00000",
            "country": "US",
        },
    }

    order = placed(line(), fulfillments=[shipment("PROPOSED", recipient=recipient)])

    assert order.customer == Customer(
        name="Customer 17", email="customer17@example.com", phone="+1 202 555 0117", locale="en-US"
    )
    assert order.ship_to == Address(
        name="Customer 17",
        lines=("17 Example Street", "Suite 1", "West"),
        city="Springfield",
        district="CA",
        postal_code="00000",
        country="US",
        phone="+1 202 555 0117",
    )


def test_a_pickup_has_a_customer_but_no_address_to_ship_to():
    """Nothing is sent there."""
    pickup = {
        "type": "PICKUP",
        "state": "PROPOSED",
        "pickup_details": {
            "recipient": {"display_name": "Customer 1", "address": {"country": "FR"}}
        },
    }

    order = placed(line(), fulfillments=[pickup])

    assert order.customer == Customer(name="Customer 1", locale="fr-FR")
    assert order.ship_to is None


def test_an_address_may_have_a_name_of_its_own():
    """Older orders have it there."""
    address = {"first_name": "Customer", "last_name": "3", "country": "ZZ"}

    order = placed(line(), fulfillments=[shipment("PROPOSED", recipient={"address": address})])

    assert order.ship_to == Address(name="Customer 3")


@pytest.mark.parametrize(
    ("country", "locale"),
    [("FR", "fr-FR"), ("US", "en-US"), ("GB", "en-GB"), ("DE", "de-DE"), ("TW", "zh-TW"),
     ("ZZ", None), ("QQ", None)],
)  # fmt: skip
def test_the_locale_follows_from_the_country(country, locale):
    """By the language most likely written there."""
    recipient = {"address": {"country": country}}

    order = placed(line(), fulfillments=[shipment("PROPOSED", recipient=recipient)])

    assert order.customer.locale == locale


def test_a_locale_in_metadata_comes_first():
    """It is what the shop knows of the customer."""
    recipient = {"address": {"country": "FR"}}

    order = placed(
        line(),
        metadata={"locale": "en-GB"},
        fulfillments=[shipment("PROPOSED", recipient=recipient)],
    )

    assert order.customer.locale == "en-GB"


def test_a_locale_that_is_none_is_refused():
    """Instead of writing in the wrong language."""
    reason, message = refused(square_order(metadata={"locale": "French"}))

    assert reason == "invalid"
    assert message.startswith("metadata.locale: ")


def test_number_and_time_of_the_order():
    """People call it by its reference; one that only repeats the id says nothing."""
    order = placed(line(), reference_id="#1001", created_at="2026-01-05T08:00:00Z")

    assert (order.number, order.placed_at) == ("#1001", datetime(2026, 1, 5, 8, tzinfo=UTC))
    assert placed(line(), reference_id="order-1").number is None


# The id


def test_the_same_order_gives_the_same_command():
    """A second import changes nothing."""
    first = to_place(square_order(version=1, updated_at="2026-01-05T08:00:00Z"))
    again = to_place(square_order(version=1, updated_at="2026-01-05T08:00:00Z"))

    assert first == again
    assert str(first.command_id) == "efdc818c-aa31-52b6-ad29-ee80f4ba9a08"


def test_square_counts_the_forms_of_an_order():
    """What Square counts up says which of two forms is the newer."""
    first = to_place(square_order(version=1, updated_at="2026-01-05T08:00:00Z"))
    second = to_place(square_order(version=2, updated_at="2026-01-06T08:00:00Z"))

    assert (first.order.upstream_version, second.order.upstream_version) == (1, 2)
    assert second.order.updated_at == datetime(2026, 1, 6, 8, tzinfo=UTC)
    assert first.command_id != second.command_id


@pytest.mark.parametrize("version", ["3", 1.5, True, -1])
def test_a_version_that_is_no_count_is_refused(version):
    """It decides which form is the newer, so it is not guessed."""
    with pytest.raises(OrderRefused) as refused:
        to_place(square_order(version=version))

    assert refused.value.reason == "invalid"
    assert refused.value.message.startswith("version: ")


def test_other_content_or_another_order_gives_another_command():
    """So that a change upstream is seen as one."""
    ids = {
        to_place(order).command_id
        for order in (
            square_order(),
            square_order(id="order-2"),
            square_order(line(total=1001)),
            square_order(fulfillments=[shipment()]),
        )
    }

    assert len(ids) == 4


@pytest.mark.parametrize(
    ("uid", "entries"),
    [(",mug", {",mug": "1"}), ("mug", {"mug": "1000000"})],
    ids=["no id of ours", "more than there can be"],
)
def test_a_parcel_that_our_fields_forbid_refuses_its_order_only(uid, entries):
    """What a completed fulfillment holds is judged like every field: the next order is read on."""
    parcel = shipment(entries=entries)
    parcel["entries"] *= 2
    bad = square_order(line(uid=uid, quantity="1000000"), fulfillments=[parcel])

    refused, place = read([bad, square_order(id="order-2")])

    assert (refused.order_id, refused.reason) == ("order-1", "invalid")
    assert refused.message.startswith("fulfillments[0].entries: ")
    assert place.order_id == "order-2"
