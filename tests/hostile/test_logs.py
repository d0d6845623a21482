"""Hostile texts in logs and metrics: a record stays one line, and no text becomes a series."""

import json
import logging

import structlog
from prometheus_client import CollectorRegistry

from messages import wire
from tests.hostile import bodies, corpus
from tests.hostile.door import message
from tests.metrics.reading import exposed
from tests.metrics.watched import Watched
from tests.work import rig
from tests.work.worker_logs import logs_of_a_worker
from worker.broker.reading import read
from worker.errors import Terminal
from worker.metrics.gauges import WorkGauges
from worker.work.followups import Ended

ALL = [one.text for one in (corpus.STORED | corpus.REFUSED | corpus.NO_TEXT).values()]
STORED = [one.text for one in corpus.STORED.values()]
LABELS = {
    "kind": {*wire.KINDS},
    "name": {"shipped", "cancelled"},
    "queue": {wire.COMMANDS, wire.LABELS, wire.REFUNDS, wire.EMAILS, wire.TRACKING, wire.JOBS},
    "outcome": {"applied", "rejected", "dead", "done"},
    "state": {"unknown", "failed", "overpaid"},
    "waits_for": {"order"},
    # A word of lower-case letters might be a reason of ours.
    "reason": {"other", "null"},
}
"""Every value that a label has, whatever came in; but the version, and the bounds of buckets."""


def records(lines):
    """What was logged; `splitlines` breaks at whatever anybody takes for the end of a line."""
    written = lines.getvalue()
    assert written.isascii()
    return [json.loads(line) for line in written.splitlines()]


def test_a_record_is_one_line():
    """A text as a field, as a bound one, as another library's words with and without its own
    formatting, and in an exception: one line of ASCII each, from which the very text is read.
    """
    ours, theirs = structlog.get_logger(), logging.getLogger("library")
    with logs_of_a_worker() as lines:
        for text in ALL:
            with structlog.contextvars.bound_contextvars(bound=text):
                ours.info("told", field=text, **{text: 1})
            theirs.warning(text)
            theirs.warning("it said %r: %s", text, text)
            ours.error("failed", exc_info=ValueError(text))

    found = records(lines)
    for n, text in enumerate(ALL):
        told, word, said, failed = found[4 * n : 4 * n + 4]
        assert (told["event"], told["field"], told["bound"], told[text]) == ("told", text, text, 1)
        assert word["event"] == text
        assert said["event"] == f"it said {text!r}: {text}"
        assert failed["exception"].endswith(f"ValueError: {text}")
    assert len(found) == 4 * len(ALL)


def sent():
    """Bodies of messages: commands with every text in every field, good and bad, texts for names of
    actors, queues and kinds, and bytes that are no JSON.
    """
    good = [body for n, text in enumerate(STORED) for body in bodies.of(n, text)]
    bad = [
        bodies.shipping("x", "N-1", "x") | {name: text}
        for text in ALL
        for name in ("tracking_number", "kind", "order_id", "command_id", text)
    ]
    to = [json.loads(message(text, [])) for text in ALL]
    return [
        *(message(kind, [one for one in good if one["kind"] == kind]) for kind in wire.KINDS),
        message("ship", bad),
        *(json.dumps(one).encode() for one in to),
        *corpus.NO_JSON.values(),
    ]


def until_none_is_due(engine, table, drain, where="true"):
    """A drain leaves after some time, so that others have a turn."""
    due = f"state = 'pending' and next_at <= now() and lease_until is null and {where}"
    while rig.count(engine, table, due):
        drain()


def test_the_work(engine, inbox):
    """All of it, taken in and decided, then refused by a mail server in each text's words: the logs
    are lines of static events and hold no text that came in; labels are of a few values, none a
    text.
    """
    watched = Watched(engine)
    words = [*ALL]

    def refuse(_):
        if not words:
            return Ended({})
        text = words.pop()
        raise Terminal(text, text)

    with logs_of_a_worker() as lines:
        inbox.put(*sent())
        until_none_is_due(engine, "commands", watched.commands())
    with logs_of_a_worker() as later:
        until_none_is_due(engine, "followups", watched.emails(refuse), "route = 'emails'")

    told = records(lines)
    assert {record["event"] for record in told} >= {"command_rejected", "stray_message", "stray"}
    assert all(record["event"].isprintable() for record in told)
    values = {str(value) for record in told for value in record.values()}
    assert not values & {*ALL}
    telling = [text for text in ALL if len(text) > 4 or not text.isprintable()]
    assert not [text for text in telling for value in values if text in value]
    assert [record["event"] for record in records(later)] == ["work_dead"] * len(ALL)
    assert rig.count(engine, "followups", "state = 'dead'") == len(ALL)
    assert rig.count(engine, "followups", "state = 'done'") > 0

    registry = CollectorRegistry()
    registry.register(WorkGauges(engine))
    series = {*watched.series(), *exposed(registry)}
    labels = {one for _, found in series for one in found if one[0] not in {"version", "le"}}
    # What waits for its order has its label only until it is due again.
    assert {name for name, _ in labels} | {"waits_for"} == {*LABELS}
    assert [one for one in labels if one[1] not in LABELS[one[0]]] == []


def test_names_of_messages():
    """A message's own words for its actor and its queue, which dramatiq counts by, are not taken:
    it is a stray of the queue that it lay in.
    """
    for text in (one.text for one in (corpus.STORED | corpus.REFUSED).values()):
        raw = json.dumps(json.loads(message(text, [])) | {"queue_name": text}).encode()

        got = read(raw, len(raw), redis_id="1", queue_name=wire.INBOX, actors={})

        assert (got.actor_name, got.queue_name) == (wire.STRAY, wire.INBOX)
