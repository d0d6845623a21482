"""OpenTelemetry, from the extra `otel`: the only file that imports it.

A command's span of acceptance is kept beside its row (`traces`), for the command waits there, and
so does what follows from it. Spans are told after the work was done; none of it can keep work from
being done. No person's name, address or words are in one.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final, Literal
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from messages.wire import COMMANDS, EMAILS, LABELS, REFUNDS, TRACEPARENT
from worker.work.claim import Batch, Row
from worker.work.drain import Route
from worker.work.tracing import Tracing

FOLLOWUPS: Final = {LABELS, REFUNDS, EMAILS}
"""Not parcels that carriers are asked about, for weeks."""
CLOSE_S: Final = 3.0
"""For spans that are still to be sent when a process ends."""

TRACED: Final = """
-- traced: to which traces commands belong, and how far they are
select t.command_id, t.traceparent, c.state from traces t join commands c on c.id = t.command_id
where t.command_id = any(%(ids)s)
"""

_W3C: Final = TraceContextTextMapPropagator()
_KINDS: Final = {"http": SpanKind.SERVER, "broker": SpanKind.CONSUMER}


def exporting() -> TracerProvider:
    """Sends to the collector that the environment names, as OpenTelemetry has it."""
    named = Resource({"service.name": "fulfillment"})
    resource = named.merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class OpenTelemetry(Tracing):
    """Tells a provider; reads to which traces work belongs by an engine of this process."""

    def __init__(self, provider: TracerProvider, engine: Engine) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("fulfillment")
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def accepting(
        self, door: Literal["http", "broker"], parent: str | None
    ) -> Iterator[str | None]:
        with self._tracer.start_as_current_span(
            "accept",
            context=_context(parent) if parent else None,
            kind=_KINDS[door],
            attributes={"fulfillment.door": door},
        ) as span:
            yield _traceparent(span) if span.is_recording() else None

    def traced(self, route: Route) -> Route:
        if route.name == COMMANDS:
            return replace(route, carry_out=partial(self._decide, route.carry_out))
        if route.name in FOLLOWUPS:
            return replace(route, carry_out=partial(self._follow_up, route))
        return route

    def close(self) -> None:
        # By itself it would wait for an absent collector as long as a worker has to stop in all.
        sending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        sending.start()
        sending.join(CLOSE_S)

    def _decide(self, carry_out: Callable[[Batch], bool], batch: Batch) -> bool:
        """A span for the batch, and one for each of its commands in that command's trace."""
        begun = time.time_ns()
        with self._tracer.start_as_current_span(
            "decide batch", attributes={"fulfillment.rows": len(batch.rows)}
        ) as span:
            is_free = carry_out(batch)
        ended = time.time_ns()
        found = self._traces(batch.ids)
        for row in batch.rows:
            if row.id in found:
                traceparent, state = found[row.id]
                self._tracer.start_span(
                    f"decide {row.values[0]}",
                    context=_context(traceparent),
                    start_time=begun,
                    links=[Link(span.get_span_context())],
                    attributes=_about(row, row.id) | {"fulfillment.state": state},
                ).end(ended)
        return is_free

    def _follow_up(self, route: Route, batch: Batch) -> bool:
        """A span for what follows from a command, in its trace; the batch has one row."""
        (row,) = batch.rows
        name, command_id = row.values[:2]
        found = self._traces([command_id])
        if not found:
            return route.carry_out(batch)
        with self._tracer.start_as_current_span(
            f"{route.name.removesuffix('s')} {name}",
            context=_context(found[command_id][0]),
            kind=SpanKind.CLIENT,
            attributes=_about(row, command_id),
        ):
            return route.carry_out(batch)

    def _traces(self, command_ids: Collection[UUID]) -> dict[UUID, tuple[str, str]]:
        """Of commands that are traced: where, and their states."""
        try:
            with self._engine.connect() as connection:
                rows = connection.exec_driver_sql(TRACED, {"ids": list(command_ids)})
                return {row[0]: (row[1], row[2]) for row in rows}
        except SQLAlchemyError:  # the work itself says what is wrong
            return {}


def _about(row: Row, command_id: UUID) -> dict[str, str | int]:
    return {
        "fulfillment.command_id": str(command_id),
        "fulfillment.order_id": row.order_id,
        "fulfillment.attempts": row.attempts,
    }


def _context(traceparent: str) -> Context:
    return _W3C.extract({TRACEPARENT: traceparent}, context=Context())


def _traceparent(span: Span) -> str:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, context=trace.set_span_in_context(span))
    return carrier[TRACEPARENT]
