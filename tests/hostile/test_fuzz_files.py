"""Files of orders and of shipments, broken and bent: each order and each parcel is a valid command
or refused in a sentence, and none hides the others.
"""

import io

import orjson
from hypothesis import given
from hypothesis import strategies as st

from messages import Place, parse
from tests.hostile import fuzz
from tests.hostile.test_files import ours
from tests.intake import shopify_shapes as shopify
from tests.intake import square_shapes as square
from worker.intake import Why, read_orders
from worker.jobs.badfile import BadFile
from worker.jobs.parcels import plan
from worker.jobs.reading import File

OURS = ours(1, "x")
SQUARE = [
    square.square_order(),
    square.square_order(
        square.line("mug", 2000, "2", catalog_object_id="C1", total_tax_money=square.money(300)),
        square.line("hat", 500),
        total=3000,
        reference_id="R-1",
        created_at="2026-03-01T12:00:00Z",
        version=4,
        tenders=[square.card(amount=3000)],
        refunds=[square.refund(500)],
        returns=[{"return_line_items": [square.returned("hat", total=500)]}],
        service_charges=[{"name": "Shipping", "total_money": square.money(500)}],
        fulfillments=[
            square.shipment(
                "COMPLETED",
                {"mug": "1"},
                recipient={
                    "display_name": "Zoë",
                    "address": {"address_line_1": "1 Street", "country": "US"},
                },
                carrier="UPS",
                tracking_number="1Z999AA10000000001",
                shipped_at="2026-03-02T12:00:00Z",
            )
        ],
    ),
]
SHOPIFY = [
    shopify.shopify_order(),
    shopify.shopify_order(
        shopify.line(11, "10.00", 2, tax_lines=[shopify.tax("1.00")]),
        shopify.line(12, "5.00", discount_allocations=[shopify.off("1.00")]),
        total="26.50",
        total_tax="1.00",
        total_discounts="1.00",
        shipping_lines=[{"price": "1.50"}],
        created_at="2026-03-01T12:00:00Z",
        updated_at="2026-03-02T12:00:00+01:00",
        customer={"first_name": "Zoë", "email": "zoe@shop.example", "locale": "fr"},
        shipping_address={"name": "Zoë", "address1": "1 rue", "country_code": "FR"},
        transactions=[shopify.paid(amount="26.50"), shopify.back(amount="5.00")],
        refunds=[shopify.refund(shopify.back(amount="5.00"), items=[shopify.refund_item(12)])],
        fulfillments=[shopify.fulfillment(_11=1)],
    ),
]
ROWS = [
    shopify.first_row(Email="zoe@shop.example", Paid_at="2026-03-01 12:00:00 +0100", Id="1001"),
    shopify.next_row(Lineitem_name="Hat, red", Lineitem_discount="1.00"),
    shopify.first_row(Name="#2", Refunded_Amount="5.00", Tax_1_Value="1.00", Tax_1_Name="VAT 10%"),
]
CSV = [shopify.export(*ROWS), shopify.export(ROWS[2], delimiter=";")]
LINES = [b"\n".join(map(orjson.dumps, [OURS, *SQUARE, *SHOPIFY]))]
SHIPMENTS = [
    b"order,line,quantity,carrier,tracking_number\r\nO-1,A,1,dhl,00340434161094000018\r\nO-1,B,2,,\r\n",
    b'\xef\xbb\xbfquantity;order;line\n1;O-1;"A"\n\n2;O-2;B\n',
]


def orders():
    """Files of orders of every shape, and rows of which one is another."""
    bent = fuzz.bent(st.sampled_from([OURS, {"orders": SQUARE}, *SQUARE, *SHOPIFY]))
    return (
        bent
        | fuzz.broken(st.sampled_from([*LINES, *CSV]))
        | st.lists(bent, min_size=2, max_size=3).map(b"\n".join)
        | odd_rows()
    )


@st.composite
def odd_rows(draw):
    """A CSV in which cells are what nobody expects; columns stay columns."""
    rows = [dict(row) for row in ROWS]
    for _ in range(draw(st.integers(1, 3))):
        cell = draw(fuzz.values.map(lambda one: one if isinstance(one, str) else "9" * 30))
        draw(st.sampled_from(rows))[draw(st.sampled_from(shopify.HEADER))] = cell
    return shopify.export(*rows)


@fuzz.few(40)
@given(orders())
def test_orders(raw):
    """Each is the command that places it, which says the same in JSON, or refused: with a known
    code, with no id that is none, in a sentence.
    """
    for found in read_orders(io.BytesIO(raw)):
        if isinstance(found, Place):
            assert parse(orjson.dumps(found.body())) == found
        else:
            assert found.reason in set(Why)
            fuzz.told(found.message)
            assert found.position >= 0


@fuzz.few()
@given(fuzz.broken(st.sampled_from(SHIPMENTS)) | st.binary(max_size=60))
def test_shipments(raw):
    """Each row is one of a valid command, or refused with its parcel, in a sentence; or the file is
    none of shipments.
    """
    try:
        rows = list(File(io.BytesIO(raw)).rows())
    except BadFile as error:
        fuzz.told(error)
        return
    parcels = plan(None, [row for row in rows if row.problem or not row.sku])

    for parcel in parcels:
        if parcel.command:
            assert parse(orjson.dumps(parcel.command.body())) == parcel.command
        else:
            fuzz.told(parcel.refused)
    for row in rows:
        if row.problem:
            fuzz.told(row.problem)
