"""What holds for any order and any sequence of commands and of news about refunds."""

import json
import os
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import get_args
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from messages import Command, Fee, PlacedOrder, Void, parse
from tests import factories as make
from tests.strategies import commands, order_commands, paid_orders
from worker.orders.model import Decision, Line, Order, PartState, Refund, Rejection
from worker.orders.money import spread
from worker.orders.refunds import end_part
from worker.orders.rules import decide, decide_all
from worker.orders.status import fulfillment_status, payment_status, refund_pending
from worker.orders.world import World

WORLD = make.world()
EXAMPLES = int(os.environ.get("FULFILLMENT_FUZZ_EXAMPLES") or 100)


@dataclass(frozen=True)
class News:
    """What a provider says about one of the parts, counted round, in whatever state it is."""

    nth: int
    state: PartState


@dataclass(frozen=True)
class Recall:
    """One of the parcels so far, counted round, is called back."""

    nth: int
    command_id: UUID

    def of(self, shop: "Shop") -> Void:
        ids = [shipment_id for _, shipment_id in shop.world.shipments] or [UUID(int=0)]
        return make.void(ids[self.nth % len(ids)], command_id=self.command_id)


@dataclass
class Shop:
    """The least of a worker: it applies commands to one order and settles its refunds."""

    order: Order
    refunds: dict[UUID, Refund] = field(default_factory=dict)
    world: World = WORLD

    def take(self, step: Command | News | Recall) -> Decision | Rejection | None:
        if isinstance(step, News):
            self.hear(step)
            return None
        command = step.of(self) if isinstance(step, Recall) else step
        decision = decide(self.order, command, self.world)
        if isinstance(decision, Decision):
            self.order = decision.order
            self.world = self.world.after(decision)
            self.refunds |= {refund.refund_id: refund for refund in decision.refunds}
        return decision

    def hear(self, news: News) -> None:
        parts = [(refund, part) for refund in self.refunds.values() for part in refund.parts]
        if parts:
            refund, part = parts[news.nth % len(parts)]
            after = end_part(self.order, refund, part.part_id, news.state)
            assert end_part(*after, part.part_id, news.state) == after, "said twice"
            self.order, self.refunds[refund.refund_id] = after

    def counting(self) -> list[Refund]:
        """Refunds of which a part reserves its money."""
        return [
            refund
            for refund in self.refunds.values()
            if any(part.state in {"pending", "unknown", "settled"} for part in refund.parts)
        ]


news = st.builds(
    News, st.integers(0, 5), st.sampled_from(["settled", "settled", "failed", "failed", "unknown"])
)
recalls = st.builds(Recall, st.integers(0, 5), st.uuids())
steps = st.lists(order_commands | order_commands | news | recalls, min_size=4, max_size=16)


def assert_conserved(shop: Shop) -> None:
    """P4, from the refunds themselves."""
    order, counting = shop.order, shop.counting()
    parcels = shop.world.shipments.values()
    for line in order.lines:
        standing = [p.items.get(line.line_id, 0) for p in parcels if p.voided_at is None]
        back = [p.items.get(line.line_id, 0) for p in parcels if p.voided_at is not None]
        assert (line.shipped, line.voided) == (sum(standing), sum(back))
        refunded = [r for refund in counting for r in refund.lines if r.line_id == line.line_id]
        assert min(line.shipped, line.completed, line.cancelled) >= 0
        assert line.shipped + line.completed + line.cancelled <= line.quantity
        assert line.completed == 0 if line.is_physical else line.shipped == 0
        assert 0 <= line.refunded_units <= line.quantity
        assert line.refunded_units == sum(one.quantity for one in refunded)
        assert line.refunded_minor == sum(one.gross_minor for one in refunded)
        assert line.refunded_tax_minor == sum(one.tax_minor for one in refunded)
        assert line.refunded_discount_minor == sum(one.discount_minor for one in refunded)
        assert line.refunded_minor <= line.gross_minor
        assert line.refunded_tax_minor <= line.tax_minor
        assert line.refunded_discount_minor <= line.discount_minor
    for payment in order.payments:
        parts = [
            part
            for refund in shop.refunds.values()
            for part in refund.parts
            if part.payment_id == payment.payment_id
        ]
        held = dict.fromkeys(get_args(PartState), 0)
        for part in parts:
            held[part.state] += part.amount_minor
        settled = held["settled"]
        alive = held["pending"] + held["unknown"] + settled
        assert (payment.refunded_minor, payment.settled_minor) == (alive, settled)
        assert payment.overpaid_minor == held["overpaid"]
        assert 0 <= settled <= alive <= payment.captured_minor
    assert order.shipping_refunded_minor == sum(refund.shipping_minor for refund in counting)
    assert order.shipping_refunded_minor <= order.shipping_minor
    for refund in shop.refunds.values():
        itemised = sum(one.gross_minor for one in refund.lines) + refund.shipping_minor
        assert 0 < refund.amount_minor == sum(part.amount_minor for part in refund.parts)
        assert itemised <= refund.amount_minor
        assert all(one.quantity > 0 for one in refund.lines)
        assert all(part.amount_minor > 0 for part in refund.parts)


