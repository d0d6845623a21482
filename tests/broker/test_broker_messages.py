"""What producers may do to a queue: our consumer runs the rest, dramatiq's own strands it."""

import json
from collections.abc import Callable

import pytest

from tests.broker.broker_rig import NAMESPACE, QUEUE, Rig, body, until
from worker.broker.middleware import requeue_current_message
from worker.broker.reading import EXCERPT_BYTES, MAX_BYTES

Make = Callable[..., Rig]

BAD = {
    "not JSON": b"{",
    "not UTF-8": b'{"a": "\xff"}',
    "missing field": b'{"queue_name":"q","args":[],"kwargs":{},"options":{}}',
    "extra field": body(1, surprise=1),
    "null options": body(1, options=None),
    "deep nesting": b"[" * 100_000,
    "5000 digits": body(1).replace(b"[1]", b"[" + b"9" * 5000 + b"]"),
}


@pytest.mark.parametrize("bad", BAD)
def test_dramatiqs_consumer_strands_the_neighbours_of_a_bad_message(stock: Make, bad: str):
    """Those fetched with it stay with the live worker for ever, although later ones run."""
    rig = stock()
    rig.note("before")
    rig.put(BAD[bad], "bad")
    rig.note("after")

    rig.start()
    until(lambda: rig.seen == ["before"] and not rig.waiting())
    rig.note("late")
    until(lambda: "late" in rig.seen and "id-late" not in rig.bodies())

    assert rig.seen == ["before", "late"]
    assert rig.held() == {"bad", "id-after"}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_message_is_a_stray_and_its_neighbours_run(ours: Make, bad: str):
    """What cannot be decoded reaches the stray actor with its text; acknowledging removes it."""
    rig = ours()
    rig.note("before")
    rig.put(BAD[bad], "bad")
    rig.note("after")

    rig.start()
    until(lambda: not rig.bodies())

    assert sorted(rig.seen) == ["after", "before"]
    text = BAD[bad][:EXCERPT_BYTES].decode("utf-8", "backslashreplace")
    assert rig.strays == [("undecodable", text)]
    assert (rig.held(), rig.waiting(), rig.buried()) == (set(), [], set())


def test_dramatiqs_consumer_buries_an_unknown_actor_in_redis(stock: Make):
    """The message is known to Redis alone, which forgets it after seven days."""
    rig = stock()
    rig.note(1, actor="nobody")

    rig.start()
    until(rig.buried)

    assert rig.buried() == {"id-1"}
    assert rig.strays == []


@pytest.mark.parametrize("actor", ["nobody", "stray"])
def test_an_unknown_actor_is_a_stray(ours: Make, actor: str):
    """So is a message that names the stray actor itself: strays are found, not sent."""
    rig = ours()
    sent = body(1, actor=actor)
    rig.put(sent, "unknown")
    rig.note("good")

    rig.start()
    until(lambda: not rig.bodies())

    assert rig.strays == [("unknown_actor", sent.decode())]
    assert rig.seen == ["good"]
    assert rig.buried() == set()


def test_a_delayed_message_is_a_stray(ours: Make):
    """On a delay queue or with an `eta`: waiting is done in PostgreSQL alone."""
    rig = ours()
    eta = {"eta": 32_503_680_000_000}
    delayed = [body("a", options=eta), body("b", queue_name="q.DQ", options=eta)]
    rig.put(delayed[0])
    rig.put(delayed[1], queue="q.DQ")

    rig.start()
    until(lambda: not rig.bodies() and not rig.bodies("q.DQ"))

    assert sorted(rig.strays) == [("delayed", text.decode()) for text in delayed]
    assert rig.seen == []


def test_an_eta_of_null_is_no_delay(ours: Make):
    """As in dramatiq itself."""
    rig = ours()
    rig.note("now", eta=None)

    rig.start()
    until(lambda: not rig.bodies())

    assert rig.seen == ["now"]


@pytest.mark.parametrize(("size", "strays"), [(MAX_BYTES, 0), (MAX_BYTES + 1, 1)])
def test_one_byte_above_the_limit_is_too_large(ours: Make, size: int, strays: int):
    """The stray keeps the first 64 KiB; the body is not brought into memory."""
    rig = ours()
    sent = body("x" * (size - len(body(""))))
    assert len(sent) == size
    rig.put(sent, "large")
    rig.note("good")

    rig.start()
    until(lambda: not rig.bodies())

    assert rig.strays == strays * [("too_large", sent[:65536].decode())]
    assert len(rig.seen) == 2 - strays


