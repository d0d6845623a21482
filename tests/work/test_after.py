"""`after`, whatever the order of delivery: chains are applied in their own order, each command
once, or refused from the first link that failed. What one link does by itself: `test_decide`.
"""

import itertools
import random
from uuid import uuid4

import pytest

from messages import Command
from tests import factories as make
from tests.work import rig
from worker.errors import Terminal
from worker.work.dead import Chosen, replay

BROKEN = rig.Raising("O-1", Terminal("broken", "a person has to look"))
"""Rules at which every command of O-1 is dead at once."""


def chain(order_id: str, links: int) -> list[Command]:
    """The order's `place` and so many ships of 1, each after the one before and expecting the
    version that it left.
    """
    place = make.place(
        order_id=order_id, order=make.placed_order(make.order_line("A", max(links, 1)))
    )
    commands: list[Command] = [place]
    for version in range(1, links + 1):
        commands.append(
            make.ship(
                order_id=order_id,
                items=make.items(A=1),
                after=commands[-1].command_id,
                expected_version=version,
            )
        )
    return commands


def versions(engine, commands):
    """The version that each command made; the reason of one that was refused."""
    (found,) = rig.one(
        engine,
        "select array_agg(coalesce(outcome ->> 'order_version', outcome ->> 'reason', state)"
        " order by place) from unnest(%(ids)s) with ordinality as asked (id, place)"
        " join commands using (id)",
        ids=[one.command_id for one in commands],
    )
    return [int(one) if one.isdigit() else one for one in found]


# Delivery.


@pytest.mark.parametrize("batch_size", [5, 200])
def test_every_order_of_delivery_at_once(engine, batch_size):
    """A `place` and three ships, accepted together in each of the 24 possible orders: applied in
    the order of the chain, in one batch or in many.
    """
    chains = {f"O-{n}": chain(f"O-{n}", 3) for n in range(24)}
    orders = itertools.permutations(range(4))
    rig.accepted(engine, *(chains[f"O-{n}"][k] for n, one in enumerate(orders) for k in one))

    drain = rig.drainer(engine, batch_size=batch_size)
    drain()
    while rig.count(engine, "commands", "state = 'pending'"):
        rig.due_now(engine)  # what met its predecessor in another batch looks again
        drain()

    assert [versions(engine, one) for one in chains.values()] == [[1, 2, 3, 4]] * 24


def test_every_order_of_delivery_one_by_one(engine):
    """The same, each command decided before the next is accepted: whoever is decided wakes what
    waits for it, so nothing waits any longer when the last one is in.
    """
    chains = {f"O-{n}": chain(f"O-{n}", 3) for n in range(24)}
    orders = list(itertools.permutations(range(4)))
    drain = rig.drainer(engine)

    for turn in range(4):
        rig.accepted(engine, *(chains[f"O-{n}"][one[turn]] for n, one in enumerate(orders)))
        drain()

    assert [versions(engine, one) for one in chains.values()] == [[1, 2, 3, 4]] * 24


SEEDS = 12
LINKS = 19


def test_chains_under_random_delivery(engine, database_url):
    """Chains of twenty commands over three orders, of which one breaks on the way, delivered in
    random chunks, in random order and some of them twice, while two drainers that share nothing
    drain: every chain is applied in its own order, the broken one up to its break, each command
    once; whatever the chance.
    """
    other = rig.other_engine(database_url)
    expected, found = {}, {}
    for seed in range(SEEDS):
        chance = random.Random(seed)
        chains = [chain(f"O-{seed}-{n}", LINKS) for n in range(3)]
        broken_at = chance.randint(1, LINKS)
        chains[2][broken_at] = chains[2][broken_at].model_copy(update={"carrier": "nobody"})
        delivered = [*itertools.chain(*chains)]
        delivered += chance.sample(delivered, 10)
        chance.shuffle(delivered)
        drains = [
            rig.drainer(one, batch_size=chance.choice([3, 20, 200])) for one in (engine, other)
        ]

        while delivered:
            chunk = [delivered.pop() for _ in range(min(len(delivered), chance.randint(5, 40)))]
            rig.together(lambda c=chunk: rig.accepted(engine, *c), *drains)
        for _ in range(3 * LINKS):
            rig.due_now(engine)
            rig.together(*drains)
            if not rig.count(engine, "commands", "state = 'pending'"):
                break

        whole = list(range(1, LINKS + 2))
        failed = ["unknown_carrier"] + ["predecessor_failed"] * (LINKS - broken_at)
        expected[seed] = [whole, whole, whole[:broken_at] + failed]
        found[seed] = [versions(engine, one) for one in chains]

    other.dispose()
    assert found == expected
    assert (
        rig.count(engine, "shipments") == rig.one(engine, "select sum(shipped) from order_lines")[0]
    )
    assert rig.count(engine, "commands", "attempts > 0 or crashes > 0") == 0


def test_all_successors_of_one_predecessor(engine):
    """Several commands after the same one are each decided, in the order of acceptance."""
    rig.placed(engine)
    first = make.ship(items=make.items(A=1))
    twins = [make.ship(items=make.items(A=1), after=first.command_id) for _ in range(2)]
    assert rig.decided(engine, *twins) == ["pending"] * 2

    rig.decided(engine, first)

    assert versions(engine, [first, *twins]) == [2, 3, 4]


# A predecessor that is late, dead or given up.


