"""A week of a real shop, replayed: UCI's Online Retail, against a small model of its own."""

import csv
import io
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid5

import pytest

from messages import Customer, OrderLine, Payment, PlacedOrder
from tests import factories as make
from tests.work import rig
from worker.runtime import Runtime
from worker.servers import Servers
from worker.settings import Settings
from worker.store import laws
from worker.work.accept import accept

DATA = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "uci" / "online_retail.csv"
SPACE = UUID("5e1c1d0e-0000-4000-8000-00000000c5f0")
CHUNK = 200

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not DATA.exists(), reason="the UCI data is not here: ../shared/data/uci"),
]


def rows():
    """The file's complete rows; its lines end with CR alone, and the last one was cut off."""
    text = io.StringIO(DATA.read_bytes().decode("utf-8"), newline="")
    first, *others = csv.reader(text)
    return [
        dict(zip(first, row, strict=True)) | {"n": n}
        for n, row in enumerate(others)
        if len(row) == len(first)
    ]


def pence(row):
    """The unit price, in minor units of GBP: nothing is rounded."""
    minor = Decimal(row["UnitPrice"]) * 100
    assert minor == int(minor)
    return int(minor)


@dataclass
class Sold:
    """The model's view of one line of an invoice."""

    invoice: str
    line_id: str
    code: str
    customer: str
    quantity: int
    unit_minor: int
    left: int


@dataclass
class Model:
    """What must come out, told without the rules: counters, whole units at one price each."""

    applied: int = 0
    refused: Counter = field(default_factory=Counter)
    refunded_minor: int = 0
    sold: list[Sold] = field(default_factory=list)

    def cancelled(self, row) -> tuple[str, str, int]:
        """The invoice, line and units that a cancellation row means."""
        units = -int(row["Quantity"])
        for one in reversed(self.sold):  # the latest earlier line first
            is_that = one.customer == row["CustomerID"] != "" and one.code == row["StockCode"]
            if is_that and one.left >= units:
                one.left -= units
                self.applied += 1
                self.refunded_minor += units * one.unit_minor
                return one.invoice, one.line_id, units
        self.refused["order_not_found"] += 1
        return row["InvoiceNo"], row["StockCode"].replace(" ", "-"), units


def place(invoice, lines, sold):
    """An invoice as an order that was paid in full: every line at quantity times unit price.

    Codes without a leading digit are no goods (`POST` and `DOT` postage, `M` manual, `D` discount,
    `S` samples, bank and Amazon charges): services, which nobody ships. A code that comes again in
    the invoice gets `-2`, `-3` and so on; a line without description is called by its code.
    """
    order_lines = []
    for row in lines:
        code = row["StockCode"].replace(" ", "-")
        nth = 1 + sum(one.sku == row["StockCode"] for one in order_lines)
        quantity = int(row["Quantity"])
        line = OrderLine(
            line_id=code if nth == 1 else f"{code}-{nth}",
            name=row["Description"].strip() or row["StockCode"],
            sku=row["StockCode"],
            item_type="physical" if code[0].isdigit() else "service",
            quantity=quantity,
            net_minor=quantity * pence(row),
        )
        order_lines.append(line)
        sold.append(
            Sold(
                invoice=invoice,
                line_id=line.line_id,
                code=row["StockCode"],
                customer=row["CustomerID"],
                quantity=quantity,
                unit_minor=pence(row),
                left=quantity,
            )
        )
    total_minor = sum(line.net_minor for line in order_lines)
    order = PlacedOrder(
        currency="GBP",
        total_minor=total_minor,
        lines=tuple(order_lines),
        payments=(Payment(payment_id="P1", captured_minor=total_minor),),
        customer=Customer(name=lines[0]["CustomerID"] or None),
        placed_at=datetime.strptime(lines[0]["InvoiceDate"], "%m/%d/%y %H:%M").replace(tzinfo=UTC),
    )
    return make.place(command_id=uuid5(SPACE, invoice), order_id=invoice, order=order)


def replay(model):
    """The file's commands in its order: an invoice where its first row stands, a cancellation row
    as a full refund of the same customer's latest earlier line with that code and units enough,
    else against the number that it bears, which is no order.

    Negative quantities without `C` are corrections of the stock at no price: nobody bought them.
    """
    invoices: dict[str, list] = {}
    steps = []
    for row in rows():
        number = row["InvoiceNo"]
        if number.startswith("C"):
            steps.append(row)
        elif int(row["Quantity"]) < 0:
            assert pence(row) == 0
        else:
            if number not in invoices:
                steps.append(row)
            invoices.setdefault(number, []).append(row)
    for row in steps:
        if row["InvoiceNo"] in invoices:
            model.applied += 1
            yield place(row["InvoiceNo"], invoices[row["InvoiceNo"]], model.sold)
        else:
            yield cancel(row, *model.cancelled(row))


def cancel(row, invoice, line_id, units):
    return make.cancel(
        command_id=uuid5(SPACE, str(row["n"])),
        order_id=invoice,
        items=make.items(**{line_id: units}),
        refund="full",
        reason=row["Description"].strip() or None,
    )


@pytest.fixture
def impatient(engine, database_url, redis_url):
    """A worker process's parts, not started, which wait for no order that is not there yet."""
    made = Runtime(Settings(grace_s=0), Servers(database_url, redis_url), engine=engine)
    yield made
    made.hints.close()


def test_a_week_of_a_shop(engine, impatient):
    """14,594 rows of a shop's invoices and cancellations end as a model of its own says: so many
    commands applied, so many refused for the one reason, the cancelled units line by line, and the
    money that goes back to the penny; every law of the books holds.
    """
    model = Model()
    commands = list(replay(model))
    told = (model.applied, dict(model.refused), len(model.sold), model.refunded_minor)
    assert told == (612, {"order_not_found": 146}, 14_375, 619_57)

    for start in range(0, len(commands), CHUNK):
        with engine.begin() as connection:
            receipts = accept(connection, commands[start : start + CHUNK])
        assert {receipt.answer for receipt in receipts} == {"accepted"}
        while rig.count(engine, "commands", "state = 'pending'"):
            impatient.drains["commands"]()  # a turn of it; each ends after a while

    with engine.begin() as connection:
        found = connection.exec_driver_sql(
            "select coalesce(outcome ->> 'reason', state), count(*) from commands group by 1"
        ).all()
        assert dict(found) == {"applied": model.applied, **model.refused}
        lines = connection.exec_driver_sql(
            "select order_id, line_id, quantity, quantity - cancelled, gross_minor,"
            " refunded_minor from order_lines"
        ).all()
        assert sorted(tuple(row) for row in lines) == sorted(
            (
                one.invoice,
                one.line_id,
                one.quantity,
                one.left,
                one.quantity * one.unit_minor,
                (one.quantity - one.left) * one.unit_minor,
            )
            for one in model.sold
        )
        assert laws.broken(connection) == dict.fromkeys(laws.LAWS, 0)
    refunded = rig.one(engine, "select sum(amount_minor)::bigint from refunds")[0]
    assert refunded == model.refunded_minor
    assert rig.one(engine, "select sum(refunded_minor)::bigint from payments")[0] == refunded
