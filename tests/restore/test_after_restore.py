"""`doctor --after-restore`: what was done since the backup is found out, never done again."""

from datetime import UTC, datetime

import pytest

from tests import factories as make
from tests.cli.cli_tools import rows_of
from tests.fakes.server import Wrong
from tests.restore.conftest import CUSTOMER
from tests.work import rig
from worker.postage import purchases

DOCTOR = ("doctor", "--after-restore")


def ship():
    """Two of A with UPS, with a label to be bought."""
    return make.ship(items=make.items(A=2), carrier="ups", tracking_number=None, label="generate")


def refund():
    return make.refund(amount=make.money(1_500))


def of(shop, answer, *words):
    """The lines of the doctor's JSON that have this key."""
    result = shop.cli(*DOCTOR, "--json", *words)
    return [row for row in rows_of(result) if answer in row], result.exit_code


def settled(engine):
    """Let the time pass in which a look-up that finds nothing is not believed."""
    rig.run(engine, "update refund_parts set last_asked_at = now() - interval '1 day'")
    rig.run(engine, "update purchases set asked_at = asked_at - interval '1 day'")
    rig.run(engine, "update followups set next_at = now() where state = 'pending'")


def test_nothing_is_done_twice(shop, backed_up, square, carrier):
    """What the lost server had shipped, refunded and told after the backup is found at provider and
    carrier; the restored store books it, and once its queues go on nobody is paid, no label is
    bought and no old e-mail sent again.
    """
    rig.decided(shop.engine, ship(), refund())
    restored = backed_up()
    shop.work()
    square.ledger.forget_keys()  # the backup is older than keys are kept
    told = shop.subjects
    assert (len(told), square.ledger.out("P1"), carrier.bought) == (2, 1_500, 1)
    rig.run(restored.engine, "update commands set accepted_at = accepted_at - interval '3 hours'")
    assert restored.cli("pause", "--all").exit_code == 0

    result = restored.cli(*DOCTOR, "--skip-emails-older-than", "2h")

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "would be done again:"
    assert [line.split()[:3] for line in lines[2:5]] == [
        ["emails", "shipped", "1"],
        ["labels", "label", "1"],
        ["refunds", "settle", "1"],
    ]
    part = rig.one(restored.engine, "select * from refund_parts")
    shipment = rig.one(restored.engine, "select * from shipments")
    assert lines[5:] == [
        "e-mails of older commands: 1",
        f"refund part {part.part_id}: settled; booked",
        f"label of {shipment.shipment_id}: bought already FC000000001",
        "e-mails skipped: 2",
        "then: fulfillment resume --all",
    ]
    assert restored.cli("resume", "--all").exit_code == 0
    settled(restored.engine)
    restored.work()
    assert (shop.subjects, square.ledger.out("P1"), carrier.bought) == (told, 1_500, 1)
    assert part.state == "settled"
    assert rig.one(restored.engine, "select tracking_number from shipments") == ("FC000000001",)
    emails = "select name, state, outcome from followups where route = 'emails' order by name"
    assert rig.rows(restored.engine, emails) == [
        ("refunded", "skipped", {"skipped": "restored"}),
        ("shipped", "skipped", {"skipped": "restored"}),
    ]
    acts = "select act, route from audit where act not in ('paused', 'resumed') order by audit_id"
    assert rig.rows(restored.engine, acts) == [
        ("may_be_asked", "refunds"),
        ("may_be_asked", "labels"),
        ("skipped", "emails"),
        ("skipped", "emails"),
    ]


def test_it_is_refused_while_anything_may_run(shop):
    """A queue that is not paused, or work in a worker's hands: exit 1, and nothing is written."""
    rig.decided(shop.engine, ship(), refund())
    shop.cli("pause", "--all")
    shop.cli("resume", "tracking")
    rig.run(shop.engine, "update followups set lease_until = now() + interval '1 minute'"
            " where route = 'labels'")  # fmt: skip
    before = rig.dump(shop.engine)

    result = shop.cli(*DOCTOR, "--skip-emails-older-than", "0s")

    assert result.exit_code == 1
    assert result.stderr == (
        "error: not paused: tracking; first `fulfillment pause --all`;"
        " workers are still at labels; wait until they have finished\n"
    )
    assert rig.dump(shop.engine) == before


def test_a_dry_run_asks_nobody(shop, square, carrier):
    """It only says what waits: nothing is asked and nothing written."""
    rig.decided(shop.engine, ship(), refund())
    shop.cli("pause", "--all")
    before = rig.dump(shop.engine)

    result = shop.cli(*DOCTOR, "--skip-emails-older-than", "0s", "--dry-run", "--json")

    (row,) = rows_of(result)
    assert result.exit_code == 0
    assert [(one["route"], one["name"], one["count"]) for one in row["again"]] == [
        ("emails", "shipped", 1),
        ("labels", "label", 1),
        ("refunds", "settle", 1),
    ]
    assert row["old_emails"] == 1
    assert rig.dump(shop.engine) == before
    assert (square.counts.total(), carrier.calls.total()) == (0, 0)