def test_many_large_messages_come_in_several_fetches(ours: Make):
    """A fetch stops at 4 MiB, so that its reply comes in time; nothing is left behind."""
    rig = ours()
    for number in range(12):
        rig.put(body(f"{number:02}" + "x" * 1_000_000), f"id-{number}")

    first = rig.broker.fetch(QUEUE, 12, maintain=False)
    rig.start()
    until(lambda: not rig.bodies())

    assert len(first) == 5
    assert sorted(value[:2] for value in rig.seen) == [f"{number:02}" for number in range(12)]


def test_dramatiqs_consumer_obeys_the_options_of_strangers(stock: Make):
    """Whoever can write a message can have another actor run with it."""
    rig = stock()
    rig.note("first", pipe_target=json.loads(body("forged", options={"pipe_ignore": True})))

    rig.start()
    until(lambda: len(rig.seen) == 2)

    assert rig.seen == ["first", "forged"]


def test_options_are_dropped(ours: Make):
    """Only the Redis id remains, and it is the id under which the message was found."""
    rig = ours()
    rig.note(
        "first",
        pipe_target={"actor_name": "note"},
        on_failure="note",
        max_retries=9,
        time_limit=1,
        requeue=True,
        redis_message_id="another",
    )

    rig.start()
    until(lambda: not rig.bodies())

    assert rig.options == [{"redis_message_id": "id-first"}]
    assert rig.seen == ["first"]


def test_the_queue_in_the_body_is_ignored(ours: Make):
    """Else the message would be acknowledged at a queue that has no consumer."""
    rig = ours()
    rig.put(body("here", queue_name="elsewhere"))

    rig.start()
    until(lambda: not rig.bodies())

    assert rig.seen == ["here"]


def test_a_body_that_is_gone_is_skipped(ours: Make):
    """An evicted body leaves its id; nothing runs, nothing is held, the next message runs."""
    rig = ours()
    rig.admin.rpush(f"{NAMESPACE}:{QUEUE}", "ghost")
    rig.note("good")

    rig.start()
    until(lambda: not rig.bodies())

    assert rig.seen == ["good"]
    assert (rig.held(), rig.waiting(), rig.strays) == (set(), [], [])


def test_an_id_of_any_bytes_is_acknowledged(ours: Make):
    """Ids come from other programs, too."""
    rig = ours()
    rig.admin.hset(f"{NAMESPACE}:{QUEUE}.msgs", b"\xff\x00", body("odd"))
    rig.admin.rpush(f"{NAMESPACE}:{QUEUE}", b"\xff\x00")

    rig.start()
    until(lambda: not rig.admin.exists(f"{NAMESPACE}:{QUEUE}.msgs"))

    assert rig.seen == ["odd"]


def test_an_actor_that_raises_keeps_its_content(ours: Make):
    """Dramatiq without retries acknowledges it; here it is buried, unless it was an empty hint."""
    rig = ours()
    rig.put(body("content", actor="fail"), "content")
    rig.put(body(actor="fail"), "hint")

    rig.start()
    until(lambda: len(rig.seen) == 2 and not rig.bodies())

    assert rig.buried() == {"content"}
    assert rig.admin.hkeys(f"{NAMESPACE}:{QUEUE}.XQ.msgs") == [b"content"]
    assert rig.held() == set()


def test_a_message_can_be_asked_for_again(ours: Make):
    """The actor's message is put back, not acknowledged, and runs once more."""
    rig = ours()

    def again(value: str) -> None:
        rig.seen.append(value)
        if len(rig.seen) == 1:
            requeue_current_message()

    rig.actor(again)
    rig.note("twice", actor="again")

    rig.start()
    until(lambda: not rig.bodies())

    assert rig.seen == ["twice", "twice"]
    assert rig.held() == set()


def test_asking_again_outside_an_actor_is_an_error():
    """There is no message that could be put back."""
    with pytest.raises(RuntimeError, match="outside an actor"):
        requeue_current_message()


def test_what_waits_at_shutdown_runs_in_another_worker(ours: Make):
    """The actor returns when told to stop; its message and those behind it go back."""
    first, second = ours(), ours()

    def wait(value: str) -> None:
        first.seen.append(value)
        first.broker.stopping.wait(30)
        requeue_current_message()

    first.actor(wait)
    second.note_as("wait")
    for value in ("a", "b", "c"):
        first.note(value, actor="wait")
    first.start(threads=1)
    until(lambda: first.seen == ["a"])

    first.stop()
    assert sorted(first.waiting()) == ["id-a", "id-b", "id-c"]
    assert first.held() == set()
    second.start(threads=1)
    until(lambda: not second.bodies())

    assert first.seen == ["a"]
    assert sorted(second.seen) == ["a", "b", "c"]
