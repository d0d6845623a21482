"""One trace from a command's acceptance to its e-mail, as OpenTelemetry has it."""

import gc
import gzip
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from starlette.testclient import TestClient

from messages import Customer, Payment
from tests import factories as make
from tests.labels import lab
from tests.web.application import application
from tests.web.conftest import Hints
from tests.work import rig
from worker.orders.rules import decide
from worker.refunds.providers import providers
from worker.runtime import Runtime, followup_routes
from worker.servers import Servers
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.tracing import make_tracing
from worker.web.door import Door
from worker.work.accept import accept

otel = pytest.importorskip(
    "worker.tracing.otel", reason="the extra `otel` is not installed: no trace is looked at"
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: E402  # the extra's
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402  # the extra's
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402  # likewise
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (  # noqa: E402  # likewise
    InMemorySpanExporter,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON  # noqa: E402  # likewise

TRACE = "0af7651916cd43dd8448eb211c80319c"
SENDER = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SENDER}-01"


class Traced:
    """Tracing, and the spans that it told of; as hexadecimal numbers, as they travel."""

    def __init__(self, engine, *, sampler=ALWAYS_ON):
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = otel.OpenTelemetry(provider, engine)

    def spans(self, trace=TRACE):
        """Those of a trace, by name."""
        found = self._exporter.get_finished_spans()
        return {one.name: one for one in found if f"{one.context.trace_id:032x}" == trace}


@pytest.fixture
def traced(engine):
    return Traced(engine)


@pytest.fixture
def forgotten():
    """What was made is gone after the test: OpenTelemetry begins a thread in every child of a
    process that has a processor of batches, and a child with two threads cannot become somebody
    else before it starts a server.
    """
    yield
    gc.collect()


@pytest.fixture
def make_runtime(engine, database_url, redis_url, tmp_path):
    """Makes a worker process's parts that trace so."""
    made = []

    def runtime(tracing):
        config = Settings(state_dir=tmp_path)
        routes = followup_routes(engine, config, providers(config))
        where = Servers(database_url, redis_url)
        made.append(Runtime(config, where, engine=engine, routes=routes, tracing=tracing))
        return made[-1]

    yield runtime
    for one in made:
        one.hints.close()


def placed():
    """An order with all that a label, an e-mail and a refund want."""
    order = make.placed_order(
        make.order_line("A", 2),
        payments=(Payment(payment_id="P", captured_minor=100),),
        customer=Customer(name="Customer 1", email="customer@shop.example"),
        ship_to=lab.SHOP,
        ship_from=lab.SHOP,
    )
    return make.place(order=order)


def parent(span):
    return f"{span.parent.span_id:016x}"


def own(span):
    return f"{span.context.span_id:016x}"


def test_from_acceptance_to_the_email(engine, traced, make_runtime):
    """A command that came with its sender's trace by the broker: its acceptance is the sender's
    child; that it was decided, its label and its e-mail, each done later by whoever finds it due,
    are children of that. The decision is linked with the batch that it was made in.
    """
    runtime = make_runtime(traced.tracing)
    rig.accepted(engine, placed())
    ship = make.ship(items=make.items(A=1), label="generate")

    runtime.door.take("ship", ship.body(), TRACEPARENT)
    for route in ("commands", "labels", "emails"):
        runtime.drains[route]()

    spans = traced.spans()
    accepted = spans.pop("accept")
    assert (parent(accepted), accepted.kind.name) == (SENDER, "CONSUMER")
    assert spans.keys() == {"decide ship", "label label", "email shipped"}
    assert {parent(one) for one in spans.values()} == {own(accepted)}
    assert {one.attributes["fulfillment.command_id"] for one in spans.values()} == {
        str(ship.command_id)
    }
    decided = spans["decide ship"]
    assert decided.attributes["fulfillment.state"] == "applied"
    (link,) = decided.links
    (batch,) = [one for one in traced._exporter.get_finished_spans() if one.name == "decide batch"]
    assert link.context == batch.context
    assert rig.one(engine, "select traceparent from traces") == (f"00-{TRACE}-{own(accepted)}-01",)


def test_a_refund_is_in_its_commands_trace(engine, traced, make_runtime):
    """What a producer handed in beside its own writes is traced from there: it passed no door."""
    runtime = make_runtime(traced.tracing)
    rig.accepted(engine, placed())
    with engine.begin() as connection:
        accept(connection, [make.refund(amount=make.money(50))], traceparent=TRACEPARENT)

    for route in ("commands", "refunds"):
        runtime.drains[route]()

    spans = traced.spans()
    assert spans.keys() == {"decide refund", "refund settle"}
    assert {parent(one) for one in spans.values()} == {SENDER}


def test_over_http(engine, traced):
    """The header says which trace it is; a request without one, or with one that cannot be read,
    begins a trace of its own.
    """
    door = Door(Settings(), engine, Hints(), decide, has_keys=False, tracing=traced.tracing)
    first, second, third = make.ship(), make.ship(), make.ship()
    with TestClient(application(door), "http://localhost") as client:
        for one, headers in (
            (first, {"traceparent": TRACEPARENT}),
            (second, {}),
            (third, {"traceparent": "00-zz"}),
        ):
            sent = client.post("/v1/commands", json=one.body(), headers=headers)
            assert sent.status_code == 202

    span = traced.spans()["accept"]
    assert (parent(span), span.kind.name) == (SENDER, "SERVER")
    kept = dict(rig.rows(engine, "select command_id, traceparent from traces"))
    assert kept[first.command_id] == f"00-{TRACE}-{own(span)}-01"
    others = {kept[one.command_id].split("-")[1] for one in (second, third)}
    assert len(others - {TRACE}) == 2


def test_what_is_not_sampled_leaves_nothing(engine, make_runtime):
    """No row, so nobody looks further into it."""
    traced = Traced(engine, sampler=ALWAYS_OFF)
    runtime = make_runtime(traced.tracing)

    runtime.door.take("place", placed().body(), TRACEPARENT)
    runtime.drains["commands"]()

    assert (traced.spans(), rig.count(engine, "traces")) == ({}, 0)
    assert rig.count(engine, "commands", "state = 'applied'") == 1


def test_a_database_that_does_not_say_which_trace_keeps_no_work(engine, make_runtime):
    """What cannot be looked up is not traced, and is done."""
    nowhere = make_engine("postgresql://x@127.0.0.1:1/x", Settings())
    traced = Traced(nowhere)
    runtime = make_runtime(traced.tracing)

    runtime.door.take("place", placed().body(), TRACEPARENT)
    runtime.drains["commands"]()

    assert traced.spans().keys() == {"accept"}
    assert rig.count(engine, "commands", "state = 'applied'") == 1


def test_a_command_that_is_sent_again_keeps_its_trace(engine, traced, make_runtime):
    """Whoever sends it again gives it no other trace, and no second row."""
    runtime = make_runtime(traced.tracing)
    ship = make.ship()
    runtime.door.take("ship", ship.body(), TRACEPARENT)
    before = rig.rows(engine, "select * from traces")

    runtime.door.take("ship", ship.body(), TRACEPARENT.replace(TRACE, "1" * 32))

    assert rig.rows(engine, "select * from traces") == before


def test_it_arrives_at_the_collector(engine, monkeypatch, forgotten):
    """Where the environment says, as everywhere; what is still to be sent at the end is sent."""
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        tracing = make_tracing(Settings(tracing=True), engine)
        with tracing.accepting("http", TRACEPARENT) as own:
            assert own.split("-")[1] == TRACE
        tracing.close()

    ((path, body),) = collector.taken
    assert path == "/v1/traces"
    (sent,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert {one.key: one.value.string_value for one in sent.resource.attributes} == {
        "service.name": "fulfillment"
    }
    (span,) = sent.scope_spans[0].spans
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("accept", TRACE, SENDER)


class Collector:
    """Takes what is sent to it."""

    def __init__(self):
        self.taken = taken = []

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                plain = gzip.decompress(body) if "Content-Encoding" in self.headers else body
                taken.append((self.path, plain))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Taking)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
