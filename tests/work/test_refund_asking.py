"""A provider is asked for a part so that it pays once, whatever is not heard of its answer."""

import pytest

from tests.work import rig
from tests.work.refund_rig import (
    Scripted,
    asked_ago,
    asked_for,
    assert_lawful,
    drain,
    drain_by,
    due_now,
    emails,
    events,
    money,
    one_part,
    part,
    part_ids,
    part_state,
    providers,
    work,
)
from worker.errors import Terminal, Transient, Uncertain
from worker.refunds.provider import Failed, Settled, Underway
from worker.refunds.route import refunds_route
from worker.work.followups import ByHand

NOT_HEARD = Uncertain("provider_silent", "it was not heard")
DAY_S = 86_400


def asked(engine, part_id):
    """Provider, its name for the part, and whether there are times of asking."""
    row = part(engine, part_id)
    return row.provider, row.provider_id, row.asked_at is not None, row.last_asked_at is not None


def test_it_is_unknown_while_it_is_asked(engine):
    """The mark is committed before the call: nothing is locked, and whoever looks sees it."""
    part_id = one_part(engine)
    seen = []

    class Looking(Scripted):
        def refund(self, one):
            seen.append(part_state(engine, part_id))
            rig.run(engine, "select 1 from refund_parts for update nowait")
            return super().refund(one)

    drain(engine, Looking(Settled("r1")))

    assert seen == ["unknown"]
    assert part_state(engine, part_id) == "settled"
    assert asked(engine, part_id) == ("scripted", "r1", True, True)


def test_killed_between_the_mark_and_the_answer(engine):
    """A worker that dies while it asks leaves the part unknown, its money reserved; the next one
    asks with the same key and the answer is booked once.
    """
    part_id = one_part(engine)

    class Killed(BaseException):
        """What no handler catches, as no handler catches a kill."""

    with pytest.raises(Killed):
        drain(engine, Scripted(Killed()))

    assert part_state(engine, part_id) == "unknown"
    assert money(engine) == [(100, 0)]
    assert events(engine) == []
    assert_lawful(engine)

    rig.lease_over(engine, table="followups")
    route = refunds_route(engine, providers(second := Scripted(Settled("r1"))))
    next_worker = rig.drain_of(route, engine)
    next_worker.has_suspects.set()
    next_worker()

    assert [one.part_id for one in second.asked] == [part_id]
    assert part_state(engine, part_id) == "settled"
    assert events(engine) == [("refund_settled", {"payment_id": "P1"})]
    assert_lawful(engine)


def test_not_heard_is_asked_again_with_the_same_key(engine):
    """Within the provider's time for keys; since when that runs is kept, and when it was last."""
    part_id = one_part(engine)
    provider = Scripted(NOT_HEARD, NOT_HEARD, Settled("r1"))

    drain(engine, provider)
    first = part(engine, part_id)
    assert (first.state, work(engine, part_id).waits_for) == ("unknown", "retry")
    assert work(engine, part_id).attempts == 1
    due_now(engine)
    drain(engine, provider)
    second = part(engine, part_id)
    due_now(engine)
    drain(engine, provider)

    assert [one.part_id for one in provider.asked] == [part_id] * 3
    assert provider.looked_up == []
    assert second.asked_at == first.asked_at
    assert second.last_asked_at > first.last_asked_at
    assert money(engine) == [(100, 100)]


@pytest.mark.parametrize("answer", [Transient("busy", "429"), Terminal("refused", "401"), ByHand()])
def test_surely_not_paid_is_as_never_asked(engine, answer):
    """The first call paid nothing for sure: the part is pending again, and no key is running."""
    part_id = one_part(engine)

    drain(engine, Scripted(answer))

    assert part_state(engine, part_id) == "pending"
    assert asked(engine, part_id) == (None, None, False, False)
    assert money(engine) == [(100, 0)]


@pytest.mark.parametrize("answer", [Transient("busy", "429"), Terminal("refused", "401")])
def test_a_later_call_says_nothing_of_an_earlier_one(engine, answer):
    """The first call was not heard; that the second paid nothing leaves it unknown."""
    part_id = one_part(engine)
    provider = Scripted(NOT_HEARD, answer)
    drain(engine, provider)
    before = part(engine, part_id).asked_at
    due_now(engine)

    drain(engine, provider)

    assert part_state(engine, part_id) == "unknown"
    assert part(engine, part_id).asked_at == before
    assert money(engine) == [(100, 0)]


