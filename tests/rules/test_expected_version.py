"""`expected_version`: who acts on what they saw. Versions count applied commands only."""

import pytest

from messages import Reason
from tests import factories as make
from worker.orders.model import Decision, Rejection
from worker.orders.rules import decide, decide_all


def answers(*commands) -> list[int | Reason]:
    """One after the other on an order at version 1: the version that each made, or why not."""
    order = make.order(make.line("A", 9), make.line("B", 9, item_type="digital"))
    return [
        one.order.version if isinstance(one, Decision) else one.reason
        for one in decide_all({"O-1": order}, commands, make.world())
    ]


@pytest.mark.parametrize(
    "command",
    [
        make.ship(items=make.items(A=1)),
        make.complete(items=make.items(B=1)),
        make.cancel(items=make.items(A=1)),
        make.refund(amount=make.money(1)),
    ],
    ids=lambda command: command.kind,
)
def test_every_command_can_expect_a_version(command):
    """The version before and the one after are refused, the right one is applied and makes the
    next; the same command says so a second time and is refused.
    """
    found = answers(
        *(command.model_copy(update={"expected_version": version}) for version in (0, 2, 1, 1))
    )

    assert found == [Reason.VERSION_MISMATCH, Reason.VERSION_MISMATCH, 2, Reason.VERSION_MISMATCH]


def test_of_two_that_expect_the_same_version_one_wins():
    """Two who saw the same order: the second is refused, although what it asks is still there, and
    leaves the version to a third that looked again.
    """
    found = answers(
        make.ship(items=make.items(A=1), expected_version=1),
        make.cancel(items=make.items(A=1), expected_version=1),
        make.cancel(items=make.items(A=1), expected_version=2),
    )

    assert found == [2, Reason.VERSION_MISMATCH, 3]


@pytest.mark.parametrize(
    "fields",
    [{"items": make.items(A=99)}, {"carrier": "pigeon"}, {"expected_version": 7}],
    ids=["too much", "unknown carrier", "version"],
)
def test_a_refused_command_does_not_move_the_version(fields):
    """However often something is refused, the version that the next one expects is the same."""
    *refusals, version = answers(
        *(make.ship(**fields) for _ in range(3)), make.ship(expected_version=1)
    )

    assert all(isinstance(one, Reason) for one in refusals)
    assert version == 2


def test_the_version_is_judged_before_anything_else():
    """Who did not see the order as it is gets that answer, whatever else is wrong."""
    order = make.order(hold="fraud check")
    command = make.ship(items=make.items(Z=9), carrier="pigeon", expected_version=0)

    assert decide(order, command, make.world()) == Rejection(
        Reason.VERSION_MISMATCH, "expected version 0, the order is at 1"
    )


def test_clamp_does_not_reach_the_version():
    """Clamping takes what is left of what was seen: the version still has to be the one seen."""
    found = answers(
        make.ship(items=make.items(A=10), policy="clamp", expected_version=0),
        make.ship(items=make.items(A=10), policy="clamp", expected_version=1),
        make.cancel(items=make.items(B=10), policy="clamp", expected_version=1),
        make.cancel(items=make.items(B=10), policy="clamp", expected_version=2),
    )

    assert found == [Reason.VERSION_MISMATCH, 2, Reason.VERSION_MISMATCH, 3]
