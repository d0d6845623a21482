"""Late news of refunds: settled after all, failed after all, and what was given out meanwhile."""

from itertools import pairwise
from uuid import uuid4

import pytest

from messages import DoneRefund, DoneRefundPart, Payment
from tests import factories as make
from tests.work import rig
from tests.work.refund_rig import (
    PART_TABLES,
    Scripted,
    answered,
    asked_for,
    assert_lawful,
    by_hand,
    drain,
    due_now,
    emails,
    events,
    money,
    one_part,
    order,
    overpaid,
    part,
    part_ids,
    part_state,
    providers,
    work,
)
from worker.checks import CHECKS
from worker.errors import Transient, Uncertain
from worker.refunds.by_hand import acknowledge
from worker.refunds.look_up import Looked, asked_parts, look_up
from worker.refunds.news import receive
from worker.refunds.provider import Failed, Manual, News, NotGenuine, Settled, Underway
from worker.work.dead import Chosen, replay
from worker.work.prospects import prospects

RIGHT = {"Signature": "right"}


def hear(engine, *news, headers=RIGHT):
    return receive(engine, "scripted", Scripted(news=news), headers, b"{}")


def settled_part(engine, **fields):
    part_id = one_part(engine, **fields)
    drain(engine, Scripted(Settled("r1")))
    return part_id


def failed_part(engine):
    part_id = one_part(engine)
    drain(engine, Scripted(Failed("declined", "r1")))
    return part_id


def given_out(engine, amount_minor=300):
    """Another refund takes so much, and is settled; its command."""
    command = make.refund(amount=make.money(amount_minor))
    assert rig.decided(engine, command) == ["applied"]
    drain(engine, Scripted(Settled("r9")))
    return command


def overpaid_part(engine):
    part_id = failed_part(engine)
    given_out(engine)
    assert hear(engine, News(Settled("r1"))) == 1
    return part_id


def replayed(engine, provider=None):
    with engine.begin() as connection:
        assert len(replay(connection, Chosen(reason="overpaid"), actor="till")) == 1
    drain(engine, provider or Scripted())


def test_settled_and_then_failed(engine, capsys):
    """The balance and the units are free again, the history says it came late, an alarm is
    raised, and nobody gets a second e-mail.
    """
    part_id = settled_part(engine)
    before = emails(engine)

    assert hear(engine, News(Failed("returned by the bank", "r1"))) == 1

    assert part_state(engine, part_id) == "failed"
    assert money(engine) == [(0, 0)]
    assert rig.line(engine).refunded_units == 0
    assert order(engine)[:2] == ("paid", False)
    assert events(engine) == [
        ("refund_settled", {"payment_id": "P1"}),
        ("refund_failed", {"payment_id": "P1", "note": "returned by the bank", "late": True}),
    ]
    assert emails(engine) == before
    assert "refund_not_settled" in capsys.readouterr().out
    row = work(engine, part_id)
    assert (row.state, row.outcome) == ("done", {"failed": 100, "reason": "returned by the bank"})
    assert_lawful(engine)


def test_failed_and_then_settled(engine):
    """What is still there is taken again, and the customer is told now."""
    part_id = failed_part(engine)
    assert emails(engine) == []

    assert hear(engine, News(Settled("r1"))) == 1

    assert part_state(engine, part_id) == "settled"
    assert money(engine) == [(100, 100)]
    assert rig.line(engine).refunded_units == 1
    assert order(engine)[:2] == ("partially_refunded", False)
    assert [row[0] for row in emails(engine)] == ["refunded"]
    assert work(engine, part_id).outcome == {"settled": 100}
    assert_lawful(engine)


def test_there_and_back_again(engine):
    """Flipped three times, the customer has one e-mail, and every turn is in the history."""
    settled_part(engine)

    for state in ("failed", "settled", "failed", "settled"):
        assert hear(engine, News(answered(state, "r1"))) == 1

    assert [name for name, _ in events(engine)] == [
        "refund_settled",
        "refund_failed",
        "refund_settled",
        "refund_failed",
        "refund_settled",
    ]
    assert len(emails(engine)) == 1
    assert money(engine) == [(100, 100)]
    assert_lawful(engine)


@pytest.mark.parametrize("state", ["settled", "underway"])
def test_known_news_changes_nothing(engine, state):
    """Providers send everything twice, and in any order."""
    settled_part(engine)
    before = rig.dump(engine)

    assert hear(engine, News(answered(state, "r1"))) == 0

    assert rig.dump(engine) == before