def test_not_heard_for_good_waits_for_a_person(engine):
    """After six tries it is dead, still unknown, and its money stays reserved."""
    part_id = one_part(engine)
    provider = Scripted(*[NOT_HEARD] * 7)

    for _ in range(7):
        due_now(engine)
        drain(engine, provider)

    assert (work(engine, part_id).state, work(engine, part_id).dead_reason) == (
        "dead",
        "provider_silent",
    )
    assert part_state(engine, part_id) == "unknown"
    assert money(engine) == [(100, 0)]


@pytest.mark.parametrize(("ago_s", "calls"), [(DAY_S - 3600 - 60, 1), (DAY_S - 3600 + 60, 0)])
def test_after_the_time_for_keys_it_is_only_looked_up(engine, ago_s, calls):
    """An hour before the provider forgets keys, no key is used any more."""
    part_id = one_part(engine)
    drain(engine, Scripted(NOT_HEARD))
    asked_ago(engine, ago_s)
    due_now(engine)
    provider = Scripted(*[Settled("r1")] * calls, find=[Settled("r1")] * (1 - calls))

    drain(engine, provider)

    assert (len(provider.asked), len(provider.looked_up)) == (calls, 1 - calls)
    assert part_state(engine, part_id) == "settled"
    assert asked(engine, part_id) == ("scripted", "r1", True, True)


def test_looked_up_and_failed(engine):
    """What is found to have failed frees its money."""
    one_part(engine)
    drain(engine, Scripted(NOT_HEARD))
    asked_ago(engine, DAY_S)
    due_now(engine)

    drain(engine, Scripted(find=[Failed("declined", "r1")]))

    assert money(engine) == [(0, 0)]
    assert events(engine) == [("refund_failed", {"payment_id": "P1", "note": "declined"})]


def test_nothing_found_is_believed_after_the_settling_time(engine):
    """Before, it is looked up again when that is over; then it is asked afresh, the same part."""
    part_id = one_part(engine)
    drain(engine, Scripted(NOT_HEARD))
    asked_ago(engine, DAY_S, last_s=500)
    due_now(engine)

    drain(engine, early := Scripted(find=[None]))

    assert (len(early.asked), len(early.looked_up)) == (0, 1)
    assert part_state(engine, part_id) == "unknown"
    # 600 s of the provider's, and 60 s for which the last call may still have been under way.
    assert 155 < work(engine, part_id).due_in_s <= 160
    assert (work(engine, part_id).waits_for, work(engine, part_id).attempts) == ("provider", 1)

    asked_ago(engine, DAY_S, last_s=661)
    due_now(engine)
    drain(engine, late := Scripted(Settled("r2"), find=[None]))

    assert [one.part_id for one in late.asked] == [part_id]
    assert part_state(engine, part_id) == "settled"
    assert 0 <= (part(engine, part_id).ended_at - part(engine, part_id).asked_at).seconds < 60
    assert money(engine) == [(100, 100)]


def test_what_cannot_be_looked_up_waits_for_a_person(engine):
    """It is dead at once, says what to do, and stays unknown; nothing is asked."""
    part_id = one_part(engine)
    drain(engine, Scripted(NOT_HEARD))
    asked_ago(engine, DAY_S)
    due_now(engine)

    drain(engine, provider := Scripted(find=[Terminal("too_many", "more than a page of them")]))

    row = work(engine, part_id)
    assert (row.state, row.dead_reason) == ("dead", "unknown_outcome")
    message = row.errors[-1]["message"]
    assert message.startswith("scripted cannot say what became of the refund (more than a page")
    assert f"fulfillment refunds settle {part_id}" in message
    assert part_state(engine, part_id) == "unknown"
    assert provider.asked == []
    assert money(engine) == [(100, 0)]


