"""What a label says of its order: what was so when the parcel left, whatever came later."""

from dataclasses import astuple

from messages import PlacedOrder
from tests import factories as make
from tests.labels import lab
from tests.work import rig
from worker.labels.facts import left_of_order, parcel


def facts(engine, command):
    with engine.connect() as connection:
        return parcel(connection, command.command_id)


def lines(one):
    """Units in the parcel and units to come, by line."""
    return {line.name[-1]: (line.quantity, line.to_come) for line in one.lines}


def test_a_parcel(engine, shipped):
    """A parcel has its own units and tells what is still to come; cancelled units are not."""
    lab.placed(engine)
    rig.decided(engine, make.cancel(items=make.items(A=1)))
    one = facts(engine, shipped(items=make.items(A=2)))

    assert lines(one) == {"A": (2, 2), "B": (0, 2)}
    assert (one.position, one.is_last) == (1, False)


def test_parcel_n_of_m(engine, shipped):
    """Only the parcel after which nothing is left knows how many there were."""
    first = shipped(items=make.items(A=5))
    second = shipped(items=make.items(B=2))

    assert (facts(engine, first).position, facts(engine, first).is_last) == (1, False)
    assert (facts(engine, second).position, facts(engine, second).is_last) == (2, True)


def test_later_parcels_change_nothing(engine, shipped):
    """What a parcel says is the same before and after the next parcels."""
    first = shipped(items=make.items(A=2))
    before = facts(engine, first)
    shipped(items=make.items(A=1))
    shipped()

    assert facts(engine, first) == before


def test_later_cancellations_change_nothing(engine, shipped):
    """Units that are cancelled after a parcel left were still to come when it did."""
    first = shipped(items=make.items(A=2))
    before = facts(engine, first)
    rig.decided(engine, make.cancel(items=make.items(A=1, B=1)), make.cancel())

    assert rig.line(engine, "A").cancelled == 3
    assert facts(engine, first) == before


def test_later_lines_change_nothing(engine):
    """A line that upstream adds later was not to come with any parcel before."""
    order = make.placed_order(make.order_line("A", 5), ship_to=lab.address())
    rig.decided(engine, make.place(order=order))
    last = lab.ship()
    rig.decided(engine, last)
    before = facts(engine, last)
    grown: PlacedOrder = make.placed_order(
        make.order_line("A", 5), make.order_line("B", 2), ship_to=lab.address()
    )
    assert rig.decided(engine, make.place(order=grown)) == ["applied"]
    second = lab.ship()
    rig.decided(engine, second)

    assert rig.count(engine, "order_lines") == 2
    assert before.is_last
    assert facts(engine, last) == before
    assert lines(facts(engine, second)) == {"A": (0, 0), "B": (2, 0)}
    assert (facts(engine, second).position, facts(engine, second).is_last) == (2, True)


def test_other_than_physical_lines_are_in_no_parcel(engine):
    """A digital line is neither in a parcel nor to come."""
    rig.with_lines(
        engine,
        make.order_line("A", 1),
        make.order_line("B", 1, item_type="digital"),
        ship_to=lab.address(),
    )
    command = lab.ship()
    rig.decided(engine, command)

    assert lines(facts(engine, command)) == {"A": (1, 0)}


def test_what_left_before_the_order_came(engine):
    """Parcels that upstream had sent are counted, and their units are not to come again."""
    done = {"items": make.items(A=2), "tracking_number": "T1"}
    order = make.placed_order(make.order_line("A", 5), ship_to=lab.address())
    order = PlacedOrder.model_validate(order.model_dump() | {"shipments": (done,)})
    rig.decided(engine, make.place(order=order))
    command = lab.ship(items=make.items(A=2))
    rig.decided(engine, command)
    one = facts(engine, command)

    assert (lines(one), one.position) == ({"A": (2, 1)}, 2)


def test_what_is_left_of_an_order(engine, shipped):
    """Before it is shipped, an order's label is for all that is left."""
    shipped(items=make.items(A=2))
    rig.decided(engine, make.cancel(items=make.items(B=2)))

    with engine.connect() as connection:
        one = left_of_order(connection, "O-1")

    assert [astuple(line)[2:] for line in one.lines] == [(3, 0), (0, 0)]
    assert (one.number, one.position) == (None, None)


def test_later_voids_change_nothing(engine, shipped):
    """A parcel that was called back later had left when this one did."""
    first, second = (shipped(items=make.items(A=2)) for _ in range(2))
    before = facts(engine, second)
    assert (lines(before)["A"], before.position) == ((2, 1), 2)
    assert rig.decided(engine, make.void(first)) == ["applied"]

    assert facts(engine, second) == before
    assert facts(engine, first).is_voided
    assert (lines(facts(engine, first))["A"], facts(engine, first).position) == ((2, 3), 1)


def test_parcels_called_back_before(engine, shipped):
    """Their units are to come again, and parcels are counted without them; in one batch as well."""
    lab.placed(engine)
    first, second, third = (
        lab.ship(items=make.items(A=5)),
        lab.ship(items=make.items(A=4)),
        lab.ship(),
    )
    states = rig.decided(engine, first, make.void(first), second, third)

    assert states == ["applied"] * 4
    assert (lines(facts(engine, second)), facts(engine, second).position) == (
        {"A": (4, 1), "B": (0, 2)},
        1,
    )
    last = facts(engine, third)
    assert (last.position, last.is_last) == (2, True)


def test_what_is_left_after_a_void(engine, shipped):
    """Units of a parcel that was called back are left to ship."""
    command = shipped(items=make.items(A=2))
    rig.decided(engine, make.void(command))

    with engine.connect() as connection:
        one = left_of_order(connection, "O-1")

    assert [line.quantity for line in one.lines] == [5, 2]
