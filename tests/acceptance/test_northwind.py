"""Two years of a real sample shop, replayed: Northwind, against a small model of its own."""

import io
import re
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from uuid import UUID, uuid5

import orjson
import pytest

from messages import NewCarrier
from tests import factories as make
from tests.work import rig
from worker.carriers import table as carriers
from worker.intake.loading import load
from worker.store import laws
from worker.work.accept import accept

DATA = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "northwind"
SPACE = UUID("5e1c1d0e-0000-4000-8000-00000000c5f1")
CHUNK = 200
VALUE = re.compile(r"'((?:[^']|'')*)'|([^,\s][^,]*)")

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        not DATA.exists(), reason="the Northwind data is not here: ../shared/data/northwind"
    ),
]


def rows(table):
    """The rows that the dump inserts into a table; NULL is None, numbers stay text."""
    opening = f"INSERT INTO {table} VALUES ("
    for statement in (DATA / "northwind.sql").read_text(encoding="utf-8").splitlines():
        if statement.startswith(opening):
            inner = statement.removeprefix(opening).removesuffix(");")
            yield [
                text.replace("''", "'") if raw == "" else None if raw == "NULL" else raw
                for text, raw in VALUE.findall(inner)
            ]


def cents(amount):
    """A price of the shop: its 9.80000019 is the 9.80 that a `real` cannot hold."""
    return Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_UP)


def shopify(order, details):
    """An order as Shopify writes it: the discount, which is a ratio, as an amount per line, freight
    as the shipping fee, paid in full.
    """
    order_id, _, _, ordered, _, _, _, freight, name, street, city, region, postal_code, _ = order
    lines, total = [], cents(freight)
    for _, product_id, price, quantity, ratio in details:
        full = cents(price) * int(quantity)
        off = (full * cents(ratio)).quantize(Decimal("0.01"), ROUND_HALF_UP)
        total += full - off
        lines.append(
            {
                "id": int(product_id),
                "name": f"Product {product_id}",
                "price": str(cents(price)),
                "quantity": int(quantity),
                "discount_allocations": [{"amount": str(off)}],
            }
        )
    return {
        "id": int(order_id),
        "currency": "USD",
        "created_at": f"{ordered}T00:00:00Z",
        "financial_status": "paid",
        "total_price": str(total),
        "line_items": lines,
        "shipping_lines": [{"title": "Freight", "price": str(cents(freight))}],
        "shipping_address": {
            "name": name,
            "address1": street,
            "city": city,
            "province": region,
            "zip": postal_code,
        },
    }


def replay(engine, runtime, orders, details, shippers):
    """Carriers, the file of orders, and a shipment of each that has a shipped date."""
    with engine.begin() as connection:
        for shipper_id, name, _ in shippers:
            carriers.add(connection, NewCarrier(code=f"shipper-{shipper_id}", name=name))
        file = b"\n".join(orjson.dumps(shopify(one, details[one[0]])) for one in orders)
        report = load(connection, io.BytesIO(file))
    ships = [
        make.ship(command_id=uuid5(SPACE, one[0]), order_id=one[0], carrier=f"shipper-{one[6]}")
        for one in orders
        if one[5] is not None
    ]
    answers = Counter()
    for start in range(0, len(ships), CHUNK):
        with engine.begin() as connection:
            receipts = accept(connection, ships[start : start + CHUNK])
        answers.update(receipt.answer for receipt in receipts)
    while rig.count(engine, "commands", "state = 'pending'"):
        runtime.drains["commands"]()  # a turn of it; each ends after a while
    return report, answers


class Model:
    """What must come out, told without the reader: whole cents, each price and ratio by itself."""

    def __init__(self, orders, details):
        self.lines, self.total_minor = 0, 0
        self.statuses, self.parcels, self.units = Counter(), Counter(), Counter()
        for order in orders:
            is_shipped, carrier = order[5] is not None, f"shipper-{order[6]}"
            self.statuses["fulfilled" if is_shipped else "unfulfilled"] += 1
            self.parcels[carrier] += is_shipped
            self.total_minor += round(float(order[7]) * 100)
            for _, _, price, quantity, ratio in details[order[0]]:
                full = round(float(price) * 100) * int(quantity)
                self.lines += 1
                self.total_minor += full - (full * round(float(ratio) * 100) + 50) // 100
                self.units[carrier] += int(quantity) * is_shipped
        self.units_shipped = sum(self.units.values())


def test_two_years_of_a_shop(engine, runtime):
    """830 orders with 2,155 lines are placed through Shopify's shape, 809 of them shipped with the
    carrier they had: units, parcels, statuses and money are those of a model of its own to the
    cent, every law of the books holds, and all of it once more changes no row.
    """
    shippers, orders = list(rows("shippers")), list(rows("orders"))
    details: dict[str, list] = {}
    for row in rows("order_details"):
        details.setdefault(row[0], []).append(row)
    model = Model(orders, details)
    told = (len(orders), model.lines, model.units_shipped, model.total_minor)
    assert told == (830, 2_155, 50_119, 1_330_735_45)
    assert model.statuses == {"fulfilled": 809, "unfulfilled": 21}
    assert model.parcels == {"shipper-1": 245, "shipper-2": 315, "shipper-3": 249}

    report, answers = replay(engine, runtime, orders, details, shippers)

    assert (len(report.accepted), report.known, len(report.refused)) == (830, {}, 0)
    assert answers == {"accepted": 809}
    found = rig.one(
        engine,
        "select count(*), sum(total_minor)::bigint, sum(shipping_minor)::bigint from orders",
    )
    assert found[:2] == (830, model.total_minor)
    assert rig.one(engine, "select sum(captured_minor)::bigint from payments")[0] == found[1]
    lines = rig.one(
        engine, "select count(*), sum(shipped)::bigint, sum(gross_minor)::bigint from order_lines"
    )
    assert tuple(lines) == (model.lines, model.units_shipped, found[1] - found[2])
    with engine.begin() as connection:
        statuses = connection.exec_driver_sql(
            "select fulfillment_status, count(*) from orders group by 1"
        ).all()
        parcels = connection.exec_driver_sql(
            "select carrier, carrier_name, count(distinct shipment_id), sum(quantity)::bigint"
            " from shipments join shipment_lines using (shipment_id) group by 1, 2"
        ).all()
        assert laws.broken(connection) == dict.fromkeys(laws.LAWS, 0)
    assert dict(statuses) == model.statuses
    names = {f"shipper-{shipper_id}": name for shipper_id, name, _ in shippers}
    assert {tuple(row) for row in parcels} == {
        (code, names[code], model.parcels[code], model.units[code]) for code in model.parcels
    }

    before = rig.dump(engine)
    report, answers = replay(engine, runtime, orders, details, shippers)

    assert (report.accepted, len(report.known), len(report.refused)) == ({}, 830, 0)
    assert answers == {"known": 809}
    assert rig.dump(engine) == before
