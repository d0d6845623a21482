"""Giving labels back."""

from tests.postage import lab
from tests.work import rig


def bought(engine, shipped, drain):
    shipped()
    drain()
    assert lab.states(engine) == ["bought"]


def test_given_back(engine, shipped, drain, carrier):
    """The label of a parcel that is called back is given back, and the history says so."""
    bought(engine, shipped, drain)
    lab.void(engine)

    drain()

    row = lab.followup(engine, name="void")
    assert (row.state, row.outcome) == ("done", {"label_voided": ["FC000000001"]})
    assert lab.states(engine) == ["voided"]
    assert carrier.alive == {}
    assert lab.history(engine, "label_voided") == [
        {"carrier": "ups", "tracking_number": "FC000000001"}
    ]


def test_given_back_twice(engine, shipped, drain, carrier):
    """A second run, after a crash, calls nobody when the first was written down."""
    bought(engine, shipped, drain)
    lab.void(engine)
    drain()
    rig.run(engine, "update followups set state = 'pending', decided_at = null where name = 'void'")

    drain()

    assert lab.followup(engine, name="void").outcome == {"skipped": "nothing_to_void"}
    assert carrier.calls["void"] == 1
    assert len(lab.history(engine, "label_voided")) == 1


def test_under_way(engine, shipped, drain, carrier):
    """A label that travels cannot be given back: a dead letter, and it is still bought."""
    bought(engine, shipped, drain)
    carrier.in_transit = {"FC000000001"}
    lab.void(engine)

    drain()

    row = lab.followup(engine, name="void")
    assert (row.state, row.dead_reason) == ("dead", "in_transit")
    assert lab.states(engine) == ["bought"]
    assert lab.history(engine, "label_voided") == []


def test_a_drawn_label(engine, shipped, drain, carrier):
    """There is nothing to give back of a label that was drawn."""
    shipped(tracking_number="1Z999AA10123456784")
    drain()
    lab.void(engine)

    drain()

    assert lab.followup(engine, name="void").outcome == {"skipped": "nothing_to_void"}
    assert carrier.calls == {}


def test_nobody_speaks_to_the_carrier_any_more(engine, shipped, drain, config):
    """It is not forgotten: the dead letter names the label."""
    bought(engine, shipped, drain)
    lab.void(engine)

    drain(settings=config().model_copy(update={"carrier_adapters": {}}))

    assert lab.followup(engine, name="void").dead_reason == "no_adapter"
    assert "label L1 is to be given back" in lab.last_error(engine, name="void")[1]
    assert lab.states(engine) == ["bought"]


def test_without_a_font(engine, shipped, drain, config, tmp_path):
    """Giving back draws nothing, so nothing that drawing needs is in its way."""
    bought(engine, shipped, drain)
    lab.void(engine)

    drain(settings=config().model_copy(update={"label_font": tmp_path / "gone.ttf"}))

    assert lab.followup(engine, name="void").state == "done"
    assert lab.states(engine) == ["voided"]
