"""Shopify's orders export becomes `place` commands: a row per line, an order at a time."""

import io
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages import (
    Address,
    Customer,
    DoneRefund,
    DoneRefundPart,
    DoneShipment,
    Fee,
    Item,
    OrderLine,
    Payment,
    Place,
)
from tests.intake.shopify_shapes import HEADER, export, first_row, next_row, read_export
from tests.intake.square_shapes import read
from tests.intake.test_reading_orders import verdicts
from tests.work import rig
from worker.intake import Refused, read_orders
from worker.intake.loading import load
from worker.orders.intake import take_in


def placed(*rows):
    (found,) = read_export(*rows)
    assert isinstance(found, Place), found
    return found.order


def refused(*rows):
    (found,) = read_export(*rows)
    return str(found.reason), found.message


# Shapes


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_an_export_is_recognised_by_its_columns(delimiter, end, mark):
    """Whatever a spreadsheet did with it."""
    raw = export(first_row(), delimiter=delimiter, end=end)

    assert verdicts(read(mark + raw)) == ["1"]


@pytest.mark.parametrize("column", ["Name", "Lineitem quantity"])
def test_another_csv_is_no_export(column):
    """Without these two columns it is no file of orders."""
    (only,) = read(export(first_row()).replace(column.encode(), b"Other", 1))

    assert (only.position, str(only.reason)) == (0, "unreadable")


def test_an_export_without_orders_holds_none():
    """That is no mistake."""
    assert read_export() == []


def test_notes_may_hold_line_breaks_and_positions_count_them():
    """The second order begins at line 4."""
    found = read_export(first_row(Notes='one\r\ntwo, "three"'), first_row(Name="#2", Total="9.99"))

    assert verdicts(found) == ["1", (4, "total_mismatch")]


def test_orders_are_streamed():
    """However long the export is, one order at a time is held."""
    rows = export(*[first_row(Name=f"#{n}", Notes="x" * 4_000) for n in range(400)])
    stream = io.BytesIO(rows)
    next(read_orders(io.BytesIO(rows[:20_000])))  # what is imported and cached on first use

    tracemalloc.start()
    count = sum(1 for _ in read_orders(stream))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 400
    assert peak < 300_000 < len(rows)


# Figures


def test_an_order_of_several_rows():
    """Order columns on the first, lines numbered by position, a zip without its guard."""
    order = placed(
        first_row(
            Id="450789469",
            Email="a@example.com",
            Created_at="2026-01-05 09:00:00 +0100",
            Subtotal="24.00",
            Shipping="5.00",
            Taxes="1.20",
            Total="30.20",
            Discount_Amount="6.00",
            Shipping_Method="Post",
            Lineitem_sku="M",
            Billing_Name="A B",
            Billing_Country="FR",
            Shipping_Name="C D",
            Shipping_Street="1 rue X, 2e",
            Shipping_Address1="1 rue X",
            Shipping_Address2="2e",
            Shipping_Company="E",
            Shipping_City="Paris",
            Shipping_Zip="'75008",
            Shipping_Country="FR",
            Shipping_Phone="'+33 1",
            Payment_Method="Shopify Payments",
            Payment_Reference="rIw4",
            Paid_at="2026-01-05 09:00:01 +0100",
            Tax_1_Name="VAT",
            Tax_1_Value="1.00",
            Tax_2_Name="Eco",
            Tax_2_Value="0.20",
        ),
        next_row(Lineitem_quantity="2", Lineitem_requires_shipping="false"),
    )

    assert (order.currency, order.total_minor, order.number) == ("EUR", 3020, "#1")
    assert (order.discount_minor, order.tax_minor) == (600, 120)
    assert order.lines == (
        OrderLine(line_id="1", name="Item", sku="M", quantity=1, net_minor=1000),
        OrderLine(line_id="2", name="Item", item_type="digital", quantity=2, net_minor=2000),
    )
    assert order.fees == (Fee(kind="shipping", name="Post", net_minor=500),)
    assert order.payments == (
        Payment(
            payment_id="rIw4",
            captured_minor=3020,
            method="Shopify Payments",
            captured_at=datetime(2026, 1, 5, 8, 0, 1, tzinfo=UTC),
        ),
    )
    assert order.placed_at == datetime(2026, 1, 5, 8, tzinfo=UTC)
    assert order.customer == Customer(
        name="A B", email="a@example.com", phone="+33 1", locale="fr-FR"
    )
    assert order.billing_address == Address(name="A B", country="FR")
    assert order.ship_to == Address(
        name="C D",
        company="E",
        lines=("1 rue X", "2e"),
        city="Paris",
        postal_code="75008",
        country="FR",
        phone="+33 1",
    )


