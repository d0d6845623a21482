"""`void`, `update-tracking`: what a person sees, and the exit code a script reads."""

from uuid import uuid4

import pytest

from tests.cli.cli_tools import json_of, one, paid_order, rows_of
from tests.factories import items, order_line, place, ship, update_tracking, void
from tests.work import rig


@pytest.fixture
def parcels(decided):
    """Two parcels of one unit each, of the order O-1, and one of O-2."""
    order = paid_order(order_line("A", 3))
    found = [ship(items=items(A=1), tracking_number=f"T{n}") for n in range(2)]
    found.append(ship(order_id="O-2", items=items(A=2)))
    decided(place(order=order), place(order_id="O-2", order=order), *found)
    return found


def number(engine, command):
    return str(
        one(
            engine,
            "select number from shipments where shipment_id = %(id)s",
            id=command.command_id,
        )
    )


def body(engine, kind):
    return one(engine, f"select body from commands where kind = '{kind}'")


def test_void(cli, parcels, engine, worker):
    """A shipment is named by its number; the order is found from it."""
    result = cli("void", number(engine, parcels[0]), "--reason", "lost", "--force", "--wait")

    assert (result.stdout, result.exit_code) == ("applied: order version 4; A 1\n", 0)
    assert (
        body(engine, "void").items()
        >= {
            "order_id": "O-1",
            "shipment_id": str(parcels[0].command_id),
            "reason": "lost",
            "force": True,
        }.items()
    )


def test_void_of_several(cli, parcels, engine, worker):
    """Shipments of several orders, by id or number, each once; the first failure is the code."""
    again = (str(parcels[2].command_id), number(engine, parcels[0]), str(parcels[0].command_id))
    first = cli("void", *again, "--no-notify", "--wait", "--json")
    second = cli("void", number(engine, parcels[1]), *again, "--wait")

    assert [row["order_id"] for row in rows_of(first)] == ["O-2", "O-1"]
    assert {row["outcome"]["state"] for row in rows_of(first)} == {"applied"}
    assert first.exit_code == 0
    assert second.stdout.splitlines() == [
        "applied: order version 5; A 1",
        *["rejected: already_voided: the shipment was voided before"] * 2,
    ]
    assert second.exit_code == 5
    assert one(engine, "select sum(shipped) from order_lines") == 0
    skipped = "select count(*) from followups where outcome ->> 'skipped' = 'switched_off'"
    assert one(engine, skipped) == 2


def test_dry_run(cli, parcels, engine):
    """Voids of one order are judged one after the other, and nothing is written."""
    rig.run(engine, "update shipments set transit = 'in_transit' where tracking_number = 'T1'")
    before = rig.dump(engine)

    result = cli("void", *(number(engine, one) for one in parcels[:2]), "--dry-run")

    assert result.stdout.splitlines() == [
        "would be applied: order version 4; A 1",
        "  e-mail voided",
        "would be rejected: in_transit: the carrier has the parcel (in_transit); force it",
    ]
    assert (result.stderr, result.exit_code) == ("nothing was sent\n", 5)
    assert rig.dump(engine) == before


@pytest.mark.parametrize("command", ["void", "update-tracking"])
def test_no_such_shipment(cli, parcels, engine, command):
    """It says which, exits 4, and sends nothing, of the others neither."""
    before = rig.dump(engine)
    more = ("--tracking-number", "T9") if command == "update-tracking" else ("12345678",)

    by_id, by_word = (cli(command, word, *more) for word in (str(uuid4()), "first"))

    assert by_id.stderr.startswith("error: no such shipment: ")
    assert by_word.stderr == "error: no such shipment: first\n"
    assert (by_id.exit_code, by_word.exit_code) == (4, 4)
    assert rig.dump(engine) == before


