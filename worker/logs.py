"""Structured logs: one JSON line per event on stderr, ids bound, no personal data.

Event names are static and values are fields; `command_id`, `order_id` and `message_id` are bound
where they are known. dramatiq's own records take the same way.
"""

import logging
import sys
from typing import Any, Final, Literal

import structlog

_TALKATIVE: Final = (
    "aiobotocore", "alembic", "botocore", "httpcore", "httpx", "square", "stripe", "urllib3",
)  # fmt: skip
"""Libraries that tell each step at info, or what a provider said, which quotes people."""


def configure(level: str = "info", style: Literal["json", "console"] = "json") -> None:
    """Set up structlog and the standard library's logging alike; calling it again is fine."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(logging.WARNING)
    # At debug dramatiq tells each message with its arguments, and a stray's hold what came in; also
    # by loggers that it names after the actors' modules.
    for told in ("dramatiq", "actors"):
        logging.getLogger(told).setLevel(max(root.level, logging.INFO))
