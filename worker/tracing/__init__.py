"""Traces, where the settings want them: from a command's acceptance to its e-mail."""

from sqlalchemy import Engine

from worker.plugins import CannotUse
from worker.settings import Settings
from worker.work.tracing import UNTRACED, Tracing


def make_tracing(config: Settings, engine: Engine) -> Tracing:
    """What traces in this process, after the fork; where tracing is off, nothing of it is imported.

    Raises:
      CannotUse: It is not installed.
    """
    if not config.tracing:
        return UNTRACED
    check(config)
    from worker.tracing.otel import OpenTelemetry, exporting  # noqa: PLC0415  # as said

    return OpenTelemetry(exporting(), engine)


def check(config: Settings) -> None:
    """See that what the settings want is installed.

    Raises:
      CannotUse: It is not.
    """
    if not config.tracing:
        return
    try:
        import worker.tracing.otel  # noqa: F401, PLC0415  # as said
    except ImportError as error:
        advice = "install fulfillment-worker[otel]"
        raise CannotUse(f"FULFILLMENT_TRACING: {error}: {advice}") from error
