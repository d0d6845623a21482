"""Orders that upstream places again, in the store: what is written, and that nothing else is."""

from datetime import UTC, datetime

import orjson

from messages import DoneShipment, Fee, Item, Payment
from tests import factories as make
from tests.work import rig
from worker.store import lists
from worker.store.laws import broken


def form(*line_ids: str, version: int, **fields):
    """One unit of each line, paid by a payment of its own for each."""
    return make.placed_order(
        *[
            make.order_line(line_id, 1, name=f"Product {line_id}", sku=line_id)
            for line_id in line_ids
        ],
        payments=tuple(
            Payment(payment_id=f"P-{line_id}", captured_minor=100, method="card")
            for line_id in line_ids
        ),
        upstream_version=version,
        **fields,
    )


def lines(engine):
    with engine.begin() as connection:
        return connection.exec_driver_sql(
            "select line_id, position, name, sku, shipped from order_lines order by position"
        ).all()


def lawful(engine) -> bool:
    with engine.begin() as connection:
        return not any(broken(connection).values())


def test_added_lines_and_payments_are_written(engine):
    """They stand behind what is there, with total and statuses of now; what was done stays done."""
    first = make.place(order=form("A", version=1))
    assert rig.decided(engine, first, make.ship()) == ["applied", "applied"]
    assert rig.one(engine, "select fulfillment_status, total_minor from orders") == (
        "fulfilled",
        100,
    )
    second = make.place(order=form("B", "A", version=2, hold="recall"))

    assert rig.decided(engine, second) == ["applied"]

    assert lines(engine) == [("A", 0, "Product A", "A", 1), ("B", 1, "Product B", "B", 0)]
    payments = (
        "select payment_id, position, method, captured_minor from payments where position = 1"
    )
    assert rig.one(engine, payments) == ("P-B", 1, "card", 100)
    order = rig.one(engine, "select * from orders")
    assert (order.total_minor, order.hold, order.version) == (200, "recall", 3)
    assert (order.fulfillment_status, order.payment_status) == ("partially_fulfilled", "paid")
    assert order.placed_by == second.command_id
    history = rig.one(engine, "select * from history order by history_id desc")
    assert (history.event, history.amount_minor) == ("changed_upstream", 100)
    assert history.details == {"items": {"B": 1}, "payments": {"P-B": 100}, "hold": "recall"}
    assert lawful(engine)


def test_an_older_form_writes_nothing(engine):
    """An older form is applied as what changes nothing: not a row but the command's own."""
    rig.decided(engine, make.place(order=form("A", "B", version=2)))
    before = rig.dump(engine, rig.EFFECTS)
    late = make.place(order=form("A", version=1))

    assert rig.decided(engine, late) == ["applied"]

    assert rig.dump(engine, rig.EFFECTS) == before
    outcome = rig.ended(engine, late).outcome
    assert (outcome["changed"], outcome["order_version"]) == (False, 1)
    assert lawful(engine)


def test_a_newer_form_without_news_is_only_remembered(engine):
    """Its order keeps version, history and lines; the form in between that comes late is older."""
    rig.decided(engine, make.place(order=form("A", version=1)))
    before = rig.dump(engine, ("order_lines", "payments", "history", "followups"))
    newer = make.place(order=form("A", version=3))
    between = make.place(order=form("A", "B", version=2))

    assert rig.decided(engine, newer) == ["applied"]
    assert rig.decided(engine, between) == ["applied"]

    assert rig.dump(engine, ("order_lines", "payments", "history", "followups")) == before
    assert rig.one(engine, "select version, placed_by from orders") == (1, newer.command_id)
    assert lawful(engine)


def test_a_refused_form_writes_nothing(engine):
    """`order_changed` names the field and leaves every row as it was."""
    rig.decided(engine, make.place(order=form("A", "B", version=1)))
    before = rig.dump(engine, rig.EFFECTS)
    command = make.place(order=form("A", version=2))

    assert rig.decided(engine, command) == ["rejected"]

    assert rig.dump(engine, rig.EFFECTS) == before
    outcome = rig.ended(engine, command).outcome
    assert outcome["reason"] == "order_changed"
    assert outcome["message"] == "lines.B is gone; payments.P-B is gone"