def test_a_provider_that_cannot_be_asked(shop, square):
    """The part is not told and refunds stay paused; resumed all the same, workers pay nothing
    before they have looked, and then they pay once.
    """
    rig.decided(shop.engine, refund())
    shop.cli("pause", "--all")
    square.lookups_go(Wrong.ERROR_BEFORE)

    (last, *_), code = of(shop, "unclear")
    assert code == 1
    assert list(last["unclear"]) == ["refunds"]
    shop.cli("resume", "--all")
    shop.work()
    assert square.counts["POST right"] == 0
    waiting = rig.one(shop.engine, "select state, waits_for from followups where route = 'refunds'")
    assert waiting == ("pending", "provider")
    settled(shop.engine)
    shop.work()
    shop.work()

    assert (square.counts["POST right"], square.ledger.out("P1")) == (1, 1_500)


def test_a_label_that_took_several_tries(shop, backed_up, carrier):
    """References follow from the shipment, so the carrier is asked for the third try's as well."""
    rig.decided(shop.engine, ship())
    restored = backed_up()
    carrier.wrongs = [Wrong.BUSY, Wrong.ERROR_BEFORE]
    for _ in range(4):
        rig.run(shop.engine, "update call_rates set next_at = now()")
        settled(shop.engine)
        shop.work()
    assert (carrier.bought, carrier.calls["buy"]) == (1, 3)
    restored.cli("pause", "--all")

    (found,), code = of(restored, "tracking_number")

    assert (found["answer"], found["tracking_number"]) == ("bought", "FC000000001")
    restored.cli("resume", "--all")
    settled(restored.engine)
    restored.work()
    assert carrier.bought == 1
    assert code == 1  # nobody has said which e-mails are old


def test_a_label_that_was_not_bought(shop, carrier):
    """Once the carrier's silence can be believed workers buy it, under a reference of its own."""
    rig.decided(shop.engine, ship())
    shop.cli("pause", "--all")

    (found,), _ = of(shop, "tracking_number")
    again, _ = of(shop, "tracking_number")
    assert (found["answer"], [row["answer"] for row in again]) == ("nothing", ["nothing"])
    shop.cli("resume", "--all")
    settled(shop.engine)
    shop.work()

    assert carrier.bought == 1
    assert rig.rows(
        shop.engine, "select state, count(*) from purchases group by state order by state"
    ) == [("bought", 1), ("none", 7)]


def test_a_carrier_that_cannot_look_up(shop, carrier, monkeypatch):
    """A person is told what to ask the carrier, once for each parcel, and nothing is bought until
    the answer is in; said to be not bought, it is.
    """
    adapters = shop.environment["FULFILLMENT_CARRIER_ADAPTERS"].replace(
        '"rate"', '"can_find": "no", "rate"'
    )
    shop.environment["FULFILLMENT_CARRIER_ADAPTERS"] = adapters
    monkeypatch.setenv("FULFILLMENT_CARRIER_ADAPTERS", adapters)
    command = ship()
    rig.decided(shop.engine, command)
    shop.cli("pause", "--all")

    (found,), code = of(shop, "tracking_number", "--skip-emails-older-than", "0s")
    again, _ = of(shop, "tracking_number", "--skip-emails-older-than", "0s")
    assert (found["answer"], code) == ("not_told", 1)
    with shop.engine.connect() as connection:
        (purchase,) = purchases.look(connection, command.command_id).unknown
    assert purchase.purchase_id.hex in found["why"]
    assert again == [found]
    assert shop.cli("labels", "not-bought", str(command.command_id)).exit_code == 0
    shop.cli("resume", "--all")
    shop.work()

    assert carrier.bought == 1


@pytest.mark.parametrize("issued_at", [datetime(2026, 1, 1, 10, tzinfo=UTC), None])
def test_a_command_that_was_sent_again(shop, issued_at):
    """Its e-mail is as old as the producer says it is; without a word, as its acceptance."""
    rig.decided(shop.engine, make.ship(items=make.items(A=1), issued_at=issued_at))
    shop.cli("pause", "--all")

    (row,), _ = of(shop, "skipped", "--skip-emails-older-than", "1h")

    assert row == {"skipped": 1 if issued_at else 0}


def test_which_e_mails_are_old_has_to_be_said(shop):
    """Without a limit none is skipped and e-mails stay paused: the rest may go on, one by one."""
    rig.decided(shop.engine, make.ship(items=make.items(A=1)))
    shop.cli("pause", "--all")
    before = rig.dump(shop.engine)

    result = shop.cli(*DOCTOR)

    assert result.exit_code == 1
    assert result.stdout.splitlines()[3:] == [
        "emails: 1 wait, of which customers have some already: say --skip-emails-older-than",
        *(
            f"then: fulfillment resume {queue}"
            for queue in ("commands", "labels", "refunds", "tracking", "jobs")
        ),
    ]
    assert rig.dump(shop.engine) == before


@pytest.mark.parametrize(
    "words",
    ["--dry-run", "--skip-emails-older-than 2h", "--after-restore --skip-emails-older-than 2"],
)
def test_options_that_make_no_sense(shop, words):
    """What is meant for after a restore goes with nothing else, and a limit has a unit: exit 2."""
    assert shop.cli("doctor", *words.split()).exit_code == 2


def test_the_customer(shop):
    """The tests above would prove nothing without e-mails that leave."""
    shop.work(make.ship(items=make.items(A=1)))

    (path,) = shop.mail.rglob("*.eml")
    assert f"To: {CUSTOMER}" in path.read_text()