def test_settled_although_it_is_given_out(engine):
    """The balance stays as it is: the money is beside it, and a dead letter waits for a person."""
    part_id = failed_part(engine)
    given_out(engine)
    told = emails(engine)

    assert hear(engine, News(Settled("r1"))) == 1

    assert part_state(engine, part_id) == "overpaid"
    assert (money(engine), overpaid(engine)) == ([(300, 300)], 100)
    assert rig.line(engine).refunded_units == 0
    assert events(engine)[-1] == ("refund_overpaid", {"payment_id": "P1", "late": True})
    row = work(engine, part_id)
    assert (row.state, row.dead_reason, row.errors[-1]["reason"]) == (
        "dead",
        "overpaid",
        "overpaid",
    )
    assert emails(engine) == told
    assert_lawful(engine)
    before = rig.dump(engine)
    assert hear(engine, News(Settled("r1"))) == 0
    assert rig.dump(engine) == before


def test_an_overpaid_part_is_replayed(engine):
    """As long as there is no room it is dead again, as the dry run said; once what took the
    balance has failed, it is settled.
    """
    part_id = overpaid_part(engine)
    assert prospect(engine) == "would_fail"

    replayed(engine, provider := Scripted())

    assert (work(engine, part_id).state, work(engine, part_id).dead_reason) == ("dead", "overpaid")
    assert overpaid(engine) == 100

    hear(engine, News(Failed("returned", "r9")))
    assert prospect(engine) == "would_succeed"
    replayed(engine, provider)

    assert provider.asked == provider.looked_up == []
    assert part_state(engine, part_id) == "settled"
    assert (money(engine), overpaid(engine)) == ([(100, 100)], 0)
    assert (work(engine, part_id).state, work(engine, part_id).dead_reason) == ("done", None)
    assert_lawful(engine)


def prospect(engine):
    with engine.connect() as connection:
        (found,) = prospects(
            connection, Chosen(reason="overpaid"), limit=9, grace_s=0, checks=CHECKS
        )
    return found.prospect


def test_an_overpaid_part_failed_after_all(engine):
    """The money has come back: nothing is beside the balance, and the dead letter has ended."""
    part_id = overpaid_part(engine)

    assert hear(engine, News(Failed("returned", "r1"))) == 1

    assert part_state(engine, part_id) == "failed"
    assert (money(engine), overpaid(engine)) == ([(300, 300)], 0)
    assert (work(engine, part_id).state, work(engine, part_id).dead_reason) == ("done", None)
    assert_lawful(engine)


def test_an_overpaid_part_is_acknowledged(engine):
    """The dead letter ends and the audit has it; the books keep what was overpaid."""
    part_id = overpaid_part(engine)

    with engine.begin() as connection:
        assert acknowledge(connection, part_id, by="till", note="credited by invoice 7")

    assert part_state(engine, part_id) == "overpaid"
    assert overpaid(engine) == 100
    row = work(engine, part_id)
    assert (row.state, row.dead_reason) == ("done", None)
    assert row.outcome == {"overpaid": 100, "by": "till", "reason": "credited by invoice 7"}
    assert rig.one(engine, "select actor, act, work_id from audit") == (
        "till",
        "acknowledged",
        row.id,
    )
    before = rig.dump(engine)
    with engine.begin() as connection:
        assert not acknowledge(connection, part_id, by="till", note="again")
    assert rig.dump(engine) == before


@pytest.mark.parametrize("state", ["settled", "failed"])
def test_only_what_is_overpaid_is_acknowledged(engine, state):
    """A part that ended well, or open, is not; nothing is written."""
    part_id = one_part(engine)
    before = rig.dump(engine)
    with engine.begin() as connection:
        assert not acknowledge(connection, part_id, by="till", note="no")
        assert not acknowledge(connection, uuid4(), by="till", note="no")
    assert rig.dump(engine) == before

    by_hand(engine, part_id, state)
    with engine.begin() as connection:
        assert not acknowledge(connection, part_id, by="till", note="no")

    assert part_state(engine, part_id) == state