@settings(max_examples=EXAMPLES)
@given(paid_orders(), steps)
def test_nothing_is_made_or_lost(order, steps):
    """Units and money are conserved after every step, whatever is asked and whatever fails."""
    shop = Shop(order)

    for step in steps:
        shop.take(step)
        assert_conserved(shop)


refunding = st.lists(
    st.builds(News, st.integers(0, 3), st.sampled_from(["settled", "failed"]))
    | st.builds(
        make.refund,
        items=st.sampled_from([make.items(A=1), make.items(A=4)]),
        policy=st.just("clamp"),
        include_shipping=st.booleans(),
    )
    | st.builds(
        make.refund,
        amount=st.sampled_from([make.money(100), make.money(5_000)]),
        policy=st.just("clamp"),
    ),
    min_size=4,
    max_size=14,
)


@settings(max_examples=EXAMPLES)
@given(paid_orders(min_unit_minor=1), refunding)
def test_late_news_in_any_sequence(order, turns):
    """Refunds that take all there is, and news that settles and fails them again and again:
    whatever was given out meanwhile, the balances are those of the parts.
    """
    shop = Shop(replace(order, hold=None, payments=make.payments(*_two_halves(order))))

    for turn in turns:
        shop.take(turn)
        assert_conserved(shop)


def _two_halves(order: Order) -> tuple[int, int]:
    return order.total_minor // 2, order.total_minor - order.total_minor // 2


@given(paid_orders(), steps)
def test_every_answer_agrees_with_what_changed(order, steps):
    """An outcome's items and refund are what the order's counters moved by; a version per
    applied command that changed something, and never more than the command asked for.
    """
    shop = Shop(order)

    for step in steps:
        before = shop.order
        decision = shop.take(step)
        if not isinstance(decision, Decision):
            assert isinstance(step, News) or shop.order is before
            continue
        outcome, after = decision.outcome, decision.order
        moved = {
            old.line_id: old.remaining - new.remaining
            for old, new in zip(before.lines, after.lines, strict=True)
            if old.remaining != new.remaining
        }
        assert outcome.order_version == after.version == before.version + outcome.changed
        assert outcome.changed == (after is not before)
        sign = -1 if isinstance(step, Recall) else 1
        assert {item.line_id: sign * item.quantity for item in outcome.items} == moved
        paid = outcome.refund.amount_minor if outcome.refund else 0
        assert before.left_minor - after.left_minor == paid
        asked = {item.line_id: item.quantity for item in getattr(step, "items", ())}
        assert all(units <= asked.get(k, units) for k, units in moved.items())


@given(
    paid_orders(), paid_orders(), st.lists(st.tuples(order_commands, st.booleans()), max_size=12)
)
def test_a_batch_equals_its_commands_one_by_one(one, other, batch):
    """Two orders in one batch: each command meets its order, and the carriers, as the commands
    before it left them.
    """
    orders = {"O-1": one, "O-2": replace(other, order_id="O-2")}
    batch = [
        command.model_copy(update={"order_id": "O-2"}) if second else command
        for command, second in batch
    ]

    singly = []
    current, carriers = dict(orders), dict(WORLD.carriers)
    for command in batch:
        (decision,) = decide_all(current, [command], make.world(carriers=carriers))
        singly.append(decision)
        if isinstance(decision, Decision):
            current[command.order_id] = decision.order
            carriers |= {c.code: c.name for c in [decision.carrier] if c}

    assert decide_all(orders, batch, WORLD) == singly


