"""Who comes in through the broker door: each message that does not is a stray, and says why."""

import json

import pytest

from messages import SigningKey, publish, wire
from messages.wire import KINDS
from tests import factories as make
from tests.broker.broker_rig import body
from tests.messages.test_publish import Recorder
from worker.broker.admission import OPEN, Admission
from worker.broker.reading import read
from worker.work.strays import REFUSED_AT_THE_DOOR

OLD, NEW, OTHER = (SigningKey.of(f"{key_id}:{key_id * 32}") for key_id in ("old", "new", "other"))
SIGNED_ONLY = Admission.of(KINDS, [NEW, OLD])


class Actor:
    """What reading looks at of an actor: its name, and what it takes."""

    def __init__(self, name, function):
        self.actor_name, self.fn = name, function


ACTORS = {
    **{kind: Actor(kind, lambda content: None) for kind in KINDS},
    "drain_commands": Actor("drain_commands", lambda: None),
    wire.STRAY: Actor(wire.STRAY, lambda reason, body: None),
}


def taken(message, admission, *, queue=wire.INBOX):
    """What the consumer makes of a message's bytes: actor and arguments."""
    text = message if isinstance(message, bytes) else message.encode()
    got = read(text, len(text), redis_id="1", queue_name=queue, actors=ACTORS, admission=admission)
    return got.actor_name, tuple(got.args), got.kwargs


def published(command, key=None):
    broker = Recorder()
    publish(broker, command, key=key)
    return broker.messages[0]


@pytest.mark.parametrize("key", [None, OLD, OTHER])
def test_an_open_door_takes_signed_messages_as_well(key):
    """So producers can sign before workers ask for it; the actor gets the content, as if plain."""
    command = make.ship()

    assert taken(published(command, key), OPEN) == ("ship", (command.body(),), {})


@pytest.mark.parametrize("key", [NEW, OLD])
def test_signed_by_one_of_the_keys(key):
    """Each of the keys will do, so that they can rotate."""
    command = make.refund(amount=make.money(1))

    assert taken(published(command, key), SIGNED_ONLY) == ("refund", (command.body(),), {})


def changed(**fields):
    """A signed message with other fields."""
    good = json.loads(published(make.ship(), NEW).encode())
    return json.dumps(good | fields).encode()


PLAIN = {"kind": "ship", "command_id": "0192f0c1-2345-7abc-8def-000000000001", "order_id": "1"}
SAYS = json.loads(changed())["kwargs"]
TEXT = json.loads(changed())["args"][0]


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("unsigned", published(make.ship()).encode()),
        ("unsigned", changed(kwargs={})),
        ("unsigned", changed(kwargs={"key_id": "new"})),
        ("unsigned", changed(kwargs=SAYS | {"more": 1})),
        ("unsigned", changed(kwargs=SAYS | {"signature": 1})),
        ("unsigned", changed(kwargs=SAYS | {"key_id": ["new"]})),
        ("unsigned", changed(args=[TEXT, TEXT])),
        ("unsigned", changed(args=[json.loads(TEXT)])),
        ("bad_signature", published(make.ship(), OTHER).encode()),
        ("bad_signature", changed(kwargs=SAYS | {"key_id": "old"})),
        ("bad_signature", changed(args=[f"{TEXT} "])),
        ("bad_signature", changed(actor_name="refund")),
        ("bad_signature", changed(args=["\ud800"])),
    ],
)
def test_not_signed_well(reason, message):
    """It is a stray with its whole message, and its reason."""
    assert taken(message, SIGNED_ONLY) == (wire.STRAY, (reason, message.decode()), {})


@pytest.mark.parametrize(
    ("reason", "message", "queue"),
    [
        ("unsigned", body(PLAIN, actor="ship", options={"eta": 1}), wire.INBOX),
        ("unsigned", body(PLAIN, actor="ship"), "inbox.DQ"),
        ("kind_not_allowed", body(PLAIN, actor="shipp"), wire.INBOX),
        ("kind_not_allowed", body(PLAIN, actor="drain_commands"), wire.INBOX),
        ("kind_not_allowed", body(PLAIN, actor=wire.STRAY), wire.INBOX),
        ("unsigned", json.dumps(PLAIN).encode(), wire.INBOX),
        ("delayed", changed(options={"eta": 1}), wire.INBOX),
        ("undecodable", b"{", wire.INBOX),
    ],
)
def test_no_way_round_the_signature(reason, message, queue):
    """What holds a command and is wrong in another way is not told from what has no signature: a
    person who takes the delayed in must not let in what nobody has signed.
    """
    _, (told, _), _ = taken(message, SIGNED_ONLY, queue=queue)

    assert told == reason


def test_signed_nonsense():
    """Text that is no JSON is undecodable, whoever signed it."""
    signature = NEW.sign("ship", "{")
    message = changed(args=["{"], kwargs={"key_id": "new", "signature": signature})

    assert taken(message, SIGNED_ONLY)[1][0] == "undecodable"


@pytest.mark.parametrize("keys", [[], [NEW]])
@pytest.mark.parametrize("queue", [wire.INBOX, wire.COMMANDS])
def test_a_kind_that_is_not_let_in(keys, queue):
    """Signed or not, on whichever queue; its neighbours of other kinds come in."""
    admission = Admission.of(["ship"], keys)
    ship, refund = (published(one, NEW) for one in (make.ship(), make.refund()))

    assert taken(ship, admission, queue=queue)[0] == "ship"
    assert taken(refund, admission, queue=queue)[:1] == (wire.STRAY,)
    assert taken(refund, admission, queue=queue)[1][0] == "kind_not_allowed"


def test_hints_need_no_signature():
    """They say nothing: the work is in the database."""
    message = body(actor="drain_commands")

    assert taken(message, Admission.of([], [NEW]), queue=wire.COMMANDS)[0] == "drain_commands"


def test_reasons_are_known_to_who_takes_strays_in():
    """What the door refuses is what a person takes in only by naming why."""
    refusals = {
        Admission.of([], []).refusal("ship", [], {}),
        SIGNED_ONLY.refusal("ship", [], {}),
        SIGNED_ONLY.refusal("ship", [""], {"key_id": "x", "signature": ""}),
    }

    assert refusals == set(REFUSED_AT_THE_DOOR)
