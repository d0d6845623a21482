"""`hold` and `release`: what a person sees."""

from tests.cli.cli_tools import json_of
from tests.work import rig


def test_hold_and_release(cli, placed, worker):
    """A held order says so wherever it is shown; released, it ships."""
    held = cli("hold", placed, "--reason", "recall", "--issued-by", "Ann", "--wait")
    assert (held.stdout, held.exit_code) == ("applied: order version 2\n", 0)

    assert "on hold   recall" in cli("orders", "show", placed).stdout
    assert "on hold: recall" in cli("orders", "explain", placed).stdout.splitlines()
    refused = cli("ship", placed, "--wait")
    assert refused.stdout == "rejected: on_hold: the order is on hold: recall\n"
    assert refused.exit_code == 5

    assert cli("release", placed, "--wait").stdout == "applied: order version 3\n"
    assert cli("ship", placed, "--wait").exit_code == 0
    again = cli("release", placed, "--wait")
    assert again.stdout == "rejected: not_on_hold: the order is not on hold\n"
    events = [one["event"] for one in json_of(cli("orders", "show", placed, "--json"))["history"]]
    assert events[:4] == ["placed", "held", "released", "shipped"]


def test_dry_run(cli, placed, engine):
    """A dry run says what would come of it, and sends nothing."""
    before = rig.dump(engine)

    result = cli("hold", placed, "--reason", "recall", "--dry-run")

    assert result.stdout == "would be applied: order version 2\n"
    assert rig.dump(engine) == before


def test_a_hold_needs_its_reason(cli, placed, engine):
    """Without a reason nothing is sent."""
    before = rig.dump(engine)

    assert cli("hold", placed).exit_code == 2
    assert cli("hold", placed, "--reason", " ").exit_code == 2
    assert rig.dump(engine) == before
