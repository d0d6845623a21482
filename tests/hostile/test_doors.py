"""Hostile texts, numbers and documents through the doors of commands: the broker's, that of SQL,
and Python's. Each is stored exactly or refused with its field named; its neighbours go through.
"""

import json
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from messages import InvalidCommand, parse
from tests import factories as make
from tests.hostile import bodies, corpus
from tests.hostile.door import message
from tests.work import rig
from worker.work.accept import accept

TEXTS = list(corpus.STORED.values())
ALL = [body for number, one in enumerate(TEXTS) for body in bodies.of(number, one.text)]


def by_broker(engine, inbox):
    inbox.put(*(message(body["kind"], body) for body in ALL))
    assert inbox.left() == []


def by_sql(engine, inbox):
    """As a producer does that has a role of its own, and text as it came."""
    with engine.begin() as connection:
        answers = connection.exec_driver_sql(
            "select answer from accept_commands(%(bodies)s::jsonb)", {"bodies": json.dumps(ALL)}
        )
        assert set(answers.scalars()) == {"accepted"}


def by_python(engine, inbox):
    with engine.begin() as connection:
        accept(connection, [parse(bodies.raw(body)) for body in ALL])


STORED = """
select l.order_id, jsonb_build_array(
  o.number, o.customer_name, o.customer_phone, o.ship_to, o.ship_from, o.billing_address,
  l.name, l.sku, f.name, p.method, s.tracking_number, s.service, s.carrier_name, c.name,
  (select jsonb_agg(r.reason) from refunds r where r.order_id = o.order_id),
  (select jsonb_agg(distinct h.issued_by) from history h where h.order_id = o.order_id)
)
from order_lines l join orders o using (order_id) join order_fees f using (order_id)
join payments p using (order_id) join shipments s using (order_id)
join carriers c on c.code = s.carrier
where l.line_id = 'A'
"""


def expected(text):
    address = bodies.address(text)
    return [*[text] * 3, *[address] * 3, *[text] * 8, [text, text], [text]]


@pytest.mark.parametrize("door", [by_broker, by_sql, by_python])
def test_texts_are_stored_exactly(engine, inbox, drain, door):
    """Every text, in every field of free text of a place, a ship, a cancel and a refund: applied,
    and in the tables as it came, trimmed and composed.
    """
    door(engine, inbox)
    drain()

    assert rig.count(engine, "commands", "state <> 'applied'") == 0
    assert dict(rig.rows(engine, STORED)) == {
        f"H-{number}": expected(one.stored) for number, one in enumerate(TEXTS)
    }
    assert rig.count(engine, "strays") == 0


def test_every_field_is_tried():
    """The commands above put the text into every field of free text there is, but for those that
    hold the order up or tell of what was done upstream: these are in the bodies below.
    """
    texts = {
        path[-1] if isinstance(path[-1], str) else path[-2]
        for body in bodies.all_fields()
        for path in bodies.places(body, "x")
    }

    assert texts == {
        *bodies.ADDRESS, "lines", "sku", "method", "number", "email", "issued_by", "hold",
        "carrier", "tracking_number", "reason", "service", "code",
    }  # fmt: skip


REFUSED = [
    (body, path, text)
    for body in bodies.all_fields()
    for path in bodies.places(body, "x")
    for text in (corpus.REFUSED | corpus.NO_TEXT).values()
]


def with_own_id(body, path, value):
    return bodies.with_value(body, path, value) | {"command_id": str(make.ship().command_id)}


def field_of(message):
    return message.partition(": ")[0]


def test_texts_are_refused_by_the_broker_door(engine, inbox, drain):
    """Every text that must not be stored, in each field: rejected as invalid under the command's id
    with the field's name, nothing of it written; a good command behind them all is applied.
    """
    rig.placed(engine, "N-1")
    sent = [(with_own_id(body, path, one.text), path) for body, path, one in REFUSED]
    good = make.ship(order_id="N-1")
    before = rig.dump(engine, rig.EFFECTS)

    kinds = {body["kind"] for body, _ in sent}
    inbox.put(*(message(k, [body for body, _ in sent if body["kind"] == k]) for k in kinds))
    drain()

    ended = dict(rig.rows(engine, "select id, outcome ->> 'message' from commands"))
    wrong = [
        (bodies.name_of(path), ended.get(UUID(body["command_id"])))
        for body, path in sent
        if field_of(ended.get(UUID(body["command_id"])) or "") != bodies.name_of(path)
    ]
    assert wrong == []
    assert rig.count(engine, "commands", "state = 'rejected'") == len(sent)
    assert rig.dump(engine, rig.EFFECTS) == before
    inbox.put(message("ship", good.body()))
    drain()
    assert rig.state(engine, good) == "applied"