def test_forms_and_commands_in_one_batch(engine):
    """Placed, placed again and shipped in one batch: the order is stored as the last left it, in
    the order in which the rules know its lines.
    """
    commands = [
        make.place(order=form("B", version=1)),
        make.place(order=form("A", "B", version=2)),
        make.ship(items=(Item(line_id="A", quantity=1),)),
        make.place(order=form("C", "A", "B", version=3)),
    ]

    assert rig.decided(engine, *commands) == ["applied"] * 4

    assert [(row.line_id, row.position, row.shipped) for row in lines(engine)] == [
        ("B", 0, 0),
        ("A", 1, 1),
        ("C", 2, 0),
    ]
    order = rig.one(engine, "select version, total_minor, placed_by from orders")
    assert order == (4, 300, commands[3].command_id)
    assert lawful(engine)


def test_lines_added_late_are_refunded_to_the_minor_unit(engine):
    """With discount and tax of the order that grew, shipping fee and two payments: everything
    refunded line by line is everything captured.
    """
    first = make.placed_order(
        make.order_line("A", 3, net_minor=1000),
        fees=(Fee(kind="shipping", net_minor=499),),
        discount_minor=7,
        tax_minor=11,
        payments=(Payment(payment_id="P1", captured_minor=1503),),
    )
    second = make.placed_order(
        *first.lines,
        make.order_line("B", 7, net_minor=1000),
        fees=first.fees,
        discount_minor=18,
        tax_minor=13,
        payments=(*first.payments, Payment(payment_id="P2", captured_minor=991)),
    )
    places = [make.place(order=first), make.place(order=second)]
    units = [make.refund(items=make.items(B=3)), make.refund(items=make.items(A=3))]
    rest = make.refund(items=make.items(B=4), include_shipping=True)

    assert rig.decided(engine, *places, *units, rest) == ["applied"] * 5

    amounts = [rig.ended(engine, one).outcome["refund"]["amount_minor"] for one in (*units, rest)]
    # 1,000 - 11 + 2 = 991 over 7 units of B: 142, 142, 142 and 141 for each of the others.
    assert amounts == [426, 1004, 565 + 499]
    assert sum(amounts) == 1503 + 991
    assert rig.one(engine, "select sum(refunded_minor)::bigint from payments") == (2494,)
    assert lawful(engine)


def test_added_lines_are_found(engine):
    """The SKU of a line that came later finds its order, and what found it before still does."""
    rig.decided(engine, make.place(order=form("A", version=1)))

    rig.decided(engine, make.place(order=form("A", "NEW-77", version=2)))

    with engine.connect() as connection:
        for search in ("new77", "a", "o-1"):
            (found,) = lists.orders(connection, lists.Wanted(search=search), limit=2)
            assert found["order_id"] == "O-1"


def test_the_form_survives_what_was_sent_by_hand(engine):
    """A body that the SQL door took as it came, not canonical, is compared by what it says."""
    body = make.place(order=form("A", version=1)).body()
    body["order"] |= {"fees": [], "hold": None, "placed_at": "2026-01-01T01:00:00+01:00"}
    rig.run(
        engine, "select accept_commands(%(bodies)s::jsonb)", bodies=orjson.dumps([body]).decode()
    )
    rig.drainer(engine)()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    same = make.place(order=form("A", version=2, placed_at=at))

    assert rig.decided(engine, same) == ["applied"]

    assert rig.ended(engine, same).outcome["changed"] is False


def test_a_parcel_of_upstreams_that_was_called_back(engine):
    """Upstream tells of its parcel again, or no longer: nothing is refused, nothing is shipped."""
    parcel = DoneShipment(items=(Item(line_id="A", quantity=1),), tracking_number="T1")
    first = make.place(order=form("A", "B", version=1, shipments=(parcel,)))
    rig.decided(engine, first)
    (shipment_id,) = rig.one(engine, "select shipment_id from shipments")
    void = make.void(shipment_id)
    assert rig.decided(engine, void) == ["applied"]
    before = rig.dump(engine, ("order_lines", "shipments", "history", "followups"))

    same = make.place(order=form("A", "B", version=2, shipments=(parcel,)))
    less = make.place(order=form("A", "B", version=3))
    states = rig.decided(engine, same, less)

    assert states == ["applied", "applied"]
    assert [rig.ended(engine, one).outcome["changed"] for one in (same, less)] == [False, False]
    assert rig.dump(engine, ("order_lines", "shipments", "history", "followups")) == before
    assert rig.decided(engine, make.ship(items=make.items(A=1))) == ["applied"]
    assert lawful(engine)
