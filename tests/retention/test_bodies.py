"""Bodies of commands: what is old and has ended goes; fingerprint and outcome answer for ever."""

from tests import factories as make
from tests.retention.conftest import later
from tests.work import rig
from worker.work.accept import accept_bodies


def body(engine, command):
    return rig.command(engine, command).body


def is_full(engine, command):
    return "command_id" in body(engine, command)


def test_an_old_body_goes_and_the_rest_stays(engine, prune):
    """Of a command that ended long ago the body is emptied, but for who issued it; every other
    column is as before.
    """
    rig.placed(engine)
    ship = make.ship(issued_by="desk", tracking_number="1Z", notify_customer=False)
    assert rig.decided(engine, ship) == ["applied"]
    later(engine, 91)
    before = rig.command(engine, ship)

    assert prune() == {"bodies": 1}

    after = rig.command(engine, ship)
    emptied = after.body
    assert emptied.pop("emptied_at")
    assert emptied == {"issued_by": "desk", "notify_customer": False}
    unchanged = ("fingerprint", "state", "outcome", "accepted_at", "decided_at", "seq", "order_id")
    assert [getattr(after, name) for name in unchanged] == [
        getattr(before, name) for name in unchanged
    ]


def test_the_key_lasts_for_ever(engine, prune):
    """The same command gets its stored outcome, another under its id is told so, as with a body."""
    rig.placed(engine)
    ship = make.ship()
    rig.decided(engine, ship)
    later(engine, 91)
    prune()

    (again,) = rig.accepted(engine, ship)
    (other,) = rig.accepted(engine, ship.model_copy(update={"tracking_number": "other"}))

    assert (again.answer, again.state) == ("known", "applied")
    assert again.outcome["items"] == [{"line_id": "A", "quantity": 3}]
    assert other.answer == "id_reused"
    assert rig.count(engine, "commands") == 2


def test_what_is_young_stays(engine, prune):
    """A day before its time nothing is emptied."""
    rig.placed(engine)
    ship = make.ship()
    rig.decided(engine, ship)
    later(engine, 89)

    assert prune() == {}
    assert is_full(engine, ship)


def test_for_ever(engine, prune):
    """With 0 days nothing is ever emptied."""
    rig.placed(engine)
    rig.decided(engine, make.ship())
    later(engine, 9999)

    assert prune(keep_payloads_days=0) == {}


def test_what_waits_or_is_dead_stays_until_it_has_ended_and_is_old(engine, prune):
    """A walk passes by what has not ended; once it has ended, and that is long ago, it goes."""
    rig.placed(engine)
    waiting, dead, ended = make.ship(order_id="O-9"), make.ship(), make.complete()
    # What ended first was accepted last: a walk for it goes beyond the others.
    for one in (waiting, dead, ended):
        rig.decided(engine, one)
    for one, state in ((dead, "dead"), (ended, "discarded")):
        rig.run(
            engine,
            "update commands set state = %(state)s, decided_at = now() where id = %(id)s",
            id=one.command_id,
            state=state,
        )
    later(engine, 100)

    assert prune() == {"bodies": 1}
    assert [is_full(engine, one) for one in (waiting, dead, ended)] == [True, True, False]

    rig.run(
        engine,
        "update commands set state = 'discarded', decided_at = now(), outcome = '{}'"
        " where id = any(%(ids)s)",
        ids=[waiting.command_id, dead.command_id],
    )
    assert prune() == {}
    later(engine, 91)
    assert prune() == {"bodies": 2}
    assert rig.count(engine, "retention_left") == 0
    assert prune() == {}


def test_what_ended_late_is_looked_at_again(engine, prune):
    """A walk passes by what was accepted long ago and ended yesterday; its turn comes later."""
    rig.placed(engine)
    ship = make.ship()
    rig.decided(engine, ship)
    rig.older(engine, 91 * 86_400, ship)

    assert prune() == {}
    later(engine, 91)

    assert prune() == {"bodies": 1}
    assert rig.count(engine, "retention_left") == 0


def test_the_last_form_of_an_order_stays(engine, prune):
    """The form in which an order was placed last is kept, so that it can be placed again; forms
    before it go when it is old itself.
    """
    first = rig.placed(engine)
    later(engine, 91)
    assert prune() == {}
    assert is_full(engine, first)

    lines = (make.order_line(), make.order_line("B"))
    second = make.place(order=make.placed_order(*lines))
    assert rig.decided(engine, second) == ["applied"]
    assert prune() == {}  # the walk has passed the first
    later(engine, 91)

    assert prune() == {"bodies": 1}
    assert [is_full(engine, one) for one in (first, second)] == [False, True]
    third = make.place(order=make.placed_order(*lines, make.order_line("C")))
    assert rig.decided(engine, third) == ["applied"]


def test_a_form_that_came_late_lets_the_form_before_it_go(engine, prune):
    """Also where the newer form was passed by, as it was dead for long."""
    first = rig.placed(engine)
    second = make.place(order=make.placed_order(make.order_line(), make.order_line("B")))
    rig.accepted(engine, second)
    rig.run(
        engine,
        "update commands set state = 'dead' where id = %(id)s",
        id=second.command_id,
    )
    later(engine, 91)
    assert prune() == {}
    rig.run(engine, "update commands set state = 'pending', next_at = now() where state = 'dead'")
    rig.drainer(engine)()
    later(engine, 91)

    assert prune() == {"bodies": 1}
    assert [is_full(engine, one) for one in (first, second)] == [False, True]


def test_a_refused_place_goes(engine, prune):
    """A `place` that was refused is no form of the order."""
    refused = make.place(order=make.placed_order().model_copy(update={"total_minor": 1}))
    assert rig.decided(engine, refused) == ["rejected"]
    later(engine, 91)

    assert prune() == {"bodies": 1}
    assert rig.reason(engine, refused) == "total_mismatch"


def test_a_dry_run_changes_nothing(engine, prune):
    """It counts what would go, more than a batch of it, and leaves every row as it is."""
    rig.placed(engine)
    rig.run(
        engine,
        "insert into commands (id, kind, order_id, body, fingerprint, state, outcome, decided_at)"
        " select gen_random_uuid(), 'ship', 'O-1', '{\"command_id\": \"x\"}', '', 'rejected', '{}',"
        " now() from generate_series(1, 1201)",
    )
    later(engine, 91)
    prune(keep_payloads_days=0)  # the walks have their rows
    before = rig.dump(engine, tuple(t for t in rig.TABLES if t != "retention"))

    assert prune(dry_run=True) == {"bodies": 1201}

    assert rig.dump(engine, tuple(t for t in rig.TABLES if t != "retention")) == before
    assert prune() == {"bodies": 1201}


def test_the_envelope_may_be_anything(engine, prune):
    """A body that no rule could read is emptied too, whatever its fields hold."""
    junk = make.ship()
    with engine.begin() as connection:
        accept_bodies(
            connection,
            [
                {
                    "kind": "ship",
                    "command_id": str(junk.command_id),
                    "order_id": "O-1",
                    "issued_by": {"x": "y" * 999},
                    "notify_customer": "no",
                }
            ],
        )
    rig.drainer(engine)()
    later(engine, 91)

    assert prune() == {"bodies": 1}
    assert len(body(engine, junk)["issued_by"]) == 255
