"""`prune`, `orders forget` and what the doctor says: sentences and exit codes."""

import orjson
import pytest

from tests import factories as make
from tests.retention import story
from tests.retention.conftest import later
from tests.work import rig


@pytest.fixture
def old(engine):
    """A command whose body is to be emptied."""
    rig.placed(engine)
    ship = make.ship()
    rig.decided(engine, ship)
    later(engine, 91)
    return ship


def test_prune(engine, cli, old):
    """It says what would go, and what went; the body says that it was emptied."""
    would = cli("prune", "--dry-run")
    assert (would.exit_code, would.stdout) == (0, "would go: 1 bodies of commands\n")
    assert "command_id" in rig.command(engine, old).body

    assert cli("prune").stdout == "gone: 1 bodies of commands\n"
    assert cli("prune").stdout == "gone: nothing\n"
    assert "emptied_at" in cli("commands", "show", old.command_id).stdout


def test_prune_as_json(cli, old):
    """One object, with every kind."""
    assert orjson.loads(cli("prune", "--json").stdout) == {
        "dry_run": False,
        "bodies": 1,
        "edits": 0,
        "audit": 0,
        "job_rows": 0,
        "traces": 0,
        "strays": 0,
        "events": 0,
        "sign_ins": 0,
        "bought_labels": 0,
        "labels": 0,
        "emails": 0,
        "orphans": 0,
    }


def test_prune_by_the_settings(engine, cli, old):
    """How long is a setting; 0 is for ever, and what is no number of days is refused."""
    assert cli("prune", FULFILLMENT_KEEP_PAYLOADS_DAYS="0").stdout == "gone: nothing\n"
    wrong = cli("prune", FULFILLMENT_KEEP_PAYLOADS_DAYS="-1")
    assert wrong.exit_code == 2
    assert "FULFILLMENT_KEEP_PAYLOADS_DAYS" in wrong.stderr
    assert "command_id" in rig.command(engine, old).body


def test_the_store_cannot_be_used(cli, old):
    """A label store that is not to be had is a sentence."""
    refused = cli("prune", FULFILLMENT_LABEL_STORE="nowhere://labels")

    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: FULFILLMENT_LABEL_STORE: no library for nowhere://")


def test_forget(engine, cli, config):
    """It says that the order is forgotten; whoever looks at it is told so, and by whom."""
    story.tell(engine, config)

    done = cli("orders", "forget", "O-1", "--yes", "--by", "desk")

    assert (done.exit_code, done.stdout) == (0, "forgotten: O-1\n")
    shown = cli("orders", "show", "O-1")
    assert "forgotten 20" in shown.stdout
    assert any(
        "forgotten" in line and "desk" in line
        for line in shown.stdout.partition("history")[2].splitlines()
    )
    assert "forgotten: whom it belonged to" in shown.stderr
    assert "(forgotten)" in cli("orders", "list").stdout
    assert orjson.loads(cli("orders", "show", "O-1", "--json").stdout)["forgotten_at"]
    assert not any(one in (shown.stdout + shown.stderr).lower() for one in story.CANARIES)


def test_what_others_say_of_a_forgotten_order(engine, cli, config):
    """No label is printed, an e-mail would go to nobody, a `place` would be refused."""
    told = story.tell(engine, config)
    cli("orders", "forget", "O-1", "--yes")

    printed = cli("labels", "print", told["ship"].command_id)
    preview = cli("emails", "preview", "O-1", "shipped", "--format", "text")

    assert printed.exit_code == 1
    assert printed.stderr == "shipment 2: its order was forgotten, nobody knows where it goes\n"
    assert cli("labels", "print", "--order", "O-1").exit_code == 1
    assert "nobody would be told: forgotten" in preview.stderr


def test_forget_asks(engine, cli, config):
    """Without --yes nothing is done."""
    rig.placed(engine, customer=story.placed_order().customer)
    before = rig.dump(engine)

    refused = cli("orders", "forget", "O-1")

    assert refused.exit_code == 2
    assert refused.stderr == "error: --yes: needed to forget, for nothing brings it back\n"
    assert rig.dump(engine) == before


def test_forget_several(engine, cli):
    """Each for itself: what is open, or not here, is named, and the others are forgotten."""
    for order_id in ("O-1", "O-2"):
        rig.placed(engine, order_id)
    ship = make.ship(order_id="O-2")
    rig.decided(engine, ship)
    (email,) = rig.one(engine, "select id from followups")

    done = cli("orders", "forget", "O-1", "O-2", "O-3", "O-1", "--yes")

    assert done.exit_code == 5
    assert done.stdout == "forgotten: O-1\n"
    assert done.stderr == (
        f"order O-2 is not forgotten: shipped {email} in emails is pending\norder O-3 is not here\n"
    )
    assert rig.rows(engine, "select order_id from orders where forgotten_at is not null") == [
        ("O-1",)
    ]


def test_forget_says_how_to_end_what_is_dead(engine, cli):
    """A dead letter is named with what ends it."""
    rig.placed(engine)
    rig.decided(engine, make.ship())
    rig.run(engine, "update followups set state = 'dead', dead_reason = 'smtp_550'")

    refused = cli("orders", "forget", "O-1", "--yes", "--json")

    assert refused.exit_code == 5
    said = orjson.loads(refused.stdout)
    assert (said["order_id"], said["forgotten"]) == ("O-1", False)
    assert "is dead; end what is dead: fulfillment dead replay" in said["why"]


def test_forget_what_is_not_here(cli):
    """An order of which nothing is known is not found."""
    assert cli("orders", "forget", "O-1", "--yes").exit_code == 4


def test_the_doctor(engine, cli, old):
    """It says how long what is kept, when retention ran last, what waits, and what to do."""

    def said():
        rows = map(orjson.loads, cli("doctor", "--json").stdout.splitlines())
        return next(row for row in rows if row["part"] == "retention")

    before = said()
    assert before["found"] == (
        "keeps payloads for 90 days, labels for 90 days, strays for 365 days,"
        " events for 90 days; last run never;"
        " 1 wait"
    )
    assert before["advice"].startswith("workers do it once an hour")
    cli("prune")
    rig.run(engine, "update retention set ran_at = '2026-03-01T12:00:00Z' where what = 'run'")
    after = said()
    assert after["found"].endswith("last run 2026-03-01 12:00:00 UTC; nothing waits")
    assert after["is_ok"]