@given(paid_orders(), st.lists(order_commands, max_size=12))
def test_a_refused_command_changes_nothing(order, batch):
    """Without the refused ones, the rest of a batch is decided exactly as before."""
    decisions = decide_all({"O-1": order}, batch, WORLD)
    applied = [
        (command, decision)
        for command, decision in zip(batch, decisions, strict=True)
        if isinstance(decision, Decision)
    ]

    again = decide_all({"O-1": order}, [command for command, _ in applied], WORLD)

    assert again == [decision for _, decision in applied]


@given(paid_orders(), order_commands, st.lists(order_commands, max_size=6))
def test_deciding_is_a_function_of_its_inputs(order, first, rest):
    """Decided again, from the stored body, a batch gives the same decisions to the last part id:
    a worker that died before its commit repeats itself.
    """
    batch = [first, *rest]
    stored = [parse(json.dumps(command.body())) for command in batch]

    assert decide_all({"O-1": order}, stored, WORLD) == decide_all({"O-1": order}, batch, WORLD)


batches = st.lists(order_commands, max_size=12, unique_by=lambda command: command.command_id)


@given(paid_orders(), batches, st.lists(st.integers(0, 12), max_size=3))
def test_a_replayed_prefix_changes_nothing(order, batch, restarts):
    """A worker that keeps what it decided by command id ends the same, however often the
    commands come again from the beginning.
    """
    decided: dict[UUID, Decision | Rejection] = {}
    orders, carriers = {"O-1": order}, dict(WORLD.carriers)

    for delivered in [*(batch[:restart] for restart in restarts), batch, batch]:
        fresh = [command for command in delivered if command.command_id not in decided]
        for command, decision in zip(
            fresh, decide_all(orders, fresh, make.world(carriers=carriers)), strict=True
        ):
            decided[command.command_id] = decision
            if isinstance(decision, Decision):
                orders = {"O-1": decision.order}
                carriers |= {c.code: c.name for c in [decision.carrier] if c}

    assert list(decided.values()) == decide_all({"O-1": order}, batch, WORLD)


@given(paid_orders(), batches)
def test_part_ids_never_meet(order, batch):
    """Two refunds never share an idempotency key at the provider."""
    decisions = decide_all({"O-1": order}, batch, WORLD)
    ids = [
        part.part_id
        for decision in decisions
        if isinstance(decision, Decision)
        for refund in decision.refunds
        for part in refund.parts
    ]

    assert len(ids) == len(set(ids))


units = st.dictionaries(st.sampled_from(["A", "B", "C"]), st.integers(1, 4), min_size=1)
turns = st.lists(
    st.tuples(st.sampled_from(["refund", "cancel"]), units)
    | st.tuples(st.sampled_from(["settled", "failed", "failed"]), st.integers(0, 5)),
    max_size=14,
)


def end_all_parts(shop: Shop, nth: int, state: PartState) -> None:
    """One of the refunds that are open, counted round, settles or fails as a whole."""
    waiting = [r for r in shop.refunds.values() if r.parts[0].state == "pending"]
    if waiting:
        refund = waiting[nth % len(waiting)]
        for part in refund.parts:
            shop.order, refund = end_part(shop.order, refund, part.part_id, state)
        shop.refunds[refund.refund_id] = refund