@pytest.mark.parametrize(
    ("changes", "order_id"),
    [({}, "1"), ({"Name": "FR-7"}, "FR-7"), ({"Id": "99"}, "99")],
)
def test_the_id_is_shopifys_else_the_name(changes, order_id):
    """Without its `#`."""
    (found,) = read_export(first_row(**changes))

    assert found.order_id == order_id


@pytest.mark.parametrize(
    ("columns", "own", "of_line"),
    [
        ({"Subtotal": "8.00", "Discount Amount": "2.00"}, 200, 0),
        ({"Subtotal": "8.00", "Discount Amount": "0.00", "Lineitem discount": "2.00"}, 0, 200),
        ({"Subtotal": "8.00", "Discount Amount": "2.00", "Lineitem discount": "2.00"}, 0, 200),
        ({"Subtotal": "8.00", "Discount Amount": "2.00", "Lineitem discount": "0.50"}, 150, 50),
        ({"Subtotal": "7.50", "Discount Amount": "2.00", "Lineitem discount": "0.50"}, 200, 50),
    ],
)
def test_discounts_of_lines_and_of_the_order(columns, own, of_line):
    """`Subtotal` tells whether `Discount Amount` holds those of the lines."""
    order = placed(first_row(**columns, Total=columns["Subtotal"]))

    assert (order.discount_minor, order.lines[0].discount_minor) == (own, of_line)


def test_a_discount_of_the_shipping_fee():
    """10.00 + 4.00 is 14.00; the 4.00 of the code make it 10.00."""
    order = placed(first_row(Shipping="4.00", Discount_Amount="4.00"))

    assert (order.discount_minor, order.fees) == (
        0,
        (Fee(kind="shipping", net_minor=400, discount_minor=400),),
    )


def test_a_tax_that_the_total_does_not_add_is_included():
    """It is taken out of the lines first, and each still costs its price."""
    order = placed(
        first_row(Subtotal="20.00", Shipping="4.00", Taxes="2.01", Total="24.00"), next_row()
    )

    assert [(one.net_minor, one.tax_minor) for one in order.lines] == [(899, 101), (900, 100)]
    assert (order.tax_minor, order.fees[0].tax_minor) == (0, 0)


def test_an_included_tax_may_be_as_much_as_the_lines_discount():
    """That is spent already, so that it cannot be the shipping fee's."""
    order = placed(
        first_row(
            Subtotal="8.00",
            Total="8.00",
            Discount_Amount="2.00",
            Lineitem_discount="2.00",
            Taxes="2.00",
        )
    )

    assert [(one.net_minor, one.discount_minor, one.tax_minor) for one in order.lines] == [
        (800, 200, 200)
    ]


def test_spreadsheets_write_booleans_in_capitals():
    """`FALSE` is false."""
    assert placed(first_row(Lineitem_requires_shipping="FALSE")).lines[0].item_type == "digital"


def test_duties_are_a_service_fee():
    """Beside the shipping fee."""
    assert placed(first_row(Duties="2.00", Total="12.00")).fees == (
        Fee(kind="service", name="Duties", net_minor=200),
    )


# Rows that stand there twice


@pytest.mark.parametrize(
    "rows",
    [
        [first_row(Subtotal="20.00", Total="20.00"), next_row()] * 2,
        [first_row(Subtotal="20.00", Total="20.00"), next_row(), next_row(Lineitem_price="0.00")]
        * 3,
        [first_row(Subtotal="20.00", Total="20.00"), next_row(), next_row(), next_row()],
        [first_row(Subtotal="20.00", Total="20.00")] * 2 + [next_row()] * 2,
        [
            first_row(Subtotal="20.00", Total="20.00"),
            next_row(),
            first_row(Subtotal="20.00", Total="20.00"),
        ],
    ],
    ids=["twice", "thrice", "a row", "every row", "cut off"],
)
def test_an_order_that_stands_there_twice_is_read_once(rows):
    """Exports that overlap, joined; rows that were pasted twice."""
    (found,) = read_export(*rows)

    assert (found.order.total_minor, found.order.lines[0].net_minor) == (2000, 1000)
    assert sum(one.net_minor for one in found.order.lines) == 2000


def test_equal_rows_are_lines_of_their_own_when_the_sums_need_them():
    """The same mug twice, each for a gift of its own."""
    order = placed(first_row(Subtotal="30.00", Total="30.00"), next_row(), next_row())

    assert [one.line_id for one in order.lines] == ["1", "2", "3"]


def test_equal_rows_of_nothing_stay():
    """The sums tie with and without them: they are not ours to drop."""
    assert len(placed(first_row(), *[next_row(Lineitem_price="0.00")] * 2).lines) == 3


