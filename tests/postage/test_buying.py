"""Buying: one label for a parcel, whatever becomes of the call."""

import pytest

from tests.fakes.server import Wrong
from tests.postage import lab
from tests.work import rig


def test_a_label_is_bought(engine, shipped, drain, carrier, tmp_path):
    """The carrier's number and label land on the shipment, with a slip of ours; the history says
    what it cost, and the parcel is going to be tracked.
    """
    command = shipped()

    drain()

    row = lab.followup(engine)
    assert row.state == "done", row.errors
    assert carrier.alive == {lab.purchases(engine)[0].purchase_id.hex: 1}
    assert lab.shipment(engine).tracking_number == "FC000000001"
    made = row.outcome["label_made"]
    assert set(made) == {"label_pdf", "slip_pdf"}
    sha256 = made["label_pdf"]["sha256"]
    stored = tmp_path / "store" / sha256[:2] / f"{sha256}.pdf"
    assert stored.read_bytes() == b"%PDF-1.4 label FC000000001"
    (purchase,) = lab.purchases(engine)
    assert (purchase.state, purchase.carrier_id, purchase.label) == ("bought", "L1", None)
    assert (purchase.cost_minor, purchase.currency) == (725, "USD")
    assert lab.history(engine, "label_bought") == [
        {"carrier": "ups", "tracking_number": "FC000000001", "cost": "7.25 USD"}
    ]
    track = lab.followup(engine, "tracking", "track")
    assert (track.subject_id, track.waits_for) == (command.command_id, "carrier")
    assert track.due_in_s == pytest.approx(1800, abs=60)


@pytest.mark.parametrize(
    "wrong", [Wrong.SILENT_AFTER, Wrong.ERROR_AFTER, Wrong.GARBAGE_AFTER, Wrong.CUT_AFTER]
)
def test_an_answer_that_was_lost(engine, shipped, drain, carrier, wrong):
    """What was bought is found again by our reference; one label is bought, and none is voided."""
    carrier.wrongs = [wrong]
    shipped()

    drain(timeout_s="0.3" if wrong == Wrong.SILENT_AFTER else "20")
    assert lab.states(engine) == ["unknown"]
    assert lab.followup(engine).waits_for == "retry"
    lab.due_now(engine)
    drain()

    assert lab.followup(engine).state == "done"
    assert lab.states(engine) == ["bought"]
    assert lab.shipment(engine).tracking_number == "FC000000001"
    assert (carrier.bought, carrier.calls["buy"], carrier.calls["find"]) == (1, 1, 1)
    assert len(lab.history(engine, "label_bought")) == 1


@pytest.mark.parametrize("wrong", [Wrong.SILENT_BEFORE, Wrong.ERROR_BEFORE])
def test_a_call_that_was_lost(engine, shipped, drain, carrier, wrong):
    """What the carrier does not know is bought anew once that can be believed, not before."""
    carrier.wrongs = [wrong]
    shipped()

    drain(settles_within_s="60", timeout_s="0.3" if wrong == Wrong.SILENT_BEFORE else "20")
    lab.due_now(engine)
    drain(settles_within_s="60")
    row = lab.followup(engine)
    assert (row.state, row.waits_for, row.attempts) == ("pending", "carrier", 1)
    assert 50 < row.due_in_s <= 60
    rig.run(engine, "update purchases set asked_at = asked_at - interval '1 minute'")
    lab.due_now(engine)
    drain(settles_within_s="60")

    assert lab.followup(engine).state == "done"
    assert lab.states(engine) == ["none", "bought"]
    assert (carrier.bought, carrier.calls["buy"]) == (1, 2)


def test_an_answer_that_was_lost_and_cannot_be_looked_up(engine, shipped, drain, carrier):
    """Where the carrier cannot be asked, a person must: nothing is bought again, and the dead
    letter says what to do.
    """
    carrier.wrongs = [Wrong.SILENT_AFTER]
    command = shipped()

    drain(can_find="no", timeout_s="0.3")

    row = lab.followup(engine)
    assert (row.state, row.dead_reason) == ("dead", "unknown_outcome")
    _, message = lab.last_error(engine)
    (purchase,) = lab.purchases(engine)
    assert purchase.state == "unknown"
    assert purchase.purchase_id.hex in message
    assert f"fulfillment labels not-bought {command.command_id}" in message
    assert (carrier.bought, carrier.calls) == (1, {"buy": 1})
    assert lab.shipment(engine).tracking_number is None


