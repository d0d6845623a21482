"""Orders in the store: everything that was placed, the rules' view, statuses, history."""

from datetime import UTC, datetime
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from messages import (
    Address,
    Customer,
    DoneRefund,
    DoneRefundItem,
    DoneRefundPart,
    DoneShipment,
    Fee,
    NewCarrier,
    OrderLine,
    Payment,
    PlacedOrder,
)
from tests import factories as make
from tests import strategies
from tests.work import rig
from worker.orders.intake import take_in
from worker.orders.model import Decision
from worker.orders.rules import World, decide_all
from worker.orders.status import fulfillment_status, payment_status, refund_pending
from worker.store.orders import load

SHIP_TO = Address(
    name="Zoé Tremblay",
    company="Café Ébène",
    lines=("12, rue du Bac", "Apt 4"),
    city="Montréal",
    district="QC",
    postal_code="H2X 1Y4",
    country="CA",
    phone="+1 514 555 0100",
)
BILLING = Address(name="Zoé", country="CA")
SHIP_FROM = Address(company="Depot", country="US")
WHEN = datetime(2026, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC)

EVERYTHING = PlacedOrder(
    currency="CAD",
    total_minor=1000 - 100 + 150 + 500 + 60 - 10 + 5 + 1,
    lines=(
        OrderLine(
            line_id="A",
            name="Tasse 'Ébène' \\ \"☕\"",
            sku="T-1",
            quantity=3,
            net_minor=1000,
            discount_minor=100,
            tax_minor=150,
            cancelled=1,
        ),
        OrderLine(
            line_id="B",
            name="E-book",
            item_type="digital",
            quantity=2,
            net_minor=500,
            completed=1,
        ),
    ),
    fees=(
        Fee(kind="shipping", name="Poste", net_minor=60, discount_minor=10, tax_minor=5),
        Fee(kind="rounding", net_minor=1),
    ),
    payments=(
        Payment(payment_id="P1", captured_minor=1000, method="card", captured_at=WHEN),
        Payment(payment_id="P2", captured_minor=606),
    ),
    number="#1001",
    placed_at=WHEN,
    customer=Customer(name="Zoé", email="zoe@example.org", phone="+1", locale="fr-CA"),
    billing_address=BILLING,
    ship_to=SHIP_TO,
    ship_from=SHIP_FROM,
    hold="fraud check",
    shipments=(
        DoneShipment(
            items=make.items(A=1),
            carrier="Postes Canada",
            tracking_number="PC1",
            tracking_url="https://pc/PC1",
            shipped_at=WHEN,
        ),
    ),
    refunds=(
        DoneRefund(
            parts=(
                DoneRefundPart(payment_id="P1", amount_minor=300),
                DoneRefundPart(payment_id="P2", amount_minor=51),
            ),
            items=(
                DoneRefundItem(
                    line_id="A", quantity=1, gross_minor=350, tax_minor=50, discount_minor=33
                ),
            ),
            shipping_minor=1,
            reason="broken",
            refunded_at=WHEN,
        ),
    ),
)


def rows(engine, columns, table, order="1, 2"):
    with engine.begin() as connection:
        return connection.exec_driver_sql(f"select {columns} from {table} order by {order}").all()


def loaded(engine, *order_ids):
    with engine.begin() as connection:
        return load(connection, order_ids)


