"""What a worker logs, as it writes it."""

import io
import logging
from contextlib import contextmanager

import structlog

from worker.logs import configure


@contextmanager
def logs_of_a_worker(level="info"):
    """Logs as a worker process writes them: JSON lines."""
    root = logging.getLogger()
    handlers, before = root.handlers[:], root.level
    configure(level)
    # Or the loggers of our modules would write here for ever.
    structlog.configure(cache_logger_on_first_use=False)
    lines = root.handlers[0].stream = io.StringIO()
    try:
        yield lines
    finally:
        root.handlers[:] = handlers
        root.setLevel(before)
        structlog.reset_defaults()
