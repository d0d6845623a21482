"""Where bought parcels are."""

import pytest

from tests.fakes.server import Reply
from tests.postage import lab
from tests.work import rig

NUMBER = "FC000000001"


@pytest.fixture
def track(engine, shipped, drain, carrier):
    """A bought parcel; looks where it is, when the carrier says this of it."""
    shipped()
    drain()

    def look(state, **at):
        carrier.transits[NUMBER] = {"state": state} | at
        lab.due_now(engine, "tracking")
        drain("tracking")
        return lab.followup(engine, "tracking", "track")

    return look


def test_announced(engine, track):
    """As long as the carrier has not got it nothing is said of it, and it is asked again."""
    row = track("announced")

    assert (row.state, row.waits_for) == ("pending", "carrier")
    assert row.due_in_s == pytest.approx(1800, abs=60)
    assert lab.shipment(engine).transit is None
    assert lab.history(engine, "transit") == []


def test_on_its_way(engine, track):
    """A change is written down, once."""
    track("in_transit", at="2026-03-03T10:15:00+00:00")
    track("in_transit", at="2026-03-04T10:15:00+00:00")

    assert lab.shipment(engine).transit == "in_transit"
    assert lab.history(engine, "transit") == [
        {"transit": "in_transit", "since": "2026-03-03T10:15:00+00:00"}
    ]


@pytest.mark.parametrize("state", ["delivered", "returned"])
def test_arrived(engine, track, carrier, state):
    """Then nobody asks any more."""
    track("in_transit")
    row = track(state)
    track(state)

    assert (row.state, row.outcome) == ("done", {"transit": state})
    assert lab.shipment(engine).transit == state
    assert lab.history(engine, "transit") == [{"transit": "in_transit"}, {"transit": state}]
    assert carrier.calls["track"] == 2


@pytest.mark.parametrize(("days", "pause_s"), [(0.5, 5400), (30, 21_600)])
def test_an_old_parcel_is_asked_for_less_often(engine, track, days, pause_s):
    """Every half an hour at first, every six hours in the end."""
    rig.run(engine, f"update purchases set asked_at = now() - interval '{days} days'")

    assert track("in_transit").due_in_s == pytest.approx(pause_s, abs=60)


def test_a_parcel_that_never_arrives(engine, track):
    """After sixty days it is given up."""
    rig.run(engine, "update purchases set asked_at = now() - interval '61 days'")

    row = track("exception")

    assert (row.state, row.outcome) == ("skipped", {"skipped": "given_up"})
    assert lab.shipment(engine).transit == "exception"


def test_called_back(engine, track, carrier):
    """A parcel that was called back is not asked for."""
    rig.run(engine, "update shipments set voided_at = now()")

    row = track("in_transit")

    assert (row.state, row.outcome) == ("skipped", {"skipped": "voided"})
    assert carrier.calls["track"] == 0


def test_failures_do_not_add_up(engine, track, drain, carrier):
    """One that was followed by an answer counts no more."""
    carrier.wrong_track = Reply(503, {})
    row = track("in_transit")
    assert (row.attempts, row.waits_for) == (1, "retry")
    carrier.wrong_track = None

    assert track("in_transit").attempts == 0
