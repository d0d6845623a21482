"""What else of rows is emptied by age: strays, the audit, corrections, labels in the database."""

import pytest

from tests import factories as make
from tests.labels import lab
from tests.retention.conftest import later
from tests.work import rig
from worker.feed.events import CursorGone, events_after, number_for_reading
from worker.labels.making import labels_route
from worker.store import laws
from worker.work.accept import record_stray
from worker.work.mending import edit_and_replay
from worker.work.strays import ChosenStrays, discard_strays


def stray(engine, body="{}"):
    with engine.begin() as connection:
        record_stray(connection, "invalid", body, problem="is no command")


def test_an_old_stray_is_emptied(engine, prune):
    """Its number, time, reason and problem stay; a younger one is whole."""
    stray(engine)
    later(engine, 366)
    stray(engine)

    assert prune() == {"strays": 1}

    rows = rig.rows(engine, "select reason, problem, body from strays order by stray_id")
    assert rows == [("invalid", "is no command", ""), ("invalid", "is no command", "{}")]
    assert prune() == {}


def test_more_strays_than_a_batch(engine, prune):
    """A walk goes on until the young ones, and a dry run counts as many."""
    rig.run(
        engine,
        "insert into strays (reason, body) select 'invalid', 'x' from generate_series(1, 1203)",
    )
    later(engine, 366)

    assert prune(dry_run=True) == {"strays": 1203}
    assert prune() == {"strays": 1203}


def test_old_places_in_traces_go(engine, prune):
    """More than a batch of them; those of younger commands stay, and a dry run counts."""
    rig.run(
        engine,
        "insert into traces (command_id, traceparent, at) select gen_random_uuid(),"
        " '00-' || repeat('1', 32) || '-' || repeat('2', 16) || '-01', now() - n * interval '1 h'"
        " from generate_series(0, 2999) as n",
    )

    assert prune(dry_run=True) == {"traces": 840}
    assert prune() == {"traces": 840}

    assert rig.count(engine, "traces") == 2160
    assert prune() == {}


def test_the_audit_keeps_who_did_what(engine, prune):
    """Of an old act the contents go; which fields were changed, by whom, and why, stays."""
    rig.placed(engine, ship_to=lab.address())
    rig.decided(engine, make.ship())
    (email,) = rig.one(
        engine, "update followups set state = 'dead', decided_at = now() returning id"
    )
    with engine.begin() as connection:
        edit_and_replay(connection, email, {"to": "someone@shop.invalid"}, actor="desk")
    stray(engine, "what came")
    with engine.begin() as connection:
        discard_strays(connection, ChosenStrays(), actor="desk", because="a test", limit=1)
    later(engine, 91)

    assert prune() == {"bodies": 1, "audit": 2}

    acts = {row.act: row for row in rig.rows(engine, "select act, actor, details from audit")}
    edited, discarded = acts["edited"].details, acts["stray_discarded"].details
    assert edited.pop("emptied_at")
    assert edited == {"changed": ["to"]}
    assert discarded["because"] == "a test"
    assert discarded["stray"].keys() == {"stray_id", "at", "reason", "command_id", "problem"}
    assert prune() == {}


@pytest.fixture
def corrected_label(engine, config):
    """A label that was made with a corrected address."""
    lab.placed(engine)
    ship = lab.ship()
    rig.decided(engine, ship)
    (label,) = rig.one(
        engine,
        "update followups set state = 'dead', decided_at = now() where route = 'labels'"
        " returning id",
    )
    with engine.begin() as connection:
        edit_and_replay(connection, label, {"ship_to.city": "Shelbyville"}, actor="desk")
    rig.drain_of(labels_route(engine, config), engine)()
    return ship


def test_corrections_go_with_what_they_were_for(engine, prune, corrected_label):
    """A label's correction is kept as long as its files, since it is drawn again with it."""
    later(engine, 91)
    assert prune(keep_labels_days=0) == {"bodies": 1, "audit": 1}
    assert rig.count(engine, "followups", "edits is not null") == 1

    assert prune() == {"labels": 3}
    assert prune() == {"edits": 1}
    assert rig.count(engine, "followups", "edits is not null") == 0


def test_what_is_dead_keeps_its_correction(engine, prune):
    """A follow-up that waits or is dead keeps what was set right, however old it is."""
    rig.placed(engine)
    rig.decided(engine, make.ship())
    rig.run(
        engine,
        """update followups set state = 'dead', decided_at = now(), edits = '{"to": "x@y.zz"}'""",
    )
    later(engine, 9999)

    assert "edits" not in prune()


def test_a_bought_label_of_which_no_file_is_made(engine, prune):
    """The label of an old purchase goes once nothing is left to be done with it."""
    lab.placed(engine)
    ship = lab.ship()
    rig.decided(engine, ship)
    rig.run(
        engine,
        "insert into purchases (purchase_id, shipment_id, order_id, carrier, state, label)"
        " values (gen_random_uuid(), %(id)s, 'O-1', 'ups', 'bought', 'label')",
        id=ship.command_id,
    )
    later(engine, 91)
    assert "bought_labels" not in prune()  # its follow-up waits

    rig.run(engine, "update followups set state = 'discarded', decided_at = now()")
    assert prune(dry_run=True)["bought_labels"] == 1
    assert prune()["bought_labels"] == 1
    assert rig.count(engine, "purchases", "label is null and state = 'bought'") == 1


def days_ago(engine, days, where="true"):
    rig.run(engine, f"update events set at = now() - interval '{days} days' where {where}")


def read(engine, after=0):
    with engine.begin() as connection:
        number_for_reading(connection)
        return [event.number for event in events_after(connection, after, limit=9_999)]


def test_old_events_are_removed(engine, prune):
    """The oldest numbers go, up to the first that is young, and a cursor among them is an error;
    what has no number yet stays.
    """
    for order_id in ("O-1", "O-2", "O-3"):
        rig.placed(engine, order_id)
    assert read(engine) == [1, 2, 3]
    rig.placed(engine, "O-4")
    days_ago(engine, 91, "number in (1, 3) or number is null")

    assert prune(dry_run=True) == {"events": 1}
    assert prune() == {"events": 1}
    assert prune() == {}

    with pytest.raises(CursorGone, match="events up to 1 have been removed"):
        read(engine)
    assert read(engine, 1) == [2, 3, 4]


def test_events_are_kept_as_long_as_the_settings_say(engine, prune):
    """How long is a setting; 0 is for ever. Numbers go on where all have been removed, and the law
    asks for no event of that time.
    """
    rig.placed(engine)
    read(engine)
    days_ago(engine, 20)
    # The event was written by the transaction that decided it: at the same time.
    rig.run(engine, "update commands set decided_at = (select at from events)")

    assert prune(keep_events_days=0) == prune(keep_events_days=21) == {}
    assert prune(keep_events_days=19) == {"events": 1}

    with engine.connect() as connection:
        assert set(laws.broken(connection).values()) == {0}
    rig.decided(engine, make.ship())
    assert read(engine, 1) == [2]


def test_more_events_than_a_batch(engine, prune):
    """Batch by batch, and a dry run counts as many."""
    rig.run(
        engine,
        "insert into events (type, order_id, command_id, data)"
        " select 'command.applied', 'O-1', gen_random_uuid(), '{}' from generate_series(1, 1203)",
    )
    assert len(read(engine)) == 1203
    days_ago(engine, 91, "number <= 1001")

    assert prune(dry_run=True) == {"events": 1001}
    assert prune() == {"events": 1001}
    assert read(engine, 1001) == list(range(1002, 1204))
