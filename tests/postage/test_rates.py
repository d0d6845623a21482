"""A limit for each carrier, in the whole cluster."""

import pytest

from tests.postage import lab
from tests.work import rig
from worker.postage.rates import Turns


def test_turns_are_apart(engine):
    """At one in a hundred seconds turns are so far apart; another carrier has its own."""
    turns = Turns(engine, "ups", 0.01, patience_s=0)

    assert turns.take() is None
    assert turns.take() == pytest.approx(100, abs=20)
    assert Turns(engine, "dhl", 0.01, patience_s=0).take() is None


def test_a_turn_that_is_put_off_takes_none(engine):
    """Who was sent away has used up nothing."""
    turns = Turns(engine, "ups", 1 / 60, patience_s=0)
    turns.take()
    before = rig.one(engine, "select next_at from call_rates").next_at

    assert turns.take() == pytest.approx(60, abs=20)
    assert rig.one(engine, "select next_at from call_rates").next_at == before


def test_a_near_turn_is_waited_for(engine):
    """And nobody else gets it."""
    turns = Turns(engine, "ups", 20)

    taken = rig.together(*[turns.take] * 4)

    assert taken == [None] * 4
    (ahead_s,) = rig.one(
        engine, "select extract(epoch from next_at - now())::float8 from call_rates"
    )
    assert ahead_s <= 0.05


def test_hold(engine):
    """What the carrier asks for goes before; it makes no turn earlier."""
    turns = Turns(engine, "ups", 1000)

    turns.hold(90)
    turns.hold(30)

    assert turns.take() == pytest.approx(90, abs=20)


def test_work_waits_for_its_turn(engine, shipped, drain, carrier):
    """Labels beyond the rate wait, uncounted."""
    for number in range(3):
        shipped(order_id=f"O-{number}")

    drain(rate="0.01")

    rows = rig.rows(engine, "select state, waits_for, attempts from followups"
                    " where route = 'labels' order by state")  # fmt: skip
    assert [tuple(row) for row in rows] == [
        ("done", None, 0),
        ("pending", "rate", 0),
        ("pending", "rate", 0),
    ]
    assert carrier.calls == {"buy": 1}
    assert lab.states(engine) == ["bought"]
