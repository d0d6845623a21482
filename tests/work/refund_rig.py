"""What tests of refunds share: a provider that says what it is told to, and looks at the books."""

from uuid import uuid5

from messages import Payment
from tests import factories as make
from tests.work import rig
from worker.orders.model import PartState
from worker.refunds.by_hand import end_by_hand
from worker.refunds.provider import Answer, Failed, NotGenuine, Part, Settled, Underway
from worker.refunds.providers import Providers
from worker.refunds.route import refunds_route
from worker.store import laws

PART_TABLES = ("orders", "order_lines", "payments", "refund_parts", "history", "followups")


def answered(state: str, provider_id: str) -> Answer:
    """How a provider tells it."""
    match state:
        case "settled":
            return Settled(provider_id)
        case "underway":
            return Underway(provider_id)
    return Failed("returned", provider_id)


class Scripted:
    """A provider that answers as it is told, and remembers what it was asked for. What it has no
    answer for is a bug of the test.
    """

    keeps_keys_s = 86_400.0
    settles_within_s = 600.0

    def __init__(self, *answers, find=(), news=()):
        self.answers = list(answers)
        self.asked: list[Part] = []
        self.found = list(find)
        self.looked_up: list[Part] = []
        self.told = list(news)

    def step_minor(self, currency):
        return {"ISK": 100}.get(currency, 1)

    def refund(self, part):
        self.asked.append(part)
        return said(self.answers.pop(0))

    def find(self, part):
        self.looked_up.append(part)
        return said(self.found.pop(0))

    def news(self, headers, body):
        if headers.get("Signature") != "right":
            raise NotGenuine("its signature is wrong")
        del body
        return self.told


def said(answer):
    if isinstance(answer, BaseException):
        raise answer
    return answer


def providers(provider):
    return Providers({"*": "scripted"}, lambda _: provider)


def drain(engine, provider, **options):
    rig.drain_of(refunds_route(engine, providers(provider), **options), engine)()


def drain_by(engine, by_method, made):
    """Drain with several providers, by their names."""
    rig.drain_of(refunds_route(engine, Providers(by_method, made.__getitem__)), engine)()


def asked_for(engine, order_id=make.ORDER_ID, **fields):
    """A refund of 15.00 over two payments of 10.00: two parts, of 10.00 and 5.00."""
    rig.with_lines(
        engine,
        make.order_line("A", 2, net_minor=2000),
        payments=(
            Payment(payment_id="P1", captured_minor=1000, method="card"),
            Payment(payment_id="P2", captured_minor=1000),
        ),
        order_id=order_id,
    )
    command = make.refund(order_id=order_id, amount=make.money(1500), **fields)
    assert rig.decided(engine, command) == ["applied"]
    return command


def part_ids(command):
    return uuid5(command.command_id, "P1"), uuid5(command.command_id, "P2")


def one_part(engine, **fields):
    """The one part of a refund of a unit, 1.00 of 3.00, on P1 of O-1."""
    rig.with_lines(
        engine,
        make.order_line(),
        payments=(Payment(payment_id="P1", captured_minor=300, method="card"),),
    )
    command = make.refund(items=make.items(A=1), **fields)
    assert rig.decided(engine, command) == ["applied"]
    return uuid5(command.command_id, "P1")


def by_hand(engine, part_id, state, note=None, **options):
    with engine.begin() as connection:
        return end_by_hand(connection, part_id, state, by="till", note=note, **options)


def part(engine, part_id):
    """The part's row."""
    return rig.one(engine, "select * from refund_parts where part_id = %(id)s", id=part_id)


def part_state(engine, part_id) -> PartState:
    return part(engine, part_id).state


def work(engine, part_id):
    """The part's follow-up, with the seconds until it is due as `due_in_s`."""
    return rig.one(
        engine,
        "select *, extract(epoch from next_at - now())::float8 as due_in_s from followups"
        " where route = 'refunds' and subject_id = %(id)s",
        id=part_id,
    )


def due_now(engine):
    """Let time pass for follow-ups that wait."""
    rig.run(engine, "update followups set next_at = now() where state = 'pending'")


def asked_ago(engine, seconds, last_s=None):
    """As if the provider had been asked so long ago, and for the last time `last_s` ago."""
    rig.run(
        engine,
        "update refund_parts set asked_at = clock_timestamp() - %(s)s * interval '1 second',"
        " last_asked_at = clock_timestamp() - %(last)s * interval '1 second'",
        s=seconds,
        last=seconds if last_s is None else last_s,
    )


def money(engine):
    """Refunded and settled, by payment."""
    return [
        tuple(row)
        for row in rig.rows(
            engine, "select refunded_minor, settled_minor from payments order by position"
        )
    ]


def overpaid(engine):
    return rig.one(engine, "select sum(overpaid_minor) from payments")[0]


def order(engine):
    return tuple(rig.one(engine, "select payment_status, refund_pending, version from orders"))


def emails(engine):
    return [
        tuple(row)
        for row in rig.rows(
            engine,
            "select name, subject_id, state, outcome from followups where route = 'emails'",
        )
    ]


def events(engine):
    """What the history says of refunds beyond their request."""
    return [
        (row.event, row.details)
        for row in rig.rows(
            engine,
            "select event, details from history where event like 'refund%%'"
            " and event <> 'refund_requested' order by history_id",
        )
    ]


def assert_lawful(engine):
    with engine.connect() as connection:
        assert not any(laws.broken(connection).values())


class Steady(Scripted):
    """Says the same of every part."""

    def __init__(self, answer, step_minor=1):
        super().__init__()
        self.answer = answer
        self.step = step_minor

    def step_minor(self, currency):
        del currency
        return self.step

    def refund(self, part):
        self.asked.append(part)
        return said(self.answer)

    def find(self, part):
        self.looked_up.append(part)
        return said(self.answer)


def till(_):
    """A provider for settings: `tests.work.refund_rig:till`."""
    return Steady(Settled("r1"), step_minor=10)


def broken_till(_):
    """One that cannot be made."""
    raise ValueError("TILL_TOKEN must be set")