def test_rows_that_tie_neither_way_are_refused_with_the_difference():
    """As all of them stand there."""
    assert refused(first_row(Subtotal="25.00", Total="25.00"), next_row(), next_row()) == (
        "total_mismatch",
        "Subtotal: lines sum to 3000, it says 2500: a difference of 500 minor units of EUR",
    )


def test_an_order_that_comes_again_later_is_known(engine):
    """Exports that overlap, joined the other way: one command, one place."""
    raw = export(first_row(), first_row(Name="#2"), first_row())

    with engine.begin() as connection:
        report = load(connection, io.BytesIO(raw))

    assert sorted(report.accepted.values()) == ["1", "2"]
    assert list(report.refused) == []
    assert rig.one(engine, "select count(*) from commands") == (2,)


# What is done


def test_fulfilled_lines_are_in_one_parcel():
    """What does not ship is complete; a line that waits stays."""
    order = placed(
        first_row(
            Subtotal="30.00",
            Total="30.00",
            Fulfillment_Status="partial",
            Fulfilled_at="2026-01-06 00:00:00 +0000",
            Lineitem_fulfillment_status="fulfilled",
        ),
        next_row(Lineitem_fulfillment_status="fulfilled", Lineitem_requires_shipping="false"),
        next_row(Lineitem_fulfillment_status="pending"),
    )

    assert order.shipments == (
        DoneShipment(
            items=(Item(line_id="1", quantity=1),), shipped_at=datetime(2026, 1, 6, tzinfo=UTC)
        ),
    )
    assert [(one.completed, one.cancelled) for one in order.lines] == [(0, 0), (1, 0), (0, 0)]


@pytest.mark.parametrize(
    ("columns", "cancelled"),
    [
        ({"Cancelled at": "2026-01-06 00:00:00 +0000"}, 1),
        ({"Lineitem fulfillment status": "restocked"}, 1),
        ({"Fulfillment Status": "restocked"}, 1),
        ({"Cancelled at": "2026-01-06 00:00:00 +0000", "Fulfillment Status": "fulfilled"}, 0),
    ],
)
def test_what_remains_of_a_cancelled_order_is_cancelled(columns, cancelled):
    """What was fulfilled stays so."""
    assert placed(first_row(**columns)).lines[0].cancelled == cancelled


# Payments and refunds


@pytest.mark.parametrize(
    ("columns", "captured"),
    [
        ({}, 1000),
        ({"Financial Status": "pending", "Outstanding Balance": "10.00"}, 0),
        ({"Financial Status": "voided"}, 0),
        ({"Financial Status": "partially_paid", "Outstanding Balance": "4.00"}, 600),
    ],
)
def test_the_status_tells_what_was_captured(columns, captured):
    """One payment with the order's id, or none."""
    payments = placed(first_row(**columns)).payments

    assert sum(one.captured_minor for one in payments) == captured
    assert {one.payment_id for one in payments} <= {"1"}


@pytest.mark.parametrize(
    ("columns", "minor"),
    [
        ({"Financial Status": "partially_refunded", "Refunded Amount": "4.00"}, 400),
        ({"Financial Status": "refunded", "Refunded Amount": "10.00"}, 1000),
        ({"Financial Status": "refunded"}, 1000),
    ],
)
def test_what_was_refunded_is_an_amount(columns, minor):
    """The export does not say what for."""
    (found,) = read_export(first_row(**columns, **{"Payment ID": "c1.1"}))

    assert found.order.refunds == (
        DoneRefund(parts=(DoneRefundPart(payment_id="c1.1", amount_minor=minor),)),
    )
    order, _, _ = take_in(found.order_id, found.command_id, found.order)
    assert (order.left_minor, order.lines[0].refunded_units) == (1000 - minor, 0)


# What is refused


