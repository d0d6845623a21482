"""Without the setting nothing is traced; on the wire a trace is an option."""

import ast
import sys

import pytest
from sqlalchemy import event

from messages import publish
from messages.wire import INBOX
from tests import factories as make
from tests.messages.test_publish import Recorder
from tests.test_layers import ROOT, imported
from tests.work import rig
from worker import tracing
from worker.broker.reading import read
from worker.plugins import CannotUse
from worker.settings import Settings
from worker.work.accept import ACCEPT
from worker.work.tracing import UNTRACED

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_the_library_is_imported_by_one_file():
    """And that only where the settings want it."""
    files = [
        path
        for folder in ("messages", "worker", "actors")
        for path in (ROOT / folder).rglob("*.py")
        if any(name.startswith("opentelemetry") for name in imported(path))
    ]
    at_the_top = [
        path
        for path in (ROOT / "worker").rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom) and "tracing.otel" in ast.unparse(node)
    ]

    assert files == [ROOT / "worker" / "tracing" / "otel.py"]
    assert at_the_top == []


def test_off_by_default(runtime, engine):
    """A message that says its trace is accepted by the same statement as any other, and nothing of
    it is kept; routes are what they are.
    """
    said = []
    event.listen(engine, "before_cursor_execute", lambda *given: said.append(given[2]))

    runtime.door.take("ship", make.ship().body(), TRACEPARENT)

    assert said == [ACCEPT]
    assert rig.count(engine, "traces") == 0
    assert tracing.make_tracing(Settings(), engine) is UNTRACED
    route = runtime.drains["commands"].route
    assert UNTRACED.traced(route) is route


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    """The setting is named, and what to install."""
    monkeypatch.delitem(sys.modules, "worker.tracing.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with pytest.raises(CannotUse, match=r"FULFILLMENT_TRACING: .*fulfillment-worker\[otel\]"):
        tracing.check(Settings(tracing=True))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (TRACEPARENT, {"traceparent": TRACEPARENT}),
        (TRACEPARENT[:-1], {}),
        (7, {}),
        (None, {}),
    ],
)
def test_of_a_messages_options_the_trace_is_kept(said, kept):
    """The producer's other options are not ours to obey; one that cannot be a trace is dropped."""
    sender = Recorder()
    publish(sender, make.ship(), traceparent=TRACEPARENT)
    (sent,) = sender.messages
    assert sent.options == {"traceparent": TRACEPARENT}
    body = sent.copy(options={"traceparent": said, "max_retries": 3}).encode()

    message = read(body, len(body), redis_id="1", queue_name=INBOX, actors={"ship": Ship()})

    assert message.options == {"redis_message_id": "1"} | kept


class Ship:
    """As much of an actor as reading asks for."""

    actor_name = "ship"

    @staticmethod
    def fn(content):
        """Take one argument."""
