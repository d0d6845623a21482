"""`refunds list | settle | fail`: what is open, and how it went."""

from uuid import UUID, uuid4

import pytest

from tests.cli.cli_tools import json_of, one, rows_of
from tests.factories import money, refund
from tests.work import rig


@pytest.fixture
def open_part(placed, decided, engine) -> UUID:
    """The one part of a refund of 1.00 on P1 of O-1."""
    decided(refund(amount=money(100)))
    return one(engine, "select part_id from refund_parts")


def test_list(cli, open_part):
    """What is open shows with its order, payment and amount; with --order also what has ended."""
    result = cli("refunds", "list", "--json")

    (row,) = rows_of(result)
    assert (row["part_id"], row["order_id"], row["payment_id"], row["state"]) == (
        str(open_part),
        "O-1",
        "P1",
        "pending",
    )
    assert row["amount_minor"] == 100

    cli("refunds", "settle", str(open_part))

    assert rows_of(cli("refunds", "list", "--json")) == []
    (row,) = rows_of(cli("refunds", "list", "--order", "O-1", "--json"))
    assert row["state"] == "settled"


def test_settle(cli, engine, open_part):
    """The money has gone back, says who; said again it is so already."""
    result = cli("refunds", "settle", str(open_part), "--by", "till", "--note", "ref 7")

    assert (result.exit_code, result.stdout) == (0, f"{open_part}: settled\n")
    row = rig.one(engine, "select state, ended_by, note from refund_parts")
    assert row == ("settled", "till", "ref 7")
    again = cli("refunds", "settle", str(open_part))
    assert (again.exit_code, again.stdout) == (0, f"{open_part}: settled already\n")


def test_a_refund_means_all_of_its_parts(cli, engine, open_part):
    """The refund's own id settles every part of it."""
    refund_id = one(engine, "select refund_id from refunds")

    result = cli("refunds", "settle", str(refund_id), "--json")

    assert json_of(result) == {"part_id": str(open_part), "state": "settled", "answer": "done"}


def test_fail(cli, engine, open_part):
    """The money stays; it can be refunded anew, and cannot be settled any more."""
    result = cli("refunds", "fail", str(open_part), "--because", "account closed")

    assert (result.exit_code, result.stdout) == (0, f"{open_part}: failed\n")
    assert one(engine, "select refunded_minor from payments") == 0
    late = cli("refunds", "settle", str(open_part))
    assert (late.exit_code, late.stdout) == (
        1,
        f"{open_part}: has ended the other way; nothing is changed; see --late\n",
    )


def test_fail_needs_a_reason(cli, engine, open_part):
    """Without a reason it is a usage error, and nothing is written."""
    before = rig.dump(engine)

    result = cli("refunds", "fail", str(open_part))

    assert result.exit_code == 2
    assert "--because" in result.stderr
    assert rig.dump(engine) == before


def test_unknown(cli, engine, open_part):
    """An id that is neither a part nor a refund: not found, nothing is written."""
    before = rig.dump(engine)

    result = cli("refunds", "settle", str(uuid4()))

    assert (result.exit_code, result.stderr) == (4, "error: no such part or refund\n")
    assert rig.dump(engine) == before


def test_the_table(cli, open_part):
    """A person reads the amount in the order's currency."""
    assert "1.00 EUR" in cli("refunds", "list").stdout


@pytest.fixture
def till(environment):
    """A provider that settles whatever it is asked, in steps of ten cents."""
    environment["FULFILLMENT_REFUND_PROVIDERS"] = '{"*": "tests.work.refund_rig:till"}'


def asked(engine, state: str) -> None:
    """As a worker leaves it that asked for the part."""
    rig.run(
        engine,
        "update refund_parts set state = %(state)s, provider = 'tests.work.refund_rig:till',"
        " asked_at = now(), last_asked_at = now()",
        state=state,
    )


def test_list_by_state(cli, engine, open_part):
    """What was asked for and not heard; an ended part is not among it."""
    asked(engine, "unknown")

    (row,) = rows_of(cli("refunds", "list", "--state", "unknown", "--json"))
    assert (row["part_id"], row["provider"]) == (str(open_part), "tests.work.refund_rig:till")
    assert row["asked_at"] is not None
    shown = cli("refunds", "list").stdout
    assert "asked tests.work.refund_rig:till, not heard" in shown
    assert cli("orders", "show", "O-1").stdout.count("asked tests.work.refund_rig:till, not") == 1
    assert rows_of(cli("refunds", "list", "--state", "failed", "--json")) == []
    cli("refunds", "fail", str(open_part), "--because", "closed")
    assert len(rows_of(cli("refunds", "list", "--state", "failed", "--json"))) == 1


def test_under_way(cli, engine, open_part):
    """A part that its provider has shows with the provider's name for it."""
    asked(engine, "pending")
    rig.run(engine, "update refund_parts set provider = 'square', provider_id = 'r1'")

    assert "under way at square r1" in cli("refunds", "list").stdout
    assert "under way at square" in cli("orders", "show", "O-1").stdout


def test_list_of_an_order_has_every_state(cli, engine, open_part):
    """Both at once is a usage error."""
    result = cli("refunds", "list", "--order", "O-1", "--state", "failed")

    assert result.exit_code == 2