def test_one_id_for_several(cli, parcels, engine):
    """An id, a version or a predecessor belongs to one command."""
    before = rig.dump(engine)
    for option in (("--command-id", str(uuid4())), ("--expected-version", "1")):
        result = cli("void", *(number(engine, one) for one in parcels[:2]), *option)
        assert result.stderr == (
            "error: --command-id, --after and --expected-version are for one shipment\n"
        )
        assert result.exit_code == 2
    assert rig.dump(engine) == before


def test_update_tracking(cli, parcels, engine, worker):
    """Carrier and number; nobody is told unless --notify is given."""
    named = number(engine, parcels[0])
    quiet = cli("update-tracking", named, "--new-carrier", "bikes=Bikes", "--wait")
    told = cli("update-tracking", named, "--tracking-number", "T9", "--notify", "--wait")
    same = cli("update-tracking", named, "--tracking-number", "T9", "--wait")

    assert [one.stdout for one in (quiet, told, same)] == [
        "applied: order version 4\n",
        "applied: order version 5\n",
        "applied: order version 5\n",
    ]
    assert [one.exit_code for one in (quiet, told, same)] == [0, 0, 0]
    sent = "select count(*) from followups where name = 'tracking_updated'"
    assert one(engine, sent) == 1
    found = cli("orders", "list", "--search", "t-9", "--json")
    assert json_of(found)["order_id"] == "O-1"
    assert cli("orders", "list", "--search", "T0", "--json").stdout == ""


def test_update_tracking_dry_run(cli, parcels, engine):
    """A wrong check digit is told, as for a shipment; nothing is written."""
    before = rig.dump(engine)
    named = number(engine, parcels[0])
    given = ("--new-carrier", "ups=UPS", "--tracking-number", "1Z999AA10123456785", "--notify")

    result = cli("update-tracking", named, *given, "--dry-run")

    assert result.stdout.splitlines() == [
        "would be applied: order version 4",
        "  e-mail tracking_updated",
        "  warning: the check digit of the tracking number is wrong for UPS",
    ]
    assert rig.dump(engine) == before


def test_update_tracking_without_news(cli, parcels, engine):
    """It says what to give."""
    result = cli("update-tracking", number(engine, parcels[0]), "--notify")

    assert result.stderr == (
        "error: give --carrier, --new-carrier, --tracking-number or --tracking-url\n"
    )
    assert result.exit_code == 2


def test_orders_show(cli, parcels, engine, decided):
    """A voided parcel is marked with the moment, each has its number; the history says what was
    done and why.
    """
    tracking = update_tracking(parcels[1], tracking_number="T7")
    decided(void(parcels[0], reason="lost"), tracking)
    shown = cli("orders", "show", "O-1").stdout.splitlines()

    heading, first, second = (line.split() for line in shown[shown.index("shipments") + 1 :][:3])
    moment = one(
        engine,
        "select to_char(max(voided_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') from shipments",
    ).split()
    assert (heading[0], heading[-2:]) == ("shipment", ["voided", "at"])
    assert (first[0], first[-2:]) == (number(engine, parcels[0]), moment)
    assert (second[0], second[-2:]) == (number(engine, parcels[1]), ["T7", "none"])
    details = [line.partition("  A 1; reason")[2] for line in shown if " voided " in line]
    assert f": lost; shipment_id: {parcels[0].command_id}" in details
    (changed,) = [line for line in shown if " tracking_updated " in line]
    assert changed.endswith(f"tracking_number: T1 -> T7; shipment_id: {parcels[1].command_id}")


def test_weight(cli, placed, engine, worker):
    """What a parcel weighs is given in grams, and is shown."""
    refused = cli("ship", "O-1", "--weight", "0")
    sent = cli("ship", "O-1", "--weight", "1250", "--wait")

    assert (refused.exit_code, "weight_g" in refused.stderr) == (2, True)
    assert sent.exit_code == 0
    assert one(engine, "select weight_g from shipments") == 1250
    assert "1250 g" in cli("orders", "show", "O-1").stdout