@pytest.mark.parametrize(
    ("columns", "verdict"),
    [
        ({"Name": ""}, ("no_id", "Name: is missing")),
        ({"Name": "#a b"}, ("invalid", "Name: must be letters, digits and ._:-, at most 64")),
        (
            {"Id": "4.5E12"},
            ("invalid", "Id: must be digits; a spreadsheet may have rounded it"),
        ),
        ({"Total": ""}, ("no_total", "Total: is missing; the first row of an order has it")),
        ({"Subtotal": ""}, ("no_total", "Subtotal: is missing")),
        ({"Currency": "Euro"}, ("invalid", "Currency: must be an ISO 4217 code")),
        (
            {"Total": "10.01"},
            (
                "total_mismatch",
                "Total: its parts sum to 1000, it says 1001: a difference of -1 minor units of EUR",
            ),
        ),
        (
            {"Subtotal": "9.00", "Total": "9.00"},
            (
                "total_mismatch",
                "Subtotal: lines sum to 1000, it says 900: a difference of 100 minor units of EUR",
            ),
        ),
        (
            {"Taxes": "1.00", "Total": "11.00", "Tax 1 Value": "0.50", "Tax 5 Value": "0.49"},
            (
                "total_mismatch",
                (
                    "Taxes: their columns sum to 99, it says 100: "
                    "a difference of -1 minor units of EUR"
                ),
            ),
        ),
        (
            {"Shipping": "5.00", "Taxes": "4.00", "Discount Amount": "4.00", "Total": "15.00"},
            ("invalid", "Taxes: are as much as Discount Amount; included or not cannot be told"),
        ),
        (
            {"Subtotal": "10,00"},
            ("invalid", "Subtotal: must be an amount of EUR with at most 2 decimals"),
        ),
        (
            {"Lineitem quantity": "1.5"},
            (
                "fractional_quantity",
                "row 2.Lineitem quantity: is a fraction; only whole units can be fulfilled",
            ),
        ),
        ({"Lineitem quantity": "0"}, ("no_lines", "Lineitem quantity: there is nothing in it")),
        (
            {"Lineitem fulfillment status": "partial"},
            (
                "invalid",
                (
                    "row 2.Lineitem fulfillment status: is partial; "
                    "import the order's JSON, which says how much"
                ),
            ),
        ),
        (
            {"Fulfillment Status": "on its way"},
            (
                "invalid",
                "Fulfillment Status: must be one of fulfilled, pending, restocked, unfulfilled",
            ),
        ),
        (
            {"Payment Method": "Shopify Payments + gift_card"},
            (
                "invalid",
                "Payment Method: names several; import the order's JSON with its transactions",
            ),
        ),
        (
            {"Financial Status": "partially_refunded"},
            (
                "no_total",
                "Refunded Amount: is missing, yet the order is partially_refunded",
            ),
        ),
        (
            {"Refunded Amount": "10.01"},
            (
                "total_mismatch",
                (
                    "Refunded Amount: payments sum to 1000, it says 1001: "
                    "a difference of -1 minor units of EUR"
                ),
            ),
        ),
        (
            {"Created at": "2026-01-05"},
            ("invalid", "Created at: must be a time with its offset"),
        ),
        (
            {"Financial Status": "thanks"},
            (
                "invalid",
                (
                    "Financial Status: must be one of authorized, expired, paid, partially_paid, "
                    "partially_refunded, pending, refunded, unpaid, voided"
                ),
            ),
        ),
    ],
)
def test_what_cannot_be_carried_exactly_is_refused(columns, verdict):
    """With the column, and by how much; never with what stands there."""
    assert refused({**first_row(), **columns}) == verdict


def test_bad_rows_cost_their_order_only():
    """A row too long, one of another encoding, one with a stray quote; the rest is read on."""
    good = b"#%d" + export(first_row()).splitlines()[1].removeprefix(b"#1") + b"\r\n"
    raw = b",".join(name.encode() for name in HEADER) + b"\r\n"
    raw += good % 1
    raw += (good % 2).rstrip() + b",one,more\r\n"
    raw += good % 3
    raw += (good % 4).replace(b"Item", b"Caf\xe9")
    raw += good % 5
    raw += b'#6,"a"b' + b"\r\n"
    raw += good % 7

    found = read(raw)

    assert verdicts(found) == [
        "1",
        (3, "unreadable"),
        "3",
        (5, "unreadable"),
        (6, "unreadable"),
        (7, "unreadable"),
        "7",
    ]
    assert [one.message for one in found if isinstance(one, Refused)] == [
        f"row 3 has {len(HEADER) + 2} cells for {len(HEADER)} columns",
        "row 5 is not UTF-8; save the file as CSV UTF-8",
        "the row after it cannot be read, and may be one of it",
        "is no row of a CSV: ',' expected after '\"'",
    ]
    assert [one.order_id for one in found if isinstance(one, Refused)] == ["2", "4", "5", None]


def test_a_quote_that_never_ends_loses_no_order_silently():
    """What it swallows is refused as one."""
    raw = export(first_row(), first_row(Name="#2"), first_row(Name="#3"))

    found = read(raw.replace(b"#2", b'"#2'))

    assert verdicts(found) == [(2, "unreadable"), (3, "unreadable")]


CELLS = st.text(max_size=6) | st.sampled_from(["0", "-1.00", "1e9", "99999999999999", "'", "NaN"])


@given(st.data())
def test_no_damage_to_an_export_raises(data):
    """Any cell replaced by anything."""
    rows = [first_row(Subtotal="20.00", Total="20.00"), next_row()]
    for row in rows:
        row[data.draw(st.sampled_from(HEADER))] = data.draw(CELLS)

    assert all(isinstance(one, Place | Refused) for one in read_export(*rows))