@pytest.mark.usefixtures("till")
def test_check(cli, engine, open_part):
    """It books what the provider says; what nobody was asked for stays."""
    assert cli("refunds", "check").stderr == "nothing\n"
    result = cli("refunds", "check", str(open_part))
    assert (result.exit_code, result.stdout) == (0, f"{open_part}: no provider was asked\n")
    asked(engine, "unknown")

    result = cli("refunds", "check", "--json")

    assert json_of(result) == {
        "part_id": str(open_part),
        "answer": "settled",
        "changed": True,
        "why": None,
    }
    assert one(engine, "select state from refund_parts") == "settled"
    again = cli("refunds", "check", str(open_part))
    assert (again.exit_code, again.stdout) == (0, f"{open_part}: settled\n")


@pytest.mark.usefixtures("till")
def test_check_what_is_old(cli, engine, open_part):
    """`--older-than` is about when the provider was asked; with parts it is a usage error."""
    asked(engine, "unknown")

    assert cli("refunds", "check", "--older-than", "1h").stderr == "nothing\n"
    assert cli("refunds", "check", str(open_part), "--older-than", "1h").exit_code == 2
    assert cli("refunds", "check", "--older-than", "soon").exit_code == 2
    assert cli("refunds", "check", str(uuid4())).exit_code == 4
    assert one(engine, "select state from refund_parts") == "unknown"


def test_check_without_its_provider(cli, engine, open_part):
    """A part whose provider cannot be had is told so: exit code 1, nothing is written."""
    asked(engine, "unknown")
    rig.run(engine, "update refund_parts set provider = 'gone'")
    before = rig.dump(engine)

    result = cli("refunds", "check")

    assert result.exit_code == 1
    assert result.stdout.startswith(f"{open_part}: it cannot be told (no_provider: ")
    assert rig.dump(engine) == before


def test_late_and_overpaid_and_acknowledged(cli, engine, open_part, decided, placed):
    """The way of a part that was paid after all: refused without --late, overpaid where its
    balance is given out, then seen to.
    """
    cli("refunds", "fail", str(open_part), "--because", "account closed")
    decided(refund(amount=money(300)))

    result = cli("refunds", "settle", str(open_part), "--late", "--by", "till")

    assert (result.exit_code, result.stdout) == (
        1,
        f"{open_part}: overpaid: it had been given up, and its balance is given out\n",
    )
    (row,) = rows_of(cli("refunds", "list", "--state", "overpaid", "--json"))
    assert (row["part_id"], row["dead_reason"]) == (str(open_part), "overpaid")
    assert "dead: overpaid" in cli("refunds", "list", "--state", "overpaid").stdout
    assert "1.00 EUR" in cli("orders", "show", placed).stdout.split("overpaid")[1]

    assert cli("refunds", "acknowledge", str(open_part)).exit_code == 2
    result = cli("refunds", "acknowledge", str(open_part), "--note", "credited")
    assert (result.exit_code, result.stdout) == (0, f"{open_part}: acknowledged\n")
    again = cli("refunds", "acknowledge", str(open_part), "--note", "credited")
    assert again.exit_code == 4
    assert one(engine, "select act from audit order by audit_id desc limit 1") == "acknowledged"


@pytest.mark.usefixtures("till")
def test_a_dry_run_knows_the_steps(cli, placed):
    """What a worker would refuse, `--dry-run` and `explain` say."""
    result = cli("refund", placed, "--amount", "1.05", "--dry-run")
    assert result.exit_code == 5
    assert "amount_too_fine" in result.stdout
    assert cli("refund", placed, "--amount", "1.10", "--dry-run").exit_code == 0


def test_unknown_provider(cli, environment, placed):
    """A name that nobody has: a usage error that lists those there are, wherever it is needed."""
    environment["FULFILLMENT_REFUND_PROVIDERS"] = '{"*": "paypal"}'

    for words in (
        ("refund", placed, "--amount", "1.00", "--dry-run"),
        ("refunds", "check"),
        ("webhooks", "--port", "0"),
        ("worker",),
    ):
        result = cli(*words)
        assert result.exit_code == 2, words
        assert result.stderr.startswith(
            "error: FULFILLMENT_REFUND_PROVIDERS: there is no 'paypal'; there is manual, square"
        )


def test_a_provider_that_cannot_be_made(cli, environment, engine):
    """The worker does not start, and the doctor says what is missing."""
    del engine
    environment["FULFILLMENT_REFUND_PROVIDERS"] = '{"*": "tests.work.refund_rig:broken_till"}'

    result = cli("worker")

    assert result.exit_code == 2
    assert result.stderr == (
        "error: FULFILLMENT_REFUND_PROVIDERS: tests.work.refund_rig:broken_till: "
        "TILL_TOKEN must be set\n"
    )
    assert "TILL_TOKEN must be set" in cli("doctor").stdout


def test_webhooks_of_nobody(cli):
    """Without a provider that sends news there is nothing to serve."""
    result = cli("webhooks", "--port", "0")

    assert result.exit_code == 2
    assert result.stderr == "error: FULFILLMENT_REFUND_PROVIDERS names nobody who sends news\n"