def test_news_ends_what_was_not_heard(engine):
    """An unknown part, also a dead one, ends with the news, and nobody is asked any more."""
    part_id = one_part(engine)
    drain(engine, Scripted(Uncertain("provider_silent", "")))
    rig.run(engine, "update followups set state = 'dead', dead_reason = 'x' where route='refunds'")

    assert hear(engine, News(Settled("r1"), part_id)) == 1

    due_now(engine)
    drain(engine, provider := Scripted())
    assert provider.asked == []
    assert part_state(engine, part_id) == "settled"
    assert part(engine, part_id).provider_id == "r1"
    assert (work(engine, part_id).state, work(engine, part_id).dead_reason) == ("done", None)


def test_news_names_what_was_not_heard(engine):
    """It is under way: from now on it is looked up by that name, and never asked for."""
    part_id = one_part(engine)
    drain(engine, Scripted(Uncertain("provider_silent", "")))

    assert hear(engine, News(Underway("r1"), part_id)) == 1

    row = part(engine, part_id)
    assert (row.state, row.provider_id) == ("pending", "r1")
    due_now(engine)
    drain(engine, provider := Scripted(find=[Underway("r1")]))
    assert [one.provider_id for one in provider.looked_up] == ["r1"]
    assert provider.asked == []


def test_news_during_the_call(engine):
    """A webhook that comes before the answer of its own call is booked at once; the answer is then
    left aside, whatever it is.
    """
    part_id = one_part(engine)

    class Told(Scripted):
        def refund(self, one):
            assert hear(engine, News(Settled("r1"), one.part_id)) == 1
            return super().refund(one)

    drain(engine, Told(Failed("confused")))

    assert part_state(engine, part_id) == "settled"
    assert events(engine) == [("refund_settled", {"payment_id": "P1"})]
    assert money(engine) == [(100, 100)]
    assert_lawful(engine)


def test_a_name_that_comes_during_the_call_is_kept(engine):
    """The answer says that nothing was paid, a webhook that it is under way: then it is looked up,
    and never asked for.
    """
    part_id = one_part(engine)

    class Told(Scripted):
        def refund(self, one):
            assert hear(engine, News(Underway("r1"), one.part_id)) == 1
            return super().refund(one)

    drain(engine, Told(Transient("busy", "429")))

    row = part(engine, part_id)
    assert (row.state, row.provider, row.provider_id) == ("pending", "scripted", "r1")
    due_now(engine)
    drain(engine, provider := Scripted(find=[Settled("r1")]))
    assert provider.asked == []
    assert part_state(engine, part_id) == "settled"


@pytest.mark.parametrize(
    "news",
    [
        News(Settled("r7")),
        News(Failed("returned", "r7"), uuid4()),
        News(Failed("returned", "r7")),  # of the same part, before it was asked for afresh
        News(Underway("r7")),
    ],
)
def test_news_of_others_is_left_aside(engine, news):
    """Refunds made by hand at the provider, and those of other shops, are none of ours."""
    part_id = settled_part(engine)
    if news.part_id is None and news.answer.state != "settled":
        news = News(news.answer, part_id)
    before = rig.dump(engine)

    assert hear(engine, news) == 0

    assert rig.dump(engine) == before


def test_paid_under_two_names(engine, capsys):
    """A part that is settled under one name settles under another: that is money gone twice, and
    an alarm; the books have the part once.
    """
    part_id = settled_part(engine)
    before = rig.dump(engine)

    assert hear(engine, News(Settled("r7"), part_id)) == 0

    assert rig.dump(engine) == before
    assert "refund_paid_twice" in capsys.readouterr().out


def test_news_from_another_provider_is_left_aside(engine):
    """Whoever has keys of one provider cannot end the parts of another."""
    part_id = settled_part(engine)
    before = rig.dump(engine)

    news = [News(Failed("returned", "r1")), News(Failed("returned", "r1"), part_id)]
    assert receive(engine, "other", Scripted(news=news), RIGHT, b"") == 0

    assert rig.dump(engine) == before


def test_not_genuine(engine):
    """What is not signed is refused, and nothing is written."""
    settled_part(engine)
    before = rig.dump(engine)

    with pytest.raises(NotGenuine):
        hear(engine, News(Failed("returned", "r1")), headers={"Signature": "wrong"})

    assert rig.dump(engine) == before


