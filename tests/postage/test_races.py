"""Who else is at it: a worker that stood still, one whose answer comes late, a parcel called back
meanwhile. In the end one label is alive, or none.
"""

import threading
from functools import partial
from uuid import uuid4

import pytest

from messages import UpdateTracking
from tests.fakes.carrier import FakeAdapter
from tests.fakes.server import Wrong
from tests.postage import lab
from tests.postage.conftest import route_of
from tests.work import rig
from worker.labels.bought import order_of
from worker.labels.facts import parcel
from worker.postage import purchases
from worker.postage.adapters import Carrier
from worker.postage.buying import Buying
from worker.postage.rates import Turns
from worker.work.claim import FOLLOWUPS_TABLE, claim
from worker.work.followups import Ended, Later, TakenAway, Task, fenced


class Pause:
    """A hook that stops the first who comes, until it is told to go on."""

    def __init__(self):
        self.reached, self.go = threading.Event(), threading.Event()

    def __call__(self):
        if not self.reached.is_set():
            self.reached.set()
            assert self.go.wait(20)


@pytest.fixture
def buying(engine, carrier):
    """Buying as the route does, with a clock of the test's own."""

    def make(**fields):
        adapter = FakeAdapter("ups", {"url": carrier.url})
        ups = Carrier("ups", adapter, Turns(engine, "carrier ups", 1000))
        return Buying(engine, {"ups": ups}, lease_s=10, **fields)

    return make


@pytest.fixture
def claimed(engine, shipped, config):
    """The claimed work of a label; task, shipment and what to order, as a worker has them."""

    def make():
        shipped()
        with engine.begin() as connection:
            batch = claim(connection, FOLLOWUPS_TABLE, "labels", limit=1, lease_s=1)
        (row,) = batch.rows
        name, command_id, subject_id, _ = row.values
        task = Task(
            row.id, name, row.order_id, command_id, subject_id, {}, partial(fenced, engine, batch)
        )
        with engine.connect() as connection:
            facts = parcel(connection, subject_id)
            order = partial(order_of, config(), facts)
            return task, purchases.look(connection, subject_id), order

    return make


def test_a_worker_that_stood_still_does_not_call(engine, buying, claimed, carrier):
    """Between its claim and the call too much time went by: it leaves it to a later look."""
    times = iter([0.0, 2.6])

    answer = buying(clock=lambda: next(times))(*claimed())

    assert isinstance(answer, Later)
    assert lab.states(engine) == ["none"]
    assert carrier.calls == {}


def test_a_worker_that_lost_its_claim_does_not_ask(engine, buying, claimed, carrier):
    """Work that is somebody else's by now is left to them, and nothing is written."""
    found = claimed()
    rig.run(engine, "update followups set claim = claim + 1 where route = 'labels'")

    with pytest.raises(TakenAway):
        buying()(*found)

    assert (lab.states(engine), carrier.calls) == ([], {})


def test_called_back_between_the_look_and_the_call(engine, buying, claimed, carrier):
    """What was looked at before counts no more once the order is locked."""
    found = claimed()
    rig.run(engine, "update shipments set voided_at = now()")

    answer = buying()(*found)

    assert answer == Ended({"skipped": "voided"}, state="skipped")
    assert (lab.states(engine), carrier.calls) == ([], {})


def test_asked_between_the_look_and_the_call(engine, buying, claimed, carrier):
    """Somebody else has asked: what became of that is found out first."""
    task, shipment, order = claimed()
    with engine.begin() as connection:
        purchases.ask(connection, shipment, uuid4(), "ups")

    answer = buying()(task, shipment, order)

    assert isinstance(answer, Later)
    assert (lab.states(engine), carrier.calls) == (["unknown"], {})


def retrack(engine, sent):
    """Have the parcel's label made anew."""
    command = UpdateTracking(
        command_id=uuid4(),
        order_id=sent.order_id,
        shipment_id=sent.command_id,
        tracking_url="https://carrier.example/parcel",
    )
    assert rig.decided(engine, command) == ["applied"]


def other_worker(engine, config, **ups):
    """Another process takes the label over, and carries it out."""
    rig.lease_over(engine, table="followups")
    drain = rig.drain_of(route_of("labels", engine, config(**ups)), engine)
    drain.has_suspects.set()
    drain()


def test_an_answer_that_comes_late(engine, config, drain, shipped, carrier):
    """Another worker has looked the label up meanwhile: there is one, and it is told once."""
    carrier.before_answer = pause = Pause()
    shipped()

    with rig.running(drain):
        assert pause.reached.wait(20)
        other_worker(engine, config)
        assert lab.followup(engine).state == "done"
        pause.go.set()

    assert lab.states(engine) == ["bought"]
    assert carrier.bought == 1
    assert len(lab.history(engine, "label_bought")) == 1


def test_a_purchase_that_comes_late(engine, config, drain, shipped, carrier):
    """It was given up as not bought, and another label was bought: the late one is written down,
    and given back.
    """
    carrier.before_purchase = pause = Pause()
    shipped()

    with rig.running(drain):
        assert pause.reached.wait(20)
        other_worker(engine, config)
        assert lab.followup(engine).state == "done"
        assert lab.states(engine) == ["none", "bought"]
        pause.go.set()

    assert lab.states(engine) == ["voided", "bought"]
    assert carrier.numbers() == [lab.shipment(engine).tracking_number] == ["FC000000001"]
    assert lab.followup(engine, name="void_surplus").outcome == {"label_voided": ["FC000000002"]}
    assert len(lab.history(engine, "label_bought")) == 2
    assert len(lab.history(engine, "label_voided")) == 1