@settings(max_examples=EXAMPLES)
@given(paid_orders(min_unit_minor=1), turns)
def test_parts_sum_to_the_whole_in_any_order(order, turns):
    """However units are refunded and cancelled, and whichever refunds fail later and are
    repeated: in the end gross, tax and discount of every line were paid back exactly.
    """
    captured = (order.total_minor // 3, order.total_minor - order.total_minor // 3)
    shop = Shop(replace(order, hold=None, payments=make.payments(*captured)))

    for turn, detail in turns:
        if turn in {"settled", "failed"}:
            end_all_parts(shop, detail, turn)
            continue
        known = {line.line_id for line in order.lines}
        wanted = make.items(**{k: v for k, v in detail.items() if k in known})
        if wanted and turn == "refund":
            shop.take(make.refund(items=wanted, policy="clamp"))
        elif wanted:
            shop.take(make.cancel(items=wanted, policy="clamp", refund="full"))
    rest = make.items(**{line.line_id: line.refundable_units for line in shop.order.lines})
    if any(item.quantity for item in rest):
        last = shop.take(make.refund(items=rest))
        assert isinstance(last, Decision), last

    for line in shop.order.lines:
        assert (line.refunded_units, line.refunded_minor) == (line.quantity, line.gross_minor)
        assert line.refunded_tax_minor == line.tax_minor
        assert line.refunded_discount_minor == line.discount_minor
    assert shop.order.left_minor == order.shipping_minor
    assert_conserved(shop)


def fulfillment_by_units(order: Order) -> str:
    """Another way to say it: look at every unit that was not cancelled."""
    units = [
        index < line.shipped + line.completed
        for line in order.lines
        for index in range(line.quantity - line.cancelled)
    ]
    if not units:
        return "cancelled"
    if all(units):
        return "fulfilled"
    return "partially_fulfilled" if any(units) else "unfulfilled"


def payment_by_money(order: Order, refunds: list[Refund]) -> tuple[str, bool]:
    """Another way to say it: what came in, and what every part says has gone back."""
    parts = [part for refund in refunds for part in refund.parts]
    back = sum(part.amount_minor for part in parts if part.state == "settled")
    came = sum(payment.captured_minor for payment in order.payments)
    word = {
        (True, True): "refunded",
        (True, False): "partially_refunded",
    }.get((back > 0, back == came))
    if word is None:
        word = "paid" if came >= order.total_minor else "partially_paid" if came else "unpaid"
    return word, any(part.state in {"pending", "unknown"} for part in parts)


@given(paid_orders(), steps)
def test_status_is_what_units_and_parts_say(order, steps):
    """The derived status equals one that is counted unit by unit and part by part."""
    shop = Shop(order)

    for step in steps:
        shop.take(step)
        assert fulfillment_status(shop.order) == fulfillment_by_units(shop.order)
        found = (payment_status(shop.order), refund_pending(shop.order))
        assert found == payment_by_money(shop.order, list(shop.refunds.values()))


@given(paid_orders() | st.none(), commands)
def test_deciding_never_raises(order, command):
    """Whatever a valid command says about whatever order, the answer is a decision or a reason."""
    assert isinstance(decide(order, command, WORLD), Decision | Rejection)


@st.composite
def tied_orders(draw: st.DrawFn) -> PlacedOrder:
    nets = draw(st.lists(st.integers(0, 1_000), min_size=1, max_size=6))
    owns = [draw(st.integers(0, net)) for net in nets]
    lines = [
        make.order_line(
            f"L{n}", draw(st.integers(1, 5)), net_minor=net, discount_minor=own, tax_minor=n
        )
        for n, (net, own) in enumerate(zip(nets, owns, strict=True))
    ]
    fee = Fee(kind="shipping", net_minor=499, tax_minor=draw(st.integers(0, 99)))
    return make.placed_order(
        *lines,
        fees=(fee,),
        discount_minor=draw(st.integers(0, sum(nets) - sum(owns))),
        tax_minor=draw(st.integers(0, 500)),
    )


@given(tied_orders())
def test_intake_ties(placed):
    """Lines and fees sum to the total, discount and tax to what was said, and no line is below
    zero.
    """
    decision = decide(None, make.place(order=placed), WORLD)
    assert isinstance(decision, Decision), decision
    lines: tuple[Line, ...] = decision.order.lines

    assert sum(one.gross_minor for one in lines) + decision.order.shipping_minor == (
        placed.total_minor
    )
    assert sum(one.discount_minor for one in lines) == placed.discount_minor + sum(
        one.discount_minor for one in placed.lines
    )
    assert sum(one.tax_minor for one in lines) == placed.tax_minor + sum(
        one.tax_minor for one in placed.lines
    )
    assert all(one.gross_minor >= one.tax_minor for one in lines)


@given(st.integers(0, 10**12), st.lists(st.integers(0, 10**6), min_size=1, max_size=8))
def test_shares_are_within_one_of_what_is_due(amount_minor, weights):
    """Spreading sums to the amount, and no share is a whole minor unit away from its fraction."""
    shares = spread(amount_minor, weights)
    weights = weights if any(weights) else [1] * len(weights)

    assert sum(shares) == amount_minor
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - Fraction(amount_minor * weight, sum(weights))) < 1
