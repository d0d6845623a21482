"""An order's life, against a model: whatever comes in, however often, whoever fails or dies
meanwhile, the tables say what the model says, after every step.
"""

import os
import random
import sys
from contextlib import contextmanager
from uuid import UUID, uuid5

import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event

from messages import Fee, Payment
from tests import factories as make
from tests.model import stored
from tests.model.order_book import OrderBook
from tests.model.worklist import Worklist
from tests.work import refund_rig, rig
from worker.errors import Terminal, Transient
from worker.orders.rules import decide
from worker.refunds.news import hear
from worker.refunds.provider import Failed, Settled, Underway
from worker.refunds.route import refunds_route
from worker.work.accept import accept_bodies
from worker.work.claim import (
    COMMANDS_TABLE,
    FOLLOWUPS_TABLE,
    claim,
    claim_suspect,
    look,
)
from worker.work.dead import Chosen, discard, replay
from worker.work.followups import Ended, followups_route

LEASE_S = 1
MAKE = {
    "place": make.place,
    "ship": make.ship,
    "complete": make.complete,
    "cancel": make.cancel,
    "refund": make.refund,
    "void": make.void,
    "update_tracking": make.update_tracking,
    "hold": make.hold,
    "release": make.release,
}
ORDER_IDS = ("O-1", "O-2")
ROUTES = ("commands", "refunds", "labels", "emails")
SPACE = UUID(int=0)

steps = 0
"""Taken so far, for who runs until there are enough of them."""

rare = st.sampled_from([False] * 7 + [True])
often = st.sampled_from([True, True, True, False])
units = st.dictionaries(
    st.sampled_from(["A"] * 6 + ["B"] * 5 + ["C"]), st.sampled_from([1, 2, 3, 0]), max_size=2
).map(lambda found: make.items(**found))
euros = st.builds(make.money, st.integers(0, 300), st.sampled_from(["EUR"] * 15 + ["USD"]))
which = st.integers(0, 30)


sendings = st.fixed_dictionaries(
    {
        "order_id": st.sampled_from([ORDER_IDS[0]] * 3 + [ORDER_IDS[1]]),
        "notify_customer": often,
        "how": st.sampled_from(["once"] * 8 + ["twice", "altered"]),
        "mark": st.sampled_from([""] * 12 + ["odd", "buggy", "wrong", "version"]),
        "after": st.sampled_from([None] * 8 + [0, 1, 2, "next", "itself"]),
        "policy": st.sampled_from(["strict", "clamp"]),
        "is_decided": often,
    }
)
answers = st.sampled_from(["settled", "settled", "failed", "underway", "transient", "terminal"])


class Killed(Exception):
    """The process is gone, at this statement."""


class Rules:
    """The rules, which at times fail at commands that say so."""

    is_broken = False

    def __call__(self, order, command, world):
        if self.is_broken and command.issued_by == "odd":
            raise Terminal("odd", "it fails for ever")
        if self.is_broken and command.issued_by == "buggy":
            raise RuntimeError
        return decide(order, command, world)


class Outside(refund_rig.Scripted):
    """A provider, a carrier, a post office: all say the same."""

    answer = "settled"

    def __call__(self, task):
        if self.answer == "terminal":
            raise Terminal("no", "it will not")
        if self.answer == "transient":
            raise Transient("busy", "not now")
        return Ended({})

    def refund(self, part):
        self(part)
        name = f"r-{part.part_id}"
        return {"settled": Settled, "underway": Underway}.get(
            self.answer, lambda given: Failed("declined", given)
        )(name)

    find = refund