def test_place_stores_everything(engine):
    """Every part of a placed order is in the tables: customer, locale, addresses, lines, fees,
    payments, what was shipped and refunded before.
    """
    command = make.place(order=EVERYTHING)

    assert rig.decided(engine, command) == ["applied"]

    counters_of_a = (1, 0, 1, 1, 350, 50, 33)
    order = rig.one(engine, "select * from orders")
    assert (order.number, order.currency, order.total_minor) == ("#1001", "CAD", 1606)
    assert (order.shipping_minor, order.shipping_refunded_minor, order.hold) == (
        55,
        1,
        "fraud check",
    )
    assert (order.customer_name, order.customer_email) == ("Zoé", "zoe@example.org")
    assert (order.customer_phone, order.locale) == ("+1", "fr-CA")
    assert order.billing_address == {"name": "Zoé", "lines": [], "country": "CA"}
    assert order.ship_to == SHIP_TO.model_dump(mode="json")
    assert order.ship_from == {"company": "Depot", "lines": [], "country": "US"}
    assert (order.placed_at, order.version) == (WHEN, 1)
    assert order.fulfillment_status == "partially_fulfilled"
    assert (order.payment_status, order.refund_pending) == ("partially_refunded", False)
    assert rows(
        engine,
        "line_id, position, name, sku, item_type, quantity, gross_minor, tax_minor,"
        " discount_minor, shipped, completed, cancelled, refunded_units, refunded_minor,"
        " refunded_tax_minor, refunded_discount_minor",
        "order_lines",
    ) == [
        ("A", 0, EVERYTHING.lines[0].name, "T-1", "physical", 3, 1050, 150, 100, *counters_of_a),
        ("B", 1, "E-book", None, "digital", 2, 500, 0, 0, 0, 1, 0, 0, 0, 0, 0),
    ]
    assert rows(
        engine, "position, kind, name, gross_minor, tax_minor, discount_minor", "order_fees"
    ) == [(0, "shipping", "Poste", 55, 5, 10), (1, "rounding", None, 1, 0, 0)]
    assert rows(
        engine,
        "payment_id, position, method, captured_minor, captured_at, refunded_minor, settled_minor",
        "payments",
    ) == [("P1", 0, "card", 1000, WHEN, 300, 300), ("P2", 1, None, 606, None, 51, 51)]
    shipment = rig.one(engine, "select * from shipments")
    assert (shipment.command_id, shipment.shipped_at) == (command.command_id, WHEN)
    assert (shipment.carrier, shipment.carrier_name) == ("canada-post", "Postes Canada")
    assert (shipment.tracking_number, shipment.tracking_url) == ("PC1", "https://pc/PC1")
    assert rows(engine, "line_id, quantity", "shipment_lines") == [("A", 1)]
    refund = rig.one(engine, "select * from refunds")
    assert (refund.amount_minor, refund.shipping_minor, refund.reason) == (351, 1, "broken")
    assert refund.requested_at == WHEN
    assert rows(
        engine, "line_id, quantity, gross_minor, tax_minor, discount_minor", "refund_lines"
    ) == [("A", 1, 350, 50, 33)]
    assert rows(engine, "payment_id, amount_minor, state", "refund_parts") == [
        ("P1", 300, "settled"),
        ("P2", 51, "settled"),
    ]
    assert rig.count(engine, "followups") == 0


def test_load_gives_what_the_rules_decided(engine):
    """What is loaded is, field by field, what the rules made of the placed order."""
    command = make.place(order=EVERYTHING)
    rig.decided(engine, command)
    order, _, _ = take_in("O-1", command.command_id, EVERYTHING)

    found = loaded(engine, "O-1", "O-9")

    assert list(found) == ["O-1"]
    assert found["O-1"] == order.__class__(**store_fields(order) | {"version": 1})


def store_fields(order):
    return {name: getattr(order, name) for name in order.__slots__}


def test_lines_keep_their_order(engine):
    """Lines and payments come back in the order in which they were placed, not by id."""
    order = make.placed_order(
        *[make.order_line(line_id) for line_id in ("Z", "A", "M")],
        payments=tuple(Payment(payment_id=one, captured_minor=1) for one in ("P9", "P1")),
    )
    rig.decided(engine, make.place(order=order))

    (found,) = loaded(engine, "O-1").values()

    assert [line.line_id for line in found.lines] == ["Z", "A", "M"]
    assert [payment.payment_id for payment in found.payments] == ["P9", "P1"]


def test_history_has_every_transaction(engine):
    """Every transaction made for an order: what, when, by whom, by which command, which amounts."""
    order = make.placed_order(
        make.order_line("A", 5),
        make.order_line("B", 2, item_type="digital"),
        payments=(
            Payment(payment_id="P1", captured_minor=150),
            Payment(payment_id="P2", captured_minor=550),
        ),
    )
    commands = [
        make.place(order=order, issued_by="checkout"),
        make.ship(
            items=make.items(A=2),
            new_carrier=NewCarrier(code="acme", name="Acme"),
            tracking_number="1Z",
            issued_by="warehouse",
        ),
        make.ship(items=make.items(A=9), issued_by="refused"),
        make.complete(items=make.items(B=1), issued_by="panel"),
        make.cancel(items=make.items(A=2), refund="full", reason="too late", issued_by="support"),
        make.refund(amount=make.money(10), reason="sorry"),
    ]
    assert rig.decided(engine, *commands) == [
        "applied",
        "applied",
        "rejected",
        "applied",
        "applied",
        "applied",
    ]

    place, ship, _, complete, cancel, refund = commands
    assert rows(
        engine,
        "event, command_id, issued_by, amount_minor, details",
        "history",
        "history_id",
    ) == [
        ("placed", place.command_id, "checkout", 700, {"lines": 2}),
        (
            "shipped",
            ship.command_id,
            "warehouse",
            None,
            {"items": {"A": 2}, "carrier": "acme", "tracking_number": "1Z"},
        ),
        ("completed", complete.command_id, "panel", None, {"items": {"B": 1}}),
        (
            "cancelled",
            cancel.command_id,
            "support",
            None,
            {"items": {"A": 2}, "reason": "too late"},
        ),
        (
            "refund_requested",
            cancel.command_id,
            "support",
            200,
            {"items": {"A": 2}, "parts": {"P1": 150, "P2": 50}, "reason": "too late"},
        ),
        (
            "refund_requested",
            refund.command_id,
            None,
            10,
            {"parts": {"P2": 10}, "reason": "sorry"},
        ),
    ]
    assert (
        rig.count(engine, "history", "at > now() - interval '1 minute' and order_id = 'O-1'") == 6
    )