def test_news_at_one_moment(engine, database_url):
    """Ten times the same, and ten times the contrary, from many threads: the books are lawful, and
    the history is a walk from one to the other.
    """
    part_id = settled_part(engine)
    other = rig.other_engine(database_url, lock_timeout_ms=20_000)

    rig.together(
        *[lambda: hear(other, News(Failed("returned", "r1")))] * 4,
        *[lambda: hear(other, News(Settled("r1"), part_id))] * 4,
    )

    other.dispose()
    names = [name for name, _ in events(engine)]
    assert all(a != b for a, b in pairwise(names))
    assert names[-1] == f"refund_{part_state(engine, part_id)}"
    assert_lawful(engine)


def test_a_persons_late_word(engine):
    """By hand, what has ended ends otherwise only if that is said to be late; the audit has it."""
    part_id = one_part(engine)
    drain(engine, Manual())
    by_hand(engine, part_id, "settled")
    before = rig.dump(engine)

    assert by_hand(engine, part_id, "failed", "came back") == "ended"
    assert rig.dump(engine) == before
    assert by_hand(engine, part_id, "failed", "came back", late=True) == "done"

    assert money(engine) == [(0, 0)]
    assert events(engine)[-1] == (
        "refund_failed",
        {"payment_id": "P1", "note": "came back", "late": True},
    )
    assert rig.one(engine, "select details from audit order by audit_id desc")[0]["late"] is True
    given_out(engine)
    assert by_hand(engine, part_id, "settled", late=True) == "overpaid"
    assert part_state(engine, part_id) == "overpaid"
    assert by_hand(engine, part_id, "settled") == "ended"
    assert by_hand(engine, part_id, "failed", late=True) == "done"
    assert_lawful(engine)


def test_one_of_two_parts_fails_late(engine):
    """The units of a refund stay with the part that is settled; the other's money is free."""
    command = asked_for(engine)
    first, _ = part_ids(command)
    drain(engine, Scripted(Settled("r1"), Settled("r2")))
    named = {row.payment_id: row.provider_id for row in rig.rows(engine, "table refund_parts")}

    hear(engine, News(Failed("returned", named["P1"])))

    assert part_state(engine, first) == "failed"
    assert money(engine) == [(0, 0), (500, 500)]
    assert len(emails(engine)) == 1
    assert_lawful(engine)


def test_a_look_up_on_demand(engine):
    """It books what the provider says of a part in any state; what it does not know changes
    nothing.
    """
    part_id = settled_part(engine)
    before = rig.dump(engine)

    assert look_up(engine, providers(Scripted(find=[None])), part_id) == Looked(part_id, "nothing")
    assert look_up(engine, providers(Scripted(find=[Settled("r1")])), part_id) == Looked(
        part_id, "settled"
    )
    broken = Scripted(find=[Uncertain("provider_silent", "not heard")])
    assert look_up(engine, providers(broken), part_id) == Looked(
        part_id, "not_told", why="provider_silent: not heard"
    )
    assert rig.dump(engine) == before
    found = providers(Scripted(find=[Failed("returned", "r1")]))
    assert look_up(engine, found, part_id) == Looked(
        part_id, "failed", changed=True, why="returned"
    )

    assert money(engine) == [(0, 0)]


def test_whom_a_look_up_asks_for(engine):
    """By itself: what is open and was asked for so long ago; never what nobody was asked for."""
    part_id = one_part(engine)
    with engine.connect() as connection:
        assert asked_parts(connection, older_s=0, limit=9) == []
    assert look_up(engine, providers(Scripted()), part_id) == Looked(part_id, "unasked")
    drain(engine, Scripted(Uncertain("provider_silent", "")))

    with engine.connect() as connection:
        assert asked_parts(connection, older_s=0, limit=9) == [part_id]
        assert asked_parts(connection, older_s=60, limit=9) == []


def test_upstreams_refunds_are_not_ours(engine):
    """A refund that came in with its order was made elsewhere: nobody's word changes it."""
    rig.with_lines(
        engine,
        make.order_line(),
        payments=(Payment(payment_id="P1", captured_minor=300),),
        refunds=(DoneRefund(parts=(DoneRefundPart(payment_id="P1", amount_minor=100),)),),
    )
    (part_id,) = rig.one(engine, "select part_id from refund_parts")
    before = rig.dump(engine, PART_TABLES)

    assert hear(engine, News(Failed("returned", "r1"), part_id)) == 0
    with pytest.raises(LookupError):
        by_hand(engine, part_id, "failed", late=True)

    assert rig.dump(engine, PART_TABLES) == before
