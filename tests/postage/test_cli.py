"""What a person sees of bought labels, and what a person says of them."""

import json
from uuid import uuid4

import pytest

from messages import UpdateTracking
from tests.cli.cli_tools import invoke
from tests.fakes.server import Wrong
from tests.labels import lab as labels
from tests.postage import lab
from tests.work import rig
from worker.settings import settings


@pytest.fixture
def cli(database_url, redis_url, config):
    """Runs `fulfillment ...` in this process."""

    def run(*words, **ups):
        made = config(**ups)
        adapters = {
            code: {name: secret.get_secret_value() for name, secret in one.items()}
            for code, one in made.carrier_adapters.items()
        }
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "FULFILLMENT_LABEL_STORE": made.label_store,
            "FULFILLMENT_SHIP_FROM": labels.SHOP.model_dump_json(),
            "FULFILLMENT_PARCEL_WEIGHT_G": "500",
            "FULFILLMENT_CARRIER_ADAPTERS": json.dumps(adapters),
        }
        settings.cache_clear()
        try:
            return invoke([str(word) for word in words], environment)
        finally:
            settings.cache_clear()

    return run


@pytest.fixture
def unknown(engine, shipped, drain, carrier):
    """A label of which only a person can find out whether it was bought; its shipment."""
    carrier.wrongs = [Wrong.SILENT_AFTER]
    shipped()
    drain(can_find="no", timeout_s="0.3")
    assert lab.states(engine) == ["unknown"]
    return lab.shipment(engine)


def test_it_was_bought(engine, cli, unknown, drain, tmp_path):
    """The label goes on with what the person found: nothing is bought, and the audit knows who."""
    (tmp_path / "label.pdf").write_bytes(b"%PDF-1.4 from the carrier's site")

    result = cli(
        "labels", "bought", unknown.shipment_id, "--tracking-number", "FC000000001",
        "--carrier-id", "L1", "--file", tmp_path / "label.pdf", "--by", "operator",
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, f"shipment {unknown.shipment_id}: noted\n")
    drain(can_find="no")

    row = lab.followup(engine)
    assert row.state == "done"
    assert set(row.outcome["label_made"]) == {"label_pdf", "slip_pdf"}
    assert lab.shipment(engine).tracking_number == "FC000000001"
    (purchase,) = lab.purchases(engine)
    assert (purchase.state, purchase.carrier_id, purchase.note) == ("bought", "L1", "said operator")
    acts = rig.rows(engine, "select actor, act from audit order by audit_id")
    assert [tuple(act) for act in acts] == [("operator", "bought"), ("operator", "replayed")]


def test_it_was_bought_without_a_file(engine, cli, unknown, drain):
    """Number and slip are the parcel's; the label is printed at the carrier."""
    cli("labels", "bought", 1, "--tracking-number", "FC1", "--carrier-id", "L1")

    drain(can_find="no")

    assert set(lab.followup(engine).outcome["label_made"]) == {"slip_pdf"}
    assert lab.shipment(engine).tracking_number == "FC1"


def test_it_was_not_bought(engine, cli, unknown, drain, carrier):
    """Then a replay buys it, and not before."""
    result = cli("labels", "not-bought", unknown.shipment_id, "--by", "operator")
    work_id = lab.followup(engine).id
    assert result.stdout == (
        f"shipment {unknown.shipment_id}: noted; to buy it: fulfillment dead replay {work_id}\n"
    )
    drain(can_find="no")
    assert (lab.states(engine), carrier.bought) == (["none"], 1)

    cli("dead", "replay", work_id)
    drain(can_find="no")

    assert lab.states(engine) == ["none", "bought"]
    assert carrier.bought == 2


@pytest.fixture
def relabelled(engine, unknown, drain):
    """Such a label, to be made anew as well: two dead letters now."""
    command = UpdateTracking(
        command_id=uuid4(),
        order_id=unknown.order_id,
        shipment_id=unknown.shipment_id,
        tracking_url="https://carrier.example/parcel",
    )
    assert rig.decided(engine, command) == ["applied"]
    drain(can_find="no")
    assert lab.followup(engine, name="relabel").dead_reason == "unknown_outcome"
    return unknown


def test_a_label_that_was_to_be_made_anew_was_bought(engine, cli, relabelled, drain):
    """Everything goes on that waited for the word."""
    cli("labels", "bought", 1, "--tracking-number", "FC1", "--carrier-id", "L1")

    drain(can_find="no")

    rows = rig.rows(engine, "select state from followups where route = 'labels' order by seq")
    assert [row.state for row in rows] == ["done", "done"]


def test_a_label_that_was_to_be_made_anew_was_not_bought(engine, cli, relabelled):
    """The newest letter is the one that buys it."""
    result = cli("labels", "not-bought", 1)

    work_id = lab.followup(engine, name="relabel").id
    assert result.stdout.endswith(f"to buy it: fulfillment dead replay {work_id}\n")


def test_a_worker_is_asking_for_a_label_that_is_made_anew(engine, cli, relabelled):
    """A word that comes while a worker asks is refused."""
    rig.run(
        engine,
        "update followups set state = 'pending', decided_at = null, dead_reason = null,"
        " lease_until = now() + interval '1 minute' where name = 'relabel'",
    )

    result = cli("labels", "not-bought", 1)

    assert "a worker is asking the carrier now; try again" in result.stderr
    assert lab.states(engine) == ["unknown"]