@pytest.mark.parametrize("name", corpus.REFUSED | corpus.NO_TEXT)
def test_texts_are_refused_by_python(name):
    """`parse` names the field, and does not repeat what stood there."""
    text = (corpus.REFUSED | corpus.NO_TEXT)[name].text
    for body in bodies.all_fields():
        for path in bodies.places(body, "x"):
            with pytest.raises(InvalidCommand) as refused:
                parse(bodies.raw(bodies.with_value(body, path, text)))
            assert text not in str(refused.value)


def test_texts_are_refused_by_sql(engine, drain):
    """PostgreSQL itself takes no NUL and no half of a pair: whoever sends one has an error, and
    nothing is accepted. What it does take is rejected when it is decided.
    """
    unstorable = {"NUL", *corpus.NO_TEXT}
    for name, one in (corpus.REFUSED | corpus.NO_TEXT).items():
        raw = json.dumps([make.ship().body() | {"tracking_number": one.text}])
        if name in unstorable:
            with pytest.raises(DBAPIError, match="Unicode"):
                rig.rows(engine, "select * from accept_commands(%(raw)s::jsonb)", raw=raw)
        else:
            rig.rows(engine, "select * from accept_commands(%(raw)s::jsonb)", raw=raw)
    drain()

    outcomes = rig.rows(engine, "select outcome ->> 'reason', outcome ->> 'message' from commands")
    assert len(outcomes) == len(corpus.REFUSED) - 1
    assert {(reason, field_of(said)) for reason, said in outcomes} == {
        ("invalid", "tracking_number")
    }


NUMBERS = corpus.NOT_COUNTABLE


def with_number(raw):
    """A shipment of so many units; its id, and its JSON."""
    command = make.ship(items=make.items(A=7))
    text = json.dumps(command.body())
    return command, text.replace('"quantity": 7', f'"quantity": {raw}')


def test_numbers(engine, inbox, drain):
    """No number that is none of units ships anything: the message is a stray where it is no JSON,
    and its command rejected else; both through the broker and through Python.
    """
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    sent = [with_number(raw) for raw in NUMBERS.values()]

    inbox.put(*(message("ship", "@").replace(b'"@"', text.encode()) for _, text in sent))
    drain()

    for _, text in sent:
        with pytest.raises(InvalidCommand) as refused:
            parse(text)
        assert {problem.field for problem in refused.value.problems} <= {"items.0.quantity", "body"}
    ids = {command.command_id for command, _ in sent}
    states = dict(rig.rows(engine, "select id, state from commands where kind = 'ship'"))
    said = rig.rows(engine, "select outcome ->> 'message' from commands where kind = 'ship'")
    assert {field_of(one) for (one,) in said} == {"items.0.quantity"}
    assert set(states.values()) == {"rejected"}
    assert set(states) <= ids
    assert len(states) + rig.count(engine, "strays") == len(NUMBERS)
    assert rig.dump(engine, rig.EFFECTS) == before


def test_documents(engine, inbox, drain):
    """Bytes that are no JSON, as a message and in Python: a stray each, a refusal each."""
    good = make.place()

    inbox.put(*corpus.NO_JSON.values(), message("place", good.body()))
    drain()

    assert dict(rig.rows(engine, "select reason, count(*) from strays group by 1")) == {
        "undecodable": len(corpus.NO_JSON)
    }
    assert rig.state(engine, good) == "applied"
    for raw in corpus.NO_JSON.values():
        with pytest.raises(InvalidCommand) as refused:
            parse(raw)
        # A number of 5,000 digits is JSON, in an object that is no command.
        assert refused.value.problems[0].field in {"body", "kind"}


def test_ids(engine, inbox, drain):
    """No path, no SQL and no formula is an id, of an order, a line or a payment."""
    for value in corpus.NO_ID.values():
        for body in bodies.all_fields():
            for path in (*bodies.places(body, "O-1"), *bodies.places(body, "A")):
                with pytest.raises(InvalidCommand) as refused:
                    parse(bodies.raw(bodies.with_value(body, path, value)))
                assert refused.value.problems[0].field == bodies.name_of(path)
    sent = [make.ship().body() | {"order_id": value} for value in corpus.NO_ID.values()]

    inbox.put(message("ship", sent))

    assert rig.count(engine, "commands") == 0
    assert rig.count(engine, "strays", "reason = 'invalid'") == len(sent)


def test_another_command_under_the_same_id(engine, inbox, drain):
    """One letter that is another, composed or not: the first that came stays, letter by letter."""
    first = make.ship(tracking_number="Zo\u00eb")
    inbox.put(message("ship", first.body()))

    inbox.put(message("ship", first.body() | {"tracking_number": "Zoe\u0308"}))
    assert rig.count(engine, "strays") == 0, "it is the same"
    inbox.put(message("ship", first.body() | {"tracking_number": "Zoe"}))

    assert rig.rows(engine, "select reason from strays") == [("id_reused",)]
    assert rig.command(engine, first).body["tracking_number"] == "Zo\u00eb"
