"""What the tests of deployment share: one store in which everything has gone wrong."""

from collections.abc import Callable, Iterator

import pytest
import structlog
from sqlalchemy import Engine

from tests.deploy.wrong import prepared
from worker.settings import Settings
from worker.store.engine import make_engine


@pytest.fixture(autouse=True)
def logs() -> Iterator[list]:
    """What is logged in this process; unconfigured, structlog prints to the commands' stdout."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def store(emptied: Callable[..., str]) -> Iterator[tuple[str, Engine, dict[str, str]]]:
    """Its URL, connections to it, and how its parts are called in the runbook."""
    url = emptied("deploy")
    engine = make_engine(url, Settings())
    yield url, engine, prepared(engine)
    engine.dispose()