def test_nothing_waits_for_a_word(engine, cli, shipped, drain):
    """Exit code 1, and nothing is changed."""
    shipped()
    drain()

    for words in (("not-bought", 1), ("bought", 1, "--tracking-number", "N", "--carrier-id", "I")):
        result = cli("labels", *words)
        assert result.exit_code == 1
        assert "no purchase of a label waits for a word" in result.stderr
    assert lab.states(engine) == ["bought"]
    assert rig.count(engine, "audit") == 0


def test_a_worker_is_asking(engine, cli, unknown):
    """A word that comes while a worker asks is refused."""
    rig.run(
        engine,
        "update followups set state = 'pending', decided_at = null, dead_reason = null,"
        " lease_until = now() + interval '1 minute' where route = 'labels'",
    )

    result = cli("labels", "not-bought", unknown.shipment_id)

    assert result.exit_code == 1
    assert "a worker is asking the carrier now; try again" in result.stderr
    assert lab.states(engine) == ["unknown"]


def test_bad_words(cli, unknown, tmp_path):
    """A file that is no label, a shipment that is not here."""
    (tmp_path / "label.gif").write_bytes(b"GIF89a")
    given = ("--tracking-number", "N", "--carrier-id", "I")

    no_label = cli("labels", "bought", 1, *given, "--file", tmp_path / "label.gif")
    nowhere = cli("labels", "not-bought", 99)

    assert (no_label.exit_code, no_label.stderr) == (2, "error: --file: is neither a PDF nor ZPL\n")
    assert (nowhere.exit_code, nowhere.stderr) == (4, "error: no such shipment: 99\n")


def test_a_replay_is_judged(engine, cli, unknown):
    """A label with a purchase that only a person can clear up would fail again."""
    result = cli("dead", "replay", "--queue", "labels", "--dry-run", can_find="no")

    assert "unknown_outcome: ask ups whether it has a label under reference" in result.stdout


def test_a_bad_address_is_edited_and_replayed(engine, cli, shipped, drain, carrier):
    """The address that an operator sets right goes to the carrier; the order stays as it is."""
    carrier.wrongs = [Wrong.DECLINED]
    shipped()
    drain()
    assert lab.last_error(engine) == ("bad_address", "correct ship_to: postal_code, city")

    work_id = lab.followup(engine).id
    cli("dead", "replay", work_id, "--set", "ship_to.city=Corrected")
    drain()

    assert lab.followup(engine).state == "done"
    assert [one["ship_to"]["city"] for one in carrier.asked] == ["Springfield", "Corrected"]
    assert rig.one(engine, "select ship_to ->> 'city' as city from orders").city == "Springfield"


def test_orders_show(engine, cli, shipped, drain, carrier):
    """What each label cost, and where the parcel is, for people and as JSON."""
    shipped()
    drain()
    carrier.transits["FC000000001"] = {"state": "in_transit", "at": "2026-03-03T10:15:00+00:00"}
    lab.due_now(engine, "tracking")
    drain("tracking")

    text = cli("orders", "show", "O-1").stdout
    found = json.loads(cli("orders", "show", "O-1", "--json").stdout)

    assert "bought 7.25 USD" in text
    assert "in_transit since 2026-03-03 10:15:00" in text
    (shipment,) = found["shipments"]
    (purchase,) = shipment["purchases"]
    assert purchase["cost_minor"] == 725
    assert "label" not in purchase
    assert shipment["transit"] == "in_transit"


def test_why_it_is_not_done(engine, cli, shipped, drain):
    """The e-mail waits for the label."""
    shipped()
    drain("emails")

    assert "waits for its label; next look" in cli("orders", "show", "O-1").stdout


def test_printed_without_having_been_asked_for(cli, shipped, carrier, tmp_path):
    """A parcel whose label nobody asked for gets a drawn one, as with any other carrier."""
    shipped(label="none")

    result = cli("labels", "print", 1, "--no-slip", "--out", tmp_path / "label.pdf")

    assert result.exit_code == 0
    assert (tmp_path / "label.pdf").read_bytes().startswith(b"%PDF-")
    assert carrier.calls == {}


def test_printed_as_it_was_bought(engine, cli, shipped, drain, tmp_path):
    """The carrier's file is printed; none of our own takes its place."""
    shipped()
    before = cli("labels", "print", 1, "--no-slip", "--out", tmp_path / "before.pdf")
    drain()

    there = cli("labels", "print", 1, "--no-slip", "--out", tmp_path / "label.pdf")
    zpl = cli("labels", "print", 1, "--no-slip", "--format", "zpl", "--out", tmp_path / "x.zpl")
    sheet = cli("labels", "print", 1, "--sheet", "--out", tmp_path / "sheet.pdf")

    assert "shipment 1: its label is bought from ups, and not here as PDF" in before.stderr
    assert (tmp_path / "label.pdf").read_bytes() == b"%PDF-1.4 label FC000000001"
    assert there.exit_code == 0
    assert "its label is bought from ups, and not here as ZPL" in zpl.stderr
    assert sheet.stderr == "error: a file is no PDF that can be joined: print without --sheet\n"
    assert [one.exit_code for one in (before, zpl, sheet)] == [1, 1, 1]
    assert not (tmp_path / "x.zpl").exists()
