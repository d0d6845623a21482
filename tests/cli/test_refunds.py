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
