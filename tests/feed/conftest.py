"""What tests of the feed share: an empty database, and what was told."""

from collections.abc import Callable, Iterator

import pytest
import structlog
from sqlalchemy import Engine

from worker.feed.events import Event, events_after, number_for_reading


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    """What is logged in this process; unconfigured, structlog prints to the output."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def database_url(emptied: Callable[..., str]) -> str:
    """The folder's database, empty but for the carriers that every shop knows."""
    return emptied("feed")


def read(engine: Engine, after: int = 0, *, limit: int = 1_000, **options) -> list[Event]:
    """What a reader reads that numbers first."""
    with engine.begin() as connection:
        number_for_reading(connection)
    with engine.connect() as connection:
        return events_after(connection, after, limit=limit, **options)


def told(engine: Engine, after: int = 0) -> list[str]:
    """The types of the events behind a cursor."""
    return [event.type for event in read(engine, after)]
