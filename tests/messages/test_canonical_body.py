"""The canonical body: what fingerprints are made of, so it must not vary with how it is said."""

import json
import unicodedata

import pytest
from hypothesis import given

from messages import DoneRefund, DoneRefundItem, DoneRefundPart, Money, parse
from tests import factories as make
from tests.messages import samples
from tests.strategies import commands


@given(commands)
def test_a_command_survives_its_body(command):
    """Written and parsed again, a command of any kind is the same command."""
    assert parse(json.dumps(command.body())) == command


@given(commands)
def test_a_body_survives_its_command(command):
    """Parsed and written again, a canonical body is the same body."""
    body = command.body()

    assert parse(json.dumps(body)).body() == body


@given(commands)
def test_every_text_of_a_body_is_nfc(command):
    """Whatever form text came in, it is stored and signed in one."""
    text = json.dumps(command.body(), ensure_ascii=False)

    assert unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize("body", samples.ALL.values(), ids=samples.ALL)
def test_a_full_body_keeps_every_field(body):
    """Nothing that was said gets lost, except what equals its default."""
    assert parse(json.dumps(body)).body() == {
        name: value for name, value in body.items() if name != "schema_version"
    }


def test_defaults_are_left_out():
    """A field that equals its default is not written, so a later optional field changes no
    fingerprint.
    """
    command = make.ship(
        policy="strict",
        notify_customer=True,
        label="none",
        schema_version=1,
        items=(),
        carrier=None,
    )

    assert command.body() == {
        "kind": "ship",
        "command_id": str(command.command_id),
        "order_id": "O-1",
    }


def test_defaults_deep_in_an_order_are_left_out():
    """The rule holds for lines and addresses as for the envelope."""
    command = make.place()

    assert command.body()["order"] == {
        "currency": "EUR",
        "total_minor": 300,
        "lines": [{"line_id": "A", "name": "Product A", "quantity": 3, "net_minor": 300}],
    }


@pytest.mark.parametrize("command", [make.ship, make.complete, make.cancel, make.refund])
def test_items_are_sorted_by_line(command):
    """The order in which items are listed means nothing, so it does not count."""
    one = command(items=make.items(B=1, A=2, C=0))
    other = command(items=make.items(C=0, A=2, B=1), command_id=one.command_id)

    assert one.body() == other.body()
    assert [item["line_id"] for item in one.body()["items"]] == ["A", "B", "C"]


def test_items_of_an_upstream_refund_are_sorted_by_line():
    """They are items like any others."""
    part = DoneRefundPart(payment_id="P1", amount_minor=3)
    a, b = (DoneRefundItem(line_id=line_id, quantity=1, gross_minor=1) for line_id in "AB")

    assert DoneRefund(parts=(part,), items=(b, a)) == DoneRefund(parts=(part,), items=(a, b))


def test_lines_and_payments_keep_their_order():
    """Their order has a meaning: ties go to the earlier line, refunds to the earlier payment."""
    placed = make.placed_order(make.order_line("B"), make.order_line("A"))

    assert [line.line_id for line in placed.lines] == ["B", "A"]


def test_nfd_text_gives_the_same_body():
    """`é` as one character or as two is the same reason."""
    composed = make.cancel(reason="caf\u00e9")
    decomposed = make.cancel(reason="cafe\u0301", command_id=composed.command_id)

    assert composed.body() == decomposed.body()
    assert decomposed.reason == "caf\u00e9"


def test_text_is_trimmed():
    """Blanks around a text are no part of it."""
    assert make.cancel(reason="  late \n").reason == "late"


@pytest.mark.parametrize("refund", ["full", Money(amount_minor=0, currency="EUR")])
def test_a_cancels_refund_keeps_its_shape(refund):
    """A word stays a word and an amount an amount, also an amount of 0."""
    command = make.cancel(refund=refund)

    assert parse(json.dumps(command.body())).refund == refund