class Life(RuleBasedStateMachine):
    def __init__(self, engine, emptied):
        super().__init__()
        self.engine = engine
        self.model = Worklist(forms={})
        self.ids = (uuid5(SPACE, str(n)) for n in range(10_000))
        self.promised = []
        self.placed = {}
        self.rules = Rules()
        self.outside = Outside()
        refunds = refunds_route(engine, refund_rig.providers(self.outside))
        routes = {
            "commands": rig.commands(engine, rules=self.rules),
            "refunds": refunds,
            "labels": followups_route(engine, "labels", self.outside),
            "emails": followups_route(engine, "emails", self.outside),
        }
        self.drains = {
            name: rig.drain_of(route, engine, lease_s=LEASE_S) for name, route in routes.items()
        }
        emptied("tests")

    @initialize(data=st.data())
    def forms(self, data):
        """What the orders are, should they be placed."""
        for order_id in ORDER_IDS:
            a, b = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
            price_a, price_b = data.draw(st.integers(0, 400)), data.draw(st.integers(0, 99))
            fee = data.draw(st.sampled_from([0, 7, 99]))
            total = price_a + price_b + fee
            captured = data.draw(st.sampled_from([total, total, total, total // 2, 0]))
            first = data.draw(st.integers(0, captured))
            hold = "fraud check" if data.draw(rare) and data.draw(rare) else None
            self.placed[order_id] = make.placed_order(
                make.order_line("A", a, net_minor=price_a),
                make.order_line("B", b, net_minor=price_b, item_type="digital"),
                fees=(Fee(kind="shipping", net_minor=fee),) if fee else (),
                payments=(
                    Payment(payment_id="P1", captured_minor=first),
                    Payment(payment_id="P2", captured_minor=captured - first),
                ),
                hold=hold,
            )
            self.model.forms[order_id] = _book(
                {"A": ("physical", a, price_a), "B": ("digital", b, price_b)},
                {"P1": first, "P2": captured - first},
                fee,
                total,
                hold,
            )
        if data.draw(often):
            self.place({"order_id": ORDER_IDS[0], "is_decided": True})

    # What comes in

    @rule(sending=sendings)
    def place(self, sending):
        self.send("place", sending, order=self.placed[sending["order_id"]])

    @rule(sending=sendings, items=units, label=st.sampled_from(["none", "generate"]))
    def ship(self, sending, **fields):
        self.send("ship", sending, **fields)

    @rule(sending=sendings, items=units)
    def complete(self, sending, **fields):
        self.send("complete", sending, **fields)

    @rule(
        sending=sendings,
        items=units,
        refund=st.sampled_from(["none", "full"]) | euros,
        include_shipping=rare,
    )
    def cancel(self, sending, **fields):
        self.send("cancel", sending, **fields)

    @rule(sending=sendings, items=units, include_shipping=rare)
    def refund_units(self, sending, **fields):
        self.send("refund", sending, **fields)

    @rule(sending=sendings, amount=euros, include_shipping=rare)
    def refund_amount(self, sending, **fields):
        self.send("refund", sending, **fields)

    @rule(sending=sendings, which=which)
    def void(self, sending, which):
        self.send("void", sending, shipment_id=self.chosen_parcel(sending, which))

    @rule(sending=sendings, which=which, tracking_number=st.sampled_from(["T1", "T2"]))
    def update_tracking(self, sending, which, **fields):
        fields["shipment_id"] = self.chosen_parcel(sending, which)
        self.send("update_tracking", sending, **fields)

    @rule(sending=sendings, reason=st.sampled_from([None, None, "recall", "fraud check"]))
    def hold_or_release(self, sending, reason):
        self.send(
            "hold" if reason else "release", sending, **({"reason": reason} if reason else {})
        )

    def send(self, kind, sending, **fields):
        """By itself, twice at once, or beside another command of the same id."""
        order_id = sending["order_id"]
        command = MAKE[kind](
            command_id=self.promised.pop() if self.promised else next(self.ids),
            order_id=order_id,
            policy=sending.get("policy", "strict"),
            notify_customer=sending.get("notify_customer", True),
            **fields,
        )
        body = command.body()
        match sending.get("mark"):
            case "odd" | "buggy" as mark:
                body["issued_by"] = mark
            case "wrong":
                body["wrong"] = True
            case "version":
                book = self.model.books.get(order_id)
                body["expected_version"] = book.version if book else 0
        if (after := sending.get("after")) is not None:
            body["after"] = self.chosen_predecessor(body, after)
        bodies = {"twice": [body, body], "altered": [body, altered(body)]}
        self.answered(bodies.get(sending.get("how"), [body]))
        if sending["is_decided"]:
            self.drain_commands(is_broken=False)

    def chosen_parcel(self, sending, which):
        """Mostly one that stands; at times one of another order, or none at all."""
        book = self.model.books.get(sending["order_id"])
        known = list(book.parcels) * 4 if book else []
        known += [key[0] for key in self.model.of("commands")] or [str(SPACE)]
        return UUID(known[which % len(known)])

    def chosen_predecessor(self, body, after):
        if after == "itself":
            return body["command_id"]
        if after == "next":  # what comes next, whatever it is
            self.promised.append(next(self.ids))
            return str(self.promised[-1])
        known = [key[0] for key in self.model.of("commands")]
        return known[-1 - after % len(known)] if known else body["command_id"]

    def answered(self, bodies):
        with self.engine.begin() as connection:
            receipts = accept_bodies(connection, bodies)
            # What waits will wait for long: patience grows with age.
            connection.exec_driver_sql(
                "update commands set accepted_at = accepted_at - interval '5 minutes'"
                " where id = any(%(ids)s) and accepted_at > now() - interval '1 minute'",
                {"ids": [one.command_id for one in receipts if one.answer == "accepted"]},
            )
        for body, receipt in zip(bodies, receipts, strict=True):
            assert receipt.answer == self.model.accept(body)
            if receipt.answer == "known":
                known = self.model.work[body["command_id"],]
                assert receipt.state == known.state
                assert stored.effect(receipt.outcome) == known.outcome

    @precondition(lambda self: self.model.of("commands"))
    @rule(which=which, change=st.sampled_from(["", "", "issuer", "content"]))
    def again(self, which, change):
        """Any command a second time, perhaps with other words."""
        commands = list(self.model.of("commands").values())
        body = dict(commands[which % len(commands)].body)
        if change == "issuer":
            body["issued_by"] = "somebody else"
        self.answered([altered(body) if change == "content" else body])

    # What is done with it

    @rule(is_broken=rare)
    def drain_commands(self, is_broken):
        self.time_passes()
        self.rules.is_broken = is_broken
        self.drained("commands")
        self.rules.is_broken = False
        self.model.drain("commands", lambda batch: self.model.decide(batch, is_broken=is_broken))

    @rule(route=st.sampled_from(ROUTES[1:]), answer=answers)
    def drain_followups(self, route, answer):
        if route != "refunds" and answer in {"failed", "underway"}:
            answer = "settled"
        self.time_passes()
        self.outside.answer = answer
        self.drained(route)
        self.model.drain(route, lambda batch: self.model.call(batch, answer))

    @rule(route=st.sampled_from(ROUTES), limit=st.integers(1, 4), is_suspect=st.booleans())
    def die_between_a_and_b(self, route, limit, is_suspect):
        """Claimed, and never carried out."""
        self.time_passes()
        self.claimed(route, limit, is_suspect=is_suspect)

    @rule(
        route=st.sampled_from(["commands", "commands", "refunds", "emails"]),
        limit=st.integers(1, 4),
        is_suspect=st.booleans(),
        statement=st.integers(1, 8),
    )
    def die_in_b(self, route, limit, is_suspect, statement):
        """Claimed, and killed at a statement of B; if there are so many."""
        self.time_passes()
        batch, keys = self.claimed(route, limit, is_suspect=is_suspect)
        if batch is None:
            return
        self.outside.answer = "settled"
        for key, row in zip(keys, batch.rows, strict=True):
            one = batch.of([row]) if route != "commands" else batch
            try:
                with dying_at(self.engine, statement):
                    self.drains[route].route.carry_out(one)
            except Killed:
                return
            if route == "commands":
                self.model.decide(keys)
                return
            self.model.call([key], "settled")

    @rule(limit=st.integers(1, 3), is_first_late=st.booleans(), is_taken_away=st.booleans())
    def two_claims(self, limit, is_first_late, is_taken_away):
        """Two drainers hold the commands of an order between them; perhaps one of the first's is
        taken away by a third.
        """
        self.time_passes()
        first, keys = self.claimed("commands", limit)
        third, taken = None, []
        if first and is_taken_away:
            rig.lease_over(self.engine, f"claim = {first.claim}")
            third, taken = self.claimed("commands", 1, is_suspect=True)
            keys = [key for key in keys if key not in taken]
        second, other_keys = self.claimed("commands", 200)
        turns = [(third, taken), (first, keys), (second, other_keys)]
        for batch, mine in reversed(turns) if is_first_late else turns:
            if batch:
                self.drains["commands"].route.carry_out(batch)
                self.model.decide(mine)

    # What is heard, and what people do

    @precondition(lambda self: self.model.of("refunds"))
    @rule(which=which, state=st.sampled_from(["settled", "failed", "underway"]))
    def news(self, which, state):
        """A webhook about a part, whatever is known of it."""
        parts = [(key[0], key[3]) for key in self.model.of("refunds")]
        command_id, payment = parts[which % len(parts)]
        part_id = uuid5(UUID(command_id), payment)
        with self.engine.begin() as connection:
            answer = refund_rig.answered(state, f"r-{part_id}")
            heard = hear(connection, part_id, answer, provider="scripted")
        if state != "underway":
            assert heard == ("applied" if self.model.news(command_id, payment, state) else "known")

    @precondition(lambda self: self.model.in_state("dead"))
    @rule(which=which, is_replay=often)
    def rescue(self, which, is_replay):
        """A dead letter is replayed, or given up; refund parts never are."""
        dead = self.model.in_state("dead")
        key = dead[which % len(dead)]
        row_id = (
            UUID(key[0])
            if len(key) == 1
            else rig.one(
                self.engine,
                "select w.id from followups w left join refund_parts p on p.part_id = w.subject_id"
                " where w.command_id = %(a)s and w.route = %(b)s and w.name = %(c)s"
                " and coalesce(p.payment_id, w.subject_id::text) = %(d)s",
                **dict(zip("abcd", key, strict=True)),
            )[0]
        )
        with self.engine.begin() as connection:
            chosen = Chosen(ids=[row_id])
            if is_replay:
                assert len(replay(connection, chosen, actor="tests")) == 1
                self.model.work[key].replay()
                return
            found = discard(connection, chosen, actor="tests", because="a test")
        assert len(found) == (key[1:2] != ("refunds",))
        if found:
            self.model.work[key].state = "discarded"
            self.model.wake_successors(key)

    @precondition(lambda self: self.model.pending("commands"))
    @rule(which=which)
    def grace_ends(self, which):
        """For one command that waits for what is not there."""
        waiting = list(self.model.pending("commands"))
        key = waiting[which % len(waiting)]
        self.model.work[key].is_late = True
        rig.run(
            self.engine,
            "update commands set accepted_at = now() - interval '1 hour' where id = %(id)s",
            id=key[0],
        )

    # What must hold

    @invariant()
    def tables_say_what_the_model_says(self):
        global steps  # noqa: PLW0603 - whoever runs it counts
        steps += 1
        assert stored.orders(self.engine) == {
            order_id: book.shown() for order_id, book in self.model.books.items()
        }
        assert stored.work(self.engine) == {
            key: [one.state, one.attempts, one.crashes, one.outcome]
            for key, one in self.model.work.items()
        }
        assert rig.count(self.engine, "strays") == self.model.strays

    @invariant()
    def the_laws_hold(self):
        assert not stored.broken(self.engine)

    def time_passes(self):
        """Whatever waits is due, and who holds anything is late."""
        rig.run(self.engine, stored.TIME_PASSES)
        self.model.time_passes()

    def drained(self, route):
        drain, table = self.drains[route], self.drains[route].route.table
        for _ in range(100):
            with self.engine.connect() as connection:
                (found,) = look(connection, [(table, route)], lease_s=LEASE_S)
            if found.has_suspects:
                drain.has_suspects.set()
            elif not found.is_due:
                return
            drain()
        raise AssertionError("it is never done")

    def claimed(self, route, limit, *, is_suspect=False):
        """A, in the tables and in the model."""
        table = COMMANDS_TABLE if route == "commands" else FOLLOWUPS_TABLE
        with self.engine.begin() as connection:
            if is_suspect:
                batch = claim_suspect(connection, table, route, lease_s=LEASE_S)
            else:
                batch = claim(connection, table, route, limit=limit, lease_s=LEASE_S)
        keys = self.model.claim_suspect(route) if is_suspect else self.model.claim(route, limit)
        assert len(keys) == (len(batch.rows) if batch else 0)
        return batch, keys


def _book(lines, payments, fee, total, is_held):
    return lambda: OrderBook(lines, payments, fee, total, is_held)


def altered(body):
    """Another command under the same id."""
    return body | {"policy": "strict" if body.get("policy") == "clamp" else "clamp"}


@contextmanager
def dying_at(engine, number):
    left = [number]

    def count(*_):
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    event.listen(engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", count)


@pytest.mark.timeout(600)  # a failing one is made smaller, for five minutes at most
def test_life(engine, emptied):
    """Orders, commands, duplicates, failures and crashes as they come: the tables say what the
    model says.
    """
    run_state_machine_as_test(
        lambda: Life(engine, emptied), settings=settings(max_examples=8, stateful_step_count=40)
    )


def test_a_command_that_was_given_up_breaks_no_law(engine):
    """Its outcome says by whom and why."""
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    rig.drainer(engine, rules=rig.Raising("O-1", Terminal("odd", "it cannot be")))()
    with engine.begin() as connection:
        found = discard(connection, Chosen(), actor="tests", because="a test")

    assert [one.id for one in found] == [command.command_id]
    assert stored.broken(engine) == []


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.skipif("FULFILLMENT_MODEL_STEPS" not in os.environ, reason="for nights")
def test_long_life(engine, emptied, capsys):
    """The same for FULFILLMENT_MODEL_STEPS steps, each run with a seed of its own, which is
    printed; FULFILLMENT_MODEL_SEED repeats one.
    """
    wanted = int(os.environ["FULFILLMENT_MODEL_STEPS"])
    number = int(os.environ.get("FULFILLMENT_MODEL_SEED", random.SystemRandom().getrandbits(32)))
    while steps < wanted:
        with capsys.disabled():
            sys.stdout.write(f"\n{steps} steps; FULFILLMENT_MODEL_SEED={number}")
            sys.stdout.flush()
        run_state_machine_as_test(
            seed(number)(lambda: Life(engine, emptied)),
            settings=settings(
                max_examples=20, stateful_step_count=50, derandomize=False, database=None
            ),
        )
        number += 1