def test_predecessor_that_is_tried_again_is_waited_for(engine):
    """A predecessor that failed and is due again later: the successor waits as long, uncounted, and
    is applied right after it.
    """
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    first = make.ship(items=make.items(A=1))
    second = make.ship(after=first.command_id)
    rig.accepted(engine, first, second)
    rig.drainer(engine, rules=rig.Raising("O-1", KeyError("planted")))()
    assert rig.command(engine, first).waits_for == "retry"
    assert rig.command(engine, second).waits_for == "predecessor"
    assert rig.dump(engine, rig.EFFECTS) == before

    rig.due_now(engine, f"id = '{first.command_id}'")
    rig.drainer(engine)()

    assert versions(engine, [first, second]) == [2, 3]
    assert rig.command(engine, second).attempts == 0


def test_predecessor_that_comes_after_the_grace_changes_nothing(engine):
    """A successor was refused because its predecessor had not come: that stays its outcome when it
    comes after all, also when the successor is sent again.
    """
    rig.placed(engine)
    first = make.ship(items=make.items(A=1))
    second = make.ship(after=first.command_id)
    rig.accepted(engine, second)
    rig.older(engine, 900, second)
    rig.drainer(engine)()

    assert rig.decided(engine, first) == ["applied"]
    (receipt,) = rig.accepted(engine, second)

    assert (receipt.answer, receipt.outcome["reason"]) == ("known", "predecessor_not_found")
    assert rig.line(engine).shipped == 1


def test_dead_predecessor_is_replayed(engine):
    """Behind a dead command its successors wait, whatever their age, and change nothing; after the
    replay the whole chain is applied at once, in its order.
    """
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    first = make.ship(items=make.items(A=1))
    second = make.ship(items=make.items(A=1), after=first.command_id)
    third = make.ship(items=make.items(A=1), after=second.command_id)
    rig.accepted(engine, third, second, first)
    rig.drainer(engine, rules=BROKEN)()
    rig.older(engine, 100_000, second, third)
    rig.drainer(engine)()
    states = [rig.state(engine, one) for one in (first, second, third)]
    assert states == ["dead", "pending", "pending"]
    assert rig.dump(engine, rig.EFFECTS) == before

    with engine.begin() as connection:
        replay(connection, Chosen(ids=[first.command_id]), actor="op")
    rig.drainer(engine)()

    assert versions(engine, [first, second, third]) == [2, 3, 4]


def test_predecessor_that_is_given_up_fails_what_waits(engine):
    """A dead predecessor that a person discards: the successors that waited are refused down the
    chain when they look again, and nothing is written.
    """
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    first = make.ship(items=make.items(A=1))
    second = make.ship(after=first.command_id)
    third = make.ship(after=second.command_id)
    rig.accepted(engine, first, second, third)
    rig.drainer(engine, rules=BROKEN)()
    rig.run(engine, "update commands set state = 'discarded' where state = 'dead'")

    rig.due_now(engine, f"id = '{second.command_id}'")
    rig.drainer(engine)()

    assert versions(engine, [second, third]) == ["predecessor_failed"] * 2
    assert rig.dump(engine, rig.EFFECTS) == before


# What can never be.


@pytest.mark.parametrize("order_ids", [("O-1", "O-1"), ("O-1", "O-2")])
@pytest.mark.parametrize("batch_size", [1, 200])
def test_circle_of_two_is_invalid(engine, batch_size, order_ids):
    """Two commands after each other, of one order or of two: both are invalid, together and one by
    one, and nothing is written.
    """
    for order_id in set(order_ids):
        rig.placed(engine, order_id)
    before = rig.dump(engine, rig.EFFECTS)
    ids = [uuid4(), uuid4()]
    circle = [
        make.ship(order_id=order_ids[n], command_id=ids[n], after=ids[1 - n]) for n in range(2)
    ]
    rig.accepted(engine, *circle)

    rig.drainer(engine, batch_size=batch_size)()

    assert [rig.reason(engine, one) for one in circle] == ["invalid"] * 2
    assert rig.dump(engine, rig.EFFECTS) == before


@pytest.mark.parametrize("length", [2, 3])
def test_circle_that_closes_late_is_invalid(engine, length):
    """Each waits for one that is not here yet, until the last one closes the circle: all of them
    are invalid at once, not after the grace.
    """
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    ids = [uuid4() for _ in range(length)]
    circle = [make.ship(command_id=ids[n], after=ids[n - 1]) for n in range(length)]
    for one in circle[:-1]:
        assert rig.decided(engine, one) == ["pending"]

    rig.decided(engine, circle[-1])

    assert [rig.reason(engine, one) for one in circle] == ["invalid"] * length
    assert rig.dump(engine, rig.EFFECTS) == before


def test_predecessor_that_turns_out_to_be_another_orders(engine):
    """A predecessor that was not here when its successor looked, and then comes for another order:
    the successor is invalid when it looks again, and nothing is written for it.
    """
    rig.placed(engine)
    rig.placed(engine, "O-2")
    first = make.ship(order_id="O-2")
    second = make.ship(after=first.command_id)
    assert rig.decided(engine, second) == ["pending"]
    assert rig.decided(engine, first) == ["applied"]
    before = rig.dump(engine, rig.EFFECTS)

    rig.due_now(engine)
    rig.drainer(engine)()

    assert rig.command(engine, second).outcome["message"] == "after: a command of another order"
    assert rig.dump(engine, rig.EFFECTS) == before