def test_under_way_is_looked_at_until_it_ends(engine):
    """It is pending under the provider's name, never asked for again and never counted; the looks
    get rarer, a quarter of its age, between 10 s and an hour.
    """
    part_id = one_part(engine)
    drain(engine, Scripted(Underway("r1")))

    assert asked(engine, part_id) == ("scripted", "r1", True, True)
    assert part_state(engine, part_id) == "pending"
    for age_s, low, high in ((0, 9, 10), (400, 99, 101), (DAY_S, 3599, 3600)):
        asked_ago(engine, age_s)
        due_now(engine)
        drain(engine, looked := Scripted(find=[Underway("r1")]))
        row = work(engine, part_id)
        assert [one.provider_id for one in looked.looked_up] == ["r1"]
        assert low < row.due_in_s <= high
        assert (row.state, row.waits_for, row.attempts) == ("pending", "provider", 0)
    assert money(engine) == [(100, 0)]
    assert emails(engine) == []

    due_now(engine)
    drain(engine, Scripted(find=[Settled("r1")]))

    assert part_state(engine, part_id) == "settled"
    assert work(engine, part_id).state == "done"


def test_failures_to_look_do_not_add_up(engine):
    """A refund may be under way for weeks: what was not heard in between is over with each answer,
    and what is not heard any more is dead as ever.
    """
    part_id = one_part(engine)
    drain(engine, Scripted(Underway("r1")))

    for answer in [*[NOT_HEARD] * 6, Underway("r1"), *[NOT_HEARD] * 6]:
        due_now(engine)
        drain(engine, Scripted(find=[answer]))
    assert (work(engine, part_id).state, work(engine, part_id).attempts) == ("pending", 6)

    due_now(engine)
    drain(engine, Scripted(find=[NOT_HEARD]))
    assert work(engine, part_id).state == "dead"


def test_under_way_and_then_not_known(engine):
    """A refund that the provider had taken on is never asked for afresh."""
    part_id = one_part(engine)
    drain(engine, Scripted(Underway("r1")))
    asked_ago(engine, 10 * DAY_S)
    due_now(engine)

    drain(engine, Scripted(find=[None]))

    assert work(engine, part_id).dead_reason == "unknown_outcome"
    assert asked(engine, part_id) == ("scripted", "r1", True, True)


def test_two_drains_and_one_payment(engine, database_url):
    """Forty parts, two workers, a provider that is often not heard and pays once for each key."""
    paid = set()

    class Lossy(Scripted):
        def refund(self, one):
            self.asked.append(one)
            is_first = one.part_id not in paid
            paid.add(one.part_id)
            if is_first:
                raise NOT_HEARD
            return Settled(f"r-{one.part_id}")

    commands = [asked_for(engine, f"O-{n}") for n in range(20)]
    other = rig.other_engine(database_url)
    provider = Lossy()

    for _ in range(3):
        due_now(engine)
        rig.together(lambda: drain(engine, provider), lambda: drain(other, provider))

    other.dispose()
    assert paid == {part_id for command in commands for part_id in part_ids(command)}
    assert len(provider.asked) == 2 * len(paid)
    assert rig.count(engine, "refund_parts", "state = 'settled'") == 40
    assert_lawful(engine)


def test_a_worker_that_stood_still_does_not_call(engine):
    """Between its mark and its call it stood still for too long: others may have looked since. It
    does not ask, and the part is as before.
    """
    part_id = one_part(engine)
    ticks = iter([0.0, 3.1])

    drain(engine, provider := Scripted(), clock=lambda: next(ticks))

    assert provider.asked == []
    assert part_state(engine, part_id) == "pending"
    assert work(engine, part_id).errors[-1]["reason"] == "stood_still"


def test_a_lost_claim_marks_nothing(engine):
    """The part was taken away before the mark: the late worker neither marks nor asks."""
    part_id = one_part(engine)
    ticks = iter([0.0, 0.0])

    def clock():
        # Right after the claim, before anything of the part is read.
        rig.run(engine, "update followups set claim = nextval('work_claim')")
        return next(ticks)

    drain(engine, provider := Scripted(), clock=clock)

    assert provider.asked == []
    assert part_state(engine, part_id) == "pending"
    assert asked(engine, part_id) == (None, None, False, False)


def test_who_was_asked_is_asked_again(engine):
    """Settings that name another provider now do not take a part there that one was asked for."""
    part_id = one_part(engine)
    first, second = Scripted(NOT_HEARD, Settled("r1")), Scripted()
    both = {"first": first, "second": second}
    drain_by(engine, {"card": "first"}, both)
    due_now(engine)

    drain_by(engine, {"card": "second"}, both)

    assert (len(first.asked), second.asked) == (2, [])
    assert asked(engine, part_id)[:2] == ("first", "r1")