def test_history_has_what_was_done_upstream(engine):
    """What was done before the order came is in its history too, at its own time where known."""
    order = make.placed_order(
        make.order_line("A", 5, cancelled=1),
        make.order_line("B", 2, item_type="digital", completed=2),
        shipments=(
            DoneShipment(items=make.items(A=2), carrier="Colissimo", shipped_at=WHEN),
            DoneShipment(items=make.items(A=1), tracking_number="T1"),
        ),
        payments=(Payment(payment_id="P1", captured_minor=700),),
        refunds=(
            DoneRefund(parts=(DoneRefundPart(payment_id="P1", amount_minor=90),), reason="late"),
        ),
    )
    place = make.place(order=order, issued_by="import")
    assert rig.decided(engine, place) == ["applied"]

    assert rows(engine, "event, amount_minor, details, issued_by", "history", "history_id") == [
        ("placed", 700, {"lines": 2}, "import"),
        ("shipped_upstream", None, {"items": {"A": 2}, "carrier": "Colissimo"}, "import"),
        ("shipped_upstream", None, {"items": {"A": 1}, "tracking_number": "T1"}, "import"),
        ("completed_upstream", None, {"items": {"B": 2}}, "import"),
        ("cancelled_upstream", None, {"items": {"A": 1}}, "import"),
        ("refunded_upstream", 90, {"parts": {"P1": 90}, "reason": "late"}, "import"),
    ]
    assert rig.count(engine, "history", f"at = '{WHEN.isoformat()}'") == 1


NUMBERS = count()


@st.composite
def placed(draw):
    """A placed order as an upstream system would send what `paid_orders` draws."""
    order = draw(strategies.paid_orders())
    lines = tuple(
        OrderLine(
            line_id=line.line_id,
            name="x",
            item_type=line.item_type,
            quantity=line.quantity,
            net_minor=line.gross_minor - line.tax_minor + line.discount_minor,
            tax_minor=line.tax_minor,
            discount_minor=line.discount_minor,
        )
        for line in order.lines
    )
    return PlacedOrder(
        currency=order.currency,
        total_minor=order.total_minor,
        lines=lines,
        fees=(Fee(kind="shipping", net_minor=order.shipping_minor),),
        payments=tuple(
            Payment(payment_id=one.payment_id, captured_minor=one.captured_minor)
            for one in order.payments
        ),
        hold=order.hold,
    )


@given(order=placed(), commands=st.lists(strategies.order_commands, max_size=8), data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_stored_is_what_the_rules_say(engine, order, commands, data):
    """Whatever is commanded: the stored order equals what the rules alone come to, and the stored
    statuses equal those derived from it.
    """
    order_id = f"H-{next(NUMBERS)}"
    place = make.place(order_id=order_id, order=order)
    commands = [
        place,
        *[
            one.model_copy(update={"order_id": order_id, "command_id": make.ship().command_id})
            for one in commands
        ],
    ]
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "insert into carriers (code, name) values ('dhl', 'DHL') on conflict do nothing"
        )
        connection.exec_driver_sql("delete from shipment_lines")
        connection.exec_driver_sql("delete from shipments")
        connection.exec_driver_sql("delete from carriers where code <> 'dhl'")
    decisions = decide_all({}, commands, World(make.NOW, {"dhl": "DHL"}))
    expected = [one for one in decisions if isinstance(one, Decision)][-1].order

    rig.accepted(engine, *commands)
    rig.drainer(engine, batch_size=data.draw(st.sampled_from([1, 3, 200])))()

    states = ["applied" if isinstance(one, Decision) else "rejected" for one in decisions]
    assert [rig.state(engine, one) for one in commands] == states
    (found,) = loaded(engine, order_id).values()
    assert found == expected
    stored = rig.one(
        engine,
        "select fulfillment_status, payment_status, refund_pending from orders"
        " where order_id = %(id)s",
        id=order_id,
    )
    assert stored == (fulfillment_status(found), payment_status(found), refund_pending(found))


@given(command=strategies.commands)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_valid_command_can_be_stored(engine, command):
    """Whatever the contract lets through, PostgreSQL takes: it ends by the rules, or waits; it
    never fails.
    """
    command = command.model_copy(update={"command_id": make.ship().command_id})
    (receipt,) = rig.accepted(engine, command)
    rig.due_now(engine)

    rig.drainer(engine, grace_s=0)()

    row = rig.command(engine, command)
    assert receipt.answer == "accepted"
    assert row.state in {"applied", "rejected"}
    assert (row.attempts, row.errors) == (0, [])
    assert row.body == command.body()