def test_busy(engine, shipped, drain, carrier):
    """429 is heeded: the label comes when the carrier said, and nobody else calls before that."""
    carrier.wrongs, carrier.retry_after = [Wrong.BUSY], "90"
    shipped()
    shipped(order_id="O-2")

    drain()

    first, second = rig.rows(
        engine,
        "select waits_for, attempts, extract(epoch from next_at - now())::float8 as due_in_s"
        " from followups where route = 'labels' order by attempts desc",
    )
    assert (first.waits_for, first.attempts) == ("retry", 1)
    assert 80 < first.due_in_s <= 90
    assert (second.waits_for, second.attempts) == ("rate", 0)
    assert 80 < second.due_in_s <= 93
    assert lab.states(engine) == ["none"]
    assert carrier.calls == {"buy": 1}


def test_a_bad_address(engine, shipped, drain, carrier):
    """The dead letter names the fields to correct, and nothing was bought."""
    carrier.wrongs = [Wrong.DECLINED]
    shipped()

    drain()

    assert lab.followup(engine).state == "dead"
    assert lab.last_error(engine) == ("bad_address", "correct ship_to: postal_code, city")
    assert lab.states(engine) == ["none"]
    assert carrier.bought == 0


def test_a_store_that_refuses(engine, shipped, drain, config, tmp_path):
    """What is bought is kept until its file is stored, and is not bought again."""
    (tmp_path / "file").write_text("no folder")
    shipped()
    drain(settings=config().model_copy(update={"label_store": str(tmp_path / "file")}))
    row = lab.followup(engine)
    assert (row.waits_for, row.errors[-1]["reason"]) == ("retry", "label_store")
    assert (lab.states(engine), lab.shipment(engine).tracking_number) == (["bought"], None)

    lab.due_now(engine)
    drain()

    assert lab.followup(engine).state == "done"
    assert lab.shipment(engine).tracking_number == "FC000000001"
    (purchase,) = lab.purchases(engine)
    assert (purchase.tracking_number, purchase.label) == ("FC000000001", None)


@pytest.mark.parametrize(
    ("update", "reason"),
    [({"parcel_weight_g": None}, "weight_missing"), ({"ship_from": None}, "ship_from_missing")],
)
def test_a_setting_that_is_missing(shipped, drain, config, update, reason, *, engine):
    """The dead letter names it, and nobody was asked."""
    shipped()

    drain(settings=config().model_copy(update=update))

    assert lab.followup(engine).dead_reason == reason
    assert lab.states(engine) == []


def test_the_parcels_own_weight(engine, shipped, drain, carrier):
    """It goes before the usual one."""
    shipped()
    rig.run(engine, "update shipments set weight_g = 1200")

    drain()

    assert [one["weight_g"] for one in carrier.asked] == [1200]


def test_an_address_that_is_missing(engine, drain, shipped, carrier):
    """Nobody is asked where to send a parcel to nowhere."""
    shipped()
    rig.run(engine, "update orders set ship_to = null")

    drain()

    assert lab.last_error(engine) == ("bad_address", "correct ship_to: the whole address")
    assert (lab.states(engine), carrier.calls) == ([], {})


def test_the_call_holds_no_transaction(engine, shipped, drain, carrier):
    """While the carrier is asked, no transaction is open."""
    shipped()
    observer = rig.other_engine(engine.url.render_as_string(hide_password=False))
    found = []

    def look():
        found.append(
            rig.one(
                observer,
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and xact_start is not null and pid <> pg_backend_pid()",
            )[0]
        )

    carrier.before_answer = look
    drain()
    observer.dispose()

    assert found == [0]
    assert lab.followup(engine).state == "done"


def test_a_number_that_came_meanwhile_stays(engine, shipped, drain, carrier):
    """Who gave the parcel a number while its label was bought meant it."""
    shipped()
    carrier.before_answer = lambda: rig.run(engine, "update shipments set tracking_number = 'X1'")

    drain()

    assert lab.shipment(engine).tracking_number == "X1"
    assert lab.states(engine) == ["bought"]