def test_called_back_while_it_is_bought(engine, drain, shipped, carrier):
    """The label that comes is given back."""
    shipped()
    carrier.before_answer = lambda: lab.void(engine)

    drain()
    drain()

    assert lab.states(engine) == ["voided"]
    assert carrier.alive == {}
    assert lab.followup(engine, name="void").state == "done"


def test_called_back_before_it_is_bought(engine, drain, shipped, carrier):
    """Nothing is bought any more."""
    shipped()
    lab.void(engine)

    drain()

    row = lab.followup(engine)
    assert (row.state, row.outcome) == ("skipped", {"skipped": "voided"})
    assert lab.followup(engine, name="void").outcome == {"skipped": "nothing_to_void"}
    assert (lab.states(engine), carrier.calls) == ([], {})


def test_called_back_after_the_answer_was_lost(engine, drain, shipped, carrier):
    """What was bought is found out, and given back; the parcel gets no label."""
    carrier.wrongs = [Wrong.SILENT_AFTER]
    shipped()
    drain(timeout_s="0.3")
    lab.void(engine)

    lab.due_now(engine)
    drain()

    assert lab.followup(engine).outcome == {"skipped": "voided"}
    assert lab.states(engine) == ["voided"]
    assert carrier.alive == {}


def test_called_back_with_an_answer_that_only_a_person_can_find_out(
    engine, drain, shipped, carrier
):
    """It is not given up silently: the dead letter asks for a word."""
    carrier.wrongs = [Wrong.SILENT_AFTER]
    shipped()
    drain(can_find="no", timeout_s="0.3")
    lab.void(engine)

    drain(can_find="no")

    row = lab.followup(engine, name="void")
    assert (row.state, row.dead_reason) == ("dead", "unknown_outcome")
    assert lab.states(engine) == ["unknown"]


def test_two_workers_at_one_carrier(engine, config, shipped, carrier):
    """Many labels, two workers and a carrier that is often wrong: one label is alive for each."""
    for number in range(20):
        shipped(order_id=f"O-{number}")
    heals = Wrong.SILENT_AFTER, Wrong.BUSY, Wrong.GARBAGE_AFTER, Wrong.ERROR_BEFORE, Wrong.CUT_AFTER
    carrier.wrongs = [*heals] * 3
    settings = config(timeout_s="0.2")
    carrier.retry_after = "0.01"

    def work():
        rig.drain_of(route_of("labels", engine, settings), engine)()

    def are_done():
        lab.due_now(engine)
        rig.together(work, work)
        return not rig.count(engine, "followups", "route = 'labels' and state <> 'done'")

    rig.until(are_done)

    alive = carrier.alive
    assert set(alive.values()) == {1}
    bought = rig.rows(engine, "select purchase_id from purchases where state = 'bought'")
    assert {one.purchase_id.hex for one in bought} == set(alive)
    numbers = rig.rows(engine, "select tracking_number from shipments")
    assert {one.tracking_number for one in numbers} == set(carrier.numbers())
    assert len(alive) == 20


def test_tracking_is_corrected_while_only_a_person_could_find_out(engine, shipped, drain):
    """A call may be under way: the label that is to be made anew waits for its end, and only then
    goes to a person.
    """
    sent = shipped()
    with engine.begin() as connection:
        shipment = purchases.look(connection, sent.command_id)
        purchases.ask(connection, shipment, uuid4(), "ups")
    retrack(engine, sent)

    drain(can_find="no", settles_within_s="60")
    row = lab.followup(engine, name="relabel")
    assert (row.state, row.waits_for, row.attempts) == ("pending", "carrier", 0)
    assert 50 < row.due_in_s <= 60

    rig.run(engine, "update purchases set asked_at = now() - interval '1 minute'")
    lab.due_now(engine)
    drain(can_find="no", settles_within_s="60")
    assert lab.followup(engine, name="relabel").dead_reason == "unknown_outcome"
    assert lab.states(engine) == ["unknown"]


@pytest.mark.parametrize("wrong", [Wrong.SILENT_AFTER, Wrong.SILENT_BEFORE])
def test_a_purchase_that_comes_late_while_another_is_unknown(
    engine, config, drain, shipped, carrier, *, wrong
):
    """What became of that one is found out all the same: one label is alive in the end."""
    carrier.before_purchase = pause = Pause()
    carrier.wrongs = [None, wrong]
    shipped()

    with rig.running(drain):
        assert pause.reached.wait(20)
        other_worker(engine, config, timeout_s="0.3")
        assert lab.states(engine) == ["none", "unknown"]
        pause.go.set()
    rig.until(lambda: lab.states(engine)[0] == "bought")
    lab.due_now(engine)
    drain()
    drain()

    assert lab.states(engine) == (
        ["voided", "bought"] if wrong == Wrong.SILENT_AFTER else ["bought", "none"]
    )
    assert carrier.numbers() == [lab.shipment(engine).tracking_number]
